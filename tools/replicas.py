"""Three replicas, an outsider, a kill and a settlement in numbers; writes `build/replicas.md`.

    python tools/replicas.py [--operations 2000] [--seed N] [--threads N]

Exits with 1 when anything was lost, done twice, contradicted, or in the way of somebody else's.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "idp-backend"), str(ROOT / "tests"), str(ROOT / "tests" / "faults")]

if TYPE_CHECKING:
    from replica_rewrite import Rewritten
    from replica_run import Report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=16)
    wanted = parser.parse_args()
    import replica_rewrite
    import replica_run

    with tempfile.TemporaryDirectory(prefix="callboard-replicas-") as folder:
        report = replica_run.run(
            Path(folder) / "data",
            operations=wanted.operations,
            seed=wanted.seed,
            threads=wanted.threads,
        )
    with tempfile.TemporaryDirectory(prefix="callboard-rewritten-") as folder:
        rewritten = replica_rewrite.run(
            Path(folder) / "data", operations=max(80, wanted.operations // 10), seed=wanted.seed
        )
    text = "\n".join(_table(report, rewritten, wanted.seed))
    target = ROOT / "build" / "replicas.md"
    target.parent.mkdir(exist_ok=True)
    target.write_text(text)
    print(text)
    print(f"written to {target.relative_to(ROOT)}")
    return 1 if report.problems or rewritten.problems else 0


def _table(report: "Report", rewritten: "Rewritten", seed: int) -> Iterator[str]:
    yield from (
        "# Several replicas on one repository",
        "",
        f"`tools/replicas.py --operations {report.operations} --seed {seed}`, three processes.",
        "",
        (
            "Checked: every accepted operation exactly once on the branch, in the order of its "
            "answers, its tree as a model has it; one outcome for each intent, also of the replica "
            "that was killed; every chain verifies; what one replica answered, the others show; "
            "where nobody else changes the agent, nothing conflicts."
        ),
        "",
        "| | |",
        "|---|---|",
        f"| operations asked for | {report.operations} in {report.seconds:.0f} s |",
        f"| done / refused | {report.accepted} / {report.refused} |",
        f"| taken by | {_counted(report.by_replica)} |",
        f"| connections broken by the kill | {_counted(report.broken)} |",
        f"| settled for the killed one | {_counted(report.settled)} |",
        f"| conflicts | {_counted(report.conflicts)} |",
        f"| the outsider's pushes: landed / made again | {report.pushed} / {report.rejected} |",
        f"| reads at another replica right after an answer | {report.looked} |",
        f"| contradictions | {len(report.problems)} |",
        "",
        "| answer | times |",
        "|---|---|",
        *(f"| {answer} | {count} |" for answer, count in report.answers.most_common()),
        "",
        "A force-push under load, reconciled at one replica:",
        "",
        "| | |",
        "|---|---|",
        f"| operations lost, and listed | {rewritten.lost} |",
        f"| done again / refused as the branch is | {rewritten.again} / {rewritten.refused} |",
        f"| answers 503 `read-only` meanwhile | {rewritten.read_only} |",
        f"| contradictions | {len(rewritten.problems)} |",
        "",
    )
    if problems := [*report.problems, *rewritten.problems]:
        yield from ("## Contradictions", "", *(f"- {problem}" for problem in problems[:200]), "")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


if __name__ == "__main__":
    sys.exit(main())
