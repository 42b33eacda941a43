"""Keys at rest: one file a key, encrypted by a password (keyfile version 3 with scrypt: Ethereum's tools read it)."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_data_dir

from steelyard.protocol.errors import Malformed, Refused
from steelyard.protocol.keys import Key, checksum
from steelyard.protocol.units import Address

ENVIRONMENT = "STEELYARD_WALLETS"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
SCRYPT_N = 1 << 18  # = 262,144 rounds, 256 MiB: half a second here, dear for whoever guesses


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
        from eth_account import Account

        file = self._file(name)
        if not password:
            raise Refused("wallet.password", "0 characters: a key at rest is encrypted, at least 1")
        body = Account.encrypt(key.secret, password, kdf="scrypt", iterations=self.scrypt_n)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
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
        names = sorted(path.stem for path in self.folder.glob("*.json")) if self.folder.is_dir() else []
        return [self.entry(name) for name in names if NAME.fullmatch(name)]

    def entry(self, name: str) -> Entry:
        """One key. Raises Refused("wallet.unknown"), Malformed("wallet.file")."""
        file = self._file(name)
        return Entry(name, _address(_read(file, self.folder)), file)

    def unlock(self, name: str, password: str) -> Key:
        """The key. Raises Refused: `wallet.password`, `wallet.unknown`; Malformed("wallet.file")."""
        from eth_account import Account

        file = self._file(name)
        body = _read(file, self.folder)
        try:
            secret = bytes(Account.decrypt(body, password))
        except ValueError as error:
            raise Refused("wallet.password", f"does not open {file}: {error}") from error
        except (KeyError, TypeError, NotImplementedError) as error:
            raise Malformed("wallet.file", f"{file}: {type(error).__name__} {error}") from error
        key = Key(secret)
        if key.address != _address(body):
            raise Malformed("wallet.file", f"{file} says {_address(body)} and holds {key.address}")
        return key

    def _file(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise Refused("wallet.name", f"{name[:60]!r}: a-z 0-9 _ - and at most 40 of them")
        return self.folder / f"{name}.json"


def _read(file: Path, folder: Path) -> dict[str, object]:
    try:
        body = json.loads(file.read_text())
    except FileNotFoundError as error:
        names = sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []
        raise Refused("wallet.unknown", f"{file.stem!r} is none of {names[:20]} in {folder}") from error
    except (OSError, ValueError) as error:
        raise Malformed("wallet.file", f"{file}: {error}") from error
    if not isinstance(body, dict):
        raise Malformed("wallet.file", f"{file} is no JSON object")
    return body


def _address(body: dict[str, object]) -> Address:
    told = str(body.get("address", ""))
    return checksum(told if told.startswith("0x") else f"0x{told}")
