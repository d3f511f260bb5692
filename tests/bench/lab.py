"""What one run of the bench shares: its folder, its repositories, how long it may take."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import git, seed
from bench.serving import Server, furnish, up


@dataclass(frozen=True, slots=True)
class Bench:
    """`build` keeps what is expensive to make between runs."""

    build: Path
    quick: bool

    def runs(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """On the disk that everything is measured on; gone at the end."""
        made = Path(tempfile.mkdtemp(prefix="run-", dir=self.build))
        try:
            yield made
        finally:
            shutil.rmtree(made)

    @contextmanager
    def home(self, agents: int) -> Iterator[Path]:
        """A data directory with a repository of that many agents."""
        with self.folder() as folder:
            home = folder / "home"
            home.mkdir(mode=0o700)
            furnish(home)
            git.copy(seed.repository(agents, self.build), home / "delivery.git")
            yield home

    @contextmanager
    def server(self, agents: int, *, baselines: bool = False) -> Iterator[Server]:
        with self.home(agents) as home, up(home, baselines=baselines) as server:
            yield server
