"""The records: what is wanted, what was done, who is right, who is paid (DESIGN section 2; spec/records.md).

Every record is flat, versioned and EIP-712 encodable; where one record names another it does so by the other's digest
(`Record.digest`), except a registration, which nobody signs and whose id is its struct hash.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, Final

from steelyard.protocol.eip712 import Record
from steelyard.protocol.units import Address

Hash = Annotated[bytes, "bytes32"]
Account = Annotated[Address, "address"]
U8 = Annotated[int, "uint8"]
U16 = Annotated[int, "uint16"]
U32 = Annotated[int, "uint32"]
U64 = Annotated[int, "uint64"]
U128 = Annotated[int, "uint128"]


class Kind(IntEnum):
    """Kind of work."""

    GENERATE = 1
    """Text from text. The unit is a token id."""
    GENERATE_TEXT = 2
    """Text from an engine that only speaks text. The unit is a UTF-8 byte; level `open` only (rule P1)."""


class Level(IntEnum):
    """Assurance level (DESIGN section 3). `SOLD` are sold so far."""

    OPEN = 1
    AUDITED = 2
    DISPUTABLE = 3
    QUORUM = 4
    ATTESTED = 5
    PROVED = 6
    SEALED = 7


SOLD: Final = (Level.OPEN, Level.AUDITED, Level.DISPUTABLE)
"""Levels that can be bought so far."""


@dataclass(frozen=True, slots=True)
class Registration(Record):
    """A model as its author registers it (rule M11). One root may have several. Its id is its struct hash."""

    version: U16
    model_root: Hash
    """Rule P4."""
    author: Account
    """Who sends the registering transaction."""
    payee: Account
    """Who is credited with the royalty: the author or a share contract."""
    royalty_bps: U16
    """Basis points of every payout, capped by the registry."""
    context_length: U32
    """Most units of prompt and answer together; the registry bounds it (rule P7)."""
    size_bytes: U64
    """Bytes of the weights; the registry bounds it (rule P7)."""
    public_weights: U8
    """1 if anyone can fetch the weights, without which only level `open` can be sold (rule P7), else 0."""
    terms: Hash
    """SHA-256 of the licence text."""


@dataclass(frozen=True, slots=True)
class Offer(Record):
    """What a provider sells, signed by the provider. One offer has one model, one level and one price."""

    version: U16
    provider: Account
    registration: Hash
    """Id of the model's registration."""
    kind: U8
    level: U8
    price_in: U64
    """Micro-tokens per million prompt units."""
    price_out: U64
    """Micro-tokens per million answer units."""
    price_cached: U64
    """Micro-tokens per million prompt units taken from a cache; not charged apart so far, so equal to price_in."""
    context_length: U32
    """Most units of prompt and answer together."""
    max_units: U32
    """Most answer units per order (rule M1)."""
    max_unpaid: U16
    """Most answers delivered and not yet covered by a voucher, per channel (rule M1). At least 1."""
    run_ahead: U16
    """Most units that a receipt may commit beyond a cancel (rule P5)."""
    valid_until: U64
    """Unix seconds; no order after that."""
    nonce: U64
    """Tells two otherwise equal offers apart."""


@dataclass(frozen=True, slots=True)
class Order(Record):
    """What is wanted, signed by the channel's session key. Names one offer, so one provider."""

    VERSION: ClassVar[int] = 2
    """2 added `grammar` and `logprobs`."""

    version: U16
    channel: Hash
    offer: Hash
    """Digest of the offer."""
    registration: Hash
    """Id of the model's registration, the same as the offer's."""
    kind: U8
    level: U8
    prompt_root: Hash
    """Salted root over the prompt's units (rule P1)."""
    prompt_units: U32
    """How many; a delivered prefix included (rule P6)."""
    answer_from: U32
    """Index at which the answer begins: prompt_units, or less where the prompt ends in a delivered prefix (rule P6)."""
    max_units: U32
    """Most units to generate. At least 1."""
    temperature: U32
    """binary32 bits."""
    top_p: U32
    """binary32 bits."""
    top_k: U32
    """0 keeps all."""
    seed: U64
    """The buyer's (rule P3)."""
    grammar: Hash
    """Salted hash of the grammar that the answer keeps to (`roots.grammar_root`); zeros: none."""
    logprobs: U8
    """Log-probabilities to deliver with each generated unit: 0 none, 1 its own, 1 + k also those of the k likeliest."""
    max_price: U128
    """Micro-tokens that the answer may cost at most, from the offer's prices and max_units."""
    deadline: U64
    """Unix seconds; a receipt later than that is not paid."""
    coin_commitment: Hash
    """SHA-256 of the buyer's coin (rule M10)."""
    jury_epoch: U64
    """The epoch whose frozen pool judges (rule M8)."""
    nonce: Hash
    """Tells two otherwise equal orders apart: equal bodies may be deliberate samples (rule M12)."""


@dataclass(frozen=True, slots=True)
class Receipt(Record):
    """What was done, signed by the provider."""

    version: U16
    order: Hash
    """Digest of the order."""
    model_root: Hash
    offer: Hash
    """Digest of the offer."""
    response_root: Hash
    """Salted root over the answer's units from `answer_from` on; binds their count."""
    evidence_root: Hash
    """Salted root over the evidence of the units that were generated for this order (rule P2)."""


@dataclass(frozen=True, slots=True)
class Voucher(Record):
    """A cumulative promise to pay one offer of one channel, signed by the session key (rule M2)."""

    version: U16
    channel: Hash
    offer: Hash
    amount: U128
    """Micro-tokens in all, since the channel opened."""
    count: U64
    """Receipts that this pays for, since the channel opened."""
    receipts_root: Hash
    """Append-only root over their digests, in order of payment."""


@dataclass(frozen=True, slots=True)
class Cancel(Record):
    """The buyer wants no more, signed by the session key (rule P5)."""

    version: U16
    order: Hash
    units: U32
    """Generated units that the buyer took. The receipt commits to this many, and at most the offer's run-ahead more."""


@dataclass(frozen=True, slots=True)
class CoinReveal(Record):
    """Opens an order's coin (rule M10). Unsigned: the coin is its own proof."""

    version: U16
    order: Hash
    coin: Hash
    """SHA-256(coin) is the order's coin_commitment."""


@dataclass(frozen=True, slots=True)
class AuditTicket(Record):
    """Consent to an audit, signed by the session key (rule M9)."""

    version: U16
    receipt: Hash
    """Digest of the receipt."""
    auditor: Account
    expiry: U64
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Vote(Record):
    """A juror's vote. Committed as its struct hash, then revealed (rule M8). The transaction's sender signs it."""

    version: U16
    case: Hash
    juror: Account
    outcome: U8
    """`verdicts.Outcome`."""
    evidence_root: Hash
    """The juror's own evidence for the answer, salted as the receipt's: of use to a person who compares."""
    run_digest: Hash
    """Keyed by the case, over states of the juror's run that no receipt shows (`roots.run_digest`)."""
    salt: Hash
    """Hides the vote until it is revealed."""


@dataclass(frozen=True, slots=True)
class VerdictRecord(Record):
    """What an auditor found, signed by the auditor; the gateway keeps it beside the receipt."""

    version: U16
    receipt: Hash
    auditor: Account
    outcome: U8
    """`verdicts.Outcome`."""
    detail: Hash
    """SHA-256 of the text that travels with it: the check's name, a colon, the numbers."""


@dataclass(frozen=True, slots=True)
class ChannelGrant(Record):
    """An owner's wish to open a channel, signed by the owner (EIP-1271 if a contract): anyone may send it."""

    version: U16
    owner: Account
    session_key: Account
    """Signs orders, vouchers, cancels, tickets."""
    cap: U128
    """Micro-tokens that vouchers may reach, summed over offers."""
    expiry: U64
    """Unix seconds; binds orders, not claims (rule M2)."""
    deposit: U128
    """Micro-tokens."""
    allocations: Hash
    """keccak256 over the (provider as 32-byte word ‖ amount as 32-byte word) pairs."""
    nonce: Hash


SIGNED: tuple[type[Record], ...] = (Offer, Order, Receipt, Voucher, Cancel, AuditTicket, VerdictRecord, ChannelGrant)
RECORDS: tuple[type[Record], ...] = (Registration, *SIGNED, CoinReveal, Vote)
