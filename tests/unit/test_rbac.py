"""Roles against a table written by hand, not derived from the product's own."""

import pytest

import sites
from callboard.actions import registry
from callboard.domain.errors import Forbidden, NotFound
from callboard.domain.identity import SYSTEM, Permission, Role
from callboard.policy.authorise import authorise, missing, permits, roles_for, teams_of
from people import person

ROLES = (
    *(Role.VIEWER, Role.DEVELOPER, Role.OPERATOR),
    *(Role.APPROVER, Role.CATALOG_READER, Role.ADMIN),
)

# Y: may. -: is told no. ?: is told that there is no such thing.
# One letter for each role, in the order of ROLES; what a team of theirs owns, then what not.
_OPERATE = ("-YY-?Y", "??Y-?Y")
_DEVELOPERS_ONLY = ("-Y--?Y", "??--?Y")
ACTIONS = {
    "adopt": _OPERATE,
    "change-budget": _OPERATE,
    "change-model": _OPERATE,
    "destroy": _DEVELOPERS_ONLY,
    "extend-ttl": _OPERATE,
    "pause": _OPERATE,
    "rerender": _OPERATE,
    "restart": _OPERATE,
    "resume": _OPERATE,
    "rollback": _OPERATE,
    "rotate-keys": _OPERATE,
    "swap-dataset": _OPERATE,
    "transfer-owner": _DEVELOPERS_ONLY,
    "upgrade-template": _OPERATE,
}
OTHERS = {
    ("agent", Permission.AGENT_READ): ("YYYY?Y", "??YY?Y"),
    ("agent", Permission.AGENT_CREATE): ("-Y---Y", "-----Y"),
    ("agent", Permission.AGENT_UPDATE): _DEVELOPERS_ONLY,
    ("approval", Permission.APPROVAL_REVIEW): ("---Y?Y", "??-Y?Y"),
    ("audit", Permission.AUDIT_READ): ("YYYY-Y", "--Y--Y"),
    ("catalog", Permission.CATALOG_READ): ("----YY", "----YY"),
    ("dataset", Permission.DATASET_READ): ("YYYY?Y", "YYYY?Y"),
    ("dataset", Permission.DATASET_WRITE): ("-Y--?Y", "----?Y"),
    ("platform", Permission.PLATFORM_ADMIN): ("-----Y", "-----Y"),
}
CASES = [
    *(("agent", registry()[action].permission, row, action) for action, row in ACTIONS.items()),
    *((kind, permission, row, permission.value) for (kind, permission), row in OTHERS.items()),
]


def answer(role: Role | None, kind: str, permission: Permission, owner: str) -> str:
    roles = () if role is None else (role,)
    try:
        authorise(
            person("somebody", *roles, teams=("growth",)),
            permission,
            owner,
            sites.site(),
            kind=kind,
            name="x",
        )
    except NotFound:
        return "?"
    except Forbidden:
        return "-"
    return "Y"


@pytest.mark.parametrize(
    ("kind", "permission", "row"),
    [case[:3] for case in CASES],
    ids=[f"{case[0]}-{case[3]}" for case in CASES],
)
def test_each_role_may_do_what_the_table_says(
    kind: str, permission: Permission, row: tuple[str, str]
) -> None:
    for owner, expected in zip(("growth", "risk"), row, strict=True):
        got = "".join(answer(role, kind, permission, owner) for role in ROLES)
        assert got == expected, owner


def test_the_table_names_every_action_and_every_permission() -> None:
    assert set(ACTIONS) == set(registry())
    assert set(ROLES) == set(Role)
    assert {permission for _kind, permission, *_rest in CASES} == set(Permission)


def test_nobody_without_a_role_may_do_anything() -> None:
    for kind, permission, _row, _name in CASES:
        for owner in ("growth", "risk"):
            assert answer(None, kind, permission, owner) in "-?"


def test_several_roles_permit_what_any_of_them_does() -> None:
    both = person("both", Role.VIEWER, Role.OPERATOR, teams=("growth",))
    authorise(both, Permission.AGENT_OPERATE, "risk", sites.site())
    developer = person("dev", Role.DEVELOPER, Role.APPROVER, teams=("growth",))
    authorise(developer, Permission.AGENT_DESTROY, "growth", sites.site())
    with pytest.raises(Forbidden):
        authorise(developer, Permission.AGENT_DESTROY, "risk", sites.site(), name="x")


@pytest.mark.parametrize(
    "team", ["growth-admin", "GROWTH", "Growth", "grow", "risk/growth", "/growth", "growth ", ""]
)
def test_a_team_is_matched_exactly(team: str) -> None:
    with pytest.raises(NotFound):
        authorise(
            person("x", Role.DEVELOPER, teams=(team,)),
            *(Permission.AGENT_OPERATE, "growth", sites.site()),
            name="x",
        )


def test_what_nobody_owns_is_not_everybodys() -> None:
    somebody = person("x", Role.DEVELOPER, teams=("growth",))
    with pytest.raises(Forbidden):
        authorise(somebody, Permission.DATASET_WRITE, None, sites.site(), kind="dataset")


def test_another_teams_agent_cannot_be_told_from_a_missing_one() -> None:
    with pytest.raises(NotFound) as hidden:
        authorise(
            person("erin", Role.DEVELOPER, teams=("risk",)),
            *(Permission.AGENT_DESTROY, "growth", sites.site()),
            name="sales-bot",
        )
    gone = missing("agent", "sales-bot")
    assert (hidden.value.detail, hidden.value.facts, hidden.value.findings, hidden.value.code) == (
        *(gone.detail, gone.facts, gone.findings),
        gone.code,
    )
    assert "growth" not in hidden.value.detail


def test_a_refusal_says_which_role_and_team_and_whom_to_ask() -> None:
    with pytest.raises(Forbidden) as viewer:
        authorise(
            person("carol", Role.VIEWER, teams=("growth",)),
            *(Permission.AGENT_OPERATE, "growth", sites.site()),
        )
    assert viewer.value.facts == {
        "needs": ["agent-developer", "agent-operator", "platform-admin"],
        "team": "growth",
        "ask": "platform@example.com",
    }
    assert "agent-developer" in viewer.value.detail
    assert "ask platform@example.com" in viewer.value.detail
    with pytest.raises(Forbidden) as stranger:
        authorise(
            person("alice", Role.DEVELOPER, teams=("growth",)),
            *(Permission.AGENT_CREATE, "risk", sites.site()),
        )
    assert "the team risk" in stranger.value.detail
    assert "platform-admin" in stranger.value.detail
    assert stranger.value.facts["team"] == "risk"


def test_callboard_itself_may_do_everything() -> None:
    for permission in Permission:
        authorise(SYSTEM, permission, "growth", sites.site())


def test_whose_things_are_reached() -> None:
    assert teams_of(person("a", Role.OPERATOR), Permission.AGENT_READ) is None
    viewer = person("c", Role.VIEWER, teams=("growth",))
    assert teams_of(viewer, Permission.AGENT_READ) == frozenset({"growth"})
    assert teams_of(viewer, Permission.AGENT_DESTROY) == frozenset()


def test_me_says_what_is_permitted_and_what_more_would_take() -> None:
    mine = {each["permission"]: each for each in permits(person("n", Role.DEVELOPER), sites.site())}
    assert set(mine) == {str(permission) for permission in Permission}
    assert not mine["agent.operate"]["allowed"]
    assert "member of the team" in mine["agent.operate"]["missing"]
    assert mine["catalog.read"] == {
        "permission": "catalog.read",
        "allowed": False,
        "scope": "none",
        "teams": [],
        "needs": ["catalog-reader", "platform-admin"],
        "missing": "To read the catalog feed you need one of the roles catalog-reader, "
        "platform-admin; ask platform@example.com",
        "ask": "platform@example.com",
    }
    assert mine["dataset.read"]["allowed"]
    assert mine["dataset.read"]["missing"] is None
    member = person("alice", Role.DEVELOPER, teams=("growth", "ads"))
    own = {each["permission"]: each for each in permits(member, sites.site())}
    assert own["agent.operate"]["teams"] == ["ads", "growth"]


def test_roles_that_would_do_are_sorted() -> None:
    assert roles_for(Permission.AGENT_READ) == [
        *("agent-approver", "agent-developer", "agent-operator", "agent-viewer"),
        "platform-admin",
    ]
