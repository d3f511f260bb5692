"""What is written to Git comes back the same, and a change by hand shows."""

import subprocess
from typing import Any

import pytest
import yaml

import agents
import sites
from callboard.domain.agent import Agent
from callboard.domain.dataset import DatasetState, Dialect, Issue, Severity
from callboard.domain.errors import Invalid
from callboard.domain.hold import Hold, HoldKind
from callboard.pipeline import documents, render
from callboard.pipeline.documents import (
    DIGEST,
    agent_document,
    blob_id,
    content_digest,
    dataset_yaml,
    intact,
    read_agent,
    read_dataset,
    sealed,
)
from callboard.pipeline.manifest import to_yaml


def folder(agent: Agent) -> dict[str, bytes]:
    return render(agent, agent.spec.dataset_profile, sites.site()).files()


def blobs(files: dict[str, bytes]) -> dict[str, str]:
    return {path: blob_id(body) for path, body in files.items()}


def full() -> Agent:
    """An agent with every field set."""
    return agents.agent(
        generation=7,
        created_by='al "ice" <a@example.com>',
        display_name="Sales, explained: yes",
        description="Two lines\nof text: # and *more*",
        instructions="Never guess.\n\n- say so\n",
        labels={"tier": "gold", "on": "1e3"},
        ttl="30d",
        expires_at="2026-12-21T12:00:00Z",
        key_generation=3,
        restarted_at="2026-11-21T13:00:00Z",
        holds=(
            Hold(kind=HoldKind.USER, reason="rebuilding", by="alice", since=agents.NOON),
            Hold(
                kind=HoldKind.BUDGET,
                reason="spent",
                by="system:callboard",
                since=agents.NOON,
                until="2026-12-01T00:00:00Z",
            ),
        ),
    )


@pytest.mark.parametrize("agent", [agents.agent(), full()], ids=["plain", "full"])
def test_an_agent_comes_back_as_it_was(agent: Agent) -> None:
    document = read_agent(folder(agent)["agent.yaml"])
    assert document.agent == agent
    assert document.digest == document.document["metadata"]["annotations"][DIGEST]


def test_what_many_agents_have_alike_is_held_once_and_what_differs_is_not() -> None:
    one, other, fewer = (
        read_agent(folder(made)["agent.yaml"]).agent.spec
        for made in (
            agents.agent("one-bot"),
            agents.agent("other-bot"),
            agents.agent("third-bot", dataset_profile=agents.profile(rows=1)),
        )
    )
    assert one.dataset_profile is other.dataset_profile
    assert one.images is other.images
    assert fewer.dataset_profile.rows == 1
    assert fewer.dataset_profile != one.dataset_profile


def test_what_is_held_for_many_is_bounded() -> None:
    for rows in range(1_100):
        made = agents.agent(dataset_profile=agents.profile(rows=rows))
        document = to_yaml(agent_document(made, "sha256:" + "0" * 64)).encode()
        assert read_agent(document).agent.spec.dataset_profile.rows == rows
    assert len(documents._PARTS) <= 1_024


def test_reading_and_writing_again_gives_the_same_bytes() -> None:
    files = folder(full())
    read = read_agent(files["agent.yaml"])
    assert to_yaml(sealed(read.document, blobs(files))).encode() == files["agent.yaml"]


def test_what_callboard_wrote_is_intact() -> None:
    files = folder(full())
    document = read_agent(files["agent.yaml"])
    assert intact(document, blobs(files))
    others = {path: blob for path, blob in blobs(files).items() if path != "agent.yaml"}
    assert intact(document, others), "agent.yaml itself may be named or not"


@pytest.mark.parametrize("how", ["changed", "added", "removed", "renamed"])
def test_a_file_touched_by_hand_shows(how: str) -> None:
    files = folder(agents.agent())
    document = read_agent(files["agent.yaml"])
    touched = dict(files)
    path = "manifests/deployment-planner.yaml"
    body = touched.pop(path)
    if how == "changed":
        touched[path] = body.replace(b"replicas: 1", b"replicas: 2")
    elif how == "added":
        touched |= {path: body, "manifests/extra.yaml": b"a: b\n"}
    elif how == "renamed":
        touched["manifests/deployment-other.yaml"] = body
    assert not intact(document, blobs(touched))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'budgetUsd: "5.00"', b'budgetUsd: "6.00"'),
        (b'generation: "1"', b'generation: "2"'),
        (b"app.kubernetes.io/name: data-agent", b"app.kubernetes.io/name: other"),
        (b"created-by: alice", b"created-by: mallory"),
    ],
)
def test_an_agent_yaml_touched_by_hand_shows(before: bytes, after: bytes) -> None:
    files = folder(agents.agent())
    body = files["agent.yaml"].replace(before, after)
    assert body != files["agent.yaml"]
    assert not intact(read_agent(body), blobs(files))


def test_a_document_without_a_digest_is_not_intact() -> None:
    files = folder(agents.agent())
    lines = files["agent.yaml"].splitlines(keepends=True)
    body = b"".join(line for line in lines if b"content-digest" not in line)
    document = read_agent(body)
    assert document.digest is None
    assert not intact(document, blobs(files))


def test_the_digest_is_the_one_that_is_documented() -> None:
    """sha256 of RFC 8785: keys sorted, no spaces, 0.0 as 0."""
    document = {"metadata": {"annotations": {DIGEST: "x", "b": "é"}, "name": "n"}, "a": 0.0}
    from hashlib import sha256

    canonical = (
        '{"agent":{"a":0,"metadata":{"annotations":{"b":"é"},"name":"n"}},"files":{"f":"1"}}'
    )
    expected = "sha256:" + sha256(canonical.encode()).hexdigest()
    assert content_digest(document, {"f": "1", "agent.yaml": "2"}) == expected


def test_a_blob_id_is_what_git_says() -> None:
    for body in (b"", b"a\n", b"\x00\xff" * 100):
        said = subprocess.run(
            ["git", "hash-object", "--stdin"], input=body, capture_output=True, check=True
        )
        assert blob_id(body) == said.stdout.decode().strip()


def mutated(change: dict[str, Any]) -> bytes:
    """A valid agent.yaml with values at dotted places replaced (None removes)."""
    document = yaml.safe_load(folder(agents.agent())["agent.yaml"])
    for place, value in change.items():
        inner = document
        *parents, last = place.split("|")
        for part in parents:
            inner = inner[part]
        if value is None:
            del inner[last]
        else:
            inner[last] = value
    return to_yaml(document).encode()


NOTES = "metadata|annotations|callboard.dev/"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"apiVersion": "v1"}, "/apiVersion"),
        ({"kind": "XDataset"}, "/kind"),
        ({"status": {}}, "/status"),
        ({"metadata|name": "kube-system"}, "/metadata/name"),
        ({"metadata|name": "a\n"}, "/metadata/name"),
        ({"metadata|namespace": "default"}, "/metadata/namespace"),
        ({"metadata|labels|x": 1}, "/metadata/labels/x"),
        ({"spec|budgetUsd": 5.0}, "/spec/budgetUsd"),
        ({"spec|budgetUsd": "NaN"}, "/spec/budgetUsd"),
        ({"spec|keyGeneration": True}, "/spec/keyGeneration"),
        ({"spec|owner": None}, "/spec/owner"),
        ({"spec|serviceAccountName": "x"}, "/spec/serviceAccountName"),
        ({"spec|datasetProfile|rows": "12"}, "/spec/datasetProfile/rows"),
        ({"spec|description": "a\u2028b"}, "/spec/description"),
        ({NOTES + "generation": None}, "/metadata/annotations/callboard.dev~1generation"),
        ({NOTES + "generation": "0"}, "/metadata/annotations/callboard.dev~1generation"),
        ({NOTES + "generation": "1e3"}, "/metadata/annotations/callboard.dev~1generation"),
        ({NOTES + "created-at": "12"}, "/metadata/annotations/callboard.dev~1created-at"),
        ({NOTES + "created-by": ""}, "/metadata/annotations/callboard.dev~1created-by"),
    ],
)
def test_what_is_no_agent_is_refused_with_a_pointer(change: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_agent(mutated(change))
    assert pointer in [found.pointer for found in caught.value.findings]


@pytest.mark.parametrize("body", [b"[]\n", b"text\n", b"{}\n", b"", b"kind: [", b"a: &a b\n"])
def test_what_is_no_document_is_refused(body: bytes) -> None:
    for read in (read_agent, read_dataset):
        with pytest.raises(Invalid):
            read(body)


def test_a_dataset_comes_back_as_it_was() -> None:
    invalid = agents.dataset(
        name="orders",
        state=DatasetState.INVALID,
        version=None,
        rows=0,
        columns=(),
        owner=None,
        description="a: b\n# c",
        dialect=Dialect(delimiter="\t", quote="'"),
        issues=(
            Issue(code="unclosed-quote", message='a " is never closed', line=7),
            Issue(code="wide", message="many columns", severity=Severity.WARNING),
        ),
    )
    for dataset in (agents.dataset(), invalid):
        assert read_dataset(dataset_yaml(dataset)) == dataset


def test_a_dataset_names_itself_once() -> None:
    body = to_yaml({**yaml.safe_load(dataset_yaml(agents.dataset()))})
    assert "name: sales" in body
    with pytest.raises(Invalid) as caught:
        read_dataset(body.replace("spec:\n", "spec:\n  name: other\n").encode())
    assert caught.value.findings[0].pointer == "/spec/name"


def test_a_broken_dataset_is_refused_with_a_pointer() -> None:
    body = dataset_yaml(agents.dataset()).replace(b"state: Valid", b"state: Perfect")
    with pytest.raises(Invalid) as caught:
        read_dataset(body)
    assert [found.pointer for found in caught.value.findings] == ["/spec/state"]
