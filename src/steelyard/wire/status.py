"""Rule name <-> HTTP: one table for OpenAI-shaped errors (gateway) and for `Failure` between nodes.

A rule that has no row of its own gets its room's row (the word before the dot), else its class's. Sources: OpenAI's
error codes, and what the official client does with each status (it retries 408, 409, 429 and 5xx, so a business
refusal is never one of those).
"""

from typing import Final, NamedTuple

from steelyard.protocol.errors import Refused, SteelyardError, Unavailable


class Answer(NamedTuple):
    """How a rule is said over HTTP."""

    status: int
    type: str
    """OpenAI's `error.type`."""
    code: str = ""
    """OpenAI's `error.code`; empty: the rule's own name."""


REQUEST, KEY, MONEY = "invalid_request_error", "authentication_error", "payment_error"
PERMISSION, RATE, PROVIDER = "permission_error", "rate_limit_error", "provider_error"

RULES: Final[dict[str, Answer]] = {
    # what a client asked for
    "request.key": Answer(401, KEY, "invalid_api_key"),
    "request.host": Answer(403, PERMISSION),
    "request.model": Answer(404, REQUEST, "model_not_found"),
    "request.unknown-receipt": Answer(404, REQUEST),
    "request.not-offered": Answer(501, REQUEST),
    "request.unsupported-parameter": Answer(400, REQUEST, "unsupported_parameter"),
    "request.context-too-long": Answer(400, REQUEST, "context_length_exceeded"),
    "request.price-cap": Answer(402, MONEY, "price_cap_exceeded"),
    "request.in-flight": Answer(429, RATE, "concurrency"),
    "budget.exceeded": Answer(402, MONEY, "budget_exceeded"),
    "order.context-too-long": Answer(400, REQUEST, "context_length_exceeded"),
    "order.busy": Answer(429, RATE, "concurrency"),
    "order.unknown": Answer(404, REQUEST),
    # money
    "channel.exhausted": Answer(402, MONEY, "insufficient_escrow"),
    "channel.unpaid": Answer(402, MONEY, "voucher_required"),
    "order.unpaid": Answer(402, MONEY, "voucher_required"),
    "voucher.required": Answer(402, MONEY, "voucher_required"),
    "voucher.stale": Answer(402, MONEY, "voucher_stale"),
    # the road
    "wire.too-large": Answer(413, REQUEST, "request_too_large"),
    "wire.path": Answer(404, REQUEST),
    "wire.method": Answer(405, REQUEST),
    "wire.status": Answer(400, REQUEST),
    "wire.slow": Answer(408, REQUEST),
    "signature": Answer(401, KEY),
    "ticket.unknown": Answer(404, REQUEST),
    "receipt.unknown": Answer(404, REQUEST),
    # who should have served
    "chain.unreachable": Answer(503, PROVIDER),
    "provider.none": Answer(503, PROVIDER, "no_provider"),
    "provider.failed": Answer(502, PROVIDER, "provider_failed"),
    "provider.timeout": Answer(504, PROVIDER, "provider_timeout"),
    "provider.busy": Answer(429, RATE, "concurrency"),
    "peer.timeout": Answer(504, PROVIDER, "provider_timeout"),
    "peer.garbage": Answer(502, PROVIDER, "provider_failed"),
    "peer.cut": Answer(502, PROVIDER, "provider_failed"),
    "peer.unreachable": Answer(502, PROVIDER, "provider_failed"),
}

ROOMS: Final[dict[str, Answer]] = {
    "voucher": Answer(402, MONEY),
    "channel": Answer(402, MONEY),
    "budget": Answer(402, MONEY, "budget_exceeded"),
    "signature": Answer(401, KEY),
}

PARAMETER_RULES: Final = frozenset(
    {"request.unsupported-parameter", "request.value", "request.missing", "request.messages", "request.model"}
)
"""Refusals whose detail begins with the parameter's name and a colon: OpenAI's `error.param`."""


def answer_of(error: SteelyardError) -> Answer:
    """The row of an error, `code` filled in."""
    row = RULES.get(error.rule)
    if row is None and isinstance(error, Refused):
        row = ROOMS.get(error.rule.partition(".")[0], Answer(400, REQUEST))
    if row is None:
        row = Answer(503, PROVIDER)
    return row._replace(code=row.code or error.rule)


def param_of(error: SteelyardError) -> str | None:
    """The request's parameter that the error is about, if its rule names one."""
    name, colon, _ = error.detail.partition(": ")
    return name if error.rule in PARAMETER_RULES and colon else None


def error_of(status: int, rule: str, detail: str) -> SteelyardError:
    """What a peer's `Failure` means here: Unavailable from 500 on, else Refused."""
    return (Unavailable if status >= 500 else Refused)(rule, detail)
