"""What a chat request asks of an answer's form: `response_format`, `tools`, `tool_choice`, as OpenAI has them."""

import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from steelyard.protocol.errors import Refused

MAX_TOOLS: Final = 128
NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class FunctionSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A function that the client could run."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """JSON Schema of an object; none: no parameters."""
    strict: bool | None = None
    """Always true here: an answer under a grammar keeps to the schema, or is cut."""


class Tool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Only functions are tools here."""

    type: Literal["function"]
    function: FunctionSpec


class FunctionName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A function by its name."""

    name: str


class NamedChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`tool_choice`: this function must be called."""

    type: Literal["function"]
    function: FunctionName


class NamedSchema(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`response_format.json_schema`."""

    name: str
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None
    """Always true here."""


class ResponseFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`response_format`."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    def schema(self) -> dict[str, Any] | None:
        """What the answer is an instance of; None: any text."""
        if self.type == "json_schema":
            assert self.json_schema is not None  # `check_form`
            return self.json_schema.schema
        return {"type": "object"} if self.type == "json_object" else None


class CalledFunction(msgspec.Struct, frozen=True):
    """Name and arguments (JSON text) of a call."""

    name: str
    arguments: str


class ToolCall(msgspec.Struct, frozen=True):
    """A call in an assistant's message."""

    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


Choice = Literal["none", "auto", "required"] | NamedChoice


def check_form(form: ResponseFormat | None, tools: Sequence[Tool] | None, choice: Choice | None) -> None:
    """Raises Refused("request.value" | "request.unsupported-parameter")."""
    if form is not None and form.type == "json_schema":
        if form.json_schema is None:
            raise Refused("request.value", "response_format.json_schema: required with type json_schema")
        _check_name("response_format.json_schema.name", form.json_schema.name)
    names = [tool.function.name for tool in tools or ()]
    for at, name in enumerate(names):
        _check_name(f"tools[{at}].function.name", name)
    if len(names) > MAX_TOOLS or len(set(names)) != len(names):
        raise Refused("request.value", f"tools: {len(names)}, {len(set(names))} different; at most {MAX_TOOLS}")
    if isinstance(choice, NamedChoice) and choice.function.name not in names:
        named = choice.function.name[:64]
        raise Refused("request.value", f"tool_choice.function.name: {named!r} is none of {names[:20]}")
    if choice == "required" and not names:
        raise Refused("request.value", "tool_choice: required, but there are no tools")
    if names and choice != "none" and form is not None and form.type != "text":
        raise Refused("request.unsupported-parameter", "response_format: not together with tools yet")


def _check_name(where: str, name: str) -> None:
    if not NAME.fullmatch(name):
        raise Refused("request.value", f"{where}: {name[:80]!r} is not 1 to 64 letters, digits, _ and -")
