"""One agent, validated, rendered and judged, against PyYAML's C dumper writing the same objects."""

from collections.abc import Iterator
from datetime import UTC, datetime

import yaml

from bench import seed
from bench.lab import Bench
from bench.row import Row, at_least, median, ms, timed
from bench.serving import spec
from callboard.actions._create import create
from callboard.actions.action import Facts
from callboard.domain.agent import AgentDraft
from callboard.domain.dataset import Dataset, DatasetState
from callboard.domain.identity import Principal, Role
from callboard.pipeline import render
from callboard.policy import guardrails

IDS = ("render",)
ALICE = Principal("alice", "alice", frozenset({Role.DEVELOPER}), frozenset({"growth"}), "bench")
FACTS = Facts(
    now=datetime(2026, 11, 21, 12, tzinfo=UTC),
    actor=ALICE,
    site=seed.SITE,
    dataset=Dataset(**dict(seed.PROFILE), state=DatasetState.VALID, owner="growth"),
)


def measure(bench: Bench) -> Iterator[Row]:
    draft = AgentDraft.model_validate(spec(), by_alias=True, by_name=False)
    agent = create("sales-bot", draft, FACTS)
    made = render(agent, agent.spec.dataset_profile, seed.SITE)
    objects = [made.document, made.catalog, *made.manifests]

    def ours() -> None:
        said = AgentDraft.model_validate(spec(), by_alias=True, by_name=False)
        fresh = create("sales-bot", said, FACTS)
        rendered = render(fresh, fresh.spec.dataset_profile, seed.SITE)
        rendered.files()
        results = guardrails.check(rendered.manifests, fresh, seed.SITE)
        if any(result.result != "pass" for result in results):
            raise RuntimeError("the policy refused it")

    def pyyaml() -> None:
        for each in objects:
            yaml.dump(each, Dumper=yaml.CSafeDumper, sort_keys=False)

    took, dumped = [], []
    for _ in range(bench.runs(150, 60)):
        took.append(timed(ours))
        dumped.append(timed(pyyaml))
    yield at_least(
        "render",
        median(dumped) / median(took),
        3,
        baseline=f"PyYAML's CSafeDumper on the same {len(objects)} objects, dump alone: "
        f"{ms(median(dumped))}",
        note=f"validate, render to bytes, digest, policy: {ms(median(took))}",
    )
