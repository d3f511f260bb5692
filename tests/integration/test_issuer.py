"""The embedded issuer: a realm file, a key file, two documents over HTTP."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from callboard.adapters.local.issuer import ISSUER_FILE, KEY_FILE, LocalIssuer
from callboard.adapters.local.issuer_routes import routes
from callboard.adapters.local.loopback import refuse_non_loopback
from callboard.adapters.local.realm import shipped_realm_files
from callboard.adapters.local.signing_keys import SigningKeys
from callboard.adapters.oidc.token import decode
from callboard.adapters.oidc.verifier import OidcIdentity
from callboard.domain.errors import Forbidden, Invalid, NotFound, Unauthenticated, Unavailable
from callboard.domain.identity import Role
from tokens import CLIENTS, Clock

KEYCLOAK = Path(__file__).parents[2] / "keycloak"
REALM = json.loads((KEYCLOAK / "callboard-realm.json").read_text())
USERS = json.loads((KEYCLOAK / "callboard-realm.dev-users-0.json").read_text())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer(tmp_path: Path, clock: Clock) -> LocalIssuer:
    issuer = LocalIssuer(tmp_path, now=clock)
    issuer.announce("127.0.0.1", 8088)
    return issuer


def identity(issuer: LocalIssuer, clock: Clock) -> OidcIdentity:
    clients = CLIENTS | {"callboard-catalog"}
    return OidcIdentity(issuer.url, clients=clients, keys=issuer, directory=issuer, now=clock)


def payload(text: str) -> dict[str, Any]:
    found = json.loads(decode(text.split(".")[1]))
    assert isinstance(found, dict)
    return found


# People


@pytest.mark.parametrize(
    ("username", "role", "teams"),
    [
        ("alice", Role.DEVELOPER, {"growth"}),
        ("erin", Role.DEVELOPER, {"risk"}),
        ("bob", Role.OPERATOR, set()),
        ("carol", Role.VIEWER, {"growth"}),
        ("dan", Role.APPROVER, set()),
        ("root", Role.ADMIN, set()),
    ],
)
async def test_the_development_users_are_who_the_documentation_says(
    username: str, role: Role, teams: set[str], issuer: LocalIssuer, clock: Clock
) -> None:
    verifier = identity(issuer, clock)
    principal = await verifier.authenticate(issuer.token(username))
    assert (principal.username, principal.roles, principal.teams) == (username, {role}, teams)
    assert await verifier.current(principal) == principal


async def test_the_catalogs_service_account_reads_the_catalog(
    issuer: LocalIssuer, clock: Clock
) -> None:
    text = issuer.token("service-account-callboard-catalog", client="callboard-catalog")
    principal = await identity(issuer, clock).authenticate(text)
    assert principal.roles == {Role.CATALOG_READER}
    assert "groups" not in payload(text)


def test_a_token_says_what_keycloaks_would(issuer: LocalIssuer, clock: Clock) -> None:
    found = payload(issuer.token("alice"))
    assert {type(found.pop(name)) for name in ("jti", "sid")} == {str}
    assert found == {
        "exp": clock.at + 300,
        "iat": clock.at,
        "iss": "http://127.0.0.1:8088/realms/callboard",
        "aud": "callboard",
        "sub": USERS["users"][0]["id"],
        "typ": "Bearer",
        "azp": "callboard-cli",
        "acr": "1",
        "realm_access": {"roles": ["agent-developer"]},
        "groups": ["/growth"],
        "scope": "email profile",
        "name": "Alice Archer",
        "preferred_username": "alice",
        "given_name": "Alice",
        "family_name": "Archer",
        "email": "alice@example.com",
        "email_verified": True,
    }


def test_a_person_keeps_their_subject(issuer: LocalIssuer, tmp_path: Path) -> None:
    other = LocalIssuer(tmp_path / "other")
    other.announce("127.0.0.1", 9)
    for name in ("alice", "service-account-callboard-catalog"):
        client = "callboard-cli" if name == "alice" else "callboard-catalog"
        one, two = (payload(each.token(name, client=client)) for each in (issuer, other))
        assert one["sub"] == two["sub"]


def test_a_client_lends_only_the_roles_of_its_scope(tmp_path: Path) -> None:
    realm = json.loads(json.dumps(REALM))
    realm["users"].append(
        {
            "username": "eve",
            "enabled": True,
            "realmRoles": ["catalog-reader", "agent-viewer"],
            "groups": ["/growth", "/risk/growth"],
        }
    )
    realm["users"].append({"username": "gone", "enabled": False, "realmRoles": ["agent-viewer"]})
    (tmp_path / "realm.json").write_text(json.dumps(realm))
    issuer = LocalIssuer(tmp_path / "data", [tmp_path / "realm.json"])
    issuer.announce("localhost", 1)
    found = payload(issuer.token("eve"))
    assert found["realm_access"] == {"roles": ["agent-viewer"]}
    assert found["groups"] == ["/growth", "/risk/growth"]
    with pytest.raises(Forbidden, match="disabled"):
        issuer.token("gone")


@pytest.mark.parametrize(
    ("username", "client", "error"),
    [
        ("mallory", "callboard-cli", NotFound),
        ("alice", "grafana", NotFound),
        ("alice", "callboard", NotFound),
        ("service-account-callboard-catalog", "callboard-cli", Forbidden),
    ],
)
def test_strangers_get_no_token(
    username: str, client: str, error: type[Exception], issuer: LocalIssuer
) -> None:
    with pytest.raises(error):
        issuer.token(username, client=client)


@pytest.mark.parametrize("lifetime", [0, -1, 12 * 3_600 + 1])
def test_a_tokens_life_is_bounded(lifetime: int, issuer: LocalIssuer) -> None:
    with pytest.raises(Invalid):
        issuer.token("alice", lifetime=lifetime)


async def test_a_token_lives_as_long_as_was_asked(issuer: LocalIssuer, clock: Clock) -> None:
    text = issuer.token("alice", lifetime=10)
    verifier = identity(issuer, clock)
    clock.at += 39
    await verifier.authenticate(text)
    clock.at += 2
    with pytest.raises(Unauthenticated):
        await verifier.authenticate(text)


# The key file


def test_only_the_owner_can_read_the_key(issuer: LocalIssuer, tmp_path: Path) -> None:
    for name in (KEY_FILE, ISSUER_FILE):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([KEY_FILE, ISSUER_FILE])


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        LocalIssuer(tmp_path / "new").announce("127.0.0.1", 1)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new" / KEY_FILE).stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o610, 0o777])
def test_a_key_that_others_can_reach_is_refused(mode: int, tmp_path: Path) -> None:
    LocalIssuer(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)
    for create in (True, False):
        with pytest.raises(Invalid, match=r"open to others \(mode 0\d+\).*0600"):
            LocalIssuer(tmp_path, create=create)


def test_a_key_by_way_of_a_link_is_refused(tmp_path: Path) -> None:
    LocalIssuer(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / KEY_FILE).symlink_to(tmp_path / "a" / KEY_FILE)
    with pytest.raises(Invalid, match="cannot be read"):
        LocalIssuer(tmp_path / "b")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_key_file_that_is_no_file_is_refused(
    make: Callable[[Path, int], None], tmp_path: Path
) -> None:
    make(tmp_path / KEY_FILE, 0o600)
    with pytest.raises(Invalid, match="regular file"):
        LocalIssuer(tmp_path)


def test_somebody_elses_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LocalIssuer(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(Invalid, match="another user"):
        LocalIssuer(tmp_path)


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "null", '{"keys": {}, "retired": []}', '{"keys": {"RS256": {}, "ES256": {}}}'],
)
def test_a_broken_key_file_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / KEY_FILE
    path.touch(0o600)
    path.write_text(content)
    with pytest.raises(Invalid, match=KEY_FILE):
        LocalIssuer(tmp_path)


def test_a_public_key_in_its_place_is_refused(tmp_path: Path) -> None:
    issuer = LocalIssuer(tmp_path)
    public = {key["alg"]: key for key in issuer.jwks()["keys"]}
    (tmp_path / KEY_FILE).write_text(json.dumps({"keys": public, "retired": []}))
    with pytest.raises(Invalid, match="private key"):
        LocalIssuer(tmp_path)


def test_of_two_who_make_the_key_at_once_one_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second finds no file, and the first has written one before the second is done."""
    generate = SigningKeys.generate
    first: list[dict[str, Any]] = []

    def overtaken() -> SigningKeys:
        monkeypatch.setattr(SigningKeys, "generate", generate)
        first.append(LocalIssuer(tmp_path).jwks())
        return generate()

    monkeypatch.setattr(SigningKeys, "generate", overtaken)
    second = LocalIssuer(tmp_path)
    assert [second.jwks()] == first
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def _written(folder: Path) -> dict[str, tuple[int, int]]:
    found = {path.name: path.stat() for path in folder.iterdir()}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


async def test_a_second_process_signs_beside_the_server_and_writes_nothing(
    issuer: LocalIssuer, clock: Clock, tmp_path: Path
) -> None:
    before = _written(tmp_path)
    text = LocalIssuer(tmp_path, now=clock, create=False).token("alice")
    assert _written(tmp_path) == before
    assert (await identity(issuer, clock).authenticate(text)).username == "alice"


def test_without_a_server_before_it_a_second_process_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="callboard up"):
        LocalIssuer(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()
    LocalIssuer(tmp_path)
    with pytest.raises(NotFound, match="callboard up"):
        LocalIssuer(tmp_path, create=False).token("alice")


# Rotation


async def test_a_rotated_key_works_at_once_and_the_old_one_for_a_tokens_life(
    issuer: LocalIssuer, clock: Clock
) -> None:
    verifier = identity(issuer, clock)
    old, long = issuer.token("alice"), issuer.token("bob", lifetime=3_600)
    issuer.rotate()
    new = issuer.token("alice")
    assert len(issuer.jwks()["keys"]) == 4
    for text in (old, long, new):
        await verifier.authenticate(text)
    clock.at += 331
    await verifier.authenticate(issuer.token("alice"))
    assert len(issuer.jwks()["keys"]) == 2
    with pytest.raises(Unauthenticated) as caught:
        await verifier.authenticate(long)
    assert caught.value.facts["reason"] == "unknown-key"


async def test_a_leaked_key_dies_at_once(issuer: LocalIssuer, clock: Clock) -> None:
    verifier = identity(issuer, clock)
    old = issuer.token("alice")
    await verifier.authenticate(old)
    issuer.rotate(keep=0)
    with pytest.raises(Unauthenticated):
        await verifier.authenticate(old)


async def test_another_processs_rotation_is_seen(
    issuer: LocalIssuer, clock: Clock, tmp_path: Path
) -> None:
    verifier = identity(issuer, clock)
    await verifier.authenticate(issuer.token("alice"))
    other = LocalIssuer(tmp_path, now=clock, create=False)
    other.rotate()
    assert (await verifier.authenticate(other.token("bob"))).username == "bob"
    assert issuer.jwks() == other.jwks()
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


async def test_a_key_file_taken_away_is_unavailable(
    issuer: LocalIssuer, clock: Clock, tmp_path: Path
) -> None:
    text = issuer.token("alice")
    (tmp_path / KEY_FILE).unlink()
    with pytest.raises(Unavailable):
        await identity(issuer, clock).authenticate(text)


# Over HTTP


def client(issuer: LocalIssuer, host: str = "127.0.0.1") -> httpx.AsyncClient:
    app = FastAPI()
    app.include_router(routes(issuer))
    transport = httpx.ASGITransport(app, client=(host, 50_000))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8088")


async def test_the_embedded_issuer_is_an_issuer_like_any_other(
    issuer: LocalIssuer, clock: Clock
) -> None:
    """The verifier reads its keys over HTTP as it would read Keycloak's."""
    verifier = OidcIdentity(issuer.url, clients=CLIENTS, http=client(issuer), now=clock)
    for algorithm in ("RS256", "ES256"):
        text = issuer.token("alice", algorithm=algorithm)
        assert (await verifier.authenticate(text)).username == "alice"
    issuer.rotate()
    assert (await verifier.authenticate(issuer.token("bob"))).username == "bob"


async def test_no_private_number_is_published(issuer: LocalIssuer) -> None:
    async with client(issuer) as http:
        answer = await http.get("/realms/callboard/protocol/openid-connect/certs")
    assert answer.status_code == 200
    for key in answer.json()["keys"]:
        assert key.keys() & {"d", "p", "q", "dp", "dq", "qi", "k"} == set()
        assert {"kid", "use", "alg"} <= key.keys()
    assert len(answer.json()["keys"]) == 2


async def test_no_endpoint_gives_out_tokens(issuer: LocalIssuer) -> None:
    async with client(issuer) as http:
        found = (await http.get("/realms/callboard/.well-known/openid-configuration")).json()
        assert not [name for name in found if name.endswith("_endpoint")]
        for method in ("GET", "POST"):
            answer = await http.request(method, "/realms/callboard/protocol/openid-connect/token")
            assert answer.status_code == 404


@pytest.mark.parametrize("host", ["10.0.0.7", "192.168.1.2", "::ffff:10.0.0.7", "2001:db8::1", "x"])
async def test_callers_from_elsewhere_find_nothing(host: str, issuer: LocalIssuer) -> None:
    async with client(issuer, host) as http:
        for path in (".well-known/openid-configuration", "protocol/openid-connect/certs"):
            assert (await http.get(f"/realms/callboard/{path}")).status_code == 404


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "::ffff:127.0.0.1"])
def test_a_loopback_bind_is_fine(host: str) -> None:
    refuse_non_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.0",
        "::",
        "",
        "0",
        "*",
        "192.168.1.2",
        "8.8.8.8",
        "2001:db8::1",
        "fe80::1%eth0",
        "::1%lo",
        "::ffff:0.0.0.0",
        "example.com",
        "localhost.example.com",
        "127.0.0.1.example.com",
        " 127.0.0.1",
    ],
)
def test_any_other_bind_is_refused(host: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="CALLBOARD_OIDC_ISSUER"):
        refuse_non_loopback(host)
    issuer = LocalIssuer(tmp_path)
    with pytest.raises(Invalid):
        issuer.announce(host, 8088)
    assert not (tmp_path / ISSUER_FILE).exists()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:7/realms/callboard"),
        ("localhost", "http://127.0.0.1:7/realms/callboard"),
        ("::1", "http://[::1]:7/realms/callboard"),
    ],
)
def test_the_issuer_is_recorded_for_other_processes(host: str, url: str, tmp_path: Path) -> None:
    issuer = LocalIssuer(tmp_path)
    assert issuer.announce(host, 7) == url
    assert json.loads((tmp_path / ISSUER_FILE).read_text()) == {"issuer": url}
    assert LocalIssuer(tmp_path, create=False).url == url
    assert issuer.discovery(url.removesuffix("/realms/callboard"))["issuer"] == url


# The realm files


def test_the_shipped_files_are_found() -> None:
    assert [path.name for path in shipped_realm_files()] == [
        "callboard-realm.json",
        "callboard-realm.dev-users-0.json",
    ]


def test_no_credential_is_in_the_realm_files() -> None:
    text = json.dumps([REALM, USERS])
    for word in ("credentials", "privateKey", "hashIterations", "secretData"):
        assert word not in text
    secrets = [client["secret"] for client in REALM["clients"] if "secret" in client]
    assert len(secrets) == 3
    assert all(secret.startswith("${") and secret.endswith("_SECRET}") for secret in secrets)


def test_the_realm_keeps_the_built_in_scopes() -> None:
    assert "clientScopes" not in REALM
    assert not any("defaultClientScopes" in client for client in REALM["clients"])


def test_the_realm_is_hardened() -> None:
    assert REALM["sslRequired"] == "external"
    assert REALM["bruteForceProtected"] is True
    assert REALM["accessTokenLifespan"] == 300
    assert REALM["editUsernameAllowed"] is REALM["registrationAllowed"] is False
    for each in REALM["clients"]:
        assert each["implicitFlowEnabled"] is each["directAccessGrantsEnabled"] is False
        assert each["fullScopeAllowed"] is False
        if each["publicClient"] or each["standardFlowEnabled"]:
            assert each["attributes"]["pkce.code.challenge.method"] == "S256"
        assert not any("*" in uri for uri in each.get("redirectUris", []))


def test_the_realm_knows_exactly_our_roles() -> None:
    assert {role["name"] for role in REALM["roles"]["realm"]} == {role.value for role in Role}


def test_users_are_of_the_overlay_alone() -> None:
    """Keycloak merges `<realm>-users-<number>.json`; nobody but machines is in the realm file."""
    assert [user["username"] for user in REALM["users"]] == ["service-account-callboard-catalog"]
    assert USERS.keys() == {"realm", "users"}
    assert USERS["realm"] == REALM["realm"]


@pytest.mark.parametrize(
    "content", ["", "[]", '{"realm": 1}', '{"realm": "a", "realm": "b"}', "{}"]
)
def test_a_realm_file_that_is_none_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(content)
    with pytest.raises(Invalid, match=r"mine\.json"):
        LocalIssuer(tmp_path / "data", [tmp_path / "mine.json"])


def test_users_of_another_realm_are_not_merged(tmp_path: Path) -> None:
    (tmp_path / "users.json").write_text(json.dumps(USERS | {"realm": "other"}))
    with pytest.raises(Invalid, match="'callboard'"):
        LocalIssuer(tmp_path / "data", [shipped_realm_files()[0], tmp_path / "users.json"])


def test_a_missing_realm_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"absent\.json"):
        LocalIssuer(tmp_path / "data", [tmp_path / "absent.json"])
