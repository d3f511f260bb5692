"""What never leaves this machine."""

from ipaddress import ip_address

from callboard.domain.errors import Finding, Invalid


def is_loopback(host: str) -> bool:
    """Whether the text is an address of this machine alone; `localhost` counts, names do not."""
    if host == "localhost":
        return True
    if "%" in host:
        return False  # an address with a scope has no place in a URL
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def refuse_non_loopback(host: str) -> None:
    """Raise `Invalid` for a bind address that others could reach."""
    if is_loopback(host):
        return
    says = (
        f"The embedded issuer signs in whoever can read its key file, so it serves this machine "
        f"only: bind to 127.0.0.1, or set CALLBOARD_OIDC_ISSUER to serve on {host or '(all)'}"
    )
    raise Invalid(says, Finding("/host", "must be a loopback address", code="not-loopback"))


def url_host(host: str) -> str:
    """The host as it stands in a URL; `localhost` is pinned to one address family."""
    if host == "localhost":
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
