"""What every Journal promises. Run against each implementation there is."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from callboard.domain.audit import Outcome, Phase, Target
from callboard.domain.chain import GENESIS
from callboard.domain.errors import Invalid, JournalUnavailable
from callboard.ports.journal import AuditQuery, Journal
from journals import ALICE, Clock, agent, intent, opened, outcome


@pytest.fixture(params=["file"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    made = opened(tmp_path / "journal")
    yield made
    await made.close()


async def names(journal: Journal, **query: object) -> list[str | None]:
    """Operations of the records found, newest first."""
    page = await journal.find(AuditQuery(**query))  # type: ignore[arg-type]
    return [record.operation for record in page.records]


async def test_a_record_is_the_entry_with_identity_sequence_time_and_hash(journal: Journal) -> None:
    entry = intent(reason="lunch", before={"holds": []}, after={"holds": ["user"]})
    record = await journal.append(entry)
    assert record.model_dump(include=set(entry.model_fields_set)) == entry.model_dump(
        include=set(entry.model_fields_set)
    )
    assert (record.replica, record.epoch, record.seq) == ("local", journal.epoch, 1)
    assert record.prev == GENESIS
    assert record.ts.utcoffset() == timedelta(0)


async def test_records_follow_each_other_without_gaps(journal: Journal) -> None:
    records = [await journal.append(intent(f"op-{n}")) for n in range(5)]
    assert [record.seq for record in records] == [1, 2, 3, 4, 5]
    assert [record.prev for record in records[1:]] == [record.hash for record in records[:-1]]


async def test_concurrent_records_form_one_chain(journal: Journal) -> None:
    records = await asyncio.gather(*(journal.append(intent(f"op-{n}")) for n in range(100)))
    by_seq = sorted(records, key=lambda record: record.seq)
    assert [record.seq for record in by_seq] == list(range(1, 101))
    assert [record.prev for record in by_seq[1:]] == [record.hash for record in by_seq[:-1]]
    assert len({record.id for record in records}) == 100


async def test_what_was_appended_is_found_at_once(journal: Journal) -> None:
    record = await journal.append(intent())
    assert (await journal.find(AuditQuery())).records == [record]
    assert list(await journal.of_operation("op-1")) == [record]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"reason": "lunch", "after": {"z": [1, None, True], "a": {"c": "d", "b": {}}}},
        {"reason": "größer", "before": {"ratio": 1.0, "small": -0.0, "n": 2**70}},
        {"reason": "token=hunter2", "request_id": "two\nlines", "after": {"apiKey": "hunter2"}},
        {"after": {"many": list(range(300)), "long": "x" * 9_000}},
    ],
)
async def test_what_is_answered_is_what_is_read_back(
    journal: Journal, fields: dict[str, Any]
) -> None:
    for entry in (intent(**fields), outcome(**fields)):
        record = await journal.append(entry)
        (read, *_) = (await journal.find(AuditQuery(limit=1))).records
        assert read == record
        assert repr(read) == repr(record)
        assert read.model_dump_json() == record.model_dump_json()
        assert read.model_fields_set == record.model_fields_set


async def test_the_records_of_an_operation_come_oldest_first(journal: Journal) -> None:
    for operation in ("op-1", "op-2"):
        await journal.append(intent(operation))
    for operation in ("op-2", "op-1"):
        await journal.append(outcome(operation))
    found = await journal.of_operation("op-1")
    assert [(record.phase, record.seq) for record in found] == [
        (Phase.INTENT, 1),
        (Phase.OUTCOME, 4),
    ]
    assert await journal.of_operation("op-3") == []


async def test_an_intent_is_open_until_an_outcome_of_its_operation(journal: Journal) -> None:
    await journal.append(intent("op-1"))
    await journal.append(intent("op-2"))
    await journal.append(outcome("op-1"))
    assert [found.record.operation for found in await journal.open_intents()] == ["op-2"]


async def test_an_intent_is_open_until_an_outcome_that_names_it(journal: Journal) -> None:
    first = await journal.append(intent("op-1"))
    await journal.append(intent("op-2"))
    await journal.append(outcome(None, "unknown", settles=first.id))
    assert [found.record.operation for found in await journal.open_intents()] == ["op-2"]


async def test_an_outcome_does_not_settle_a_later_intent_of_its_operation(
    journal: Journal,
) -> None:
    await journal.append(intent("op-1"))
    await journal.append(outcome("op-1", "awaiting-approval"))
    again = await journal.append(intent("op-1"))
    assert [found.record for found in await journal.open_intents()] == [again]
    await journal.append(outcome("op-1"))
    assert await journal.open_intents() == []


async def test_intents_without_an_operation_and_refusals_are_not_open(journal: Journal) -> None:
    await journal.append(intent(None))
    await journal.append(outcome(None, "denied"))
    assert await journal.open_intents() == []


async def test_open_intents_come_oldest_first_with_the_commit_that_was_noted(
    journal: Journal,
) -> None:
    for operation in ("op-1", "op-2", "op-3"):
        await journal.append(intent(operation))
    await journal.note_commits({"op-1": "a" * 40, "op-2": "b" * 40})
    await journal.note_commits({"op-1": "c" * 40})
    assert [(found.record.operation, found.commit) for found in await journal.open_intents()] == [
        ("op-1", "c" * 40),
        ("op-2", "b" * 40),
        ("op-3", None),
    ]


async def test_records_are_found_newest_first(journal: Journal) -> None:
    for n in range(3):
        await journal.append(intent(f"op-{n}"))
    assert await names(journal) == ["op-2", "op-1", "op-0"]


async def test_each_filter_limits_what_is_found(journal: Journal) -> None:
    bob = ALICE.model_copy(update={"sub": "77aa", "username": "bob"})
    await journal.append(intent("plain"))
    await journal.append(intent("other agent", target=agent("sales-eu")))
    await journal.append(intent("dataset", target=Target(kind="dataset", name="sales")))
    await journal.append(intent("bob", actor=bob))
    await journal.append(intent("resume", action="resume"))
    await journal.append(outcome("failed", "failed"))
    await journal.append(intent("risk", target=agent("sales", "risk")))
    await journal.append(intent("nobody", target=agent("sales", None)))
    assert await names(journal, agent="sales-eu") == ["other agent"]
    assert "dataset" not in await names(journal, agent="sales")
    assert await names(journal, actor="bob") == await names(journal, actor="77aa") == ["bob"]
    assert await names(journal, action="resume") == ["resume"]
    assert await names(journal, outcome="failed") == ["failed"]
    assert await names(journal, operation="plain") == ["plain"]
    assert await names(journal, owners=frozenset({"risk"})) == ["risk"]
    assert await names(journal, owners=frozenset()) == []
    assert await names(journal, agent="sales", action="resume", actor="alice") == ["resume"]
    assert await names(journal, agent="sale") == []
    assert await names(journal, owners=frozenset({"growth"}), outcome="failed") == ["failed"]


async def test_since_is_inclusive_and_until_exclusive(journal: Journal) -> None:
    records = [await journal.append(intent(f"op-{n}")) for n in range(4)]
    assert await names(journal, since=records[1].ts, until=records[3].ts) == ["op-2", "op-1"]
    found = await names(journal, since=records[1].ts, until=records[3].ts, agent="sales")
    assert found == ["op-2", "op-1"]


async def test_a_bound_without_a_zone_is_taken_for_utc(journal: Journal) -> None:
    records = [await journal.append(intent(f"op-{n}")) for n in range(3)]
    assert await names(journal, since=records[1].ts.replace(tzinfo=None)) == ["op-2", "op-1"]


async def test_pages_cover_everything_once_although_records_are_added(journal: Journal) -> None:
    for n in range(10):
        await journal.append(intent(f"op-{n}"))
    seen: list[str | None] = []
    cursor = None
    while True:
        page = await journal.find(AuditQuery(agent="sales", limit=3, cursor=cursor))
        seen += [record.operation for record in page.records]
        await journal.append(intent("later"))
        if (cursor := page.cursor) is None:
            break
    assert seen == [f"op-{n}" for n in range(9, -1, -1)]


async def test_the_last_page_has_no_cursor(journal: Journal) -> None:
    await journal.append(intent())
    await journal.append(intent())
    assert (await journal.find(AuditQuery(limit=2))).cursor is None
    assert (await journal.find(AuditQuery(limit=1))).cursor is not None


@pytest.mark.parametrize("cursor", ["", "x", "é", "W10", "WzEsMiwzLDRd", "bnVsbA", "A" * 9_999])
async def test_a_foreign_cursor_is_refused(journal: Journal, cursor: str) -> None:
    await journal.append(intent())
    with pytest.raises(Invalid) as refused:
        await journal.find(AuditQuery(cursor=cursor))
    assert refused.value.findings[0].pointer == "/cursor"


async def test_time_never_goes_back_although_the_clock_does(tmp_path: Path) -> None:
    clock = Clock()
    journal = opened(tmp_path, now=clock)
    first = await journal.append(intent())
    clock.at -= timedelta(hours=1)
    second = await journal.append(intent())
    await journal.close()
    assert second.ts == first.ts
    again = opened(tmp_path, now=clock)
    third = await again.append(intent())
    await again.close()
    assert third.ts == first.ts


async def test_a_closed_journal_takes_no_more_records(journal: Journal) -> None:
    await journal.close()
    for call in (journal.append(intent()), journal.note_commits({"op": "a"}), journal.ping()):
        with pytest.raises(JournalUnavailable):
            await asyncio.wait_for(call, 5)


async def test_what_waits_when_it_is_closed_is_written(journal: Journal) -> None:
    waiting = [asyncio.create_task(journal.append(intent(f"op-{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    await journal.close()
    assert [record.seq for record in await asyncio.gather(*waiting)] == list(range(1, 21))


async def test_a_caller_that_gives_up_harms_nobody_else(journal: Journal) -> None:
    tasks = [asyncio.create_task(journal.append(intent(f"op-{n}"))) for n in range(10)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(not isinstance(answer, BaseException) for answer in done[1::2])
    record = await journal.append(outcome("last"))
    page = await journal.find(AuditQuery())
    assert [found.seq for found in page.records] == list(range(record.seq, 0, -1))


async def test_a_healthy_journal_can_be_pinged_and_writes_nothing(journal: Journal) -> None:
    await journal.ping()
    assert (await journal.find(AuditQuery())).records == []


async def test_one_bad_entry_does_not_fail_the_others(journal: Journal) -> None:
    class Hostile:
        def __str__(self) -> str:
            raise ValueError("no text")

    bad = intent("bad").model_copy(update={"after": {"x": Hostile()}})
    answers = await asyncio.gather(
        journal.append(intent("a")),
        journal.append(bad),
        journal.append(intent("b")),
        return_exceptions=True,
    )
    assert isinstance(answers[1], ValueError)
    assert await names(journal) == ["b", "a"]
    assert (await journal.append(outcome("a"))).outcome is Outcome.COMMITTED
