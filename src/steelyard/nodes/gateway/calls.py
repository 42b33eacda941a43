"""Functions that a model may call: how they are told to it, the grammar that keeps it to them, the call in its answer.

Templates differ in how they show tools, many (SmolLM2's) not at all, so functions are told in plain words and a call is
one JSON object, whatever the model: {"name": …, "arguments": …}.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from steelyard.engines.grammars import grammar_of
from steelyard.protocol.errors import Refused
from steelyard.wire.openai import ChatRequest
from steelyard.wire.tools import NamedChoice, Tool, ToolCall

HEAD: Final = re.compile(r'\{"name": "([a-zA-Z0-9_-]{1,64})", "arguments": ')
NO_PARAMETERS: Final = {"type": "object", "properties": {}, "additionalProperties": False}
TOLD: Final = "You can call these functions:\n{functions}\nTo call one, answer with one JSON object and nothing else: "
CALL: Final = '{"name": <the function\'s name>, "arguments": <an object>}.'
FORCED: Final = " Call one now."


def offered(wanted: ChatRequest) -> Sequence[Tool]:
    """The functions that the answer may call."""
    choice, tools = wanted.tool_choice, wanted.tools or []
    if isinstance(choice, NamedChoice):
        return [tool for tool in tools if tool.function.name == choice.function.name]
    return [] if choice == "none" else tools


def forced(wanted: ChatRequest) -> bool:
    """True if the answer must be a call."""
    return wanted.tool_choice == "required" or isinstance(wanted.tool_choice, NamedChoice)


def grammar_for(wanted: ChatRequest) -> bytes:
    """What the answer keeps to; empty: anything. Raises Refused("order.grammar-limit")."""
    tools = offered(wanted)
    if tools:
        return grammar_of("json" if forced(wanted) else "text-or-json", _call_schema(tools))
    schema = wanted.response_format.schema() if wanted.response_format else None
    return b"" if schema is None else grammar_of("json", schema)


def _call_schema(tools: Sequence[Tool]) -> dict[str, Any]:
    """One of the calls. Each function's parameters move under `$defs`, and the references inside move with them."""
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, "arguments": {"$ref": f"#/$defs/{name}"}},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for name in (tool.function.name for tool in tools)
    ]
    parameters = {
        tool.function.name: _moved(tool.function.parameters or NO_PARAMETERS, f"#/$defs/{tool.function.name}")
        for tool in tools
    }
    return {"anyOf": calls, "$defs": parameters}


def _moved(schema: Any, root: str) -> Any:
    if isinstance(schema, list):
        return [_moved(item, root) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    moved = {key: _moved(value, root) for key, value in schema.items()}
    target = moved.get("$ref")
    return moved | {"$ref": root + target[1:]} if isinstance(target, str) and target.startswith("#") else moved


def conversation(wanted: ChatRequest) -> list[dict[str, str]]:
    """Messages as chat templates read them: calls as the JSON that they were, results as what the user says, the
    functions in the system's message. Raises Refused("request.value")."""
    told: list[dict[str, str]] = []
    names: dict[str, str] = {}
    for at, (message, plain) in enumerate(zip(wanted.messages, wanted.for_template(), strict=True)):
        calls = message.tool_calls or []
        names |= {call.id: call.function.name for call in calls}
        if message.role == "tool":
            called = names.get(message.tool_call_id or "")
            if called is None:
                raise Refused("request.value", f"messages[{at}].tool_call_id: names no call before it")
            plain = {"role": "user", "content": f"Result of {called}: {plain['content']}"}
        elif calls:
            plain["content"] = "\n".join([*filter(None, [plain["content"]]), *map(_written, calls)])
        told.append(plain)
    tools = offered(wanted)
    if tools:
        functions = "\n".join(json.dumps(_spec(tool), ensure_ascii=False) for tool in tools)
        instruction = TOLD.format(functions=functions) + CALL + (FORCED if forced(wanted) else "")
        if told[0]["role"] == "system":
            told[0]["content"] += "\n\n" + instruction
        else:
            told.insert(0, {"role": "system", "content": instruction})
    return told


def _spec(tool: Tool) -> dict[str, Any]:
    function = tool.function
    about = {"description": function.description} if function.description else {}
    return {"name": function.name, **about, "parameters": function.parameters or NO_PARAMETERS}


def _written(call: ToolCall) -> str:
    return f'{{"name": {json.dumps(call.function.name)}, "arguments": {call.function.arguments}}}'


@dataclass(slots=True)
class CallReader:
    """Reads the text of one answer, piece by piece, that may be a call (GRM-4 fixes its spacing).

    Invariant: what was read is what was returned, and `held`."""

    held: str = ""
    name: str = ""
    """Of the called function, once it is known."""
    plain: bool = False
    """True once it is no call."""
    complete: bool = False
    """True if a whole call was read."""

    def push(self, text: str) -> tuple[str, str]:
        """(text to say, arguments to add) of what came. The last brace closes the call, not the arguments: whatever
        could be it is held."""
        self.held += text
        if not self.name and not self.plain:
            self.plain = not self.held.startswith("{") and bool(self.held)
            head = HEAD.match(self.held)
            if head is not None:
                self.name, self.held = head[1], self.held[head.end() :]
        if self.plain:
            said, self.held = self.held, ""
            return said, ""
        if not self.name:
            return "", ""
        added, self.held = self.held[:-1], self.held[-1:]
        return "", added

    def finish(self, *, stopped: bool) -> tuple[str, str]:
        """The rest; `stopped` if the answer ended by itself, or at a stop string, which may have cut the call."""
        rest, self.held = self.held, ""
        self.complete = bool(self.name) and stopped and rest == "}"
        if not self.name:
            return rest, ""
        return "", "" if self.complete else rest
