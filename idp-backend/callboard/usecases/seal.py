"""The installation's key: what makes an operation id and a commit's trailers unforgeable.

Anybody who can push to the delivery repository can write trailers. Those that carry no valid
seal are somebody's prose: they close no operation and fill no idempotency memory.
"""

import hashlib
import hmac
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import rfc8785
import uuid_utils

from callboard.ports.git import Tree

OPERATION: Final = "Callboard-Operation"
ACTION: Final = "Callboard-Action"
AGENT: Final = "Callboard-Agent"
DATASET: Final = "Callboard-Dataset"
"""In place of the agent, where a dataset's record changes."""
OWNER: Final = "Callboard-Owner"
"""The team that owned it when this was done; a name may be another team's later."""
ACTOR: Final = "Callboard-Actor"
CONTENT: Final = "Callboard-Content"
"""What it left: `<path>@<id>` of the agent's folder or the dataset's record; `@none` for gone."""
PLAN: Final = "Callboard-Plan"
KEY: Final = "Idempotency-Key"
REQUEST_HASH: Final = "Request-Hash"
AUDIT_ID: Final = "Audit-Id"
SEAL: Final = "Callboard-Seal"
_MAC_HEX: Final = 20


def content(tree: Tree, path: str) -> str:
    """The value of `CONTENT` for a path of a tree."""
    return f"{path}@{tree.id_of(path) or 'none'}"


class Seal:
    """`key` is at least 32 bytes, the same for all replicas of an installation."""

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise ValueError("the installation key must have at least 32 bytes")
        self._key = key

    @property
    def mark(self) -> str:
        """What shows that two replicas have the same key, and does not tell it."""
        return self.sign({"of": "the installation's key"})

    def operation_id(self, replica: str) -> str:
        """A new `<replica>-<uuid7>-<mac>`."""
        body = f"{replica}-{uuid_utils.uuid7()}"
        return f"{body}-{self._mac(b'operation', body.encode())}"

    def owns(self, operation: str) -> bool:
        """Whether this installation made that operation id."""
        body, _, mac = operation.rpartition("-")
        return hmac.compare_digest(mac.encode(), self._mac(b"operation", body.encode()).encode())

    def replica_of(self, operation: str) -> str:
        """The replica named in an operation id: what stands before the uuid and the mac."""
        return operation.rsplit("-", 6)[0]

    def made_at(self, operation: str) -> datetime:
        """When an operation id of this installation was made, to the millisecond."""
        made = uuid.UUID("-".join(operation.rsplit("-", 6)[1:6]))
        return datetime.fromtimestamp((made.int >> 80) / 1_000, UTC)

    def sealed(self, trailers: Mapping[str, str]) -> dict[str, str]:
        """The trailers with their seal."""
        return {**trailers, SEAL: self._over(trailers)}

    def intact(self, trailers: Mapping[str, str]) -> bool:
        """Whether the trailers are as Callboard wrote them."""
        bare = {name: value for name, value in trailers.items() if name != SEAL}
        return OPERATION in bare and hmac.compare_digest(
            trailers.get(SEAL, "").encode(), self._over(bare).encode()
        )

    def sign(self, document: Mapping[str, Any]) -> str:
        """A seal over a JSON document that is kept where others can write too."""
        return self._mac(b"document", rfc8785.dumps(dict(document)))

    def signed(self, document: Mapping[str, Any], seal: str) -> bool:
        return hmac.compare_digest(seal.encode(), self.sign(document).encode())

    def _over(self, trailers: Mapping[str, str]) -> str:
        return self._mac(b"trailers", rfc8785.dumps(dict(trailers)))

    def _mac(self, purpose: bytes, data: bytes) -> str:
        return hmac.new(self._key, purpose + b"\0" + data, hashlib.sha256).hexdigest()[:_MAC_HEX]
