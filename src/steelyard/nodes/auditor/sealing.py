"""A package for a jury's eyes only (rule M9): one fresh key locks it, and each juror's key locks that key.

XSalsa20-Poly1305 (NaCl secretbox) for the body, an X25519 sealed box of 80 bytes per juror for its key. The body is
padded, so that its length says little about the prompt. Nothing here proves what is inside: jurors check roots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import nacl.exceptions
import nacl.public
import nacl.secret
import nacl.utils

from steelyard.protocol.errors import Refused
from steelyard.protocol.hashing import sha256

KEY_LABEL: Final = b"steelyard/encryption"
MAX_SEALED: Final = 64 << 10  # = 65,536 bytes: MAX_CIPHERTEXT of contracts/Rulings.vy
WRAPPED: Final = 80  # bytes: 32 of an ephemeral key, 16 of a tag, 32 of the body's key
OVERHEAD: Final = 24 + 16  # nonce and tag of the body
SMALLEST: Final = 1 << 10  # bytes of the smallest padded body


@dataclass(frozen=True, slots=True)
class Sealed:
    """What an opener posts."""

    ciphertext: bytes
    """Nonce, tag and padded body; at most MAX_SEALED bytes."""
    wrapped: tuple[bytes, ...]
    """One per juror, in the order of the seats, WRAPPED bytes each."""


def encryption_key(secret: bytes) -> nacl.public.PrivateKey:
    """The X25519 key that goes with an auditor's secp256k1 secret (32 bytes), so that one key file is all to keep."""
    return nacl.public.PrivateKey(sha256(KEY_LABEL, secret))


def public_key(secret: bytes) -> bytes:
    """What an auditor registers: 32 bytes."""
    return bytes(encryption_key(secret).public_key)


def seal(body: bytes, jurors: Sequence[bytes]) -> Sealed:
    """Seals `body` to the jurors' X25519 keys (32 bytes each). Raises Refused("case.too-large").

    A registered key that is no key gets noise: that juror cannot read, which is its own doing and stops nobody."""
    padded = pad(body)
    if len(padded) + OVERHEAD > MAX_SEALED:
        raise Refused("case.too-large", f"{len(padded) + OVERHEAD} bytes sealed, at most {MAX_SEALED}")
    key = nacl.utils.random(nacl.secret.SecretBox.KEY_SIZE)
    return Sealed(bytes(nacl.secret.SecretBox(key).encrypt(padded)), tuple(_wrap(key, juror) for juror in jurors))


def unseal(ciphertext: bytes, wrapped: bytes, secret: bytes) -> bytes:
    """The body, by a juror's secp256k1 secret. Raises Refused("case.not-opened") if it does not open."""
    try:
        key = nacl.public.SealedBox(encryption_key(secret)).decrypt(wrapped)
        return unpad(nacl.secret.SecretBox(key).decrypt(ciphertext))
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise Refused("case.not-opened", f"{len(ciphertext)} bytes: {type(error).__name__} {error}") from error


def pad(body: bytes) -> bytes:
    """Length (4 bytes, little-endian) ‖ body ‖ zeros, up to a length that keeps 3 bits of what it was: at most one
    eighth is padding, and one of eight lengths in each doubling is all that shows."""
    size = max(SMALLEST, 4 + len(body))
    step = 1 << max(0, size.bit_length() - 4)
    most = max(size, MAX_SEALED - OVERHEAD)  # no padding makes a body too large that is not
    return (len(body).to_bytes(4, "little") + body).ljust(min(most, -(-size // step) * step), b"\0")


def unpad(padded: bytes) -> bytes:
    """Inverse of `pad`. Raises ValueError."""
    size = int.from_bytes(padded[:4], "little")
    body = padded[4 : 4 + size]
    if len(padded) < 4 or len(body) != size or any(padded[4 + size :]):
        raise ValueError("padding")
    return body


def _wrap(key: bytes, juror: bytes) -> bytes:
    try:
        return bytes(nacl.public.SealedBox(nacl.public.PublicKey(juror)).encrypt(key))
    except (nacl.exceptions.CryptoError, ValueError):
        return nacl.utils.random(WRAPPED)
