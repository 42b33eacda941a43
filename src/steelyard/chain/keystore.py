"""Keys at rest: one file a key, encrypted by a password, in the format that Ethereum's tools read.

Format: Web3 Secret Storage, version 3: scrypt derives 32 bytes from the password; the first 16 encrypt the secret
(AES-128-CTR), the last 16 authenticate it (Keccak-256). By hand, since eth-account's reader loads a pairing library
that raises Python's recursion limit for the whole process, after which a deeply nested JSON body would end it.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from Crypto.Cipher import AES
from platformdirs import user_data_dir

from steelyard.protocol.errors import Malformed, Refused
from steelyard.protocol.hashing import keccak256
from steelyard.protocol.keys import Key, checksum
from steelyard.protocol.units import Address

ENVIRONMENT = "STEELYARD_WALLETS"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 18, 8, 1  # 128 · n · r = 256 MiB: half a second here, dear for whoever guesses
MOST_MEMORY = 1 << 30  # bytes that somebody else's file may make scrypt take


@dataclass(frozen=True, slots=True)
class Entry:
    """A key as the folder shows it without a password."""

    name: str
    address: Address
    file: Path


class Keystore:
    """A folder of keyfiles, readable by its owner only."""

    def __init__(self, folder: Path | None = None, scrypt_n: int = SCRYPT_N) -> None:
        """`folder`: $STEELYARD_WALLETS, else in the user's data. `scrypt_n`: a power of two; less only for tests."""
        chosen = os.environ.get(ENVIRONMENT)
        self.folder = folder or (Path(chosen) if chosen else Path(user_data_dir("steelyard")) / "wallets")
        self.scrypt_n = scrypt_n

    def add(self, name: str, key: Key, password: str) -> Entry:
        """Writes a new file, never over another. Raises Refused: `wallet.exists`, `wallet.name`, `wallet.password`."""
        file = self._file(name)
        if not password:
            raise Refused("wallet.password", "0 characters: a key at rest is encrypted, at least 1")
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        body = encrypt(key, password, self.scrypt_n)
        try:
            handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError as error:
            raise Refused("wallet.exists", f"{name} is at {file}; choose another name") from error
        with os.fdopen(handle, "w") as out:
            json.dump(body, out, indent=1)
            out.flush()
            os.fsync(out.fileno())
        return Entry(name, key.address, file)

    def entries(self) -> list[Entry]:
        """Every key, by name. Raises Malformed("wallet.file")."""
        return [self.entry(name) for name in self._names()]

    def entry(self, name: str) -> Entry:
        """One key. Raises Refused("wallet.unknown"), Malformed("wallet.file")."""
        return Entry(name, _address(self._read(name)), self._file(name))

    def unlock(self, name: str, password: str) -> Key:
        """The key. Raises Refused: `wallet.password`, `wallet.unknown`; Malformed("wallet.file")."""
        body = self._read(name)
        key = decrypt(body, password)
        if key.address != _address(body):
            raise Malformed("wallet.file", f"{self._file(name)} says {_address(body)} and holds {key.address}")
        return key

    def _names(self) -> list[str]:
        found = (path.stem for path in self.folder.glob("*.json")) if self.folder.is_dir() else ()
        return sorted(name for name in found if NAME.fullmatch(name))

    def _file(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise Refused("wallet.name", f"{name[:60]!r}: a-z 0-9 _ - and at most 40 of them")
        return self.folder / f"{name}.json"

    def _read(self, name: str) -> dict[str, Any]:
        file = self._file(name)
        try:
            body = json.loads(file.read_text())
        except FileNotFoundError as error:
            told = f"{name!r} is none of {self._names()[:20]} in {self.folder}; `steelyard wallet new {name}` makes it"
            raise Refused("wallet.unknown", told) from error
        except (OSError, ValueError, RecursionError) as error:
            raise Malformed("wallet.file", f"{file}: {error}") from error
        if not isinstance(body, dict):
            raise Malformed("wallet.file", f"{file} is no JSON object")
        return body


def encrypt(key: Key, password: str, scrypt_n: int = SCRYPT_N) -> dict[str, Any]:
    """A version 3 keyfile."""
    salt, start = secrets.token_bytes(32), secrets.token_bytes(16)
    derived = _scrypt(password, salt, scrypt_n, SCRYPT_R, SCRYPT_P)
    hidden = _aes(derived[:16], start, key.secret)
    return {
        "version": 3,
        "id": str(uuid.UUID(bytes=secrets.token_bytes(16), version=4)),
        "address": key.address[2:].lower(),
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": start.hex()},
            "ciphertext": hidden.hex(),
            "kdf": "scrypt",
            "kdfparams": {"dklen": 32, "n": scrypt_n, "r": SCRYPT_R, "p": SCRYPT_P, "salt": salt.hex()},
            "mac": keccak256(derived[16:] + hidden).hex(),
        },
    }


def decrypt(body: dict[str, Any], password: str) -> Key:
    """Raises Refused("wallet.password"), Malformed("wallet.file") for what is no keyfile of version 3 with scrypt."""
    try:
        crypto = body["crypto"]
        how = crypto["kdfparams"]
        told = (body["version"], crypto["cipher"], crypto["kdf"], how["dklen"])
        salt, hidden = bytes.fromhex(how["salt"]), bytes.fromhex(crypto["ciphertext"])
        start, mac = bytes.fromhex(crypto["cipherparams"]["iv"]), bytes.fromhex(crypto["mac"])
        n, r, p = int(how["n"]), int(how["r"]), int(how["p"])
    except (KeyError, TypeError, ValueError) as error:
        raise Malformed("wallet.file", f"no keyfile: {type(error).__name__} {error}") from error
    if told != (3, "aes-128-ctr", "scrypt", 32):
        raise Malformed("wallet.file", f"{told!r:.120}: version 3, aes-128-ctr, scrypt and 32 bytes are known")
    if min(n, r, p) < 1 or 128 * n * r * p > MOST_MEMORY or len(start) != 16:
        raise Malformed("wallet.file", f"scrypt must take at least 128 and at most {MOST_MEMORY} bytes, the IV 16")
    derived = _scrypt(password, salt, n, r, p)
    if not hmac.compare_digest(keccak256(derived[16:] + hidden), mac):
        raise Refused("wallet.password", "does not open this wallet")
    return Key(_aes(derived[:16], start, hidden))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    try:
        return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=2**31 - 1, dklen=32)
    except (ValueError, MemoryError) as error:
        raise Malformed("wallet.file", f"scrypt n {n}, r {r}, p {p}: {error}") from error


def _aes(key: bytes, start: bytes, data: bytes) -> bytes:
    return AES.new(key, AES.MODE_CTR, initial_value=start, nonce=b"").encrypt(data)


def _address(body: dict[str, Any]) -> Address:
    told = str(body.get("address", ""))
    return checksum(told if told.startswith("0x") else f"0x{told}")
