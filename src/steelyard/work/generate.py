"""Kind of work `generate`: text from text, in token ids, by an engine whose run can be replayed.

Ties what an order says to an engine's job, an engine's run to a receipt, and a receipt to its price. Provider, auditor
and jurors all build their job here, so that they cannot differ about what was ordered.
"""

from collections.abc import Sequence
from typing import Final, Literal

from steelyard.engines.base import Engine, Job
from steelyard.protocol import price, roots
from steelyard.protocol.errors import Malformed, Refused
from steelyard.protocol.hashing import ZERO32
from steelyard.protocol.records import Kind, Level, Offer, Order, Receipt
from steelyard.protocol.units import MicroToken, Units
from steelyard.verification import judge as judging
from steelyard.verification.claim import Claim

KIND = Kind.GENERATE
Finish = Literal["stop", "length", "cancel"]
ONE_BITS: Final = 0x3F800000  # 1.0 in binary32
MAX_NUMBERS: Final = 8_192
"""Of an answer's logprobs: 32 kB, half of what a jury can be shown."""


def job_of(order: Order, prompt: Sequence[int], grammar: bytes = b"") -> Job:
    """The run that `order` fixes, over the `prompt_units` ids of its prompt (a delivered prefix included).

    Raises Refused("order.kind"), Malformed("order.prompt-units" | "order.answer-from" | "order.max-units" |
    "order.grammar-root")."""
    if order.kind != KIND:
        raise Refused("order.kind", f"kind {order.kind}, not {int(KIND)}")
    if len(prompt) != order.prompt_units or not prompt:
        raise Malformed("order.prompt-units", f"{len(prompt)} units given, {order.prompt_units} ordered")
    if order.answer_from > order.prompt_units:
        raise Malformed("order.answer-from", f"{order.answer_from} > prompt_units {order.prompt_units}")
    if order.max_units < 1:
        raise Malformed("order.max-units", "0 < 1")
    if bool(grammar) != (order.grammar != ZERO32):
        raise Malformed("order.grammar-root", f"{len(grammar)} bytes given, ordered 0x{order.grammar.hex()}")
    return Job(
        prompt=tuple(prompt),
        answer_from=order.answer_from,
        max_units=order.max_units,
        temperature=order.temperature,
        top_p=order.top_p,
        top_k=order.top_k,
        seed=order.seed,
        grammar=grammar,
        logprobs=order.logprobs,
    )


def require_prompt(order: Order, prompt: Sequence[int], salt: bytes, grammar: bytes = b"") -> None:
    """Raises Refused `order.prompt-root`, `order.grammar-root` unless these ids, salt and grammar are what the order
    commits to."""
    if len(prompt) != order.prompt_units:
        raise Malformed("order.prompt-units", f"{len(prompt)} units given, {order.prompt_units} ordered")
    if len(salt) != 32 or roots.units_root(prompt, salt) != order.prompt_root:
        raise Refused("order.prompt-root", f"{len(prompt)} units and salt do not hash to 0x{order.prompt_root.hex()}")
    if roots.grammar_root(grammar, salt) != order.grammar:
        raise Refused("order.grammar-root", f"{len(grammar)} bytes do not hash to 0x{order.grammar.hex()}")


def require_fits(order: Order, offer: Offer, offer_digest: bytes) -> None:
    """What an offer says about which orders it takes. Raises Refused `order.*` with the numbers; time is not looked at
    here (`offer.valid_until`, `order.deadline` need a clock)."""
    if order.offer != offer_digest:
        raise Refused("order.offer", f"names 0x{order.offer.hex()}, not 0x{offer_digest.hex()}")
    for name in ("registration", "kind", "level"):
        if getattr(order, name) != getattr(offer, name):
            raise Refused(f"order.{name}", f"order {getattr(order, name)!r:.80}, offer {getattr(offer, name)!r:.80}")
    if not 1 <= order.max_units <= offer.max_units:
        raise Refused("order.max-units", f"{order.max_units}, the offer takes 1 to {offer.max_units}")
    if order.prompt_units < 1 or order.answer_from > order.prompt_units:
        raise Refused("order.answer-from", f"{order.answer_from} of {order.prompt_units} prompt units")
    if order.prompt_units + order.max_units > offer.context_length:
        total = order.prompt_units + order.max_units
        raise Refused("order.context-too-long", f"{total} units, the offer takes {offer.context_length}")
    beyond = not_lowered(grammar=order.grammar != ZERO32, logprobs=order.logprobs)
    if order.level == Level.DISPUTABLE and beyond:
        raise Refused("order.level", f"disputable: {', '.join(beyond)} not lowered yet (rule P3)")
    numbers = order.max_units * row_length(order.logprobs)
    if numbers > MAX_NUMBERS:
        told = f"{order.max_units} units with {row_length(order.logprobs)} numbers each"
        raise Refused("order.logprobs", f"{told}, at most {MAX_NUMBERS} numbers in all")
    most = highest_price(offer, order)
    if order.max_price < most:
        raise Refused("order.max-price", f"{order.max_price} < {most} micro-tokens for {order.max_units} units")


def not_lowered(*, grammar: bool, logprobs: int) -> list[str]:
    """What the dispute game cannot follow yet of what an order asks for (GAM-1), by name: nobody sells it at level
    `disputable`."""
    asked = {"grammar": grammar, "logprobs": logprobs}
    return [name for name, wanted in asked.items() if wanted]


def row_length(logprobs: int) -> int:
    """Numbers of a row: its own, then id and number of each of the likeliest. `logprobs` as the order has it."""
    return max(2 * logprobs - 1, 0)


def highest_price(offer: Offer, order: Order) -> MicroToken:
    """Micro-tokens for the order if its answer runs to `max_units`."""
    return price.price(offer, order.prompt_units, order.max_units)


def price_of(offer: Offer, order: Order, answer_units: int) -> MicroToken:
    """Micro-tokens for an answer of `answer_units` units from `answer_from` on. Raises Refused("receipt.units") if
    that is not a count which the order allows."""
    new = price.generated(order, answer_units)
    if not 0 <= new <= order.max_units:
        raise Refused("receipt.units", f"{new} generated units, ordered 0 to {order.max_units}")
    return price.price_of(offer, order, answer_units)


def prefix_of(order: Order, prompt: Sequence[int]) -> tuple[int, ...]:
    """The delivered prefix that this order continues (rule P6); empty as a rule."""
    return tuple(prompt[order.answer_from :])


def whole_answer(order: Order, prompt: Sequence[int], generated: Sequence[int]) -> tuple[int, ...]:
    """What a receipt's response root covers: the delivered prefix, then the generated ids."""
    return (*prefix_of(order, prompt), *generated)


def receipt_of(
    order_digest: bytes,
    offer_digest: bytes,
    model_root: bytes,
    answer: Sequence[int],
    leaves: Sequence[bytes],
    salt: bytes,
    logprobs: Sequence[Sequence[int]] = (),
) -> Receipt:
    """The receipt for a run: `answer` as `whole_answer` gives it, `leaves` (32 bytes each) and `logprobs` of the
    generated ids only, `salt` 32 bytes (`roots.provider_salt`)."""
    return Receipt(
        version=Receipt.VERSION,
        order=order_digest,
        model_root=model_root,
        offer=offer_digest,
        response_root=roots.response_root(answer, salt, logprobs),
        evidence_root=roots.evidence_root(leaves, salt, len(answer) - len(leaves)),
    )


def finish_of(order: Order, ends: frozenset[int], generated: Sequence[int]) -> Finish:
    """Why a run ended (rule P5): an end id, `max_units`, else the buyer's cancel."""
    if generated and generated[-1] in ends:
        return "stop"
    return "length" if Units(len(generated)) >= order.max_units else "cancel"


def judge(claim: Claim, engine: Engine) -> judging.Judgement:
    """How this kind of work is checked: by replay, to the last bit. Raises nothing."""
    return judging.judge(claim, engine, job_of)
