"""The HTML board for tests: a platform on which everything happened, and browsers to look."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx

from callboard.api.app import create_app
from callboard.api.board.signin import one_time_link
from callboard.domain.audit import Actor, Entry, Outcome, Phase, Target
from platforms import BASE, Stage
from platforms import Clock as MovableClock
from platforms import stage as set_the_stage

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


@asynccontextmanager
async def open_theatre(folder: Path) -> AsyncIterator[Theatre]:
    """Everything that the pages tell of, in a platform of its own."""
    async with set_the_stage(folder / "data") as stage:
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


def house_of(theatre: Theatre) -> Stage:
    """The same theatre with an app and a clock of its own: nobody is signed in there yet."""
    clock = MovableClock()
    platform = replace(theatre.stage.platform, now=clock)
    return replace(
        theatre.stage, platform=platform, clock=clock, app=create_app(platform), clients={}
    )


async def csrf_of(here: httpx.AsyncClient) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', (await here.get("/")).text)
    assert found
    return found[1]


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
