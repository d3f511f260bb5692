"""A foreign issuer on a socket of its own that counts what it is asked and fails as it is told."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from joserfc.jwk import Key

import tokens
from clis import Asked, Double, Reply, double

REALM = "/realms/callboard"


@dataclass(slots=True)
class Issuer:
    """`keys` are published; `answer`, where there is one, is what the JWKS says instead."""

    http: Double
    keys: tuple[Key, ...] = (tokens.rsa("one"),)
    answer: Callable[[Asked], Reply] | None = None

    @property
    def url(self) -> str:
        return f"{self.http.url}{REALM}"

    @property
    def fetches(self) -> int:
        return sum(asked.path.endswith("/certs") for asked in self.http.asked)

    @property
    def elsewhere(self) -> list[str]:
        """What was asked for that is neither discovery document nor JWKS."""
        ours = (f"{REALM}/certs", f"{REALM}/.well-known/openid-configuration")
        return [asked.path for asked in self.http.asked if asked.path not in ours]

    def token(self, key: Key | None = None, **changes: Any) -> str:
        """A good token, by the first of its keys without another one."""
        key, now = key or self.keys[0], int(time.time())
        claims = {"iss": self.url, "iat": now, "exp": now + 300, **changes}
        body = tokens.claims(**claims)
        alg = "RS256" if key.key_type == "RSA" else "ES256"
        return tokens.craft(tokens.header(str(key.kid), alg=alg), body, tokens.signs(key))

    def says(self, asked: Asked) -> Reply:
        if urlsplit(asked.path).path.endswith("/.well-known/openid-configuration"):
            return Reply({"issuer": self.url, "jwks_uri": f"{self.url}/certs"})
        if self.answer is not None:
            return self.answer(asked)
        return Reply(json.loads(tokens.jwks(*map(tokens.public, self.keys))))


@contextmanager
def issuing() -> Iterator[Issuer]:
    with double(lambda _: Reply()) as http:
        issuer = Issuer(http)
        http.answers = issuer.says
        yield issuer
