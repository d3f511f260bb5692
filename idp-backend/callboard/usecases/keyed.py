"""Calls under an Idempotency-Key that are not about an agent: done once, answered alike."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar, cast

from callboard.domain.errors import KeyReused
from callboard.domain.identity import Principal
from callboard.usecases.memory import Landed
from callboard.usecases.platform import Platform
from callboard.usecases.submit import Call

T = TypeVar("T")


async def once(
    platform: Platform,
    principal: Principal,
    call: Call,
    do: Callable[[], Coroutine[None, None, T]],
    landed: Callable[[Landed], Awaitable[T]] | None = None,
) -> T:
    """What `do` answers; under the key of an earlier call, what that one was answered.

    `landed` makes the first answer of what history remembers. Raise `KeyReused` for another
    request, `InProgress` while the first one runs. Refusals are not remembered.
    """
    subject, key = principal.subject, call.idempotency_key
    if key is None:
        return await do()
    await platform.state.look()
    # From here to the claim nothing is awaited, so no second call slips between look and claim.
    if (known := platform.answers.of(subject, key, call.hash, platform.now())) is not None:
        return cast("T", known)
    first = platform.state.memory.answered(subject, key, call.hash)
    platform.approvals.by_key(subject, key, call.hash)
    if first is None:
        claim = platform.running.claim(subject, key, call.hash)
        return await _claimed(platform, subject, key, call.hash, claim, do)
    if landed is None:
        raise KeyReused(f"Idempotency-Key {key} was used for another request; use a new key")
    return await landed(first)


async def _claimed(
    platform: Platform,
    subject: str,
    key: str,
    hash_: str | None,
    claim: object,
    do: Callable[[], Coroutine[None, None, T]],
) -> T:
    try:
        answer = await do()
    finally:
        platform.running.release(subject, key, claim)
    platform.answers.keep(subject, key, hash_, answer, platform.now())
    return answer
