# pragma version 0.4.3
"""
@title Orders: orders that a contract places, paid on delivery or given back
@license Apache-2.0
@notice The buyer is whoever calls `place` and pays `max_price`. Prompt and answer are public; their salts are the order's
    nonce and the salt given on delivery. After the deadline anyone's call refunds, whatever node or callback is broken
    (rule M1). On delivery the price moves to Escrow as a claim that vests like every other. spec/escrow.md: ORD-1 ...
    Not audited by a third party.
@custom:invariant
    - token balance == owed + sum of max_price over PLACED orders
    - an order moves PLACED -> DELIVERED or PLACED -> REFUNDED, once
    - nothing that a callback does can undo or stop a delivery
"""

from interfaces import IEscrow
from interfaces import IOrders
from interfaces import IRegistry
import money
import records
import units

implements: IOrders
initializes: money
exports: (money.token, money.credit, money.owed, money.collect, money.collect_for)

event Placed:
    order: indexed(bytes32)
    buyer: indexed(address)
    provider: indexed(address)
    offer: records.Offer
    record: records.Order
    prompt: Bytes[8192]
    callback: address

event Delivered:
    order: indexed(bytes32)
    claim: indexed(uint256)
    price: uint256
    receipt: records.Receipt
    signature: Bytes[65]
    answer: Bytes[8192]
    salt: bytes32

event Called:
    order: indexed(bytes32)
    callback: indexed(address)
    succeeded: bool

event Refunded:
    order: indexed(bytes32)
    buyer: indexed(address)
    amount: uint256

PLACED: constant(uint8) = 1
DELIVERED: constant(uint8) = 2
REFUNDED: constant(uint8) = 3
MICRO: constant(uint256) = 1_000_000
CALLBACK_GAS: constant(uint256) = 300_000

ESCROW: immutable(IEscrow)
REGISTRY: immutable(IRegistry)

orders: HashMap[bytes32, IOrders.Placed]


@deploy
def __init__(escrow: IEscrow, registry: IRegistry):
    # WRITE
    money.__init__(staticcall escrow.token())
    ESCROW = escrow
    REGISTRY = registry


@view
@external
def order_of(order: bytes32) -> IOrders.Placed:
    return self.orders[order]


@view
@external
def callback_gas() -> uint256:
    """
    Gas that a callback gets.
    """
    return CALLBACK_GAS


@pure
@internal
def _price(offer: records.Offer, prompt_units: uint32, new_units: uint256) -> uint256:
    """
    A started micro-token counts as one (`steelyard.protocol.price`).
    """
    whole: uint256 = convert(offer.price_in, uint256) * convert(prompt_units, uint256)
    whole += convert(offer.price_out, uint256) * new_units
    return (whole + MICRO - 1) // MICRO


@view
@internal
def _require_fit(offer: records.Offer, order: records.Order):
    """
    What a provider checks of an order, checked here, so that a placed order is one that can be served.
    """
    assert order.version == 2 and offer.version == 1, "record.version"
    assert order.channel == convert(msg.sender, bytes32), "orders.channel"
    assert order.registration == offer.registration, "orders.registration"
    model: IRegistry.Model = staticcall REGISTRY.model(order.registration)
    assert model.author != empty(address), "orders.registration"
    assert offer.kind == 1 and order.kind == 1, "orders.kind"
    assert order.level == offer.level and (order.level == 1 or order.level == 2), "orders.level"
    assert order.answer_from == order.prompt_units, "orders.continuation"
    assert order.grammar == empty(bytes32) and order.logprobs == 0, "orders.ids-only"
    assert order.max_units > 0 and order.max_units <= offer.max_units, "orders.max-units"
    units_in_all: uint256 = convert(order.prompt_units, uint256) + convert(order.max_units, uint256)
    assert units_in_all <= convert(offer.context_length, uint256), "orders.context-too-long"
    assert block.timestamp <= convert(offer.valid_until, uint256), "orders.offer-expired"
    deadline: uint256 = convert(order.deadline, uint256)
    assert deadline > block.timestamp, "orders.deadline"
    assert deadline <= block.timestamp + convert(staticcall ESCROW.longest_order(), uint256), "orders.deadline"
    dearest: uint256 = self._price(offer, order.prompt_units, convert(order.max_units, uint256))
    assert convert(order.max_price, uint256) >= dearest, "orders.price-cap"


@external
@nonreentrant
def place(offer: records.Offer, order: records.Order, prompt: Bytes[8192], callback: address) -> bytes32:
    """
    The sender pays order.max_price; order.channel is the sender's address as a word. `prompt` holds 4 bytes a unit,
    little-endian, under the salt order.nonce. `callback` (or nobody) gets `steelyard_answer(bytes32 order, bytes answer)`.
    Returns the order's digest.
    """
    # REFUSE
    self._require_fit(offer, order)
    separator: bytes32 = staticcall ESCROW.separator()
    assert order.offer == records.digest_offer(offer, separator), "orders.offer"
    assert len(prompt) == 4 * convert(order.prompt_units, uint256), "orders.prompt"
    assert order.prompt_root == units._root(prompt, order.nonce), "orders.prompt"
    digest: bytes32 = records.digest_order(order, separator)
    assert self.orders[digest].state == 0, "orders.placed"
    # WRITE
    max_price: uint256 = convert(order.max_price, uint256)
    self.orders[digest] = IOrders.Placed(
        buyer=msg.sender,
        provider=offer.provider,
        max_price=max_price,
        deadline=order.deadline,
        state=PLACED,
        claim=0,
        callback=callback,
    )
    # TELL
    log Placed(
        order=digest,
        buyer=msg.sender,
        provider=offer.provider,
        offer=offer,
        record=order,
        prompt=prompt,
        callback=callback,
    )
    if max_price > 0:
        money._pull(msg.sender, max_price)
    return digest


@external
def deliver(
    offer: records.Offer,
    order: records.Order,
    receipt: records.Receipt,
    signature: Bytes[65],
    answer: Bytes[8192],
    salt: bytes32,
) -> uint256:
    """
    Anyone sends what the provider signed. Returns the number of the claim in Escrow. Without a lock, so that a callback
    may place its next order: every write of ours comes before the callback.
    """
    # REFUSE
    separator: bytes32 = staticcall ESCROW.separator()
    digest: bytes32 = records.digest_order(order, separator)
    placed: IOrders.Placed = self.orders[digest]
    assert placed.state == PLACED, "orders.state"
    assert block.timestamp <= convert(placed.deadline, uint256), "orders.late"
    assert order.offer == records.digest_offer(offer, separator), "orders.offer"
    assert receipt.version == 1, "record.version"
    assert receipt.order == digest and receipt.offer == order.offer, "orders.receipt"
    model: IRegistry.Model = staticcall REGISTRY.model(order.registration)
    assert receipt.model_root == model.model_root, "orders.model-root"
    receipt_digest: bytes32 = records.digest_receipt(receipt, separator)
    assert records.recover(receipt_digest, signature) == offer.provider, "signature"
    count: uint256 = len(answer) // 4
    assert count > 0 and count <= convert(order.max_units, uint256), "orders.max-units"
    assert receipt.response_root == units._root(answer, salt), "orders.answer"
    # COMPUTE
    price: uint256 = self._price(offer, order.prompt_units, count)
    # WRITE
    self.orders[digest].state = DELIVERED
    money._credit(placed.buyer, placed.max_price - price)
    if price > 0:
        money._push(ESCROW.address, price)
    claim: uint256 = extcall ESCROW.claim_order(
        digest, order.offer, offer.provider, order.registration, order.level, price, receipt_digest
    )
    self.orders[digest].claim = claim
    # TELL
    log Delivered(
        order=digest, claim=claim, price=price, receipt=receipt, signature=signature, answer=answer, salt=salt
    )
    self._call(digest, placed.callback, answer)
    return claim


@internal
def _call(order: bytes32, callback: address, answer: Bytes[8192]):
    """
    A callback gets CALLBACK_GAS, no more, and may fail; whoever delivers may not starve it (EIP-150 keeps back 1/64).
    """
    if not callback.is_contract:
        return
    assert msg.gas * 63 // 64 > CALLBACK_GAS + 10_000, "orders.gas"
    succeeded: bool = raw_call(
        callback,
        abi_encode(order, answer, method_id=method_id("steelyard_answer(bytes32,bytes)")),
        gas=CALLBACK_GAS,
        revert_on_failure=False,
    )
    log Called(order=order, callback=callback, succeeded=succeeded)


@external
def refund(order: bytes32):
    """
    By anyone after the deadline: all of max_price is credited to the buyer.
    """
    # REFUSE
    assert self.orders[order].state == PLACED, "orders.state"
    assert block.timestamp > convert(self.orders[order].deadline, uint256), "orders.early"
    # WRITE
    buyer: address = self.orders[order].buyer
    amount: uint256 = self.orders[order].max_price
    self.orders[order].state = REFUNDED
    money._credit(buyer, amount)
    # TELL
    log Refunded(order=order, buyer=buyer, amount=amount)
