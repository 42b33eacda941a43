"""A stall at the market: makes orders, runs and signed receipts, honest ones and others, for tests of judges."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from steelyard.engines.base import Engine, Step
from steelyard.protocol import roots
from steelyard.protocol.eip712 import Domain
from steelyard.protocol.hashing import sha256
from steelyard.protocol.keys import ZERO_ADDRESS, Key
from steelyard.protocol.records import Cancel, Kind, Level, Offer, Order, Receipt, Registration
from steelyard.verification.claim import Claim
from steelyard.work import generate

ONE = 0x3F800000  # binary32 bits of 1.0
DOMAIN = Domain(31337, ZERO_ADDRESS)
PROVIDER, SESSION, STRANGER = (Key(sha256(name)) for name in (b"provider", b"session", b"stranger"))
PROMPT_SALT, ANSWER_SALT = sha256(b"prompt salt"), sha256(b"answer salt")
FAR = 4_000_000_000


@dataclass(frozen=True)
class Stall:
    """One provider, one channel, one model."""

    model_root: bytes
    level: int = Level.AUDITED
    context_length: int = 4096
    domain: Domain = DOMAIN
    registration: Registration = field(init=False)
    offer: Offer = field(init=False)

    def __post_init__(self) -> None:
        registration = Registration(
            version=1,
            model_root=self.model_root,
            author=STRANGER.address,
            payee=STRANGER.address,
            royalty_bps=500,
            context_length=self.context_length,
            size_bytes=0,
            public_weights=1,
            terms=sha256(b"terms"),
        )
        offer = Offer(
            version=1,
            provider=PROVIDER.address,
            registration=registration.struct_hash(),
            kind=int(Kind.GENERATE),
            level=int(self.level),
            price_in=100_000,
            price_out=400_000,
            price_cached=100_000,
            context_length=self.context_length,
            max_units=1024,
            max_unpaid=4,
            run_ahead=4,
            valid_until=FAR,
            nonce=1,
        )
        object.__setattr__(self, "registration", registration)
        object.__setattr__(self, "offer", offer)

    def order(self, prompt: Sequence[int], max_units: int = 24, **changes: object) -> Order:
        order = Order(
            version=Order.VERSION,
            channel=sha256(b"channel"),
            offer=self.offer.digest(self.domain),
            registration=self.offer.registration,
            kind=self.offer.kind,
            level=self.offer.level,
            prompt_root=roots.units_root(prompt, PROMPT_SALT),
            prompt_units=len(prompt),
            answer_from=len(prompt),
            max_units=max_units,
            temperature=ONE,
            top_p=ONE,
            top_k=0,
            seed=11,
            grammar=bytes(32),
            logprobs=0,
            max_price=10**9,
            deadline=FAR,
            coin_commitment=roots.coin_commitment(sha256(b"coin")),
            jury_epoch=0,
            nonce=sha256(b"nonce"),
        )
        return replace(order, **changes)  # type: ignore[arg-type]

    def claim(
        self,
        order: Order,
        prompt: Sequence[int],
        generated: Sequence[int],
        leaves: Sequence[bytes],
        grammar: bytes = b"",
        logprobs: Sequence[tuple[int, ...]] = (),
        **changes: object,
    ) -> Claim:
        """The signed claim that these ids, with this evidence, are the answer. `changes` go into the receipt."""
        answer = generate.whole_answer(order, prompt, generated)
        digest = order.digest(self.domain)
        receipt = generate.receipt_of(digest, order.offer, self.model_root, answer, leaves, ANSWER_SALT, logprobs)
        receipt = replace(receipt, **changes)  # type: ignore[arg-type]
        return Claim(
            domain=self.domain,
            session_key=SESSION.address,
            model_root=self.model_root,
            offer=self.offer,
            offer_signature=PROVIDER.sign(self.offer.digest(self.domain)),
            order=order,
            order_signature=SESSION.sign(digest),
            receipt=receipt,
            receipt_signature=PROVIDER.sign(receipt.digest(self.domain)),
            prompt=tuple(prompt),
            prompt_salt=PROMPT_SALT,
            answer=answer,
            answer_salt=ANSWER_SALT,
            grammar=grammar,
            logprobs=tuple(logprobs),
        )

    def sell(self, engine: Engine, order: Order, prompt: Sequence[int], grammar: bytes = b"") -> Claim:
        """What a provider signs that answers the order with `engine`, as it is."""
        steps = run(engine, order, prompt, grammar)
        rows = [step.logprobs for step in steps if step.logprobs]
        return self.claim(order, prompt, [step.id for step in steps], [step.leaf for step in steps], grammar, rows)


def run(engine: Engine, order: Order, prompt: Sequence[int], grammar: bytes = b"") -> list[Step]:
    """A whole run."""
    return list(engine.generate(generate.job_of(order, prompt, grammar)))


def signed_again(claim: Claim, receipt: Receipt) -> Claim:
    """The same claim with another receipt, signed by the provider."""
    return replace(claim, receipt=receipt, receipt_signature=PROVIDER.sign(receipt.digest(claim.domain)))


def cancelled(claim: Claim, units: int, *, asked: bool = False) -> Claim:
    """The same claim with a cancel at `units`, signed by the buyer."""
    cancel = Cancel(version=1, order=claim.order.digest(claim.domain), units=units)
    signature = SESSION.sign(cancel.digest(claim.domain))
    return replace(claim, cancel=cancel, cancel_signature=signature, provider_asked=asked)
