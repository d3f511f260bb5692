"""The OAuth 2.0 device flow (RFC 8628) with PKCE, and refreshing what it gave."""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from callboard.cli.client import is_loopback
from callboard.cli.failure import Failure
from callboard.cli.store import Kept

if TYPE_CHECKING:
    import httpx

GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
SCOPE: Final = "openid"
_INTERVAL: Final = 5.0
"""Seconds between two questions where the issuer names none (RFC 8628, 3.2)."""
_SLOWER: Final = 5.0
_ENDED: Final = {
    "access_denied": "the sign-in was refused",
    "expired_token": "the code was not entered in time",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the person has to do: open `uri` and enter `code` (`complete` holds both)."""

    uri: str
    code: str
    complete: str | None
    expires_in: float


def sign_in(
    issuer: str,
    client_id: str,
    *,
    show: Callable[[Asked], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Kept:
    """Run the flow to its end. Raise `Failure` when the issuer or the person refuses."""
    with _http(issuer) as http:
        endpoints = _discover(http, issuer)
        at = endpoints.get("device_authorization_endpoint")
        if not at:
            raise Failure(
                f"the issuer {issuer} offers no device flow",
                hints=["of the embedded issuer take: callboard token --user NAME"],
            )
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
        started = _form(
            http,
            at,
            client_id=client_id,
            scope=SCOPE,
            code_challenge=challenge.rstrip(b"=").decode(),
            code_challenge_method="S256",
        )
        asked = _asked(started, issuer)
        show(asked)
        pause = float(started.get("interval") or _INTERVAL)
        deadline = time.monotonic() + asked.expires_in
        while time.monotonic() < deadline:
            sleep(pause)
            answer = _form(
                http,
                endpoints["token_endpoint"],
                grant_type=GRANT,
                client_id=client_id,
                device_code=str(started["device_code"]),
                code_verifier=verifier,
            )
            match answer.get("error"):
                case None:
                    return _kept(issuer, client_id, answer)
                case "authorization_pending":
                    continue
                case "slow_down":
                    pause += _SLOWER
                case code:
                    raise Failure(_ENDED.get(str(code)) or _says(issuer, answer))
    raise Failure(_ENDED["expired_token"], hints=["callboard login"])


def refresh(kept: Kept) -> Kept:
    """The sign-in with a fresh access token. Raise `Failure` when it has ended."""
    hints = ["sign in again: callboard login"]
    if not kept.refresh_token:
        raise Failure("the sign-in has expired", hints=hints)
    with _http(kept.issuer) as http:
        endpoints = _discover(http, kept.issuer)
        answer = _form(
            http,
            endpoints["token_endpoint"],
            grant_type="refresh_token",
            client_id=kept.client_id,
            refresh_token=kept.refresh_token,
        )
    if "error" in answer:
        raise Failure(f"the sign-in has ended: {_says(kept.issuer, answer)}", hints=hints)
    return _kept(kept.issuer, kept.client_id, {"refresh_token": kept.refresh_token, **answer})


def revoke(kept: Kept) -> bool:
    """Tell the issuer that the sign-in is over (RFC 7009); False when it cannot be told."""
    if not kept.refresh_token:
        return False
    try:
        with _http(kept.issuer) as http:
            if not (at := _discover(http, kept.issuer).get("revocation_endpoint")):
                return False
            answer = _form(
                http,
                at,
                client_id=kept.client_id,
                token=kept.refresh_token,
                token_type_hint="refresh_token",  # noqa: S106 - the standard's word
            )
    except Failure:
        return False
    return "error" not in answer


def _http(issuer: str) -> "httpx.Client":
    import httpx

    return httpx.Client(timeout=10, trust_env=not is_loopback(issuer), follow_redirects=False)


def _discover(http: "httpx.Client", issuer: str) -> Mapping[str, str]:
    """The issuer's endpoints (OpenID Connect Discovery); none of them in clear text over a net."""
    found = _sent(
        issuer, lambda: http.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    )
    if found.get("issuer") != issuer:
        raise Failure(
            f"the issuer at {issuer} calls itself {found.get('issuer')!r}",
            hints=["name it exactly as it does, to the last slash"],
        )
    wanted = ("device_authorization_endpoint", "token_endpoint", "revocation_endpoint")
    endpoints = {name: found[name] for name in wanted if isinstance(found.get(name), str)}
    for at in (issuer, *endpoints.values()):
        if not at.startswith("https://") and not (at.startswith("http://") and is_loopback(at)):
            raise Failure(f"{at} is not https: tokens would cross the network in clear text")
    return endpoints


def _form(http: "httpx.Client", url: str, **fields: str) -> dict[str, Any]:
    return _sent(url, lambda: http.post(url, data=fields))


def _sent(url: str, send: Callable[[], "httpx.Response"]) -> dict[str, Any]:
    """The JSON object of the answer; an OAuth error is one too, anything else a `Failure`."""
    import httpx

    try:
        response = send()
    except httpx.HTTPError as error:
        raise Failure(f"no answer from {url}: {str(error) or type(error).__name__}") from None
    if response.is_success and not response.content:
        return {}
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or not (response.is_success or "error" in body):
        raise Failure(
            f"{url} did not answer as an issuer does (HTTP {response.status_code})",
            hints=["check --issuer or CALLBOARD_OIDC_ISSUER"],
        )
    return body


def _asked(started: Mapping[str, Any], issuer: str) -> Asked:
    if "error" in started:
        raise Failure(_says(issuer, started))
    if not all(
        isinstance(started.get(field), str)
        for field in ("device_code", "user_code", "verification_uri")
    ):
        raise Failure(f"{issuer} did not answer as RFC 8628 says")
    complete = started.get("verification_uri_complete")
    return Asked(
        uri=started["verification_uri"],
        code=started["user_code"],
        complete=complete if isinstance(complete, str) else None,
        expires_in=float(started.get("expires_in") or 600),
    )


def _kept(issuer: str, client_id: str, answer: Mapping[str, Any]) -> Kept:
    token = answer.get("access_token")
    if not isinstance(token, str) or token == "":
        raise Failure(f"{issuer} gave no access token")
    refresh_token = answer.get("refresh_token")
    return Kept(
        issuer=issuer,
        client_id=client_id,
        access_token=token,
        refresh_token=refresh_token if isinstance(refresh_token, str) else "",
        expires_at=time.time() + float(answer.get("expires_in") or 60),
    )


def _says(issuer: str, answer: Mapping[str, Any]) -> str:
    about = answer.get("error_description") or answer.get("error") or "without a reason"
    return f"{issuer} says: {about}"
