"""From a line of configuration to an engine and its text.

    alphabet[?name=…&dialect=…&lie_from=…&pause=seconds]     the toy
    canonical:<model>[?threads=…&memory=bytes&room=bytes&prefix_cache=off]
                                                             bit-exact; a name in the store or the path of a GGUF file
    llamacpp:<model>[?threads=…&context=…&slots=…]           float, level `open` only
    package.module:factory[?anything]                        anybody's own

`memory` is what the model may take in all (what the machine has available unless told otherwise), `room` the part for
keys and values; `prefix_cache=off` shares none of them between answers (docs/why/006-shared-prefixes.md).

Somebody's own factory is called with what follows the question mark (without it: with nothing) and returns
`(engine, text)`, or an engine alone, whose card then names a model that we know. It may also return a text alone, for
`load_text`. It runs in the caller's process with all of its rights: a specification is configuration, never input.
"""

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from steelyard.engines import store
from steelyard.engines.base import Engine, Text
from steelyard.protocol.errors import Refused, SteelyardError

KINDS = ("alphabet", "canonical", "llamacpp")


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(f"{number} is below 1")
    return number


def _switch(text: str) -> bool:
    if text not in {"on", "off"}:
        raise ValueError(f"{text[:40]!r} is neither on nor off")
    return text == "on"


OPTIONS: Mapping[str, Mapping[str, Callable[[str], object]]] = {
    "canonical": {"threads": _whole, "memory": _whole, "room": _whole, "prefix_cache": _switch},
    "llamacpp": {"threads": int, "context": int, "slots": int},
}


def load(spec: str) -> tuple[Engine, Text]:
    """Loads an engine and its text; may take seconds.

    Raises Refused: `engine.unknown`, `engine.option`, `engine.factory`, `engine.not-installed`, `model.unknown`,
    `model.not-pulled`, `model.…` for a file that cannot be served here, and Malformed `gguf.…` for one that is no
    model."""
    kind, model, query = _split(spec)
    if kind == "alphabet":
        return _alphabet(_options(query, {"name": str, "dialect": str, "lie_from": int, "pause": float}))
    if kind not in KINDS:
        return _pair(_made(spec), spec)
    options = _options(query, OPTIONS[kind])
    file = store.find(model)
    text = _gguf_text(model)
    engine: Engine
    if kind == "canonical":
        from steelyard.engines.canonical.engine import CanonicalEngine
        from steelyard.engines.canonical.memory import available

        engine = CanonicalEngine(file, file.stem, **{"memory": available()} | options)
    else:
        from steelyard.engines.llamacpp import LlamaCpp

        engine = LlamaCpp(file, file.stem, **options)
    if engine.card.vocabulary != text.vocabulary:
        engine.close()
        told = f"{engine.card.vocabulary} ids in the weights, {text.vocabulary} in the tokenizer"
        raise Refused("model.vocabulary", told)
    return engine, text


def load_text(spec: str) -> Text:
    """The text alone, without weights or threads: what a gateway needs. Raises as `load`."""
    kind, model, _ = _split(spec)
    if kind == "alphabet":
        return _alphabet_text()
    if kind in KINDS:
        return _gguf_text(model)
    made = _made(spec)
    return made if _is_text(made) else _pair(made, spec)[1]


def _split(spec: str) -> tuple[str, str, str]:
    """Kind, model, query. A model's name holds no question mark."""
    head, _, query = spec.partition("?")
    kind, _, model = head.partition(":")
    if kind in KINDS and (kind == "alphabet") == bool(model):
        raise Refused("engine.unknown", f"{spec[:100]!r}: alphabet takes no model, {KINDS[1:]} take one after a colon")
    return kind, model, query


def _options(query: str, known: Mapping[str, Callable[[str], object]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise Refused("engine.option", f"{name[:40]!r}, known {sorted(known)}")
        try:
            found[name] = known[name](value)
        except ValueError as error:
            raise Refused("engine.option", f"{name}: {error}") from error
    return found


def _alphabet(options: dict[str, Any]) -> tuple[Engine, Text]:
    from steelyard.engines import alphabet  # numpy, which a gateway does without

    if "dialect" in options:
        options["dialect"] = options["dialect"].encode()
    if "pause" in options:
        options["pause"] = alphabet.slow(options["pause"])
    return alphabet.Alphabet(**options), alphabet.AlphabetText()


def _alphabet_text() -> Text:
    from steelyard.engines.alphabet import AlphabetText

    return AlphabetText()


def _gguf_text(model: str) -> Text:
    from steelyard.engines.text import GgufText  # tokenizers and Jinja: slow to import

    return GgufText(store.find(model))


def _made(spec: str) -> Any:
    """What somebody's own factory returns; their module may lie in the current directory."""
    head, question, query = spec.partition("?")
    module_name, _, factory_name = head.partition(":")
    if not factory_name or not all(part.isidentifier() for part in module_name.split(".")):
        raise Refused("engine.unknown", f"{spec[:100]!r} is none of {KINDS}, nor package.module:factory")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise Refused("engine.unknown", f"{spec[:100]!r}: {error}") from error
    except Exception as error:
        raise _failed(spec, error) from error
    try:
        return factory(query) if question else factory()
    except SteelyardError:
        raise
    except Exception as error:
        raise _failed(spec, error) from error


def _failed(spec: str, error: Exception) -> Refused:
    return Refused("engine.factory", f"{spec[:100]!r} raised {type(error).__name__}: {error!s:.200}")


def _pair(made: Any, spec: str) -> tuple[Engine, Text]:
    if isinstance(made, tuple) and len(made) == 2:
        engine, text = made
    else:
        engine, text = made, None
    if not all(hasattr(engine, name) for name in ("card", "generate", "replay", "close")):
        raise Refused("engine.unknown", f"{spec[:100]!r} made a {type(engine).__name__}, which is no engine")
    if text is None:
        name = engine.card.name
        text = _alphabet_text() if name == KINDS[0] else _gguf_text(name)
    if not _is_text(text):
        raise Refused("engine.unknown", f"{spec[:100]!r} made a {type(text).__name__}, which is no text")
    return engine, text


def _is_text(made: object) -> bool:
    return all(hasattr(made, name) for name in ("vocabulary", "render", "encode", "decode"))
