"""Git: a bare folder and a server behind HTTP, with the same promises."""

from callboard.adapters.git.local import init_bare
from callboard.adapters.git.repository import COMMITTER, Repository

__all__ = ["COMMITTER", "Repository", "init_bare"]
