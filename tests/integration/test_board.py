"""The HTML board over the real app: who sees what, and that nothing but reading happens."""

import hashlib
import html
import json
import re
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
import pytest

from callboard.adapters.oidc.verifier import OidcIdentity
from callboard.api.app import create_app
from callboard.api.board import agents as agents_page
from callboard.api.board import unified
from callboard.api.board.desk import Desk
from callboard.api.board.links import Links
from callboard.api.board.oidc import Provider
from callboard.api.board.paper import CONTENT_SECURITY_POLICY, shown
from callboard.api.board.sessions import MOST, MOST_EACH, Sessions
from callboard.api.board.signin import one_time_link
from callboard.domain.audit import Actor, Entry, Outcome, Phase, Target
from callboard.domain.errors import JournalUnavailable, Unauthenticated, Unavailable
from callboard.domain.identity import Role
from people import ALICE, BOB
from platforms import BASE, SPEC, Stage
from platforms import Clock as MovableClock
from platforms import stage as set_the_stage
from tokens import ISSUER, NOW, Clock, FakeIssuer, claims, craft, header

HOSTILE = "\"><script>alert('1')</script>&<img src=x onerror=alert(1)> {{ 7 * 7 }}"
ANSI = "\x1b[31mred\x1b[0m te\u200bxt"
LISTS = [
    "/",
    *(f"/board/{part}" for part in ("operations", "plans", "approvals", "audit", "datasets")),
]


def browser(stage: Stage, base: str = BASE, app: Any = None, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app or stage.app, raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url=base, headers=headers)


async def enter(stage: Stage, user: str = "root", base: str = BASE) -> httpx.AsyncClient:
    """A browser that has signed in with a one-time link."""
    here = browser(stage, base)
    code = one_time_link(stage.app, base, user).partition("code=")[2]
    answer = await here.post("/board/signin", data={"code": code})
    assert (answer.status_code, answer.headers["location"]) == (303, "/"), answer.text
    return here


@asynccontextmanager
async def visit(stage: Stage, user: str = "root") -> AsyncIterator[httpx.AsyncClient]:
    here = await enter(stage, user)
    yield here
    await here.aclose()


@dataclass
class Theatre:
    """A stage on which every kind of thing happened; tests only look at it."""

    stage: Stage
    plan: str
    refused: str
    approval: str
    waiting: str
    failed: str
    done: str
    browsers: dict[str, httpx.AsyncClient] = field(default_factory=dict)

    async def at(self, user: str) -> httpx.AsyncClient:
        if user not in self.browsers:
            self.browsers[user] = await enter(self.stage, user)
        return self.browsers[user]

    @property
    def pages(self) -> list[str]:
        """One address of every kind; those of one thing are about team growth."""
        return [
            *LISTS,
            "/board/agents/sales-bot",
            f"/board/operations/{self.done}",
            f"/board/operations/{self.failed}",
            f"/board/operations/{self.waiting}",
            f"/board/plans/{self.plan}",
            f"/board/plans/{self.refused}",
            f"/board/approvals/{self.approval}",
            "/board/datasets/sales",
        ]


@pytest.fixture(scope="module")
async def theatre(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Theatre]:
    async with set_the_stage(tmp_path_factory.mktemp("board") / "data") as stage:
        done = (await stage.create(displayName=HOSTILE[:120], description=HOSTILE)).json()
        await stage.create("other-bot", budgetUsd="6.00", instructions="first\nsecond")
        await stage.create("risk-bot", by="erin", owner="risk", dataset="costs")
        await stage.act("other-bot", "pause", {"reason": HOSTILE})
        budget = "/api/v1/agents/sales-bot/actions/change-budget"
        plan = await stage.alice.post(f"{budget}?dryRun=true", json={"budgetUsd": "9.00"})
        refused = await stage.alice.post(f"{budget}?dryRun=true", json={"budgetUsd": "9999.00"})
        first = (await stage.act("sales-bot", "change-budget", {"budgetUsd": "80.00"})).json()
        await stage.act("sales-bot", "change-budget", {"budgetUsd": "7.00"})
        # Approved too late: the agent is no longer what the plan was made on.
        review = {"reason": HOSTILE}
        await stage.dan.post(f"/api/v1/approvals/{first['approval']}/approve", json=review)
        waiting = (await stage.act("sales-bot", "change-budget", {"budgetUsd": "90.00"})).json()
        for nosy in range(4):
            await stage.act("sales-bot", "pause", {"reason": f"nosy {nosy}"}, by="erin")
        await stage.platform.journal.append(
            Entry(
                phase=Phase.OUTCOME,
                actor=Actor(sub="x", username=HOSTILE, groups=(HOSTILE,), ip=ANSI),
                action=HOSTILE,
                target=Target(kind=HOSTILE, name=HOSTILE, owner="growth"),
                outcome=Outcome.DENIED,
                reason=ANSI,
                after={HOSTILE: ANSI},
            )
        )
        here = Theatre(
            stage,
            plan=plan.json()["hash"],
            refused=refused.json()["hash"],
            approval=waiting["approval"],
            waiting=waiting["id"],
            failed=first["id"],
            done=done["id"],
        )
        yield here
        for each in here.browsers.values():
            await each.aclose()


@pytest.fixture
def house(theatre: Theatre) -> Stage:
    """The same theatre with an app and a clock of its own: nobody is signed in there yet."""
    clock = MovableClock()
    platform = replace(theatre.stage.platform, now=clock)
    return replace(
        theatre.stage, platform=platform, clock=clock, app=create_app(platform), clients={}
    )


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


async def test_pages_are_only_read(theatre: Theatre) -> None:
    here = await theatre.at("root")
    for path in theatre.pages:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert (await here.request(method, path)).status_code == 405, (method, path)


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
        csrf = await _csrf(here)
        for form in (
            {"other": "1"},
            {"csrf": ""},
            {"csrf": "A" * 43},
            {"csrf": await _csrf(other)},
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


async def _csrf(here: httpx.AsyncClient) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', (await here.get("/")).text)
    assert found
    return found[1]


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


# Who sees what


async def test_everybody_sees_what_the_api_shows_them(theatre: Theatre) -> None:
    for user, names in {
        "root": {"sales-bot", "other-bot", "risk-bot"},
        "bob": {"sales-bot", "other-bot", "risk-bot"},
        "alice": {"sales-bot", "other-bot"},
        "carol": {"sales-bot", "other-bot"},
        "erin": {"risk-bot"},
    }.items():
        api = (await theatre.stage.client(user).get("/api/v1/agents")).json()["items"]
        page = (await (await theatre.at(user)).get("/")).text
        found = set(re.findall(r'<th scope="row"[^>]*><div><a href="/board/agents/([^"]+)"', page))
        assert found == names == {each["name"] for each in api}


async def test_a_team_sees_nothing_of_another(theatre: Theatre) -> None:
    here = await theatre.at("erin")
    of_growth = [path for path in theatre.pages if path not in LISTS and "datasets" not in path]
    for path in of_growth:
        answer = await here.get(path)
        assert answer.status_code == 404, path
        stem, _, last = path.rpartition("/")
        unknown = await here.get(f"{stem}/{'0' * len(last)}")
        assert _skeleton(answer.text, last) == _skeleton(unknown.text, "0" * len(last))
    for path in LISTS:
        if path == "/board/audit":
            continue  # erin's own denied attempts are on it
        text = (await here.get(path)).text
        for name in ("sales-bot", "other-bot", "alice", theatre.plan, theatre.waiting):
            assert name not in text, (path, name)


def _skeleton(page: str, name: str) -> str:
    """The page without what differs from request to request."""
    for pattern in (r"<footer.*?</footer>", r"Request <code>[^<]*</code>"):
        page = re.sub(pattern, "", page, flags=re.DOTALL)
    return page.replace(name, "NAME")


async def test_the_trail_shows_a_team_its_own_records_only(theatre: Theatre) -> None:
    carol, erin, root = [await theatre.at(user) for user in ("carol", "erin", "root")]
    assert (
        "risk-bot"
        not in (await carol.get("/board/audit?agent=risk-bot")).text.partition("<tbody")[2]
    )
    assert (
        "committed" in (await erin.get("/board/audit?agent=risk-bot")).text.partition("<tbody")[2]
    )
    assert (
        "committed" in (await root.get("/board/audit?agent=risk-bot")).text.partition("<tbody")[2]
    )


async def test_plans_are_for_who_made_them_and_who_may_read_the_agent(theatre: Theatre) -> None:
    for user, status in {"alice": 200, "carol": 200, "root": 200, "dan": 200, "erin": 404}.items():
        here = await theatre.at(user)
        assert (await here.get(f"/board/plans/{theatre.plan}")).status_code == status, user
        listed = theatre.plan in (await here.get("/board/plans")).text
        assert listed is (status == 200), user


async def test_a_transfers_plan_takes_the_eyes_of_both_teams(house: Stage) -> None:
    url = "/api/v1/agents/sales-bot/actions/transfer-owner?dryRun=true"
    plan = (await house.alice.post(url, json={"owner": "risk"})).json()
    assert {change["path"].split("/")[1] for change in plan["changes"]} == {"growth", "risk"}
    for user, status in {"alice": 200, "root": 200, "carol": 404, "erin": 404}.items():
        async with visit(house, user) as here:
            assert (await here.get(f"/board/plans/{plan['hash']}")).status_code == status, user


async def test_an_approvals_plan_takes_them_too(stage: Stage) -> None:
    await stage.create("moving-bot")
    asked = await stage.act("moving-bot", "transfer-owner", {"owner": "risk"})
    path = f"/board/approvals/{asked.json()['approval']}"
    for user, sees in {"alice": True, "dan": True, "carol": False}.items():
        async with visit(stage, user) as here:
            answer = await here.get(path)
            assert answer.status_code == 200
            assert ("agents/risk/moving-bot" in answer.text) is sees, user


async def test_a_plan_is_shown_for_an_hour(house: Stage) -> None:
    body = {"name": "sales-bot", "spec": dict(SPEC)}
    plan = (await house.alice.post("/api/v1/agents?dryRun=true", json=body)).json()
    async with visit(house) as here:
        assert (await here.get(f"/board/plans/{plan['hash']}")).status_code == 200
        house.clock.forward(minutes=59)
        assert (await here.get("/board/plans")).status_code == 200
        house.clock.forward(minutes=2)
        assert (await here.get(f"/board/plans/{plan['hash']}")).status_code == 404


async def test_a_machine_sees_an_empty_board_and_is_told_why(theatre: Theatre) -> None:
    stage = theatre.stage
    name = "service-account-callboard-catalog"
    async with browser(stage) as here:
        token = stage.issuer.token(name, client="callboard-catalog")
        assert (await here.post("/board/signin", data={"token": token})).status_code == 303
        page = (await here.get("/")).text
        assert "no agent here yet" in page
        assert "dataset" not in page.partition("<main")[2].partition("</section>")[0]
        assert (await here.get("/board/datasets")).status_code == 404
        answer = await here.get("/board/audit")
        assert answer.status_code == 403
        assert "you need" in answer.text


async def test_a_denied_read_is_on_the_trail(house: Stage) -> None:
    before = len(house.records())
    async with visit(house, "erin") as here:
        await here.get("/board/agents/sales-bot")
        await here.get("/board/agents/no-such-agent")
    found = [r for r in house.records()[before:] if r["action"] == "board.read"]
    assert [(r["actor"]["username"], r["target"]["name"], r["outcome"]) for r in found] == [
        ("erin", "sales-bot", "denied")
    ]


# What a page is made of


class Page(HTMLParser):
    """Everything in a page that could load, run or send something; and what makes it readable."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), (tag, attrs)
        self.tags.append((tag, dict(attrs)))

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag in names]

    @property
    def links(self) -> set[str]:
        return {str(attrs["href"]) for attrs in self.all("a")}


def check(text: str) -> Page:
    """A page that loads nothing from elsewhere, runs nothing, and can be read by anybody."""
    page = Page(text)
    assert not page.all("script", "style", "iframe", "object", "embed", "base", "font", "audio")
    for attrs in page.all("link", "img"):
        assert str(attrs.get("href") or attrs.get("src")).startswith("/board/static/"), attrs
    for tag, attrs in page.tags:
        assert not any(name == "style" or name.startswith("on") for name in attrs), (tag, attrs)
    for attrs in page.all("form"):
        assert str(attrs["action"]).startswith("/"), attrs
        if attrs["method"] == "post":
            assert attrs["action"] in {"/board/signin", "/board/signout"}
    for href in page.links:
        assert href.startswith(("/", "#", "https://")), href
        assert not href.startswith("//")
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    labelled = {
        str(attrs["aria-labelledby"]) for _, attrs in page.tags if "aria-labelledby" in attrs
    }
    assert labelled <= set(ids)
    assert [len(page.all(each)) for each in ("main", "h1", "title", "header")][:3] == [1, 1, 1]
    assert page.all("html")[0]["lang"] == "en"
    assert page.tags.count(("a", {"class": "skip", "href": "#main"})) == 1
    assert all(attrs.get("scope") in {"col", "row"} for attrs in page.all("th"))
    return page


async def test_every_link_on_the_board_leads_to_a_page(theatre: Theatre) -> None:
    """For each role: everything that can be reached is whole, escaped, and loads nothing."""
    for user in ("root", "carol"):
        here = await theatre.at(user)
        todo, seen = ["/"], set()
        while todo:
            path = todo.pop()
            if path in seen:
                continue
            seen.add(path)
            answer = await here.get(path)
            # What was refused on the trail may be about what never was.
            known = not path.startswith(("/board/agents/no-such", "/board/datasets/no-such"))
            assert answer.status_code == (200 if known else 404), (user, path)
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            page = check(answer.text)
            inside = {href.partition("#")[0] for href in page.links if href.startswith("/")}
            todo += [href for href in inside if href and "cursor=" not in href]
        assert len(seen) > 25, (user, seen)


def test_the_policy_lets_pages_load_our_style_and_nothing_else() -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in CONTENT_SECURITY_POLICY.split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }


async def test_every_kind_of_page_is_reached(theatre: Theatre) -> None:
    here = await theatre.at("alice")
    for path in theatre.pages:
        answer = await here.get(path)
        assert answer.status_code == 200, path
        check(answer.text)


async def test_an_empty_platform_has_every_page_too(stage: Stage) -> None:
    for file in (stage.home / "datasets").glob("*.csv"):
        file.unlink()
    for user in ("root", "carol"):
        async with visit(stage, user) as here:
            for path in LISTS:
                answer = await here.get(path)
                assert answer.status_code == 200, path
                check(answer.text)
    assert "callboard agents create" in (await _home(stage)).text


async def _home(stage: Stage, user: str = "root") -> httpx.Response:
    async with visit(stage, user) as here:
        return await here.get("/")


async def test_hostile_text_is_text(theatre: Theatre) -> None:
    here = await theatre.at("root")
    paths = ["/", "/board/agents/sales-bot", "/board/agents/other-bot", "/board/plans"]
    for path in [*paths, str(httpx.URL("/board/audit", params={"actor": HOSTILE}))]:
        text = (await here.get(path)).text
        check(text)
        assert "<script" not in text
        assert "<img src=x" not in text
        assert (HOSTILE in html.unescape(text)) is (path != "/board/plans")


async def test_control_characters_and_reordering_are_made_visible(theatre: Theatre) -> None:
    here = await theatre.at("root")
    text = (await here.get("/board/audit", params={"actor": HOSTILE})).text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]", text)
    assert "␛[31mred␛[0m te⟨U+200B⟩xt" in html.unescape(text)


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x00\x07\x1b\x7f\x85", "␀␇␛␡⟨U+0085⟩"),
        ("\u2028\u2066\ufeff\U000e0041", "⟨U+2028⟩⟨U+2066⟩⟨U+FEFF⟩⟨U+E0041⟩"),
        ("é 漢 \u200d👩", "é 漢 \u200d👩"),
        (None, ""),
        (5, 5),
    ],
)
def test_only_what_cannot_be_seen_is_replaced(raw: object, seen: object) -> None:
    assert shown(raw) == seen


async def test_a_plan_shows_its_changes_line_by_line(theatre: Theatre) -> None:
    text = (await (await theatre.at("alice")).get(f"/board/plans/{theatre.plan}")).text
    assert "+$4.00" in text
    removed = re.search(
        r'<tr class="del"><td class="n" data-n="(\d+)"></td>.*?budgetUsd: (\S+?)</td>', text
    )
    added = re.search(
        r'<tr class="add">.*?data-n="(\d+)"></td><td class="s">\+</td><td>  budgetUsd: (\S+?)</td>',
        text,
    )
    assert removed
    assert added
    assert (removed[1], html.unescape(added[2])) == (added[1], '"9.00"')
    refused = (await (await theatre.at("alice")).get(f"/board/plans/{theatre.refused}")).text
    assert "What speaks against it" in refused
    assert "/budgetUsd" in refused


def test_a_diff_is_numbered_as_the_two_files_are() -> None:
    diff = "--- a/x\n+++ b/x\n@@ -3,3 +3,3 @@\n same\n-old\n--- old too\n+new\n… 5 more lines"
    assert [
        (line.kind, line.sign, line.text, line.old, line.new) for line in unified.lines(diff)
    ] == [
        ("hunk", "", "@@ -3,3 +3,3 @@", None, None),
        ("same", " ", "same", 3, 3),
        ("del", "-", "old", 4, None),
        ("del", "-", "-- old too", 5, None),
        ("add", "+", "new", None, 4),
        ("note", "", "… 5 more lines", None, None),
    ]
    assert unified.tally(diff) == (1, 2)
    assert unified.lines("") == []


async def test_an_operation_shows_its_steps_and_what_it_changed(theatre: Theatre) -> None:
    here = await theatre.at("alice")
    done = (await here.get(f"/board/operations/{theatre.done}")).text
    assert "What it changed" in done
    assert "agents/growth/sales-bot/agent.yaml" in done
    failed = (await here.get(f"/board/operations/{theatre.failed}")).text
    steps = re.findall(r'<li class="\w+"><strong>(\w+)</strong>', failed)
    assert steps == ["Accepted", "AwaitingApproval", "Accepted", "Failed"]
    assert "plan-stale" in failed
    waiting = (await here.get(f"/board/operations/{theatre.waiting}")).text
    assert "What was planned" in waiting


async def test_an_approval_shows_what_it_would_do_and_whether_that_still_holds(
    stage: Stage,
) -> None:
    await stage.create()
    operation = (await stage.act("sales-bot", "change-budget", {"budgetUsd": "80.00"})).json()
    path = f"/board/approvals/{operation['approval']}"
    async with visit(stage, "dan") as here:
        text = (await here.get(path)).text
        assert "still exactly the plan" in text
        assert "+$75.00" in text
        await stage.act("sales-bot", "change-budget", {"budgetUsd": "6.00"})
        assert "no longer the plan" in (await here.get(path)).text


async def test_a_dataset_shows_its_verdict_findings_and_columns(stage: Stage) -> None:
    (stage.home / "datasets" / "bad.csv").write_text("a,b\n1,2\n1,2,3\n")
    await stage.platform.datasets.list()
    await stage.platform.datasets.settled()
    async with visit(stage, "carol") as here:
        bad = (await here.get("/board/datasets/bad")).text
        assert "Invalid" in bad
        assert "too-many-fields" in bad
        assert 'data-label="Line">3<' in bad
        good = (await here.get("/board/datasets/sales")).text
        for column in ("day", "region", "units", "total"):
            assert f'role="rowheader">{column}<' in good
        assert str(stage.home) not in good


async def test_the_banner_names_the_embedded_parts(theatre: Theatre) -> None:
    text = (await (await theatre.at("carol")).get("/")).text
    for part in theatre.stage.platform.embedded:
        assert f"<dt>{part}</dt>" in text


async def test_a_rewritten_branch_is_an_alarm_on_every_page(stage: Stage) -> None:
    await stage.create()
    await stage.create("lost-bot")
    before = (await stage.platform.git.commits(limit=2))[1].revision
    bare = str(stage.home / "delivery.git")
    await anyio.run_process(["git", "--git-dir", bare, "update-ref", "refs/heads/main", before])
    async with visit(stage, "carol") as here:
        for path in [*LISTS, "/board/agents/sales-bot", "/board/agents/lost-bot"]:
            text = (await here.get(path)).text
            assert 'role="alert"' in text, path
            assert "read-only" in text
    async with browser(stage) as stranger:
        assert 'role="alert"' not in (await stranger.get("/")).text


async def test_the_board_stands_while_the_repository_does_not_answer(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_prefix: str) -> Any:
        raise Unavailable("The delivery repository does not answer")

    here = await theatre.at("root")
    monkeypatch.setattr(theatre.stage.platform.git, "branches", silent)
    text = (await here.get("/")).text
    assert "sales-bot" in text
    assert "does not answer" in text
    assert (await here.get(f"/board/operations/{theatre.waiting}")).status_code == 200
    assert (await here.get("/board/approvals")).status_code == 503


# Finding things


async def test_agents_are_filtered_and_counted(theatre: Theatre) -> None:
    here = await theatre.at("root")
    for query, names in {
        "?state=Held": {"other-bot"},
        "?owner=risk": {"risk-bot"},
        "?q=SALES": {"sales-bot"},
        "?dataset=costs": {"risk-bot"},
        "?q=&state=&owner=": {"sales-bot", "other-bot", "risk-bot"},
        "?state=Nonsense": set(),
    }.items():
        text = (await here.get(f"/{query}")).text
        found = set(re.findall(r'<th scope="row"[^>]*><div><a href="/board/agents/([^"]+)"', text))
        assert found == names, query
        assert re.search(r"<b>1</b><span>Held</span>", text)


async def test_lists_are_cut_into_pages(theatre: Theatre, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents_page, "LIMIT", 2)
    here = await theatre.at("root")
    path, names = "/?q=bot", []
    while path:
        text = (await here.get(path)).text
        names.append(re.findall(r'<th scope="row"[^>]*><div><a href="/board/agents/([^"]+)"', text))
        more = re.search(r'href="([^"]+)" rel="next"', text)
        path = html.unescape(more[1]) if more else ""
    assert names == [["other-bot", "risk-bot"], ["sales-bot"]]


async def test_the_trail_is_filtered_and_paged(theatre: Theatre) -> None:
    here = await theatre.at("root")
    seen: list[str] = []
    path = "/board/audit?agent=sales-bot"
    while path:
        text = (await here.get(path)).text
        seen += re.findall(r"<dt>Record</dt><dd><code>([^<]+)", text)
        more = re.search(r'href="([^"]+)" rel="next"', text)
        path = html.unescape(more[1]) if more else ""
    of_agent = {"kind": "agent", "name": "sales-bot"}
    wanted = [r["id"] for r in theatre.stage.records() if of_agent.items() <= r["target"].items()]
    assert seen == wanted[::-1]
    day = datetime.now(UTC).date()
    today = (await here.get(f"/board/audit?since={day}&until={day + timedelta(days=1)}")).text
    assert 'role="rowgroup"' in today
    assert (
        "No record is like that"
        in (await here.get(f"/board/audit?until={day - timedelta(days=2)}")).text
    )
    text = (await here.get(f"/board/audit?operation={theatre.failed}")).text
    outcomes = re.findall(r'data-label="Outcome"><div><span class="pill \w+">([\w-]+)<', text)
    assert outcomes == ["failed", "allowed", "awaiting-approval", "allowed"]


async def test_the_chain_position_of_a_record_is_shown(theatre: Theatre) -> None:
    record = next(r for r in theatre.stage.records() if r.get("operation") == theatre.done)
    text = (await (await theatre.at("root")).get(f"/board/audit?operation={theatre.done}")).text
    assert f"{record['replica']} {record['epoch']}·{record['seq']}<" in text
    assert record["hash"] in text
    assert record["prev"] in text


@pytest.mark.parametrize(
    "path",
    [
        "/board/audit?since=yesterday",
        "/board/audit?until=9999-12-31",
        "/board/audit?cursor=x",
        "/board/operations?state=Nonsense",
        "/board/operations?cursor=%00",
        "/board/approvals?state=open%27",
        f"/?q={'x' * 200}",
        f"/?cursor={'x' * 400}",
    ],
)
async def test_a_senseless_question_is_a_page_that_says_so(path: str, theatre: Theatre) -> None:
    answer = await (await theatre.at("root")).get(path)
    assert answer.status_code == 422
    check(answer.text)


@pytest.mark.parametrize("path", ["/board/nothing", "/board/agents/no-such", "/board/a/b/c"])
async def test_what_is_not_there_is_a_page_that_says_so(path: str, theatre: Theatre) -> None:
    answer = await (await theatre.at("root")).get(path)
    assert answer.status_code == 404
    check(answer.text)


# What pages load


async def test_the_style_sheet_is_named_by_its_checksum(theatre: Theatre) -> None:
    async with browser(theatre.stage) as here:
        page = Page((await here.get("/")).text)
        for attrs in page.all("link", "img"):
            address = str(attrs.get("href") or attrs.get("src"))
            answer = await here.get(address)
            assert answer.status_code == 200
            assert address.endswith(hashlib.sha256(answer.content).hexdigest()[:12])
            assert "url(" not in answer.text
            assert "@import" not in answer.text
        for name in ("", "nothing.css", "board.css.map", "__init__.py", "%2e%2e"):
            assert (await here.get(f"/board/static/{name}")).status_code in {303, 404}


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
        answer = await here.post("/board/signout", data={"csrf": await _csrf(here)})
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
