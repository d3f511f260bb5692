"""Names, checked against every place that they end up in.

An agent's name becomes a namespace (`agent-<name>`, 63), a DNS label of the chat's host, a
Kubernetes label, a Google service-account id (`agent-<name>`, 6 to 30), a bucket
(`<prefix>-agent-<name>`, 63, without the word google), a Backstage entity and a Git path. The
narrowest of these decides; `tests/unit/test_names.py` has one case for each.
"""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

from callboard.domain.values import fullmatch

AGENT_NAME_MAX: Final = 24
"""30 characters of a Google service-account id less `agent-`."""

BUCKET_PREFIX_MAX: Final = 63 - len("-agent-") - AGENT_NAME_MAX
"""What remains of a bucket's 63 characters for the installation's prefix: 32."""

RESERVED: Final = frozenset(
    {
        *("agent", "agents", "api", "argo-cd", "argocd", "audit"),
        *("backstage", "callboard", "catalog", "cert-manager", "chat", "cluster"),
        *("crossplane", "crossplane-system", "dashboard", "dashboards", "dataset", "datasets"),
        *("default", "false", "gateway", "gitea", "grafana", "ingress-nginx"),
        *("istio-system", "keycloak", "kube", "kube-node-lease", "kube-public", "kube-system"),
        *("kyverno", "localhost", "loki", "manifests", "me", "metrics"),
        *("monitoring", "null", "operations", "planner", "platform", "platform-admin"),
        *("prometheus", "root", "sandbox", "system", "true", "undefined"),
        *("vault", "worker", "www"),
    }
)

_LABEL: Final = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_GOOGLE: Final = re.compile(r"g[o0][o0]g[l1]e")
_LABEL_SAYS: Final = (
    "must be a DNS label: lower-case letters, digits and -, starting with a letter and ending "
    "with a letter or digit"
)


def bucketable(text: str) -> str:
    """Return the text unchanged, or refuse what no bucket's name may have in it."""
    if _GOOGLE.search(text) or text.startswith("goog"):
        raise ValueError("must not contain google: no bucket of that name could be made")
    return text


def _unreserved(name: str) -> str:
    if name in RESERVED or name.startswith(("kube-", "agent-", "xn--")):
        raise ValueError("is reserved for the platform")
    if name[2:4] == "--":
        raise ValueError("must not have -- as its third and fourth character: such hosts are IDNA")
    return name


AgentName = Annotated[
    str,
    StringConstraints(strict=True, min_length=2, max_length=AGENT_NAME_MAX),
    fullmatch(_LABEL, _LABEL_SAYS),
    AfterValidator(_unreserved),
    AfterValidator(bucketable),
]
"""2 to 24 characters, a DNS label, not reserved."""

DatasetName = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=63),
    fullmatch(
        r"[a-z0-9]([-a-z0-9]*[a-z0-9])?",
        "must be a DNS label: lower-case letters, digits and - inside",
    ),
]
"""A DNS label of up to 63 characters (RFC 1123: may begin with a digit)."""

TeamName = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=63),
    fullmatch(_LABEL, _LABEL_SAYS),
]
"""A Keycloak group at the top level, without its leading slash."""

ModelName = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=100),
    fullmatch(r"[a-z0-9]([-a-z0-9._/]*[a-z0-9])?", "must be the name of a model"),
]
Revision = Annotated[
    str,
    StringConstraints(strict=True),
    fullmatch(r"[0-9a-f]{40}", "must be a full commit id: 40 lower-case hexadecimal digits"),
]


def namespace(agent: str) -> str:
    """The agent's Kubernetes namespace."""
    return f"agent-{agent}"
