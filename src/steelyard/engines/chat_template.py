"""A model's chat template, rendered as Hugging Face's transformers does, in Jinja's sandbox and within bounds.

The template comes with the model's file, whose hash the operator chose: it may not reach Python, nor fill the memory; a
template that loops for long without writing is not stopped.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from jinja2 import TemplateError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from steelyard.protocol.errors import Refused

MAX_RENDERED: Final = 1 << 24
"""Most characters of a rendered prompt, and of any product inside a template."""
FAILURES: Final = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Also bounds `*` and `**`, with which a template of ten bytes could fill the memory."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        sizes = [len(side) if isinstance(side, str | list | tuple) else side for side in (left, right)]
        if not all(isinstance(size, int | float) and abs(size) <= MAX_RENDERED for size in sizes):
            raise TemplateError(f"{operator} of these is not allowed")
        if operator == "**" and max(map(abs, sizes)) > 64:
            raise TemplateError("a power above 64 is not allowed")
        if operator == "*" and abs(sizes[0] * sizes[1]) > MAX_RENDERED:
            raise TemplateError(f"a product above {MAX_RENDERED} is not allowed")
        return super().call_binop(context, operator, left, right)


class ChatTemplate:
    """One template with the names of special tokens that templates use.

    Args:
        source: Jinja.
        names: `bos_token`, `eos_token` and so on.

    Raises jinja2.TemplateSyntaxError."""

    def __init__(self, source: str, names: Mapping[str, str]) -> None:
        sandbox = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
        sandbox.filters["tojson"] = _to_json
        sandbox.globals["raise_exception"] = _raise_exception
        self.source = source
        self._template = sandbox.from_string(source)
        self._names = dict(names)

    def render(self, messages: Sequence[object]) -> str:
        """The prompt, with what makes the assistant speak next. Raises Refused("request.messages")."""
        given = self._names | {"messages": messages, "add_generation_prompt": True, "tools": None, "documents": None}
        pieces, size = [], 0
        try:
            for piece in self._template.generate(given):
                pieces.append(piece)
                size += len(piece)
                if size > MAX_RENDERED:
                    raise Refused("request.messages", f"messages: more than {MAX_RENDERED} characters when rendered")
        except FAILURES as error:
            raise Refused("request.messages", f"messages: the model's template says: {error!s:.200}") from error
        return "".join(pieces)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(value: object, indent: int | None = None, ensure_ascii: bool = False, sort_keys: bool = False) -> str:
    """As transformers': Jinja's own filter escapes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, sort_keys=sort_keys)
