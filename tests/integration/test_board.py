"""The HTML board over the real app: who sees what, and what a page is made of."""

import hashlib
import html
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import httpx
import pytest

from boards import (
    HOSTILE,
    LISTS,
    Page,
    Theatre,
    browser,
    check,
    house_of,
    open_theatre,
    visit,
)
from callboard.api.board import agents as agents_page
from callboard.api.board import unified
from callboard.api.board.paper import CONTENT_SECURITY_POLICY, shown
from callboard.domain.errors import Unavailable
from platforms import SPEC, Stage


@pytest.fixture(scope="module")
async def theatre(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Theatre]:
    async with open_theatre(tmp_path_factory.mktemp("board")) as here:
        yield here


@pytest.fixture
def house(theatre: Theatre) -> Stage:
    return house_of(theatre)


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


async def test_pages_are_only_read(theatre: Theatre) -> None:
    here = await theatre.at("root")
    for path in theatre.pages:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert (await here.request(method, path)).status_code == 405, (method, path)
