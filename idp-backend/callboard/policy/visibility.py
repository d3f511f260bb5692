"""Which datasets exist for whom."""

from callboard.domain.dataset import Dataset, Sensitivity
from callboard.domain.identity import Permission, Principal, Scope


def visible(dataset: Dataset, principal: Principal) -> bool:
    """A restricted dataset exists only for its team and for those who read everything."""
    if principal.scope(Permission.DATASET_READ) is Scope.NONE:
        return False
    if dataset.sensitivity is not Sensitivity.RESTRICTED:
        return True
    return dataset.owner in principal.teams or principal.scope(Permission.AGENT_READ) is Scope.ALL
