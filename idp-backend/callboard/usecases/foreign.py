"""Commits that name Callboard's operations under a seal that is not this installation's."""

from typing import Final

from callboard.ports.git import GitRepository
from callboard.usecases import seal as trailers
from callboard.usecases.seal import Seal

_LOOKED_AT: Final = 200
"""Newest commits."""
SAYS: Final = (
    "{count} of the newest {of} commits carry Callboard's trailers under another key's seal: "
    "another replica has a different installation key, or somebody forged them"
)


async def foreign(git: GitRepository, seal: Seal) -> str | None:
    """What is to be said of them, if there are any."""
    commits = await git.commits(limit=_LOOKED_AT)
    count = sum(
        trailers.OPERATION in commit.trailers
        and trailers.SEAL in commit.trailers
        and not seal.intact(commit.trailers)
        for commit in commits
    )
    return SAYS.format(count=count, of=len(commits)) if count else None
