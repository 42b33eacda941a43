"""A client of a gateway over the standard library's HTTP: answers with their receipts."""

import http.client
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from steelyard.protocol.errors import Malformed, Refused, Unavailable
from steelyard.sdk.receipts import verify
from steelyard.verification.receipts import Finding
from steelyard.wire.messages import MAX_BODY
from steelyard.wire.reading import read_json
from steelyard.wire.receipts import ReceiptDocument
from steelyard.wire.status import error_of

Messages = Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    id: str
    text: str
    finish: str
    """`stop` or `length`."""
    prompt_tokens: int
    completion_tokens: int
    cost_micro: int
    """Micro-tokens."""
    receipt: ReceiptDocument = field(repr=False)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a streamed answer; the last one has no text but the whole answer."""

    text: str
    answer: Answer | None = None


class Client:
    """A buyer's program. Raises Refused and Unavailable with the gateway's own rule names."""

    def __init__(self, base_url: str | None = None, api_key: str | None = None, timeout: float = 600.0) -> None:
        """`base_url` ends in /v1; both default to OPENAI_BASE_URL and OPENAI_API_KEY. `timeout`: seconds without a
        byte."""
        self.base_url = (base_url or os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")).rstrip("/")
        self.timeout = timeout
        self._key = api_key or os.environ.get("OPENAI_API_KEY", "")
        self._at = urlsplit(self.base_url)
        if self._at.scheme not in ("http", "https") or self._at.hostname is None:
            raise Refused("client.url", f"{self.base_url!r:.100} is no http(s) URL")

    def chat(self, messages: str | Messages, model: str, **options: Any) -> Answer:
        """A whole answer. A string is one user's message; options as OpenAI's API has them, and `provider`."""
        with self._ask("POST", "/chat/completions", _body(messages, model, options)) as response:
            found = _json(response.read(MAX_BODY + 1))
        choice = found["choices"][0]
        return _answer(found, choice["message"]["content"], choice["finish_reason"])

    def stream(self, messages: str | Messages, model: str, **options: Any) -> Iterator[Piece]:
        """Pieces as they come. Raises Unavailable("stream.cut") if the stream ends before its receipt."""
        more = {**options, "stream": True, "stream_options": {"include_usage": True}}
        with self._ask("POST", "/chat/completions", _body(messages, model, more)) as response:
            yield from _pieces(response)

    def models(self) -> list[dict[str, Any]]:
        """What can be bought now, with prices and levels."""
        with self._ask("GET", "/models") as response:
            return list(_json(response.read(MAX_BODY + 1))["data"])

    def receipt(self, name: str) -> dict[str, Any]:
        """A receipt by its digest or its answer's id: document, payment, audits. Raises Refused
        ("request.unknown-receipt")."""
        with self._ask("GET", f"/receipts/{quote(name, safe='')}") as response:
            return _json(response.read(MAX_BODY + 1))

    def verify(self, receipt: ReceiptDocument) -> list[Finding]:
        """`steelyard.sdk.verify`: asks nobody."""
        return verify(receipt)

    @contextmanager
    def _ask(self, method: str, path: str, body: bytes | None = None) -> Iterator[http.client.HTTPResponse]:
        kind = http.client.HTTPSConnection if self._at.scheme == "https" else http.client.HTTPConnection
        assert self._at.hostname is not None
        connection = kind(self._at.hostname, self._at.port, timeout=self.timeout)
        headers = {"authorization": f"Bearer {self._key}", "content-type": "application/json"}
        try:
            connection.request(method, self._at.path + path, body, headers)
            response = connection.getresponse()
            if response.status != 200:
                raise _refusal(response.status, response.read(MAX_BODY + 1))
            yield response
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable("gateway.unreachable", f"{self.base_url}: {type(error).__name__} {error}") from error
        finally:
            connection.close()


def _body(messages: str | Messages, model: str, options: Mapping[str, Any]) -> bytes:
    if options.get("tools"):
        raise Refused("request.unsupported-parameter", "tools: this client reads text; calls need OpenAI's")
    said = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
    return msgspec.json.encode({"model": model, "messages": said, **options})


def _json(raw: bytes) -> dict[str, Any]:
    try:
        return read_json(raw, dict[str, Any], "gateway.garbage")
    except Malformed as error:
        raise Unavailable(error.rule, f"{len(raw)} bytes: {error.detail}") from error


def _refusal(status: int, raw: bytes) -> Refused | Unavailable:
    """The gateway's own rule; its message begins with the rule's name."""
    error = _json(raw).get("error")
    if not isinstance(error, dict):
        return Unavailable("gateway.garbage", f"status {status}, no error of ours")
    rule, message = str(error.get("rule") or error.get("code")), str(error.get("message"))
    found = error_of(status, rule, message.removeprefix(f"{rule}: "))
    assert isinstance(found, Refused | Unavailable)
    return found


def _answer(found: Mapping[str, Any], text: str, finish: str) -> Answer:
    usage = found["usage"]
    try:
        receipt = msgspec.convert(found["receipt"], ReceiptDocument)
    except msgspec.ValidationError as error:
        raise Malformed("receipt.document", f"{error}") from error
    return Answer(
        id=found["id"],
        text=text,
        finish=finish,
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        cost_micro=usage["cost_micro"],
        receipt=receipt,
    )


def _pieces(response: http.client.HTTPResponse) -> Iterator[Piece]:
    said: list[str] = []
    finish = None
    for line in response:
        if not line.startswith(b"data: {"):
            continue  # comments, blank lines, [DONE]
        chunk = _json(line.removeprefix(b"data: "))
        if "error" in chunk:
            raise _refusal(502, line.removeprefix(b"data: "))
        for choice in chunk["choices"]:
            finish = choice.get("finish_reason") or finish
            if text := choice["delta"].get("content"):
                said.append(text)
                yield Piece(text)
        if "usage" in chunk:
            if finish is None:
                break
            yield Piece("", _answer(chunk, "".join(said), finish))
            return
    raise Unavailable("stream.cut", f"after {len(said)} pieces")
