"""/v1/chat/completions and /v1/completions: from a client's request to wishes, and from answers to a response."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from steelyard.engines.base import Text
from steelyard.nodes.gateway.answering import Answered, Answering
from steelyard.nodes.gateway.calls import conversation, grammar_for, offered
from steelyard.nodes.gateway.desk import Desk
from steelyard.nodes.gateway.drafting import Entropy, Wish, bits, highest_price, longest, seed_of
from steelyard.nodes.gateway.records import document_of, hexed
from steelyard.nodes.gateway.retries import Attempts
from steelyard.nodes.gateway.routing import Listed, Need
from steelyard.nodes.gateway.shapes import ChatShape, Head, Piece, Shape, TextShape, receipts, usage_of
from steelyard.nodes.gateway.spending import ApiKey
from steelyard.nodes.gateway.streaming import Item, Stream
from steelyard.protocol.errors import Refused, SteelyardError
from steelyard.protocol.records import SOLD, Level
from steelyard.wire.http import read_body
from steelyard.wire.openai import ChatRequest, CompletionRequest, Sampling, read_chat, read_completion
from steelyard.work.generate import MAX_NUMBERS, not_lowered, row_length

FIRST_SECONDS: Final = 10.0  # then a streaming client gets headers, whatever comes
LARGE: Final = 1 << 15  # bytes of a body beyond which tokenising leaves the event loop
PARAMETERS: Final = {"grammar": "response_format or tools"}  # what a client calls it
SSE: Final = {"cache-control": "no-cache", "x-accel-buffering": "no"}

Wanted = ChatRequest | CompletionRequest
Tokenise = Callable[[], list[tuple[int, ...]]]


@dataclass(frozen=True, slots=True)
class Whole:
    """A response that is not streamed, ready to be sent again."""

    body: bytes
    headers: dict[str, str]


@dataclass(eq=False)
class Completions:
    """Both endpoints."""

    desk: Desk
    entropy: Entropy
    attempts: Attempts[Whole] = field(init=False)

    def __post_init__(self) -> None:
        self.attempts = Attempts(self.desk.timer)

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        buyer = self._buyer(request)
        raw = await read_body(request)
        wanted = read_chat(raw)
        text = self.desk.text(wanted.model)
        # always aside: the template is somebody's, and may take its whole time
        prompts = await asyncio.to_thread(lambda: [tuple(text.render(conversation(wanted)))])
        shape = ChatShape(self.entropy(12).hex() if offered(wanted) else "")
        return await self._answer(request, buyer, raw, wanted, wanted.limit(), text, prompts, shape)

    async def text(self, request: Request) -> Response:
        """POST /v1/completions."""
        buyer = self._buyer(request)
        raw = await read_body(request)
        wanted = read_completion(raw)
        text = self.desk.text(wanted.model)
        prompts = await _tokenised(raw, lambda: [_ids(text, prompt) for prompt in wanted.prompts()])
        return await self._answer(request, buyer, raw, wanted, wanted.limit(), text, prompts, TextShape())

    def _buyer(self, request: Request) -> ApiKey:
        return self.desk.till.spending.key_of(request.headers.get("authorization", ""))

    async def _answer(
        self,
        request: Request,
        buyer: ApiKey,
        raw: bytes,
        wanted: Wanted,
        limit: int | None,
        text: Text,
        prompts: list[tuple[int, ...]],
        shape: Shape,
    ) -> Response:
        prefix = "chatcmpl-" if isinstance(shape, ChatShape) else "cmpl-"
        head = Head(prefix + self.entropy(12).hex(), int(self.desk.clock()), wanted.model)
        seed = int.from_bytes(self.entropy(8), "big") if wanted.seed is None else wanted.seed % (1 << 64)
        wishes = _wishes(wanted, limit, prompts, seed)
        candidates = [self.desk.candidates(wish.need) for wish in wishes]
        prices = [_lowest(wish, offers) for wish, offers in zip(wishes, candidates, strict=True)]
        buyers = self.desk.till.spending.shares(buyer, prices)
        queue: asyncio.Queue[Item] = asyncio.Queue()
        answerings = [
            Answering(self.desk, text, wish, _teller(queue, at), buyers[at], head.id if at == 0 else f"{head.id}#{at}")
            for at, wish in enumerate(wishes)
        ]
        if wanted.stream:
            return await self._stream(request, wanted, head, shape, answerings, candidates, queue)

        def begin() -> asyncio.Task[Whole]:
            return asyncio.create_task(self._whole(head, shape, answerings, candidates, queue))

        retry = request.headers.get("x-stainless-retry-count", "0")
        request.state.worked = lambda: any(answering.worked for answering in answerings)
        whole = await self.attempts.answer(
            user=buyer.name,
            raw=request.url.path.encode() + b"\0" + raw,
            key=request.headers.get("idempotency-key"),
            retry=retry.isdigit() and int(retry) > 0,
            gone=request.is_disconnected,
            begin=begin,
        )
        return Response(whole.body, headers=whole.headers, media_type="application/json")

    async def _whole(
        self,
        head: Head,
        shape: Shape,
        answerings: Sequence[Answering],
        candidates: Sequence[Sequence[Listed]],
        queue: "asyncio.Queue[Item]",
    ) -> Whole:
        tasks = [asyncio.ensure_future(a.run(c)) for a, c in zip(answerings, candidates, strict=True)]
        try:
            answered: list[Answered] = await asyncio.gather(*tasks)
        except SteelyardError:
            for answering in answerings:
                answering.leave()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        told: list[list[Piece]] = [[] for _ in answerings]
        while not queue.empty():
            at, piece = queue.get_nowait()
            assert isinstance(piece, Piece)
            told[at].append(piece)
        domain = self.desk.draft.domain
        cost = sum(a.bought.price for a in answered)
        usage = usage_of([a.wish.prompt for a in answerings], sum(len(a.bought.answer) for a in answered), cost)
        choices = [shape.whole(at, _joined(told[at]), a.finish) for at, a in enumerate(answered)]
        first = answered[0].bought
        completion = head.completion(
            shape.kind,
            choices,
            provider=first.placed.listed.provider,
            usage=usage,
            **receipts([document_of(a.bought, domain) for a in answered]),
        )
        headers = {"x-provider": str(first.placed.listed.provider), "x-receipt-id": hexed(first.digest)}
        return Whole(msgspec.json.encode(completion), headers)

    async def _stream(
        self,
        request: Request,
        wanted: Sampling,
        head: Head,
        shape: Shape,
        answerings: Sequence[Answering],
        candidates: Sequence[Sequence[Listed]],
        queue: "asyncio.Queue[Item]",
    ) -> Response:
        stream = Stream(head, shape, self.desk.draft.domain, wanted.include_usage(), answerings, queue)
        request.state.worked = lambda: any(answering.worked for answering in answerings)
        for at, (answering, offers) in enumerate(zip(answerings, candidates, strict=True)):
            self.desk.spawn(_run(answering, offers, at, queue))
        try:
            await stream.begun(FIRST_SECONDS)
        except asyncio.CancelledError:
            stream.leave()
            raise
        headers = dict(SSE)
        if answerings[0].provider is not None:
            headers["x-provider"] = str(answerings[0].provider)
        return StreamingResponse(stream.events(), media_type="text/event-stream", headers=headers)


async def _run(answering: Answering, candidates: Sequence[Listed], at: int, queue: "asyncio.Queue[Item]") -> None:
    try:
        queue.put_nowait((at, await answering.run(candidates)))
    except SteelyardError as error:
        queue.put_nowait((at, error))


def _teller(queue: "asyncio.Queue[Item]", at: int) -> Callable[[Piece], None]:
    return lambda piece: queue.put_nowait((at, piece))


def _lowest(wish: Wish, offers: Sequence[Listed]) -> int:
    return min(highest_price(listed, wish, longest(wish, listed)) for listed in offers)


def _joined(pieces: Sequence[Piece]) -> Piece:
    return Piece("".join(piece.text for piece in pieces), tuple(token for piece in pieces for token in piece.tokens))


def _wishes(wanted: Wanted, limit: int | None, prompts: list[tuple[int, ...]], seed: int) -> list[Wish]:
    """One wish per prompt and choice; seeds of the further ones are derived (rule P3)."""
    level = Level[wanted.provider.assurance.level.upper()]
    if level not in SOLD:
        name = wanted.provider.assurance.level
        raise Refused("request.unsupported-parameter", f"provider.assurance.level: {name} is not sold yet")
    grammar = grammar_for(wanted) if isinstance(wanted, ChatRequest) else b""
    rows, top_p = wanted.rows(), bits(wanted.top_p)
    beyond = not_lowered(grammar=bool(grammar), logprobs=rows)
    if level == Level.DISPUTABLE and beyond:
        told = "not at level disputable yet, where a contract must be able to follow it; level audited takes it"
        raise Refused("request.unsupported-parameter", f"{PARAMETERS.get(beyond[0], beyond[0])}: {told}")
    if limit is not None and limit * row_length(rows) > MAX_NUMBERS:
        told = f"{limit} tokens with {row_length(rows)} numbers each, at most {MAX_NUMBERS} numbers in all"
        raise Refused("request.value", f"logprobs: {told}")
    wishes: list[Wish] = []
    for prompt in prompts:
        if not prompt:
            raise Refused("request.value", "prompt: has no tokens")
        need = Need(
            wanted.model, level, len(prompt), limit or 1, wanted.provider.assurance.min_bond, prefer=wanted.provider
        )
        for _ in range(wanted.n):
            wishes.append(
                Wish(
                    need=need,
                    prompt=prompt,
                    max_units=limit,
                    temperature=bits(wanted.temperature),
                    top_p=top_p,
                    top_k=wanted.top_k,
                    seed=seed_of(seed, len(wishes)),
                    stops=wanted.stops(),
                    grammar=grammar,
                    logprobs=rows,
                    audit_rate=wanted.provider.assurance.audit_rate,
                )
            )
    return wishes


async def _tokenised(raw: bytes, work: Tokenise) -> list[tuple[int, ...]]:
    return work() if len(raw) < LARGE else await asyncio.to_thread(work)


def _ids(text: Text, prompt: str | list[int]) -> tuple[int, ...]:
    if isinstance(prompt, str):
        return tuple(text.encode(prompt))
    if max(prompt) >= text.vocabulary:
        raise Refused("request.value", f"prompt: id {max(prompt)}, the model knows 0 to {text.vocabulary - 1}")
    return tuple(prompt)
