import pytest

from callboard.adapters.git.wire import (
    FLUSH,
    Garbled,
    RefUpdate,
    Refused,
    check_report,
    line,
    pack_of,
    parse_refs,
    refusal,
)
from callboard.domain.errors import Stale

UPDATE = RefUpdate("main", "1" * 40, "2" * 40)


def band(number: int, payload: bytes) -> bytes:
    return b"%04x" % (len(payload) + 5) + bytes([number]) + payload


def answer(*report: str, said: str = "") -> bytes:
    lines = b"".join(line(f"{text}\n") for text in report) + FLUSH
    return (band(2, said.encode()) if said else b"") + band(1, lines) + FLUSH


def test_an_update_that_was_done_is_done() -> None:
    check_report(answer("unpack ok", "ok refs/heads/main"), UPDATE)


@pytest.mark.parametrize(
    "told",
    [
        b"",
        FLUSH,
        answer(),
        answer("unpack ok"),
        answer("ok refs/heads/main"),
        answer("unpack ok", "ok refs/heads/other"),
        answer("unpack ok", "ok refs/heads/main2"),
        answer("unpack ok", "ok refs/heads/main")[:-10],
        b"<html>504 Gateway Time-out</html>",
    ],
    ids=ascii,
)
def test_an_answer_that_does_not_say_what_became_of_the_push_is_garbled(told: bytes) -> None:
    with pytest.raises(Garbled):
        check_report(told, UPDATE)


@pytest.mark.parametrize(
    ("report", "said", "stale"),
    [
        ("ng refs/heads/main failed to update ref", "", True),
        ("ng refs/heads/main atomic transaction failed", "error: is at 1 but expected 2", True),
        ("ng refs/heads/main non-fast-forward", "", True),
        ("ng refs/heads/main fetch first", "", True),
        ("ng refs/heads/main reference already exists", "", True),
        ("ng refs/heads/main failed to update ref", "error: Permission denied", False),
        ("ng refs/heads/main failed to update ref", "error: No space left on device", False),
        ("ng refs/heads/main pre-receive hook declined", "remote: not you", False),
        ("ng refs/heads/main protected branch", "", False),
    ],
)
def test_a_refusal_is_a_lost_race_or_it_is_not(report: str, said: str, stale: bool) -> None:
    with pytest.raises(Refused) as refused:
        check_report(answer("unpack ok", report, said=said), UPDATE)
    assert said in refused.value.reason
    assert isinstance(refusal(refused.value.reason, UPDATE), Stale) is stale


def test_objects_that_were_not_taken_in_are_a_refusal() -> None:
    with pytest.raises(Refused, match="index-pack abnormal exit"):
        check_report(answer("unpack index-pack abnormal exit", "ng refs/heads/main x"), UPDATE)


def test_a_list_of_branches_must_have_its_end() -> None:
    told = line(f"{'1' * 40} refs/heads/main\n") + line(f"{'2' * 40} refs/tags/x\n")
    assert parse_refs(told + FLUSH) == {"main": "1" * 40}
    with pytest.raises(Garbled):
        parse_refs(told)


def test_a_pack_arrives_in_pieces_of_any_size() -> None:
    told = line("packfile\n") + band(1, b"PA") + band(2, b"counting") + band(1, b"CK...") + FLUSH
    for size in (1, 3, 7, len(told)):
        pieces = [told[at : at + size] for at in range(0, len(told), size)]
        assert b"".join(pack_of(pieces)) == b"PACK..."


@pytest.mark.parametrize(
    "told",
    [
        b"",
        FLUSH,
        line("packfile\n") + band(1, b"PACK"),
        line("packfile\n") + band(1, b"PACK") + band(3, b"died") + FLUSH,
        line("ERR upload-pack: not our ref\n") + FLUSH,
    ],
)
def test_a_pack_that_breaks_off_is_told(told: bytes) -> None:
    with pytest.raises(Garbled):
        list(pack_of([told]))
