# pragma version 0.4.3
"""
@title Exhibits: what is shown of a receipt, whether its records fit together, what it costs
@license Apache-2.0
@notice A module of Rulings, Proofs and Games. The roots stay closed: no unit of any text is shown.
"""

from interfaces import IEscrow
from interfaces import IOrders
import records
import trees

struct Exhibit:
    offer: records.Offer
    order: records.Order
    receipt: records.Receipt
    answer_units: uint256
    answer_top: bytes32

struct Parties:
    offer: bytes32
    order: bytes32
    receipt: bytes32
    buyer: address
    session_key: address

MICRO: constant(uint256) = 1_000_000

ESCROW: immutable(IEscrow)
ORDERS: immutable(IOrders)


@deploy
def __init__(escrow: IEscrow, orders: IOrders):
    ESCROW = escrow
    ORDERS = orders


@view
@internal
def _separator() -> bytes32:
    return records.separator(ESCROW.address)


@view
@internal
def _digests(exhibit: Exhibit) -> (bytes32, bytes32, bytes32):
    """
    Digests of offer, order and receipt, if they name each other and the receipt's root opens to the number of units.
    """
    assert exhibit.offer.version == 1 and exhibit.order.version == 2 and exhibit.receipt.version == 1, "record.version"
    domain: bytes32 = self._separator()
    offer: bytes32 = records.digest_offer(exhibit.offer, domain)
    order: bytes32 = records.digest_order(exhibit.order, domain)
    assert exhibit.order.offer == offer and exhibit.receipt.offer == offer, "rulings.other-offer"
    assert exhibit.order.level == exhibit.offer.level, "rulings.other-offer"
    assert exhibit.order.registration == exhibit.offer.registration, "rulings.other-offer"
    assert exhibit.receipt.order == order, "rulings.other-order"
    assert exhibit.receipt.response_root == trees.seal(exhibit.answer_units, exhibit.answer_top), "rulings.answer-root"
    return offer, order, records.digest_receipt(exhibit.receipt, domain)


@view
@internal
def _parties(exhibit: Exhibit, order_signature: Bytes[65], receipt_signature: Bytes[65]) -> Parties:
    """
    Digests, the buyer and its session key (none for an order placed on chain), if all of them fit together and are signed.
    """
    found: Parties = empty(Parties)
    found.offer, found.order, found.receipt = self._digests(exhibit)
    assert exhibit.offer.provider == records.recover(found.receipt, receipt_signature), "signature"
    if convert(exhibit.order.channel, uint256) < 2**160:
        # placed on chain, where the channel is the buyer's address: the transaction is its signature
        found.buyer = (staticcall ORDERS.order_of(found.order)).buyer
        assert found.buyer != empty(address), "rulings.unknown-order"
    else:
        channel: IEscrow.Channel = staticcall ESCROW.channel_of(exhibit.order.channel)
        assert channel.owner != empty(address), "rulings.unknown-channel"
        assert channel.session_key == records.recover(found.order, order_signature), "signature"
        found.buyer = channel.owner
        found.session_key = channel.session_key
    return found


@pure
@internal
def _claimed_channel(channel: bytes32) -> bytes32:
    """
    What the escrow's claim says: nothing for an order that was placed on chain.
    """
    if convert(channel, uint256) < 2**160:
        return empty(bytes32)
    return channel


@pure
@internal
def _new(exhibit: Exhibit) -> uint256:
    """
    Units that were generated for the order: a continued prefix is not among them (rule P6).
    """
    assert exhibit.order.prompt_units >= exhibit.order.answer_from, "rulings.answer-count"
    prefix: uint256 = convert(exhibit.order.prompt_units - exhibit.order.answer_from, uint256)
    assert exhibit.answer_units >= prefix, "rulings.answer-count"
    return exhibit.answer_units - prefix


@pure
@internal
def _price(exhibit: Exhibit) -> uint256:
    """
    ceil((price_in * prompt + price_out * new) / 10**6).
    """
    cost: uint256 = convert(exhibit.offer.price_in, uint256) * convert(exhibit.order.prompt_units, uint256)
    cost += convert(exhibit.offer.price_out, uint256) * self._new(exhibit)
    return (cost + MICRO - 1) // MICRO
