"""Ed25519 keys as PEM files: PKCS 8 for the private one, SubjectPublicKeyInfo for verifiers."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from loguru import logger

from callboard.adapters.local.private_file import create_private, read_private, replace_private
from callboard.domain.errors import Invalid

PUBLIC_FILE: Final = "checkpoint.pub"
"""In the data directory: every public key that signed from there, the newest last."""
_PRIVATE_FILE: Final = "checkpoint.key"
_PEM: Final = re.compile(rb"-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----\n?")


class PublicKeys:
    """Who may have signed."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys: Mapping[str, Ed25519PublicKey] = {id_of(key): key for key in keys}

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def ids(self) -> list[str]:
        return sorted(self._keys)

    def is_genuine(self, key: str, data: bytes, signature: bytes) -> bool | None:
        """None for a key that is not one of these."""
        known = self._keys.get(key)
        if known is None:
            return None
        try:
            known.verify(signature, data)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """Implements `ports.checkpoints.Signer`."""

    def __init__(
        self, private: Ed25519PrivateKey, earlier: Iterable[Ed25519PublicKey] = ()
    ) -> None:
        self._private = private
        own = private.public_key()
        self._known = PublicKeys([own, *earlier])
        self.key: Final = id_of(own)
        self.public: Final = pem_of(own)

    def sign(self, data: bytes) -> bytes:
        return self._private.sign(data)

    def is_genuine(self, key: str, data: bytes, signature: bytes) -> bool | None:
        return self._known.is_genuine(key, data, signature)


def open_signing_key(home: Path, file: Path | None) -> SigningKey:
    """The private key of `file`, or the one in `home`, which is made where there is none.

    Its public half is added to `PUBLIC_FILE` in `home`. Raise `Invalid` for a file that is no
    Ed25519 key, or that others than its owner (a given one: than its group) can read.
    """
    if file is None:
        path = home / _PRIVATE_FILE
        if not path.exists():
            create_private(path, _private_pem(Ed25519PrivateKey.generate()))
        body = read_private(path)
    else:
        path = file
        body = _read_given(file)
    try:
        private = load_pem_private_key(body, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise Invalid(f"{path} holds no Ed25519 private key (PEM, PKCS 8, not encrypted)")
    known = read_public(home / PUBLIC_FILE) if (home / PUBLIC_FILE).exists() else []
    own = private.public_key()
    if id_of(own) not in {id_of(key) for key in known}:
        body = "".join(pem_of(key) for key in (*known, own)).encode()
        try:
            replace_private(home / PUBLIC_FILE, body)
        except OSError as error:  # a full disk keeps nobody from starting
            logger.warning("{} cannot be written: {}", home / PUBLIC_FILE, error.strerror)
    return SigningKey(private, known)


def read_public(path: Path) -> list[Ed25519PublicKey]:
    """The keys of a file, one or several PEM blocks. Raise `Invalid` where there is none."""
    try:
        blocks = _PEM.findall(path.read_bytes())
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from None
    keys = []
    for block in blocks:
        with suppress(ValueError, UnsupportedAlgorithm):
            key = load_pem_public_key(block)
            if isinstance(key, Ed25519PublicKey):
                keys.append(key)
    if not keys or len(keys) != len(blocks):
        raise Invalid(f"{path} must hold Ed25519 public keys (PEM), and nothing else")
    return keys


def id_of(key: Ed25519PublicKey) -> str:
    return sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def pem_of(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _private_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read_given(path: Path) -> bytes:
    """A mounted secret belongs to root and may be its group's to read, but nobody else's."""
    try:
        if path.stat().st_mode & 0o007:
            raise Invalid(f"{path} is open to everybody on this machine; set its mode to 0640")
        return path.read_bytes()
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}") from None
