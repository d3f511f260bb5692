"""`callboard` whose times for the issuer's keys are so short that a test can wait for them."""

from callboard.adapters.oidc import jwks
from callboard.cli.main import main

TTL = 1.0


def hurry() -> None:
    jwks.REFRESH = TTL  # type: ignore[misc]
    jwks.ABSENT = 0.5  # type: ignore[misc]
    jwks._FETCH_SECONDS = 1.0  # type: ignore[misc]
    jwks._FETCH_EVERY = 0.2  # type: ignore[misc]
    jwks._FAILING = 0.4  # type: ignore[misc]


if __name__ == "__main__":
    hurry()
    main()
