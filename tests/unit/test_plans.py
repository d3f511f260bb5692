"""The plans that are kept for those who ask again."""

from datetime import UTC, datetime
from sys import getsizeof

from callboard.domain.identity import Principal
from callboard.domain.plan import ApprovalNeed, ChangeOp, Cost, FileChange, Plan
from callboard.usecases.plans import Plans

ROOM = 3 * (1_000 + getsizeof("+" * 30))
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ALICE = Principal("0b6e", "alice", frozenset(), frozenset(), "callboard-cli")


def plan(number: int, characters: int, character: str = "+") -> Plan:
    change = FileChange(
        path="a/b", kind="Job", name="b", op=ChangeOp.CREATE, diff=character * characters
    )
    return Plan(
        hash=f"v1.20261121T120000Z.{number:064x}",
        base="00" * 20,
        as_of=NOON,
        action="create",
        agent=f"bot-{number}",
        valid=True,
        changes=(change,),
        cost=Cost(),
        approval=ApprovalNeed(),
    )


def kept(plans: Plans) -> list[str]:
    return [each.agent for each in plans.recent()]


def test_plans_are_kept_up_to_what_their_diffs_may_take() -> None:
    plans = Plans(lambda: NOON, most=ROOM)
    for number in range(6):
        plans.keep(plan(number, 30), ALICE)
    assert kept(plans) == ["bot-5", "bot-4", "bot-3"]
    plans.keep(plan(6, 10_000), ALICE)
    assert kept(plans) == ["bot-6"], "the newest stays, however large"
    plans.keep(plan(7, 30), ALICE)
    assert kept(plans) == ["bot-7"]


def test_a_text_counts_as_what_it_takes_in_memory() -> None:
    plans = Plans(lambda: NOON, most=ROOM)
    for number in range(3):
        plans.keep(plan(number, 700, "🜁"), ALICE)
    assert kept(plans) == ["bot-2"]


def test_what_a_text_grows_by_when_it_is_sent_makes_no_room_for_more() -> None:
    plans = Plans(lambda: NOON, most=3 * (1_000 + getsizeof("é" * 300) + 600))
    for number in range(40):
        one = plan(number, 300, "é")
        plans.keep(one, ALICE)
        before = getsizeof(one.changes[0].diff)
        one.model_dump_json()
        assert getsizeof(one.changes[0].diff) > before, "this is what makes the difference"
    assert kept(plans) == ["bot-39", "bot-38", "bot-37"]


def test_a_plan_made_again_is_the_newest_and_counts_once() -> None:
    plans = Plans(lambda: NOON, most=ROOM)
    for number in (0, 1, 2, 0, 0, 0):
        plans.keep(plan(number, 30), ALICE)
    assert kept(plans) == ["bot-0", "bot-2", "bot-1"]
    assert plans.get(plan(1, 30).hash, ALICE) is not None


def test_plans_are_kept_up_to_their_number() -> None:
    plans = Plans(lambda: NOON, limit=2)
    for number in range(4):
        plans.keep(plan(number, 1), ALICE)
    assert kept(plans) == ["bot-3", "bot-2"]
