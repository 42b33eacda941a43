"""A process that renders one chat template and does nothing else: `python -m steelyard.engines.rendering`.

The template came with a model's file. Jinja's sandbox keeps it from reaching Python; that it neither works for ever nor
fills the memory is the kernel's to enforce, since one call inside a template (a width, a power, a list of itself as
text) can do either. A template over its CPU time is killed; one over its memory gets MemoryError.

Lines of JSON. First {"source", "names", "seconds"}, the last being CPU time for one prompt; then for each prompt the
template's variables, which are answered by {"text"}, {"error"} or {"limit"}.
"""

import json
import resource
import signal
import sys
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from jinja2 import Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_MEMORY: Final = 1 << 30
"""Bytes of address space, of which Python and Jinja take some 50 million."""
MAX_RENDERED: Final = 1 << 24
"""Most characters of a rendered prompt."""
FAILURES: Final = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError)


def environment() -> ImmutableSandboxedEnvironment:
    """As transformers' `apply_chat_template` sets Jinja up."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _raise_exception
    return made


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(value: object, indent: int | None = None, ensure_ascii: bool = False, sort_keys: bool = False) -> str:
    """As transformers': Jinja's own filter escapes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, sort_keys=sort_keys)


def render(template: Template, variables: Mapping[str, object]) -> dict[str, str]:
    """The answer to one prompt."""
    pieces, size = [], 0
    try:
        for piece in template.generate(variables):
            pieces.append(piece)
            size += len(piece)
            if size > MAX_RENDERED:
                return {"limit": f"more than {MAX_RENDERED} characters when rendered"}
    except FAILURES as error:
        return {"error": f"{error!s:.200}"}
    return {"text": "".join(pieces)}


def main() -> None:
    """Reads, renders, answers, until nobody asks any more."""
    if sys.platform == "linux":  # elsewhere the kernel does not hold to it
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    template: Template | None = None
    given: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_PROF, given["seconds"])  # nobody handles SIGPROF: it ends the process
        try:
            if template is None:  # within the limits, since Jinja computes constants when it compiles
                template = environment().from_string(given["source"])
            said = json.dumps(render(template, given["names"] | json.loads(line)))
        except TemplateError as error:
            said = json.dumps({"error": f"{error!s:.200}"})
        except MemoryError:
            said = json.dumps({"limit": f"more than {MAX_MEMORY} bytes of memory"})
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.write(said + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
