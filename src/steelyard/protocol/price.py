"""The price of an answer, and what a bond must be worth for it (spec/escrow.md; rules M5, M6). Integers only."""

from steelyard.protocol.records import Offer, Order
from steelyard.protocol.units import MICRO, MicroToken, Units


def generated(order: Order, answer_units: int) -> Units:
    """Units generated for this order: the answer less the prefix that it continued (rule P6)."""
    return Units(answer_units - (order.prompt_units - order.answer_from))


def price(offer: Offer, prompt_units: int, new_units: int) -> MicroToken:
    """ceil((price_in·prompt + price_out·new) / 10**6): a started micro-token counts as one."""
    return MicroToken(-(-(offer.price_in * prompt_units + offer.price_out * new_units) // MICRO))


def price_of(offer: Offer, order: Order, answer_units: int) -> MicroToken:
    """Price of an answer of `answer_units` units from `answer_from` on."""
    return price(offer, order.prompt_units, generated(order, answer_units))
