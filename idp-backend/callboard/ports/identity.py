"""Who is calling."""

from typing import Protocol

from callboard.domain.identity import Principal


class Identity(Protocol):
    async def authenticate(self, token: str) -> Principal:
        """Verify an access token. Raise `Unauthenticated` for one that is not meant for us.

        `Unavailable` when the issuer's keys were never read and cannot be.
        """
        ...

    async def current(self, principal: Principal) -> Principal:
        """The principal with the roles and teams held now; for work decided later than asked.

        Raise `Unavailable` when that cannot be found out (callers fail closed), and
        `Unauthenticated` when the account is gone or disabled.
        """
        ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...
