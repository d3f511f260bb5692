"""Who is let in to the HTML board, for how long, and how they leave."""

import html
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from boards import Theatre, browser, csrf_of, house_of, open_theatre, visit
from callboard.api.board.desk import Desk
from callboard.api.board.links import Links
from callboard.api.board.sessions import MOST, MOST_EACH, Sessions
from callboard.api.board.signin import one_time_link
from callboard.domain.errors import JournalUnavailable, Unauthenticated, Unavailable
from callboard.domain.identity import Role
from people import ALICE, BOB
from platforms import BASE, Stage


@pytest.fixture(scope="module")
async def theatre(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Theatre]:
    async with open_theatre(tmp_path_factory.mktemp("board")) as here:
        yield here


@pytest.fixture
def house(theatre: Theatre) -> Stage:
    return house_of(theatre)


# Without a session


async def test_without_a_session_every_page_leads_to_the_sign_in_page(theatre: Theatre) -> None:
    async with browser(theatre.stage) as here:
        for path in [*theatre.pages[1:], "/board", "/board/nothing", "/board/agents/no-such"]:
            answer = await here.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/"), path
            assert answer.content == b""


async def test_the_sign_in_page_tells_how_and_nothing_else(theatre: Theatre) -> None:
    async with browser(theatre.stage) as here:
        answer = await here.get("/")
    assert answer.status_code == 200
    assert "callboard up" in answer.text
    for secret in ("sales-bot", "risk-bot", "growth", theatre.approval):
        assert secret not in answer.text


@pytest.mark.parametrize("value", ["", "x", "A" * 43, "../../etc", "é"])
async def test_a_made_up_cookie_is_nobody(value: str, theatre: Theatre) -> None:
    cookie = {b"cookie": f"callboard-board={value}; __Host-callboard-board={value}".encode()}
    async with browser(theatre.stage) as here:
        answer = await here.get("/board/audit", headers=cookie)
    assert (answer.status_code, answer.content) == (303, b"")


async def test_an_access_token_opens_the_api_and_not_the_board(theatre: Theatre) -> None:
    answer = await theatre.stage.root.get("/board/audit")
    assert answer.status_code == 303
    async with visit(theatre.stage) as here:
        assert (await here.get("/api/v1/agents")).status_code == 401


# The one-time link


async def test_looking_at_the_link_does_not_use_it_up(house: Stage) -> None:
    link = one_time_link(house.app, f"{BASE}/")
    assert link.startswith(f"{BASE}/board/signin?code=")
    async with browser(house) as here:
        for _ in range(3):
            answer = await here.get(link)
            assert answer.status_code == 200
            assert "Sign in as root" in answer.text
            assert "set-cookie" not in answer.headers
        code = link.partition("code=")[2]
        assert (await here.post("/board/signin", data={"code": code})).status_code == 303
        assert "<b>root</b>" in (await here.get("/")).text


async def test_the_link_works_once(house: Stage) -> None:
    before = house.platform.refusals.pending.get("board-link", 0)
    code = one_time_link(house.app, BASE).partition("code=")[2]
    async with browser(house) as first, browser(house) as second:
        assert (await first.post("/board/signin", data={"code": code})).status_code == 303
        answer = await second.post("/board/signin", data={"code": code})
        assert answer.status_code == 401
        assert "used already" in answer.text
        assert "set-cookie" not in answer.headers
        assert (await second.get(f"/board/signin?code={code}")).status_code == 410
    assert house.platform.refusals.pending["board-link"] == before + 1


async def test_the_link_holds_for_ten_minutes(stage: Stage) -> None:
    one, two = (one_time_link(stage.app, BASE).partition("code=")[2] for _ in range(2))
    async with browser(stage) as here:
        stage.clock.forward(minutes=9, seconds=59)
        assert (await here.post("/board/signin", data={"code": one})).status_code == 303
        stage.clock.forward(seconds=1)
        assert (await here.post("/board/signin", data={"code": two})).status_code == 401


def test_codes_are_kept_as_hashes_and_not_without_end() -> None:
    links = Links(lambda: datetime(2026, 11, 21, tzinfo=UTC))
    codes = [links.make("root") for _ in range(40)]
    assert len(set(codes)) == 40
    assert all(len(code) == 43 for code in codes)
    kept = repr(links._codes)
    assert not any(code in kept for code in codes)
    assert [links.peek(code) for code in (codes[0], codes[-1])] == [None, "root"]


async def test_the_link_is_an_embedded_users_as_their_token_says(house: Stage) -> None:
    async with visit(house, "carol") as here:
        page = (await here.get("/")).text
    assert "agent-viewer" in page
    assert "sales-bot" in page
    record = [r for r in house.records() if r["action"] == "board.sign-in"][-1]
    assert record["actor"]["username"] == "carol"
    assert record["actor"]["groups"] == ["growth"]
    assert record["actor"]["client"] == "callboard-board"
    assert record["actor"]["ip"] == "127.0.0.1"


async def test_a_link_for_nobody_lets_nobody_in(house: Stage) -> None:
    code = one_time_link(house.app, BASE, "mallory").partition("code=")[2]
    async with browser(house) as here:
        answer = await here.post("/board/signin", data={"code": code})
    assert answer.status_code == 401
    assert "no user" in html.unescape(answer.text)


async def test_nobody_gets_in_when_the_trail_cannot_be_written(
    house: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unwritable(*_: object, **__: object) -> None:
        raise JournalUnavailable("The disk is full")

    code = one_time_link(house.app, BASE).partition("code=")[2]
    monkeypatch.setattr(house.platform.journal, "append", unwritable)
    async with browser(house) as here:
        answer = await here.post("/board/signin", data={"code": code})
    assert answer.status_code == 503
    assert "set-cookie" not in answer.headers


# A token


async def test_a_session_by_a_token_ends_with_the_token(house: Stage) -> None:
    async with browser(house) as here:
        token = house.issuer.token("bob", lifetime=600)
        assert (await here.post("/board/signin", data={"token": token})).status_code == 303
        assert "agent-operator" in (await here.get("/")).text
        house.clock.forward(seconds=601)
        assert (await here.get("/board/audit")).status_code == 303


@pytest.mark.parametrize("token", ["nonsense-x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
async def test_a_token_of_nobody_is_refused(token: str, theatre: Theatre) -> None:
    async with browser(theatre.stage) as here:
        answer = await here.post("/board/signin", data={"token": token})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert token not in answer.text


# The session


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(house: Stage) -> None:
    for base, name, secure in (
        (BASE, "callboard-board", False),
        ("https://board.example.com", "__Host-callboard-board", True),
    ):
        async with browser(house, base) as here:
            code = one_time_link(house.app, base).partition("code=")[2]
            answer = await here.post("/board/signin", data={"code": code})
            pair, *flags = answer.headers["set-cookie"].split("; ")
            assert pair.partition("=")[0] == name
            assert len(pair.partition("=")[2]) == 43
            said = {flag.lower() for flag in flags}
            assert {"httponly", "samesite=strict", "path=/", "max-age=28800"} <= said
            assert ("secure" in said) is secure
            assert not any(flag.startswith("domain") for flag in said)
            assert (await here.get("/board/audit")).status_code == 200


async def test_a_session_ends_after_eight_hours_whatever_is_done(house: Stage) -> None:
    async with visit(house) as here:
        for _ in range(9):
            house.clock.forward(minutes=53)
            assert (await here.get("/board/plans")).status_code == 200
        house.clock.forward(minutes=4)
        answer = await here.get("/board/plans")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "max-age=0" in answer.headers["set-cookie"].lower()
    assert len(Desk.of(house.app).sessions) == 0


async def test_an_idle_session_ends_after_an_hour(house: Stage) -> None:
    async with visit(house) as here:
        house.clock.forward(minutes=59)
        assert (await here.get("/board/plans")).status_code == 200
        house.clock.forward(minutes=60)
        assert (await here.get("/board/plans")).status_code == 303


async def test_roles_are_read_again_after_a_minute_and_not_before(
    house: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def current(principal: Any) -> Any:
        asked.append(principal.username)
        return replace(principal, roles=frozenset({Role.VIEWER}), teams=frozenset({"risk"}))

    async with visit(house, "alice") as here:
        monkeypatch.setattr(house.platform.identity, "current", current)
        house.clock.forward(seconds=59)
        assert (await here.get("/board/agents/sales-bot")).status_code == 200
        assert asked == []
        house.clock.forward(seconds=1)
        assert (await here.get("/board/agents/sales-bot")).status_code == 404
        assert (await here.get("/")).status_code == 200
        assert asked == ["alice"]


async def test_a_session_dies_with_the_account(
    house: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(principal: Any) -> Any:
        raise Unauthenticated("The account no longer exists")

    async with visit(house, "alice") as here:
        monkeypatch.setattr(house.platform.identity, "current", gone)
        house.clock.forward(seconds=60)
        assert (await here.get("/board/plans")).status_code == 303
        monkeypatch.undo()
        assert (await here.get("/board/plans")).status_code == 303


async def test_while_nobody_can_tell_what_somebody_may_nothing_is_shown(
    house: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def silent(principal: Any) -> Any:
        raise Unavailable("The issuer does not answer", retry_after=3)

    async with visit(house, "alice") as here:
        monkeypatch.setattr(house.platform.identity, "current", silent)
        house.clock.forward(seconds=60)
        for path in ("/", "/board/agents/sales-bot"):
            answer = await here.get(path)
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "3"
            assert "alice" not in answer.text
            assert "sales-bot" not in answer.text
        monkeypatch.undo()
        assert (await here.get("/board/agents/sales-bot")).status_code == 200


def test_sessions_are_bounded_and_nobody_pushes_the_others_out() -> None:
    async def never(_session: object) -> Any:
        raise AssertionError

    sessions = Sessions(lambda: datetime(2026, 11, 21, tzinfo=UTC), never)
    bob = sessions.open(BOB)
    for _ in range(MOST_EACH + 5):
        sessions.open(ALICE)
    assert len(sessions) == MOST_EACH + 1
    assert sessions.close(bob) is not None
    for number in range(MOST + 5):
        sessions.open(replace(ALICE, subject=f"sub-{number}"))
    assert len(sessions) == MOST


async def test_signing_out_takes_the_sessions_own_form(house: Stage) -> None:
    async with visit(house) as here, visit(house) as other:
        csrf = await csrf_of(here)
        for form in (
            {"other": "1"},
            {"csrf": ""},
            {"csrf": "A" * 43},
            {"csrf": await csrf_of(other)},
        ):
            assert (await here.post("/board/signout", data=form)).status_code == 403
        key = here.cookies["callboard-board"]
        answer = await here.post("/board/signout", data={"csrf": csrf})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "callboard-board" not in here.cookies
        here.cookies.set("callboard-board", key)
        assert (await here.get("/board/plans")).status_code == 303
        assert (await other.get("/board/plans")).status_code == 200
    left = [r["actor"]["username"] for r in house.records() if r["action"] == "board.sign-out"]
    assert left == ["root"]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_forms_of_other_sites_are_refused(site: str, house: Stage) -> None:
    code = one_time_link(house.app, BASE).partition("code=")[2]
    async with browser(house) as here:
        told = {"sec-fetch-site": site}
        answer = await here.post("/board/signin", data={"code": code}, headers=told)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        told = {"sec-fetch-site": "same-origin"}
        answer = await here.post("/board/signin", data={"code": code}, headers=told)
        assert answer.status_code == 303


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"code=a&code=b", "application/x-www-form-urlencoded", 422),
        (b"code=%ff", "application/x-www-form-urlencoded", 422),
        (b"\xff", "application/x-www-form-urlencoded", 422),
        (b"&".join(b"a%d=" % n for n in range(9)), "application/x-www-form-urlencoded", 422),
        (b"a=" + b"x" * 20_000, "application/x-www-form-urlencoded", 413),
        (b'{"code": "a"}', "application/json", 415),
        (b"code=a", "", 415),
    ],
)
async def test_odd_forms_are_refused(
    content: bytes, kind: str, status: int, theatre: Theatre
) -> None:
    async with browser(theatre.stage) as here:
        answer = await here.post(
            "/board/signin", content=content, headers={"content-type": kind} if kind else {}
        )
    assert answer.status_code == status


async def test_a_sign_in_leads_nowhere_but_to_the_board(house: Stage) -> None:
    for more in (
        "next=https://evil.example",
        "redirect=//evil.example",
        "iss=https://evil.example",
    ):
        code = one_time_link(house.app, BASE).partition("code=")[2]
        async with browser(house) as here:
            form = {"code": code, "next": "https://evil.example"}
            answer = await here.post(f"/board/signin?{more}", data=form)
            assert answer.headers["location"] == "/"
