"""Rows 1 to 7: forged, borrowed and stale tokens, each sent to the server."""

import json
import time
from typing import Any

import pytest
from attack_target import AGENTS, Target, undisturbed, within
from attack_wire import exchange

import tokens
from clis import Reply, double

ROOT = {"realm_access": {"roles": ["platform-admin"]}, "preferred_username": "root"}


def refused(target: Target, token: str) -> str:
    """The reason with which the token is refused, for a read and for a change alike."""
    head = target.head()
    read = target.ask("GET", AGENTS, token=token)
    write = target.ask("POST", AGENTS, token=token, json={"name": "x", "spec": {}})
    for answer in (read, write):
        assert answer.status_code == 401, answer.text
        assert answer.headers["www-authenticate"].startswith('Bearer realm="callboard", error=')
        assert token not in answer.text
    assert target.head() == head
    assert target.new_records() == [], "strangers are counted, not recorded one by one"
    reason: str = read.json()["reason"]
    assert write.json()["reason"] == reason
    return reason


def accepted(target: Target, token: str) -> dict[str, Any]:
    answer = target.ask("GET", "/api/v1/me", token=token)
    assert answer.status_code == 200, answer.text
    me: dict[str, Any] = answer.json()
    return me


# Row 1


@pytest.mark.parametrize("alg", ["none", "NoNe", "NONE", "nOnE", "", None, 0, ["none"], ["RS256"]])
def test_row_1_an_unsigned_token_is_refused(target: Target, alg: Any) -> None:
    for sign in (lambda _: b"x", lambda _: b"\0" * 256, tokens.signs(target.key)):
        forged = target.craft(target.header(alg=alg), target.claims(**ROOT), sign)
        assert refused(target, forged) == "algorithm"
    forged = target.craft(target.header(alg=alg), target.claims(**ROOT), lambda _: b"")
    assert refused(target, forged) == "malformed"
    assert refused(target, forged.rstrip(".")) == "malformed"


def test_row_1_a_token_whose_signature_is_not_its_own_is_refused(target: Target) -> None:
    head, body, signature = target.token("carol").split(".")
    mine = tokens.b64(json.dumps(target.claims(**ROOT)).encode())
    assert refused(target, f"{head}.{mine}.{signature}") == "signature"
    assert refused(target, f"{head}.{body}.{tokens.b64(b'x' * 256)}") == "signature"
    other = target.token("root").rpartition(".")[2]
    assert refused(target, f"{head}.{body}.{other}") == "signature"
    assert accepted(target, f"{head}.{body}.{signature}")["username"] == "carol"


# Row 2


@pytest.mark.parametrize("form", ["PEM", "DER", "n", "JWK"])
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512", "RS256"])
def test_row_2_the_public_key_is_no_shared_secret(target: Target, form: str, alg: str) -> None:
    published = target.ask("GET", f"{target.issuer.url}/protocol/openid-connect/certs").json()
    jwk = next(key for key in published["keys"] if key["kid"] == target.key.thumbprint())
    secret = {
        "PEM": target.key.as_pem(private=False),
        "DER": target.key.as_der(private=False),
        "n": jwk["n"].encode(),
        "JWK": json.dumps(jwk).encode(),
    }[form]
    forged = target.craft(target.header(alg=alg), target.claims(**ROOT), tokens.hs256(secret))
    assert refused(target, forged) == ("signature" if alg == "RS256" else "algorithm")


def test_row_2_a_token_does_not_choose_the_algorithm_of_a_key(target: Target) -> None:
    other = tokens.ec("curve")
    for sign in (tokens.signs(other), lambda _: b"x" * 64, tokens.signs(target.key)):
        forged = target.craft(target.header(alg="ES256"), target.claims(**ROOT), sign)
        assert refused(target, forged) == "algorithm"


# Row 3


@pytest.mark.parametrize("kid", ["ours", "attacker"])
def test_row_3_a_key_in_the_header_is_neither_used_nor_fetched(target: Target, kid: str) -> None:
    attacker = tokens.rsa("attacker")
    with double(lambda _: Reply(json.loads(tokens.jwks(tokens.public(attacker))))) as theirs:
        for extra in (
            {"jwk": tokens.public(attacker)},
            {"jku": f"{theirs.url}/jwks"},
            {"x5u": f"{theirs.url}/cert"},
            {"x5c": ["MIIB"]},
            {"jku": f"{theirs.url}/jwks", "jwk": tokens.public(attacker), "x5t": "AAAA"},
            {"crit": ["jku"], "jku": f"{theirs.url}/jwks"},
            {"iss": theirs.url},
        ):
            named = {} if kid == "ours" else {"kid": kid}
            head = target.header(**extra, **named)
            claims = target.claims(**ROOT)
            assert refused(target, target.craft(head, claims, tokens.signs(attacker))) == "header"
            assert refused(target, target.craft(head, claims)) == "header"
        address = target.claims(**ROOT, iss=f"{theirs.url}/realms/callboard")
        head = target.header(kid=f"{theirs.url}/jwks")
        assert refused(target, target.craft(head, address)) == "unknown-key"
        time.sleep(0.05)
        assert theirs.asked == []


# Row 4


@pytest.mark.parametrize(
    "aud",
    [
        *(None, "", "account", "callboar", "callboard2", "callboard-cli", "Callboard", "CALLBOARD"),
        *("callboard ", " callboard", "callboard account", "https://callboard", "callboard\0"),
        *([], ["account"], ["callboard-cli", "acallboard"], [["callboard"]], ["callboard", 1]),
        *({"callboard": 1}, True, 1),
    ],
)
def test_row_4_a_token_for_somebody_else_is_refused(target: Target, aud: Any) -> None:
    assert refused(target, target.craft(body=target.claims(aud=aud))) == "audience"


@pytest.mark.parametrize("aud", ["callboard", ["callboard"], ["account", "callboard"]])
def test_row_4_a_token_for_us_is_taken(target: Target, aud: Any) -> None:
    assert accepted(target, target.craft(body=target.claims(aud=aud)))["username"] == "alice"


# Row 5


def test_row_5_a_foreign_issuer_is_refused(target: Target) -> None:
    ours = target.issuer.url
    for iss in (
        *(None, "", "https://evil.example.com/realms/callboard", f"{ours}/", f"{ours}//"),
        *(ours.upper(), ours.replace("callboard", "Callboard"), ours.replace("http", "HTTP", 1)),
        *(ours.replace("http", "https", 1), ours[:-1], f"{ours}x", f"{ours}?", f" {ours}"),
        *(f"{ours}/../callboard", ours.replace("127.0.0.1", "localhost"), [ours], {"iss": ours}),
    ):
        assert refused(target, target.craft(body=target.claims(iss=iss))) == "issuer", iss


@pytest.mark.parametrize(
    "azp", [None, "", "grafana", "callboard", "Backstage", "backstage ", ["backstage"], {}, 1, True]
)
def test_row_5_a_token_of_a_foreign_client_is_refused(target: Target, azp: Any) -> None:
    body = target.claims(azp=azp, client_id="backstage")
    assert refused(target, target.craft(body=body)) == "client"


# Row 6


@pytest.mark.parametrize("typ", ["ID", "Refresh", "Offline", "Logout", "bearer", "DPoP", "", 1])
def test_row_6_an_id_or_refresh_token_is_no_access_token(target: Target, typ: Any) -> None:
    assert refused(target, target.craft(body=target.claims(typ=typ))) == "not-access-token"


@pytest.mark.parametrize("claim", ["at_hash", "c_hash", "s_hash"])
def test_row_6_the_hashes_of_an_id_token_give_it_away(target: Target, claim: str) -> None:
    for typ in ("Bearer", None):
        body = target.claims(typ=typ, **{claim: "x"})
        assert refused(target, target.craft(body=body)) == "not-access-token"


@pytest.mark.parametrize("typ", ["logout+jwt", "JOSE", "secevent+jwt", None, 1])
def test_row_6_a_token_of_another_kind_by_its_header_is_refused(target: Target, typ: Any) -> None:
    assert refused(target, target.craft(target.header(typ=typ))) == "type"


# Row 7


@pytest.mark.parametrize(
    ("claim", "shift", "reason"),
    [
        *(("exp", -31, "expired"), ("exp", -86_400, "expired")),
        *(("nbf", 35, "not-yet-valid"), ("iat", 35, "not-yet-valid")),
        ("nbf", 86_400, "not-yet-valid"),
    ],
)
def test_row_7_a_token_of_the_past_or_future_is_refused(
    target: Target, claim: str, shift: int, reason: str
) -> None:
    body = target.claims(**{claim: time.time() + shift})
    assert refused(target, target.craft(body=body)) == reason


@pytest.mark.parametrize(("claim", "shift"), [("exp", -29), ("nbf", 29), ("iat", 29)])
def test_row_7_clocks_may_differ_by_29_seconds(target: Target, claim: str, shift: int) -> None:
    codes = []
    for _ in range(3):  # within one second of the clock, which a busy machine may miss
        token = target.craft(body=target.claims(**{claim: time.time() + shift}))
        codes.append(target.ask("GET", "/api/v1/me", token=token).status_code)
    assert 200 in codes, codes


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        *(
            ("true", "times"),
            ("null", "times"),
            ('"4102444800"', "times"),
            ("[4102444800]", "times"),
        ),
        *(("{}", "times"), ("-1", "times"), ("1e300", "times"), ("1" + "0" * 400, "times")),
        *(("1e400", "malformed"), ("NaN", "malformed"), ("Infinity", "malformed")),
        *(
            ("-Infinity", "malformed"),
            ("1" + "0" * 4_400, "malformed"),
            ("04102444800", "malformed"),
        ),
    ],
)
def test_row_7_what_is_not_a_time_is_refused(target: Target, written: str, reason: str) -> None:
    for claim in ("exp", "nbf", "iat"):
        rest = json.dumps(target.claims(**{claim: None}))[1:]
        body = f'{{"{claim}": {written}, {rest}'.encode()
        assert refused(target, target.craft(body=body)) == reason, claim
    missing = target.craft(body=target.claims(exp=None))
    assert refused(target, missing) == "times"
    twice = json.dumps(target.claims())[:-1] + ', "exp": 4102444800}'
    assert refused(target, target.craft(body=twice.encode())) == "malformed"


# Beside the rows


def test_a_token_counts_in_one_authorization_header_only(target: Target) -> None:
    good = target.token()
    for fields in (
        [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {good}")],
        [("Authorization", f"Bearer {good}, Bearer {good}")],
        [("Authorization", f"Token {good}")],
        [("Authorization", f"Basic {good}")],
        [("Authorization", good)],
        [("Authorization", f"Bearer {good} x")],
        [("Authorization", "Bearer ")],
        [("Authorization", f"Bearer {good}{'=' * 9_000}")],
        [("Proxy-Authorization", f"Bearer {good}")],
        [("X-Authorization", f"Bearer {good}")],
        [("X-Forwarded-User", "root"), ("X-Forwarded-Access-Token", good)],
        [("Cookie", f"access_token={good}; Authorization=Bearer {good}")],
    ):
        for path in (AGENTS, f"{AGENTS}?access_token=x&token=y"):
            assert exchange(target.url, "GET", path, fields).status == 401, fields


def test_many_strange_tokens_are_refused_quickly(target: Target) -> None:
    forged = [
        target.craft({"alg": "RS256", "typ": "JWT", "kid": f"k{n}"}, b"{}", lambda _: b"x")
        for n in range(200)
    ]
    with undisturbed(target), within(20):
        for token in forged:
            answer = target.ask("GET", AGENTS, token=token)
            assert (answer.status_code, answer.json()["reason"]) == (401, "unknown-key")
