"""The embedded audit journal: a folder of hash-chained JSON lines.

`<replica>.<epoch>.jsonl`    the records of one start of one replica; never changed, never removed
`<replica>.heads.json`       the anchor: where each epoch had come to
`<replica>.pushes.jsonl`     operation → commit, noted before each push
`<replica>.lock`             held while the replica runs
`*.torn`                     what a crash had left incomplete

Beside them, of no concern to the journal: `installation.id` (whose key it is) and `seen/` (heads of
the branch, see `adapters/local/heads.py`).
"""

from callboard.adapters.local.journal.files import Files
from callboard.adapters.local.journal.journal import FileJournal
from callboard.adapters.local.journal.verification import verify_folder

__all__ = ["FileJournal", "Files", "verify_folder"]
