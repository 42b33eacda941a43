"""The two hash functions: SHA-256 for trees (precompile there, hardware here), Keccak-256 for EIP-712."""

import hashlib
import hmac

from Crypto.Hash import keccak as _keccak

ZERO32 = bytes(32)


def sha256(*parts: bytes) -> bytes:
    """SHA-256 of the concatenated parts, 32 bytes."""
    return hashlib.sha256(b"".join(parts)).digest()


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it (not SHA3-256), 32 bytes."""
    digest: bytes = _keccak.new(digest_bits=256, data=data).digest()
    return digest


def prf(key: bytes, label: bytes, index: int) -> bytes:
    """HMAC-SHA256(key, label ‖ index as 8 bytes big-endian), 32 bytes: one secret gives one salt per leaf."""
    return hmac.new(key, label + index.to_bytes(8, "big"), hashlib.sha256).digest()
