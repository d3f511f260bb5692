"""What a reconciliation would do, decided now on the branch as it is. Writes nothing."""

from collections.abc import Sequence

from callboard.domain.errors import CallboardError, Finding, Invalid
from callboard.domain.identity import Principal
from callboard.domain.plan import Plan
from callboard.usecases import reconcile
from callboard.usecases.plans import plan_of
from callboard.usecases.platform import Platform
from callboard.usecases.reconcile import Lost
from callboard.usecases.request import Request
from callboard.usecases.world import World


async def plan(
    platform: Platform, principal: Principal, operations: Sequence[str], *, accept: bool
) -> tuple[str | None, list[tuple[str, Plan | CallboardError]]]:
    """The head that would be accepted, and each lost operation as it would be done again.

    Each is decided by itself: what an earlier one of them would change is not seen. Raise
    `Forbidden`, and `Invalid` where there is nothing to accept.
    """
    lost = await reconcile.lost(platform, principal)
    head = None
    if accept:
        if platform.state.read_only is None:
            nothing = Finding("", "the branch is as Callboard left it")
            raise Invalid("Nothing is to be accepted", nothing)
        head = (await platform.git.fetch()).revision
    wanted = set(operations)
    plans: list[tuple[str, Plan | CallboardError]] = []
    for one in lost:
        if one.operation in wanted:
            try:
                plans.append((one.operation, await _again(platform, one)))
            except CallboardError as error:
                plans.append((one.operation, error))
    return head, plans


async def _again(platform: Platform, one: Lost) -> Plan:
    if one.parameters is None or one.target.kind != "agent":
        raise Invalid(f"{one.action} of {one.target.name} repeats itself; nothing is to be asked")
    author = await platform.identity.current(
        Principal(one.subject, one.username, frozenset(), frozenset(), "reconcile")
    )
    now = platform.now().replace(microsecond=0)
    request = Request(
        action=one.action, agent=one.target.name, parameters=one.parameters, as_of=now
    )
    view = await platform.state.look()
    loaded = await platform.decider.load(request, view)
    decision = platform.decider.decide(World(view, view.snapshot), request, author, loaded)
    return plan_of(decision, view.snapshot, author)
