"""Signing in by device flow at an issuer over real HTTP (RFC 8628, RFC 7636)."""

import base64
import hashlib
import json
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from callboard.cli import device, store
from clis import Asked, Double, Reply, Said, call, double

Fields = dict[str, str]


@dataclass(slots=True)
class Issuer:
    """`polls` are the answers to the questions for the token, in order; then it gives one."""

    polls: list[Any] = field(default_factory=list)
    expires_in: int = 300
    changes: dict[str, Any] = field(default_factory=dict)
    """What differs in the discovery document."""
    url: str = ""
    forms: list[tuple[str, Fields]] = field(default_factory=list)
    refresh: Callable[[Fields], Reply] | None = None

    def __call__(self, asked: Asked) -> Reply:
        if asked.path == "/realms/x/.well-known/openid-configuration":
            return Reply({**self._document(), **self.changes})
        fields = {name: value[0] for name, value in parse_qs(asked.body.decode()).items()}
        self.forms.append((asked.path, fields))
        if asked.path == "/device":
            return Reply(
                {
                    "device_code": "d-1",
                    "user_code": "WDJB-MJHT\x1b[2J",
                    "verification_uri": "https://issuer.example.com/device",
                    "verification_uri_complete": "https://issuer.example.com/device?c=WDJB-MJHT",
                    "expires_in": 60,
                    "interval": 1,
                }
            )
        if asked.path == "/revoke":
            return Reply(b"", 200)
        if fields.get("grant_type") == "refresh_token" and self.refresh:
            return self.refresh(fields)
        if self.polls:
            return Reply({"error": self.polls.pop(0)}, 400)
        return Reply(self.tokens("access-1", "refresh-1"))

    def tokens(self, access: str, refresh: str) -> dict[str, Any]:
        return {"access_token": access, "refresh_token": refresh, "expires_in": self.expires_in}

    def _document(self) -> dict[str, str]:
        return {
            "issuer": f"{self.url}/realms/x",
            "device_authorization_endpoint": f"{self.url}/device",
            "token_endpoint": f"{self.url}/token",
            "revocation_endpoint": f"{self.url}/revoke",
        }


@pytest.fixture(autouse=True)
def slept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No configuration of the machine's, and no waiting: the pauses asked for instead."""
    pauses: list[float] = []
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(device.sign_in, "__kwdefaults__", {"sleep": pauses.append})
    return pauses


@contextmanager
def served(issuer: Issuer) -> Iterator[Double]:
    with double(issuer) as server:
        issuer.url = server.url
        yield server


@pytest.fixture
def api() -> Iterator[Double]:
    """A server that says which token it got."""
    me = {
        "username": "u",
        "subject": "s",
        "roles": [],
        "teams": [],
        "client": "c",
        "permissions": [],
    }
    with double(lambda asked: Reply({**me, "got": asked.headers.get("authorization")})) as server:
        yield server


def login(issuer: Issuer, server: str = "http://127.0.0.1:8088") -> Said:
    return call("login", "--issuer", f"{issuer.url}/realms/x", "--server", server)


def test_a_sign_in_is_shown_polled_for_and_kept_for_its_owner_alone(
    api: Double, slept: list[float]
) -> None:
    issuer = Issuer(polls=["authorization_pending", "slow_down", "authorization_pending"])
    with served(issuer):
        said = login(issuer, api.url)
        assert said.code == 0, said.err
        assert "WDJB-MJHT\\x1b[2J" in said.err
        assert "https://issuer.example.com/device" in said.err
        assert said.out == ""
        assert slept == [1.0, 1.0, 6.0, 6.0]
        assert stat.S_IMODE(store.path().stat().st_mode) == 0o600
        me = call("whoami", "-o", "json", CALLBOARD_SERVER=api.url)
    assert me.json["got"] == "Bearer access-1"


def test_the_flow_proves_who_began_it() -> None:
    with served(issuer := Issuer()):
        assert login(issuer).code == 0
    (_, began), (_, asked) = issuer.forms
    digest = hashlib.sha256(asked["code_verifier"].encode()).digest()
    assert began["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert began["code_challenge_method"] == "S256"
    assert asked["grant_type"] == "urn:ietf:params:oauth:grant-type:device_code"
    assert asked["client_id"] == began["client_id"] == "callboard-cli"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("access_denied", "refused"),
        ("expired_token", "in time"),
        ("invalid_grant", "invalid_grant"),
    ],
)
def test_a_refused_sign_in_keeps_nothing(error: str, says: str) -> None:
    with served(issuer := Issuer(polls=["authorization_pending", error])):
        said = login(issuer)
    assert said.code == 1
    assert says in said.err
    assert not store.path().exists()


def test_an_issuer_that_calls_itself_otherwise_is_refused() -> None:
    with served(issuer := Issuer(changes={"issuer": "https://evil.example.com"})):
        said = login(issuer)
    assert said.code == 1
    assert "calls itself" in said.err
    assert issuer.forms == []


def test_tokens_are_not_fetched_in_clear_text_over_a_network() -> None:
    changes = {"token_endpoint": "http://issuer.example.com/token"}
    with served(issuer := Issuer(changes=changes)):
        said = login(issuer)
    assert said.code == 1
    assert "not https" in said.err
    assert issuer.forms == []


def test_an_issuer_without_device_flow_says_how_else() -> None:
    with served(issuer := Issuer(changes={"device_authorization_endpoint": None})):
        said = login(issuer)
    assert said.code == 1
    assert "callboard token --user" in said.err


def test_an_issuer_that_is_away_or_none_is_said() -> None:
    said = call("login", "--issuer", "http://127.0.0.1:9")
    assert said.code == 1
    assert "no answer from http://127.0.0.1:9" in said.err
    said = call("login")
    assert said.code == 1
    assert "CALLBOARD_OIDC_ISSUER" in said.err
    with double(lambda _: Reply(b"<html>", 200, {"content-type": "text/html"})) as server:
        said = call("login", CALLBOARD_OIDC_ISSUER=server.url)
    assert said.code == 1
    assert "not answer as an issuer does" in said.err


def test_an_expired_token_is_refreshed_once_and_the_new_pair_kept(api: Double) -> None:
    issuer = Issuer(expires_in=1)
    issuer.refresh = lambda fields: Reply(
        {**issuer.tokens("access-2", "refresh-2"), "expires_in": 300}
        if fields["refresh_token"] == "refresh-1"
        else {"error": "invalid_grant"}
    )
    with served(issuer):
        assert login(issuer, api.url).code == 0
        first = call("whoami", "-o", "json", CALLBOARD_SERVER=api.url)
        again = call("whoami", "-o", "json", CALLBOARD_SERVER=api.url)
    assert first.json["got"] == again.json["got"] == "Bearer access-2"
    kept = json.loads(store.path().read_text())[api.url]
    assert kept["refresh_token"] == "refresh-2"
    assert kept["expires_at"] > time.time() + 200


def test_a_sign_in_that_the_issuer_ended_says_so(api: Double) -> None:
    issuer = Issuer(expires_in=1)
    issuer.refresh = lambda _: Reply(
        {"error": "invalid_grant", "error_description": "Session not active"}, 400
    )
    with served(issuer):
        login(issuer, api.url)
        said = call("whoami", CALLBOARD_SERVER=api.url)
    assert said.code == 1
    assert "Session not active" in said.err
    assert "callboard login" in said.err
    assert api.asked == []


def test_a_sign_in_goes_to_no_other_server(api: Double) -> None:
    with served(issuer := Issuer()):
        login(issuer, "https://callboard.example.com")
        said = call("whoami", "-o", "json", CALLBOARD_SERVER=api.url)
    assert "got" not in said.json or said.json["got"] is None


def test_logging_out_forgets_here_and_tells_the_issuer() -> None:
    with served(issuer := Issuer()):
        login(issuer)
        assert call("logout", "--dry-run").code == 0
        assert store.of("http://127.0.0.1:8088") is not None
        said = call("logout")
    assert said.code == 0
    assert store.of("http://127.0.0.1:8088") is None
    path, fields = issuer.forms[-1]
    assert (path, fields["token"]) == ("/revoke", "refresh-1")
    assert "there is no sign-in" in call("logout").err


def test_logging_out_works_when_the_issuer_is_away() -> None:
    with served(issuer := Issuer()):
        login(issuer)
    said = call("logout")
    assert said.code == 0
    assert "could not be told" in said.err
    assert store.of("http://127.0.0.1:8088") is None


def test_a_dry_run_signs_nobody_in() -> None:
    with served(issuer := Issuer()) as server:
        said = call("login", "--issuer", f"{server.url}/realms/x", "--dry-run")
    assert said.code == 0
    assert issuer.forms == []
    assert not store.path().exists()
