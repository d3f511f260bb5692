"""Signing in to the HTML board at a real issuer, which answers on no socket here."""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from boards import (
    Theatre,
    browser,
    check,
    csrf_of,
    house_of,
    open_theatre,
)
from callboard.adapters.oidc.verifier import OidcIdentity
from callboard.api.app import create_app
from callboard.api.board.desk import Desk
from callboard.api.board.oidc import Provider
from callboard.api.board.signin import one_time_link
from platforms import Clock as MovableClock
from platforms import Stage
from tokens import ISSUER, NOW, Clock, FakeIssuer, claims, craft, header


@pytest.fixture(scope="module")
async def theatre(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Theatre]:
    async with open_theatre(tmp_path_factory.mktemp("board")) as here:
        yield here


@pytest.fixture
def house(theatre: Theatre) -> Stage:
    return house_of(theatre)


# At a real issuer


@dataclass
class Sso:
    """An issuer with a sign-in page, over no socket."""

    stage: Stage
    issuer: FakeIssuer
    app: Any
    time: MovableClock
    forms: list[dict[str, str]] = field(default_factory=list)
    nonce: str = ""
    access: dict[str, Any] = field(default_factory=dict)
    identity: dict[str, Any] = field(default_factory=dict)
    refuses: bool = False

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, content=self.issuer.document)
        form = {name: value[0] for name, value in parse_qs(request.content.decode()).items()}
        self.forms.append({"at": request.url.path.rpartition("/")[2], **form})
        if self.refuses:
            return httpx.Response(400, json={"error": "invalid_grant"})
        if request.url.path.endswith("/revoke"):
            return httpx.Response(200)
        number = len(self.forms)
        return httpx.Response(
            200,
            json={
                "access_token": craft(
                    header(),
                    claims(**{"azp": "callboard-board", "jti": str(number), **self.access}),
                ),
                "id_token": craft(
                    header(),
                    claims(
                        **{
                            "aud": "callboard-board",
                            "typ": "ID",
                            "nonce": self.nonce,
                            **self.identity,
                        }
                    ),
                ),
                "refresh_token": f"refresh-{number}",
            },
        )


@pytest.fixture
def sso(house: Stage) -> Sso:
    issuer, clock = FakeIssuer(), Clock()
    issuer.discovery |= {
        f"{name}_endpoint": f"{ISSUER}/{path}"
        for name, path in {
            "authorization": "auth",
            "token": "token",
            "revocation": "revoke",
        }.items()
    }
    settings = house.platform.settings.model_copy(
        update={"oidc_issuer": ISSUER, "board_url": "https://board.example.com"}
    )
    identity = OidcIdentity(
        ISSUER, clients=frozenset({"callboard-board"}), keys=issuer.keys(clock), now=clock
    )
    platform = replace(house.platform, settings=settings, identity=identity)
    app = create_app(platform)
    here = Sso(house, issuer, app, house.clock)
    issuer.answer = here.answer
    Desk.of(app).provider = Provider(
        ISSUER,
        "callboard-board",
        platform.now,
        http=lambda: httpx.AsyncClient(transport=httpx.MockTransport(issuer._handle)),
    )
    return here


@contextmanager
def nothing_shown(answer: httpx.Response, status: int = 401) -> Iterator[None]:
    assert answer.status_code == status, answer.text
    assert "__Host-callboard-board=" not in str(answer.headers.get_list("set-cookie"))
    yield


async def leave(here: httpx.AsyncClient, sso: Sso) -> dict[str, str]:
    """Go to the issuer; what it is asked."""
    answer = await here.get("/board/login?next=https://evil.example")
    assert answer.status_code == 303, answer.text
    at, _, query = answer.headers["location"].partition("?")
    assert at == f"{ISSUER}/auth"
    asked = {name: value[0] for name, value in parse_qs(query).items()}
    sso.nonce = asked["nonce"]
    return asked


async def arrive(here: httpx.AsyncClient, sso: Sso, **changes: str) -> httpx.Response:
    asked = await leave(here, sso)
    query = {"code": "the-code", "state": asked["state"], "iss": ISSUER, **changes}
    return await here.get("/board/callback", params=query)


def at_the_door(sso: Sso) -> httpx.AsyncClient:
    return browser(sso.stage, "https://board.example.com", sso.app)


async def test_signing_in_at_the_issuer(sso: Sso) -> None:
    async with at_the_door(sso) as here:
        text = (await here.get("/")).text
        assert "Sign in at sso.example.com" in text
        assert "callboard up" not in text
        asked = await leave(here, sso)
        assert (
            asked.items()
            >= {
                "response_type": "code",
                "client_id": "callboard-board",
                "redirect_uri": "https://board.example.com/board/callback",
                "scope": "openid",
                "code_challenge_method": "S256",
            }.items()
        )
        query = {"code": "the-code", "state": asked["state"], "iss": ISSUER}
        answer = await here.get("/board/callback", params=query)
        assert answer.status_code == 200, answer.text
        assert '<meta http-equiv="refresh" content="0; url=/">' in answer.text
        sent = sso.forms[0]
        digest = hashlib.sha256(sent["code_verifier"].encode()).digest()
        assert urlsafe_b64encode(digest).rstrip(b"=").decode() == asked["code_challenge"]
        assert sent["redirect_uri"] == asked["redirect_uri"]
        session, flow = answer.headers.get_list("set-cookie")
        assert session.startswith("__Host-callboard-board=")
        assert {"Secure", "HttpOnly", "SameSite=strict"} <= set(session.split("; "))
        assert flow.startswith('__Host-callboard-signin="";')
        page = (await here.get("/")).text
        assert "<b>alice</b>" in page
        assert "sales-bot" in page
        assert (await here.get("/board/login")).headers["location"] == "/"
    record = [r for r in sso.stage.records() if r["action"] == "board.sign-in"][-1]
    assert (record["reason"], record["actor"]["username"]) == ("at the issuer", "alice")


async def test_the_way_there_is_bound_to_this_browser(sso: Sso) -> None:
    async with at_the_door(sso) as here, at_the_door(sso) as other:
        flow = (await here.get("/board/login")).headers["set-cookie"]
        assert flow.startswith("__Host-callboard-signin=")
        assert {"HttpOnly", "SameSite=lax", "Secure", "Path=/"} <= set(flow.split("; "))
        stolen = await leave(here, sso)
        query = {"code": "c", "state": stolen["state"], "iss": ISSUER}
        with nothing_shown(await other.get("/board/callback", params=query)):
            assert not sso.forms
        with nothing_shown(await arrive(other, sso, state="A" * 43)):
            assert not sso.forms
        with nothing_shown(await arrive(other, sso, iss="https://evil.example")):
            assert not sso.forms
        with nothing_shown(await arrive(other, sso, code="")):
            assert not sso.forms


async def test_an_answer_does_for_one_sign_in(sso: Sso) -> None:
    async with at_the_door(sso) as here:
        asked = await leave(here, sso)
        query = {"code": "c", "state": asked["state"]}
        assert (await here.get("/board/callback", params=query)).status_code == 200
        with nothing_shown(await here.get("/board/callback", params=query)):
            assert len(sso.forms) == 1


@pytest.mark.parametrize(
    "identity",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "callboard"},
        {"aud": ["callboard-board", "other"]},
        {"iss": "https://evil.example"},
        {"sub": "somebody-else"},
        {"sub": None},
    ],
)
async def test_an_id_token_that_is_not_for_this_sign_in_is_refused(
    identity: dict[str, Any], sso: Sso
) -> None:
    sso.identity = identity
    async with at_the_door(sso) as here:
        with nothing_shown(await arrive(here, sso)):
            assert (await here.get("/board/plans")).status_code == 303


@pytest.mark.parametrize(
    "access", [{"azp": "backstage"}, {"aud": "account"}, {"exp": NOW - 60}, {"iss": "https://e"}]
)
async def test_the_access_token_is_verified_as_for_the_api(
    access: dict[str, Any], sso: Sso
) -> None:
    sso.access = access
    async with at_the_door(sso) as here:
        with nothing_shown(await arrive(here, sso)):
            assert (await here.get("/board/plans")).status_code == 303


async def test_an_issuer_that_does_not_answer_is_said_to(sso: Sso) -> None:
    sso.issuer.down = True
    async with at_the_door(sso) as here:
        answer = await here.get("/board/login")
        assert answer.status_code == 503
        check(answer.text)


@pytest.mark.parametrize("endpoint", ["http://sso.example.com/auth", "javascript:alert(1)", 5])
async def test_an_issuer_that_points_elsewhere_is_not_followed(endpoint: object, sso: Sso) -> None:
    sso.issuer.discovery["authorization_endpoint"] = endpoint
    async with at_the_door(sso) as here:
        assert (await here.get("/board/login")).status_code == 503


async def test_without_a_directory_a_new_token_says_what_is_true_now(sso: Sso) -> None:
    async with at_the_door(sso) as here:
        await arrive(here, sso)
        assert (await here.get("/board/agents/sales-bot")).status_code == 200
        assert len(sso.forms) == 1
        sso.time.forward(seconds=60)
        sso.access = {"groups": ["/risk"]}
        assert (await here.get("/board/agents/sales-bot")).status_code == 404
        assert sso.forms[1]["refresh_token"] == "refresh-1"
        sso.time.forward(seconds=60)
        await here.get("/")
        assert sso.forms[2]["refresh_token"] == "refresh-2"
        sso.time.forward(seconds=60)
        sso.refuses = True
        assert (await here.get("/board/plans")).status_code == 303


async def test_a_new_token_of_somebody_else_ends_the_session(sso: Sso) -> None:
    async with at_the_door(sso) as here:
        await arrive(here, sso)
        sso.time.forward(seconds=60)
        sso.access = {"sub": "somebody-else"}
        assert (await here.get("/board/plans")).status_code == 303


async def test_signing_out_gives_the_issuers_token_back(sso: Sso) -> None:
    async with at_the_door(sso) as here:
        await arrive(here, sso)
        answer = await here.post("/board/signout", data={"csrf": await csrf_of(here)})
        assert answer.status_code == 303
        assert sso.forms[-1].items() >= {"at": "revoke", "token": "refresh-1"}.items()
        assert (await here.get("/board/plans")).status_code == 303


async def test_with_a_real_issuer_there_is_no_other_way_in(sso: Sso) -> None:
    assert one_time_link(sso.app, "https://board.example.com/") == "https://board.example.com/"
    async with at_the_door(sso) as here:
        token = craft(header(), claims(azp="callboard-board"))
        for form in ({"code": Desk.of(sso.app).links.make("root")}, {"token": token}):
            with nothing_shown(await here.post("/board/signin", data=form), 404):
                pass


async def test_no_token_is_ever_sent_to_the_browser(sso: Sso) -> None:
    async with at_the_door(sso) as here:
        said = [await arrive(here, sso), await here.get("/"), await here.get("/board/audit")]
    everything = json.dumps([[str(a.headers.multi_items()), a.text] for a in said])
    assert "refresh-" not in everything
    assert "eyJ" not in everything
    assert urlsplit(str(said[0].url)).path == "/board/callback"
