"""An agent's name against every place that it ends up in, and hostile names against the door."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

import sites
from agents import agent
from callboard.domain.agent import LabelKey, LabelValue
from callboard.domain.names import (
    AGENT_NAME_MAX,
    BUCKET_PREFIX_MAX,
    RESERVED,
    AgentName,
    DatasetName,
    ModelName,
    Revision,
    TeamName,
    namespace,
)
from callboard.pipeline import render

AGENT = TypeAdapter[str](AgentName)
LONGEST = "a" + "-b" * ((AGENT_NAME_MAX - 2) // 2) + "z"
GOOD = ["ab", "sales-bot", "a1", "x--y", LONGEST, "nomads", "kubernetes", "systemic"]


def accepts(kind: TypeAdapter[str], value: object) -> bool:
    try:
        kind.validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", GOOD)
def test_good_names_are_accepted(name: str) -> None:
    assert AGENT.validate_python(name) == name


HOSTILE = {
    "newline": "abc\n",
    "newline-first": "\nabc",
    "sixty-four": "a" * 64,
    "one-too-long": "a" * (AGENT_NAME_MAX + 1),
    "one-letter": "a",
    "upper": "Sales",
    "all-upper": "SALES",
    "cyrillic": "s\u0430les",
    "full-width": "\uff53ales",
    "dash-first": "-abc",
    "dash-last": "abc-",
    "digit-first": "1abc",
    "empty": "",
    "dot": ".",
    "dots": "..",
    "up": "../x",
    "slash": "a/b",
    "backslash": "a\\b",
    "percent": "a%2fb",
    "nul": "abc\0",
    "right-to-left-mark": "abc\u200f",
    "right-to-left-override": "\u202eabc",
    "zero-width": "ab\u200bc",
    "space": "a b",
    "tab": "ab\t",
    "underscore": "a_b",
    "git": ".git",
    "combining": "abc\u0301",
    "surrogate": "abc\ud800",
    "dotless": "\u0131abc",
    "kelvin": "\u212aube",
    "shell": "a;rm",
    "template": "${{x}}",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_names_are_refused(name: str) -> None:
    assert not accepts(AGENT, name)


@pytest.mark.parametrize("value", [None, 7, True, b"abc", ["abc"], {"a": 1}, 1.5])
def test_a_name_is_text(value: object) -> None:
    assert not accepts(AGENT, value)


@pytest.mark.parametrize(
    "name",
    [
        *("kube-system", "kube-public", "kube-anything", "argocd", "default", "crossplane-system"),
        *("callboard", "platform-admin", "me", "localhost", "true", "null", "agent-x", "xn--ab"),
    ],
)
def test_names_of_the_platform_are_refused(name: str) -> None:
    assert not accepts(AGENT, name)


def test_every_reserved_name_is_refused_as_reserved() -> None:
    for name in RESERVED:
        with pytest.raises(ValidationError, match="reserved"):
            AGENT.validate_python(name)


# One case for each place.


def test_a_namespace_has_at_most_63_characters() -> None:
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", namespace(LONGEST))


def test_a_chat_host_is_a_dns_label_and_never_an_internationalised_one() -> None:
    assert len(LONGEST) <= 63
    for name in ("ab--cd", "xn--bcher-kva"):
        assert not accepts(AGENT, name)
    assert accepts(AGENT, "abc--d")


def test_a_kubernetes_label_takes_it() -> None:
    value = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
    assert all(re.fullmatch(value, name) and len(name) <= 63 for name in GOOD)


def test_a_google_service_account_id_has_6_to_30_characters() -> None:
    for name in GOOD:
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])", f"agent-{name}")
        assert 6 <= len(f"agent-{name}") <= 30
    assert len(f"agent-{LONGEST}") == 30


def test_a_bucket_has_at_most_63_characters_and_no_google_in_it() -> None:
    assert len(LONGEST) == AGENT_NAME_MAX
    assert len(f"{'p' * BUCKET_PREFIX_MAX}-agent-{LONGEST}") == 63
    for name in ("google", "my-google-bot", "g00gle", "g0ogle", "go0gle", "goog1e", "goog-x"):
        assert not accepts(AGENT, name)


@pytest.mark.parametrize("prefix", ["p" * (BUCKET_PREFIX_MAX + 1), "goog", "my-google", "p-", "P"])
def test_a_bucket_prefix_leaves_room_for_every_name(prefix: str) -> None:
    with pytest.raises(ValidationError):
        sites.site(bucket_prefix=prefix)


def test_a_backstage_entity_takes_it() -> None:
    entity = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
    assert all(re.fullmatch(entity, name) and len(name) <= 63 for name in GOOD)


def test_a_git_path_takes_it() -> None:
    for name in (".git", "git~1", ".gitmodules", "a.lock", "con.", "a:b", "a..b"):
        assert not accepts(AGENT, name)
    assert agent(LONGEST).folder == f"agents/growth/{LONGEST}"


def test_the_longest_name_makes_only_names_that_fit() -> None:
    one = agent(LONGEST)
    site = sites.site(bucket_prefix="p" * BUCKET_PREFIX_MAX)
    for made in render(one, one.spec.dataset_profile, site).manifests:
        assert len(made["metadata"]["name"]) <= 63


@given(st.text(max_size=70))
def test_whatever_is_accepted_fits_everywhere(name: str) -> None:
    if accepts(AGENT, name):
        assert re.fullmatch(r"[a-z](?:[-a-z0-9]{0,22}[a-z0-9])", name)


@given(st.text(alphabet="abz019-", max_size=30))
def test_what_looks_like_a_name_is_judged_by_the_narrowest_place(name: str) -> None:
    fits = bool(re.fullmatch(r"[a-z][-a-z0-9]{0,22}[a-z0-9]", name)) and name[2:4] != "--"
    assert accepts(AGENT, name) == fits


# The other names.

OTHERS: dict[str, tuple[TypeAdapter[str], list[str], list[str]]] = {
    "team": (
        TypeAdapter(TeamName),
        ["growth", "a", "t" * 63],
        ["/growth", "risk/growth", "Growth", "", "growth\n", "t" * 64, "..", "1st", "-x", "x-"],
    ),
    "dataset": (
        TypeAdapter(DatasetName),
        ["sales", "2026", "1e3", "d" * 63],
        ["Sales", "sales.csv", "", "sales\n", "d" * 64, "../x", "-x", "x-", ".callboard", "a_b"],
    ),
    "model": (
        TypeAdapter(ModelName),
        ["gemini-2.5-flash", "meta/llama-3", "m"],
        ["", "Gemini", "m\n", "-m", "m/", "m m", "m" * 101],
    ),
    "revision": (
        TypeAdapter(Revision),
        ["0123456789abcdef" * 2 + "01234567"],
        ["HEAD", "main", "a" * 39, "a" * 41, "A" * 40, "a" * 40 + "\n", "--output=x", ""],
    ),
    "label key": (
        TypeAdapter(LabelKey),
        ["team", "cost-center", "a.b_c", "k" * 63],
        ["", "k" * 64, "a/b", "A", "-a", "a-", "a\n", "kubernetes.io/x"],
    ),
    "label value": (
        TypeAdapter(LabelValue),
        ["", "x", "A.b_c-1", "v" * 63],
        ["v" * 64, "-x", "x-", "x y", "x\n", "\u00e9"],
    ),
}


@pytest.mark.parametrize(("kind", "good", "bad"), OTHERS.values(), ids=OTHERS.keys())
def test_the_other_names_have_rules_of_their_own(
    kind: TypeAdapter[str], good: list[str], bad: list[str]
) -> None:
    assert [name for name in good if not accepts(kind, name)] == []
    assert [name for name in bad if accepts(kind, name)] == []


def test_a_forms_pattern_is_the_rule_itself() -> None:
    pattern = TypeAdapter(DatasetName).json_schema()["pattern"]
    assert re.fullmatch(pattern, "sales")
    assert not re.fullmatch(pattern, "Sales")
