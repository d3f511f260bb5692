"""What somebody does who may push to the delivery repository: any tree, any commit message."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from attack_target import Target

Entry = tuple[bytes, bytes, bytes]
"""Mode, name and content of one entry of a tree."""


class Pusher:
    """A bare copy of the delivery repository in which nothing is checked."""

    def __init__(self, target: Target, folder: Path) -> None:
        self.origin = target.home / "delivery.git"
        self.folder = folder
        self._git("clone", "-q", "--bare", str(self.origin), str(folder), at=Path.cwd())

    def tree(self, *entries: Entry) -> str:
        """A tree as it is given, whatever is in it."""
        raw = b""
        for mode, name, content in sorted(entries, key=lambda each: each[1]):
            kind = "tree" if mode == b"40000" else "blob"
            hashed = content.decode() if kind == "tree" else self.write("blob", content)
            raw += mode + b" " + name + b"\0" + bytes.fromhex(hashed)
        return self.write("tree", raw)

    def root(self, folder: str, tree: str) -> str:
        """The root of `main` with a folder at its top replaced or added."""
        listed = self._git("ls-tree", "main").splitlines()
        kept = [line for line in listed if not line.endswith(f"\t{folder}")]
        lines = "".join(f"{line}\n" for line in [*kept, f"040000 tree {tree}\t{folder}"])
        return self._git("mktree", feed=lines.encode())

    def commit(self, tree: str, message: str = "by hand") -> str:
        return self._git("commit-tree", "-p", "main", "-F", "-", tree, feed=message.encode())

    def push(self, commit: str) -> bool:
        """Whether the repository took it."""
        ran = subprocess.run(
            ["git", "-C", str(self.folder), "push", "-q", str(self.origin), f"{commit}:main"],
            check=False,
            capture_output=True,
            env=_environment(),
        )
        return ran.returncode == 0

    def write(self, kind: str, content: bytes) -> str:
        return self._git("hash-object", "-t", kind, "-w", "--literally", "--stdin", feed=content)

    def _git(self, *arguments: str, feed: bytes = b"", at: Path | None = None) -> str:
        ran = subprocess.run(
            ["git", "-C", str(at or self.folder), *arguments],
            check=True,
            input=feed,
            capture_output=True,
            env=_environment(),
        )
        return ran.stdout.decode().strip()


@contextmanager
def pushed(target: Target, files: Mapping[str, str]) -> Iterator[None]:
    """These files are on the branch as long as the block lasts."""
    folder = target.home.parent / f"clone-{os.urandom(4).hex()}"
    git = ["git", "-C", str(folder)]

    def run(*arguments: str) -> None:
        subprocess.run(
            [*git, *arguments], check=True, capture_output=True, text=True, env=_environment()
        )

    origin = target.home / "delivery.git"
    subprocess.run(["git", "clone", "-q", str(origin), str(folder)], check=True, env=_environment())
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    run("add", "-A")
    run("commit", "-qm", "by hand")
    run("push", "-q", "origin", "HEAD:main")
    try:
        yield
    finally:
        for _ in range(10):
            run("fetch", "-q")
            run("reset", "-q", "--hard", "origin/main")
            run("rm", "-q", "--", *files)
            run("commit", "-qm", "by hand")
            ran = subprocess.run(
                [*git, "push", "-q", "origin", "HEAD:main"],
                check=False,
                capture_output=True,
                env=_environment(),
            )
            if ran.returncode == 0:
                break


def _environment() -> dict[str, str]:
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Mallory"), ("EMAIL", "mallory@example.com"))
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, **who, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
