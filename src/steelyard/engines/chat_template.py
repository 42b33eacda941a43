"""A model's chat template, rendered as Hugging Face's transformers does, in Jinja's sandbox and within bounds.

The template comes with the model's file, whose hash the operator chose: it may not reach Python, nor take our time and
memory. So each is rendered by a process of its own (`rendering`), begun at the first prompt and begun anew after a
template that broke its bounds.
"""

import json
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import jinja2

from steelyard.engines import rendering
from steelyard.protocol.errors import Malformed, Refused

MAX_CPU_SECONDS: Final = 5.0
"""For one prompt. A usual one takes a thousandth of a second."""
MAX_SOURCE: Final = 1 << 20
"""Most characters of a template."""
COMMAND: Final = (sys.executable, "-P", "-m", rendering.__name__)


class ChatTemplate:
    """One template with the names of special tokens that templates use. Any thread may render; one does at a time.

    Args:
        source: Jinja.
        names: `bos_token`, `eos_token` and so on.

    Raises Malformed("gguf.template")."""

    def __init__(self, source: str, names: Mapping[str, str]) -> None:
        if len(source) > MAX_SOURCE:
            raise Malformed("gguf.template", f"{len(source)} characters, at most {MAX_SOURCE}")
        try:
            rendering.environment().parse(source)  # parsed, not compiled: compiling would compute its constants
        except jinja2.TemplateSyntaxError as error:
            raise Malformed("gguf.template", f"line {error.lineno}: {error.message}") from error
        except RecursionError as error:
            raise Malformed("gguf.template", f"nested too deeply, {len(source)} characters") from error
        self.source = source
        self._first = {"source": source, "names": dict(names), "seconds": MAX_CPU_SECONDS}
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def render(self, messages: Sequence[object]) -> str:
        """The prompt, with what makes the assistant speak next. Raises Refused: `request.messages` where the template
        refuses them, `model.template` where it breaks its bounds."""
        given = {"messages": messages, "add_generation_prompt": True, "tools": None, "documents": None}
        try:
            line = json.dumps(given)
        except (TypeError, ValueError, RecursionError) as error:
            raise Refused("request.messages", f"messages: {error!s:.200}") from error
        with self._turn:
            said = self._ask(line)
        if "limit" in said:
            raise Refused("model.template", f"{said['limit']}")
        if "error" in said:
            raise Refused("request.messages", f"messages: the model's template says: {said['error']}")
        return said["text"]

    def _ask(self, line: str) -> dict[str, str]:
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603  our own module
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            self._end = weakref.finalize(self, _end, self._process)
            _write(self._process, json.dumps(self._first))
        _write(self._process, line)
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if answer:
            said: dict[str, str] = json.loads(answer)
            return said
        status = self._process.wait()
        self._process = None
        self._end()
        if status == -signal.SIGPROF:
            return {"limit": f"more than {self._first['seconds']} CPU seconds for one prompt"}
        return {"limit": f"the process that renders ended with status {status}"}


def _write(process: "subprocess.Popen[bytes]", line: str) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it has ended: whoever reads its answer sees that
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()


def _end(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.kill()
    process.wait()
    process.stdout.close()
    with suppress(BrokenPipeError):  # what was left to write
        process.stdin.close()
