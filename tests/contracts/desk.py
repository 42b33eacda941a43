"""A world in which somebody places orders on chain: orders that fit, receipts for them, deliveries."""

from dataclasses import replace

from sources import Mutant
from world import NOBODY, UNITS, Terms, World, key

from steelyard.protocol import roots
from steelyard.protocol.price import price
from steelyard.protocol.records import Order, Receipt

ANN, PAUL, EVE, AUTHOR = key("ann"), key("paul"), key("eve"), key("author")
PROMPT, ANSWER = (5, 6, 2**32 - 1), tuple(range(70))
SALT, NONCE = b"\x5a" * 32, b"\x0e" * 32


def packed(units: tuple[int, ...]) -> bytes:
    return b"".join(unit.to_bytes(4, "little") for unit in units)


class Desk(World):
    """A world in which Ann places an order with Paul."""

    def __init__(self, mutant: Mutant | None = None, terms: Terms | None = None, token: str = "") -> None:
        super().__init__(mutant, terms, token)
        self.registration = self.model(AUTHOR)
        self.sold = self.offer(PAUL, self.registration)
        self.stock()

    def stock(self) -> None:
        """Gives people their money."""
        self.bonded(PAUL, 1_000 * UNITS)
        self.rich(ANN)

    def order(self, buyer: str = ANN.address, prompt: tuple[int, ...] = PROMPT, **changes) -> Order:
        """An order that fits; max_price is what it can cost at most, unless changed."""
        sold = changes.pop("sold", self.sold)
        usual = Order(
            version=Order.VERSION,
            channel=bytes(12) + bytes.fromhex(buyer[2:]),
            offer=sold.digest(self.domain),
            registration=sold.registration,
            kind=1,
            level=sold.level,
            prompt_root=roots.units_root(prompt, changes.get("nonce", NONCE)),
            prompt_units=len(prompt),
            answer_from=len(prompt),
            max_units=100,
            temperature=0,
            top_p=0,
            top_k=0,
            seed=1,
            grammar=bytes(32),
            logprobs=0,
            max_price=price(sold, len(prompt), 100),
            deadline=self.now + 600,
            coin_commitment=b"\x00" * 32,
            jury_epoch=self.registry.epoch(),
            nonce=NONCE,
        )
        return replace(usual, **changes)

    def receipt(self, order: Order, answer: tuple[int, ...] = ANSWER) -> Receipt:
        return Receipt(
            version=1,
            order=order.digest(self.domain),
            model_root=b"\x11" * 32,
            offer=order.offer,
            response_root=roots.units_root(answer, SALT),
            evidence_root=b"\x0f" * 32,
        )

    def place(self, order: Order, callback: str = NOBODY) -> bytes:
        found: bytes = self.orders.place(self.sold, order, packed(PROMPT), callback, by=ANN)
        return found

    def deliver(self, order: Order, receipt: Receipt | None = None, answer: tuple[int, ...] = ANSWER, **changes) -> int:
        given = receipt or self.receipt(order, answer)
        signature = changes.get("signer", PAUL).sign(given.digest(self.domain))
        sold, salt = changes.get("sold", self.sold), changes.get("salt", SALT)
        found: int = self.orders.deliver(sold, order, given, signature, packed(answer), salt, by=EVE)
        return found
