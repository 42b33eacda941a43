"""`steelyard wallet`: keys encrypted at rest, and the money of a channel's owner."""

import secrets
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from steelyard.cli import place, screen
from steelyard.cli.place import HERE, Password, Place
from steelyard.protocol.errors import Malformed, Refused
from steelyard.protocol.units import Address, MicroToken, Timestamp

if TYPE_CHECKING:
    from steelyard.market.channels import Owner

app = App(name="wallet", help="Keys encrypted at rest; the money of a channel's owner. Amounts are tokens.")
By = Annotated[str, Parameter(name="--wallet", help="Whose key sends.")]
DAY = 86_400


def _owner(name: str, where: Place, file: Password) -> "Owner":
    from steelyard.market.channels import Owner

    return Owner(where.ledger(place.unlock(name, file)))


@app.command
def new(name: str = "owner", /, *, password_file: Password = None, as_json: screen.Json = False) -> None:
    """Make a key and encrypt it by a password: from $STEELYARD_PASSWORD, --password-file or a prompt.

    An owner's key holds the money and stays with its owner. A session key, made apart, goes to the gateway and can
    spend no more than its channel holds.

    Parameters
    ----------
    name
        Such as owner, session, provider or auditor.
    """
    from steelyard.protocol.keys import Key

    _add(name, Key.new(), password_file, as_json)


@app.command(name="import")
def import_(name: str, /, *, password_file: Password = None, as_json: screen.Json = False) -> None:
    """Encrypt a key that you have: 64 hex digits on standard input, or asked for."""
    from steelyard.protocol.keys import Key

    if sys.stdin.isatty():
        from getpass import getpass

        told = getpass("secret key, 64 hex digits: ")
    else:
        told = sys.stdin.readline()
    try:
        secret = bytes.fromhex(told.strip().removeprefix("0x"))
    except ValueError as error:
        raise Malformed("key.hex", "no hex digits") from error
    _add(name, Key(secret), password_file, as_json)


def _add(name: str, key: object, file: Password, as_json: bool) -> None:
    from steelyard.chain.keystore import Keystore
    from steelyard.protocol.keys import Key

    assert isinstance(key, Key)
    entry = Keystore().add(name, key, place.password(file, confirm=True))
    screen.show_fields({"wallet": entry.name, "address": entry.address, "file": str(entry.file)}, as_json)


@app.command
def show(name: str | None = None, /, *, where: Place = HERE, as_json: screen.Json = False) -> None:
    """List the wallets; with a name (or an address), what it has on chain. Needs no password.

    Parameters
    ----------
    name
        A wallet or an address.
    """
    from steelyard.chain.keystore import Keystore

    if name is None:
        rows = [{"wallet": entry.name, "address": entry.address} for entry in Keystore().entries()]
        screen.show(rows, as_json, "no wallet yet: steelyard wallet new owner")
        return
    from steelyard.market.channels import Owner

    address = _address(name)
    owner = Owner(where.ledger())
    held = owner.balance(address)
    channels = [
        {
            "channel": "0x" + channel.id.hex(),
            "role": "owner" if channel.owner == address else "session key",
            "deposit": screen.tokens(channel.deposit),
            "allocated": screen.tokens(channel.allocated),
            "claimed": screen.tokens(channel.claimed),
            "expires": _date(channel.expiry),
            "state": "closed" if channel.closed else "closing" if channel.closes_at else "open",
        }
        for channel in owner.channels_of(address)
    ]
    told = {"address": address, "tokens": screen.tokens(held.wallet), "credit": screen.tokens(held.credit)}
    told["bond"] = screen.tokens(held.bond)
    if as_json:
        screen.show_json({**told, "channels": channels})
        return
    screen.show_fields(told, as_json=False)
    screen.show_table(channels, "no channels")


@app.command
def fund(
    name: str,
    /,
    *,
    amount: Annotated[str, Parameter(help="Tokens.")] = "1000",
    where: Place = HERE,
    as_json: screen.Json = False,
) -> None:
    """On a devnet only: give a wallet gas and test tokens, made from nothing. Needs no password.

    Parameters
    ----------
    name
        A wallet or an address.
    """
    from steelyard.chain.deploy import Deployment
    from steelyard.devnet import faucet
    from steelyard.market.channels import Owner

    address, more = _address(name), place.micro(amount)
    faucet.fund(where.rpc, Deployment.load(where.deployment), address, more)
    held = Owner(where.ledger()).balance(address).wallet
    screen.show_fields({"address": address, "funded": screen.tokens(more), "tokens": screen.tokens(held)}, as_json)


def _address(name: str) -> Address:
    from steelyard.chain.keystore import Keystore
    from steelyard.protocol.keys import checksum

    return checksum(name) if name.startswith("0x") else Keystore().entry(name).address


def _date(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


@app.command
def deposit(
    amount: str,
    /,
    *,
    session: Annotated[str, Parameter(help="Wallet or address of the session key that the gateway will hold.")],
    to: Annotated[tuple[str, ...], Parameter(negative=(), help="PROVIDER=TOKENS, as often as needed.")] = (),
    days: Annotated[int, Parameter(help="Until the session key expires.")] = 30,
    by: By = "owner",
    where: Place = HERE,
    password_file: Password = None,
    as_json: screen.Json = False,
) -> None:
    """Open a channel: deposit tokens and allocate them to providers, in one transaction.

    Parameters
    ----------
    amount
        Tokens; the channel's cap too.
    """
    from steelyard.protocol.keys import checksum

    if days < 1:
        raise Refused("channel.expiry", f"{days} days, at least 1")
    session_key = _address(session)
    allocations: dict[str, MicroToken] = {}
    for pair in to:
        provider, equals, tokens = pair.partition("=")
        if not equals:
            raise Malformed("channel.allocation", f"{pair[:80]!r} is not PROVIDER=TOKENS")
        allocations[checksum(provider)] = place.micro(tokens)
    owner = _owner(by, where, password_file)
    expiry = Timestamp(owner.ledger.now() + days * DAY)
    shares = {checksum(who): share for who, share in allocations.items()}
    channel = owner.open(session_key, place.micro(amount), expiry, shares, secrets.token_bytes)
    told = {"channel": "0x" + channel.hex(), "deposit": screen.tokens(place.micro(amount)), "session_key": session_key}
    screen.show_fields({**told, "expires": _date(expiry)}, as_json)


@app.command
def allocate(
    channel: str,
    provider: str,
    amount: str,
    /,
    *,
    by: By = "owner",
    where: Place = HERE,
    password_file: Password = None,
) -> None:
    """Give a provider more of a channel's deposit: answers are bought only from providers with an allocation."""
    from steelyard.protocol.keys import checksum

    key, who, share = place.digest(channel, "channel"), checksum(provider), place.micro(amount)
    owner = _owner(by, where, password_file)
    owner.allocate(key, who, share)
    print(f"{who} has {screen.tokens(owner.ledger.allocation(key, who))} tokens of this channel")


@app.command(name="top-up")
def top_up(
    channel: str, amount: str, /, *, by: By = "owner", where: Place = HERE, password_file: Password = None
) -> None:
    """Deposit more into a channel; allocate it afterwards."""
    key, more = place.digest(channel, "channel"), place.micro(amount)
    owner = _owner(by, where, password_file)
    owner.top_up(key, more)
    found = owner.ledger.channel(key)
    assert found is not None
    print(f"the channel holds {screen.tokens(found.deposit)} tokens")


@app.command
def withdraw(*, by: By = "owner", where: Place = HERE, password_file: Password = None) -> None:
    """Pull what the contracts owe you: refunds, payouts, bounties."""
    owner = _owner(by, where, password_file)
    account = owner.ledger.account
    credit = owner.ledger.credit(account)
    owner.ledger.collect()
    print(f"{screen.tokens(credit)} tokens withdrawn, {account} holds {screen.tokens(owner.balance(account).wallet)}")


@app.command
def close(channel: str, /, *, by: By = "owner", where: Place = HERE, password_file: Password = None) -> None:
    """Close a channel: call once to begin, and again after the window to take back what no claim waits for."""
    key = place.digest(channel, "channel")
    owner = _owner(by, where, password_file)
    ends = owner.close(key)
    if ends is None:
        credit = screen.tokens(owner.ledger.credit(owner.ledger.account))
        print(f"closed; {credit} tokens of credit, `steelyard wallet withdraw` pulls them")
    else:
        left = ends - owner.ledger.now()
        print(f"closing: providers may still claim for {left} s (until {ends}); then call this again")
