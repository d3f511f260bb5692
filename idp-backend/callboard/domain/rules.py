"""What an agent may be given in one installation; the same for every way of giving it.

Creating, acting, rolling back and adopting all ask here. Each function answers with findings
(none: it may be), so that a caller hears of everything at once.
"""

from collections.abc import Iterable
from decimal import Decimal

from callboard.domain.dataset import Dataset, DatasetProfile, DatasetState, Sensitivity, Severity
from callboard.domain.errors import Finding
from callboard.domain.money import written
from callboard.domain.site import Site


def may_use(team: str, dataset: Dataset) -> bool:
    """Restricted data is for agents of the team that owns it; all other data is for everybody.

    A restricted dataset without an owner belongs to the platform, which is no team.
    """
    return dataset.sensitivity is not Sensitivity.RESTRICTED or dataset.owner == team


def on_budget(budget: Decimal, site: Site, at: str) -> list[Finding]:
    limit = site.max_budget_usd
    if budget <= limit:
        return []
    return [Finding(at, f"must be at most {written(limit)} here", "over-limit", written(limit))]


def on_model(model: str, site: Site, at: str) -> list[Finding]:
    if site.model(model):
        return []
    offered = ", ".join(each.name for each in site.models)
    return [Finding(at, f"is not a model of this installation, which has {offered}", "unknown")]


def on_cluster(cluster: str, site: Site, at: str) -> list[Finding]:
    if cluster in site.clusters:
        return []
    offered = ", ".join(site.clusters)
    return [Finding(at, f"is not a cluster of this installation, which has {offered}", "unknown")]


def on_owner(team: str, dataset: Dataset | None, at: str) -> list[Finding]:
    """Whether an agent of this team may use the dataset, whatever state its file is in."""
    if dataset is None:
        # Nobody can tell any more whose data it is: refusing is the safe side.
        return [Finding(at, "cannot be checked: its dataset is not recorded any more", "unknown")]
    if may_use(team, dataset):
        return []
    whose = f"the team {dataset.owner}" if dataset.owner else "the platform"
    return [
        Finding(at, f"is restricted to agents of its owner, {whose}, not {team}", "not-permitted")
    ]


def on_dataset(team: str, dataset: Dataset | None, at: str) -> list[Finding]:
    """Whether an agent of this team may be built on the dataset now."""
    if dataset is None:
        return [
            Finding(
                at,
                "is not a dataset that is recorded here; the list of datasets shows those that are",
                "unknown",
            )
        ]
    findings = on_owner(team, dataset, at)
    if dataset.state is DatasetState.VALIDATING:
        findings.append(Finding(at, "is still being read; try again in a moment", "not-valid"))
    elif dataset.state is DatasetState.INVALID or dataset.version is None:
        errors = [issue for issue in dataset.issues if issue.severity is Severity.ERROR]
        why = f": {errors[0].message}" if errors else ""
        findings.append(Finding(at, f"is not valid{why}", "not-valid"))
    return findings


def on_version(
    team: str,
    dataset: Dataset | None,
    version: str | None,
    versions: Iterable[DatasetProfile],
    *,
    at: str,
    version_at: str,
) -> tuple[DatasetProfile | None, list[Finding]]:
    """The profile to build on, or what speaks against it.

    `version` None means the current one; `versions` are the earlier ones that can still be read.
    """
    findings = on_dataset(team, dataset, at)
    if dataset is None or findings:
        return None, findings
    if version in {None, dataset.version}:
        return dataset.profile(), []
    for each in versions:
        if each.name == dataset.name and each.version == version:
            return each, []
    return None, [Finding(version_at, "is not a version that can still be read", "not-readable")]
