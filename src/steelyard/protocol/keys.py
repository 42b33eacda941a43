"""secp256k1 keys, addresses and 65-byte signatures (r ‖ s ‖ v with v = 27 or 28, low s only, EIP-2)."""

import secrets
from functools import lru_cache

from coincurve import PrivateKey, PublicKey

from steelyard.protocol.errors import Malformed, Refused
from steelyard.protocol.hashing import keccak256
from steelyard.protocol.units import Address

HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
ZERO_ADDRESS = Address("0x" + "0" * 40)


@lru_cache(maxsize=4096)
def checksum(address: str) -> Address:
    """EIP-55 spelling of a 0x-prefixed 20-byte hex address. Raises Malformed("address")."""
    body = address[2:].lower()
    if len(address) != 42 or not address.startswith("0x") or not all(c in "0123456789abcdef" for c in body):
        raise Malformed("address", f"not an address: {address!r:.60}")
    nibbles = keccak256(body.encode()).hex()
    return Address("0x" + "".join(c.upper() if int(n, 16) >= 8 else c for c, n in zip(body, nibbles, strict=False)))


def _address(public: PublicKey) -> Address:
    return checksum("0x" + keccak256(public.format(compressed=False)[1:])[12:].hex())


class Key:
    """A private key. Its repr never shows the secret."""

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != 32:
            raise Malformed("key.length", f"{len(secret)} bytes, not 32")
        try:
            self._key = PrivateKey(secret)
        except ValueError as error:
            raise Malformed("key.range", "not a secp256k1 secret") from error
        self.address: Address = _address(self._key.public_key)

    @classmethod
    def new(cls) -> "Key":
        """A fresh key from the system's generator."""
        return cls(secrets.token_bytes(32))

    @property
    def secret(self) -> bytes:
        """32 bytes; for keystores and for the chain's transaction signer only."""
        return bytes(self._key.secret)

    def sign(self, digest: bytes) -> bytes:
        """Signs a 32-byte digest: 65 bytes, deterministic (RFC 6979), low s."""
        raw: bytes = self._key.sign_recoverable(digest, hasher=None)
        return raw[:64] + bytes([raw[64] + 27])

    def __repr__(self) -> str:
        return f"Key({self.address})"


def recover(digest: bytes, signature: bytes) -> Address:
    """The address that signed the 32-byte digest. Raises Refused("signature")."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise Refused("signature", f"{len(signature)} bytes, v {signature[64] if len(signature) == 65 else '?'}")
    if int.from_bytes(signature[32:64], "big") > HALF_ORDER:
        raise Refused("signature", "high s: the malleable twin of a signature")
    try:
        public = PublicKey.from_signature_and_message(signature[:64] + bytes([signature[64] - 27]), digest, hasher=None)
    except (ValueError, Exception) as error:
        raise Refused("signature", "recovers no key") from error
    return _address(public)


def require_signer(digest: bytes, signature: bytes, expected: Address, what: str) -> None:
    """Raises Refused("signature") unless `expected` signed the digest."""
    signer = recover(digest, signature)
    if signer != expected:
        raise Refused("signature", f"{what} signed by {signer}, not by {expected}")
