"""Where the market is and who asks: the options that several commands share, and how a secret gets in."""

import os
import sys
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from steelyard.protocol.errors import Malformed, Refused
from steelyard.protocol.units import MICRO, MicroToken

if TYPE_CHECKING:
    from steelyard.market.onchain import OnchainLedger
    from steelyard.protocol.keys import Key

Password = Annotated[
    Path | None,
    Parameter(name="--password-file", env_var="STEELYARD_PASSWORD_FILE", help="Whose first line opens the wallet."),
]
"""Or $STEELYARD_PASSWORD, or a prompt: never an argument, which every process on the machine can read."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Place:
    """Where the market is."""

    rpc: Annotated[str, Parameter(env_var="STEELYARD_RPC", help="JSON-RPC endpoint of the chain.")] = (
        "http://127.0.0.1:8545"
    )
    deployment: Annotated[
        Path, Parameter(env_var="STEELYARD_DEPLOYMENT", help="File with the contracts' addresses.")
    ] = Path("deployment.json")

    def ledger(self, key: "Key | None" = None) -> "OnchainLedger":
        """The market on its chain; with a key it can send."""
        from steelyard.chain.deploy import Deployment
        from steelyard.market.onchain import connect

        return connect(self.rpc, Deployment.load(self.deployment), key)


HERE = Place()


def password(file: Path | None, confirm: bool = False) -> str:
    """From --password-file, $STEELYARD_PASSWORD or a prompt. Raises Refused("wallet.password")."""
    if file is not None:
        try:
            return file.read_text().split("\n", 1)[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused("wallet.password", f"{file}: {error}") from error
    told = os.environ.get("STEELYARD_PASSWORD")
    if told is not None:
        return told
    if not sys.stdin.isatty():
        raise Refused("wallet.password", "no terminal to ask at: set STEELYARD_PASSWORD, or use --password-file")
    from getpass import getpass

    told = getpass("password: ")
    if confirm and getpass("again: ") != told:
        raise Refused("wallet.password", "the two differ")
    return told


def unlock(name: str, file: Path | None) -> "Key":
    """A key of the keystore."""
    from steelyard.chain.keystore import Keystore

    store = Keystore()
    store.entry(name)  # says that there is no such wallet before it asks for a password
    return store.unlock(name, password(file))


def micro(amount: str) -> MicroToken:
    """Tokens as people write them, exactly: 1.5 -> 1500000. Raises Malformed("amount")."""
    try:
        value = Decimal(amount) * MICRO
    except InvalidOperation as error:
        raise Malformed("amount", f"{amount[:40]!r} is no number of tokens") from error
    if not value.is_finite() or value < 0 or value != value.to_integral_value() or value >= 1 << 128:
        raise Malformed(
            "amount", f"{amount[:40]!r}: at least 0, below 2**128 micro-tokens, at most 6 digits behind the point"
        )
    return MicroToken(int(value))


def digest(text: str, what: str) -> bytes:
    """0x and 64 hex digits. Raises Malformed("record.hex")."""
    from steelyard.protocol.eip712 import read_hex

    return read_hex(what, text.lower() if text.startswith("0x") else f"0x{text.lower()}", 32)
