# pragma version 0.4.3
"""
@title Proofs: lies that records prove
@license Apache-2.0
@notice Two receipts for one order; a receipt of another model than was registered; units beyond what was ordered or behind the end.
    No jury and no game is needed, anyone may show them. spec/games.md, GAM-40 to GAM-42. Not audited by a third party.
@custom:invariant
    - what is shown was signed by the provider, and convicts whoever shows it
    - this contract holds no money and no state: Rulings slashes, once a receipt
"""

from interfaces import IEscrow
from interfaces import IOrders
from interfaces import IRegistry
from interfaces import IRulings
import exhibits
import openings
import records

initializes: exhibits

OPEN_LEVEL: constant(uint8) = 1

RULINGS: immutable(IRulings)
REGISTRY: immutable(IRegistry)


@deploy
def __init__(rulings: IRulings, escrow: IEscrow, orders: IOrders, registry: IRegistry):
    exhibits.__init__(escrow, orders)
    RULINGS = rulings
    REGISTRY = registry


@internal
def _punish(exhibit: exhibits.Exhibit, found: exhibits.Parties, twin: bytes32, shown: IRulings.Tie):
    amount: uint256 = extcall RULINGS.punish(
        IRulings.Lie(
            order=found.order,
            receipt=found.receipt,
            twin=twin,
            channel=exhibits._claimed_channel(exhibit.order.channel),
            offer=found.offer,
            provider=exhibit.offer.provider,
            buyer=found.buyer,
            reporter=msg.sender,
            level=exhibit.order.level,
            price=exhibits._price(exhibit),
        ),
        shown,
    )


@external
def convict_twice(
    exhibit: exhibits.Exhibit,
    order_signature: Bytes[65],
    receipt_signature: Bytes[65],
    other: records.Receipt,
    other_signature: Bytes[65],
    shown: IRulings.Tie,
):
    """
    Two receipts with different digests by one provider for one order (rule M6), whatever the level. `shown.claim` is 0 if the
    receipt is not under a claimed root: then the buyer paid nothing and is repaid nothing.
    """
    # REFUSE
    found: exhibits.Parties = exhibits._parties(exhibit, order_signature, receipt_signature)
    assert other.version == 1, "record.version"
    twin: bytes32 = records.digest_receipt(other, exhibits._separator())
    assert other.order == found.order and twin != found.receipt, "rulings.no-twins"
    assert records.recover(twin, other_signature) == exhibit.offer.provider, "signature"
    # WRITE
    self._punish(exhibit, found, twin, shown)


@external
def convict_model(
    exhibit: exhibits.Exhibit, order_signature: Bytes[65], receipt_signature: Bytes[65], shown: IRulings.Tie
):
    """
    The receipt names another model root than the registration that was ordered.
    """
    # REFUSE
    found: exhibits.Parties = exhibits._parties(exhibit, order_signature, receipt_signature)
    assert exhibit.order.level > OPEN_LEVEL, "rulings.level-open"
    model: IRegistry.Model = staticcall REGISTRY.model(exhibit.order.registration)
    assert model.author != empty(address), "proofs.unregistered"
    assert model.model_root != exhibit.receipt.model_root, "proofs.no-lie"
    # WRITE
    self._punish(exhibit, found, empty(bytes32), shown)


@external
def convict_count(
    exhibit: exhibits.Exhibit, order_signature: Bytes[65], receipt_signature: Bytes[65], shown: IRulings.Tie
):
    """
    More units were generated than ordered.
    """
    # REFUSE
    found: exhibits.Parties = exhibits._parties(exhibit, order_signature, receipt_signature)
    assert exhibit.order.level > OPEN_LEVEL, "rulings.level-open"
    assert exhibits._new(exhibit) > convert(exhibit.order.max_units, uint256), "proofs.no-lie"
    # WRITE
    self._punish(exhibit, found, empty(bytes32), shown)


@external
def convict_end(
    exhibit: exhibits.Exhibit,
    order_signature: Bytes[65],
    receipt_signature: Bytes[65],
    facts: Bytes[openings.MAX_FACTS],
    leaves: uint256,
    path: DynArray[bytes32, 32],
    index: uint256,
    unit: openings.Unit,
    shown: IRulings.Tie,
):
    """
    A generated unit, at `index` of the answer, is an end id and not the last one, or none of the vocabulary's.
    """
    # REFUSE
    found: exhibits.Parties = exhibits._parties(exhibit, order_signature, receipt_signature)
    assert exhibit.order.level > OPEN_LEVEL, "rulings.level-open"
    prefix: uint256 = exhibit.answer_units - exhibits._new(exhibit)
    assert prefix <= index and index < exhibit.answer_units, "proofs.no-lie"
    openings._require_facts(exhibit.receipt.model_root, leaves, facts, path)
    id: uint256 = openings._unit(exhibit.receipt.response_root, exhibit.answer_units, index, unit)
    behind: bool = index + 1 < exhibit.answer_units and openings._is_end(facts, id)
    assert behind or id >= openings._facts(facts).vocabulary, "proofs.no-lie"
    # WRITE
    self._punish(exhibit, found, empty(bytes32), shown)


@external
def convict_prefix(
    exhibit: exhibits.Exhibit,
    order_signature: Bytes[65],
    receipt_signature: Bytes[65],
    index: uint256,
    answered: openings.Unit,
    ordered: openings.Unit,
    shown: IRulings.Tie,
):
    """
    The answer does not begin with the delivered prefix that its order continues (rule P6): unit `index` of it is another.
    """
    # REFUSE
    found: exhibits.Parties = exhibits._parties(exhibit, order_signature, receipt_signature)
    assert exhibit.order.level > OPEN_LEVEL, "rulings.level-open"
    prompt: uint256 = convert(exhibit.order.prompt_units, uint256)
    first: uint256 = convert(exhibit.order.answer_from, uint256)
    assert index < prompt - first, "proofs.no-lie"
    id: uint256 = openings._unit(exhibit.receipt.response_root, exhibit.answer_units, index, answered)
    wanted: uint256 = openings._unit(exhibit.order.prompt_root, prompt, first + index, ordered)
    assert id != wanted, "proofs.no-lie"
    # WRITE
    self._punish(exhibit, found, empty(bytes32), shown)
