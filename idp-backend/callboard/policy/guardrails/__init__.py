"""What no manifest may ever be, checked on everything that is about to be committed.

The pipeline is written to keep these rules. They are stated here a second time, from the
objects alone and without its help, so that a mistake there is refused instead of delivered.
Whatever is not on a list of allowed things is denied, and so is what a rule cannot make sense of.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from callboard.domain.agent import Agent
from callboard.domain.plan import PolicyResult
from callboard.domain.site import Site
from callboard.policy.guardrails import access, network, objects, pods
from callboard.policy.guardrails.rendered import Rendered

__all__ = ["POLICY", "RULES", "check"]

POLICY: Final = "guardrails"
_SHOWN: Final = 3

RULES: Final[dict[str, Callable[[Rendered], Iterator[str]]]] = {
    "no-secret": objects.no_secret,
    "allowed-kinds": objects.allowed_kinds,
    "own-namespace": objects.own_namespace,
    "restricted-namespace": objects.restricted_namespace,
    "valid-names": objects.valid_names,
    "holds-stop": objects.holds_stop,
    "budget-stated": objects.budget_stated,
    "pinned-images": pods.pinned_images,
    "hardened-pods": pods.hardened_pods,
    "bounded-pods": pods.bounded_pods,
    "no-credentials-in-pods": pods.no_credentials,
    "own-bucket": access.own_bucket,
    "bucket-only-iam": access.bucket_only_iam,
    "own-account": access.own_account,
    "narrow-rbac": access.narrow_rbac,
    "default-deny": network.default_deny,
    "closed-network": network.closed_network,
    "login-required": network.login_required,
}
"""Each rule yields what breaks it: `Kind/name what is wrong`."""


def check(
    manifests: Sequence[dict[str, Any]], agent: Agent, site: Site
) -> tuple[PolicyResult, ...]:
    """One result for each rule, in the order of `RULES`; takes a fraction of a millisecond."""
    rendered = Rendered(manifests, agent, site)
    return tuple(_result(name, rule, rendered) for name, rule in RULES.items())


def _result(
    name: str, rule: Callable[[Rendered], Iterator[str]], rendered: Rendered
) -> PolicyResult:
    try:
        broken = list(islice(rule(rendered), _SHOWN))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        broken = ["an object does not have the form that the rule can judge"]
    if not broken:
        return PolicyResult(policy=POLICY, rule=name, result="pass")
    return PolicyResult(policy=POLICY, rule=name, result="fail", message="; ".join(broken))
