"""The few C functions of llama.cpp that the `xllamacpp` wheel's library exports, called through ctypes.

The wheel's own server loses ids while a letter is not complete, so ids are taken from the C interface. Its parameter
structs grow with every release: they are opaque here, with room to spare (they are returned through a pointer and come
last where they are passed by value, so bytes too many hurt nobody). Only the first four fields of the context's are
written, after their defaults were recognised, and what came of them is checked. A batch's fields are what they were in
2024.
"""

import ctypes
import importlib.util
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

from steelyard.protocol.errors import Malformed, Refused, Unavailable

INSTALL: Final = "pip install 'steelyard[llamacpp]'"
ROOM: Final = 2048  # bytes; the structs of 2026 take about 150
DEFAULTS: Final = (512, 2048, 512, 1)
"""Of a context: ids, ids in a batch, ids in a part of a batch, sequences."""
PROMPT_BATCH: Final = 512
"""Ids of a prompt that are decoded between two looks at whether the run was cancelled."""


_POINTER, _INT, _UINT, _FLOAT, _SIZE = ctypes.c_void_p, ctypes.c_int32, ctypes.c_uint32, ctypes.c_float, ctypes.c_size_t


class _Opaque(ctypes.Structure):
    _fields_ = (("bytes", ctypes.c_ubyte * ROOM),)


class _Batch(ctypes.Structure):
    _fields_ = (
        ("count", _INT),
        ("ids", ctypes.POINTER(_INT)),
        ("embeddings", _POINTER),
        ("positions", ctypes.POINTER(_INT)),
        ("sequence_counts", ctypes.POINTER(_INT)),
        ("sequences", ctypes.POINTER(ctypes.POINTER(_INT))),
        ("wanted", ctypes.POINTER(ctypes.c_int8)),
    )


class _ChainParameters(ctypes.Structure):
    _fields_ = (("no_perf", ctypes.c_bool),)


_LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, _POINTER)
_SIGNATURES: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "llama_backend_init": (None, ()),
    "llama_log_set": (None, (_LOG, _POINTER)),
    "llama_model_default_params": (_Opaque, ()),
    "llama_model_load_from_file": (_POINTER, (ctypes.c_char_p, _Opaque)),
    "llama_model_free": (None, (_POINTER,)),
    "llama_model_get_vocab": (_POINTER, (_POINTER,)),
    "llama_model_n_ctx_train": (_INT, (_POINTER,)),
    "llama_vocab_n_tokens": (_INT, (_POINTER,)),
    "llama_vocab_is_eog": (ctypes.c_bool, (_POINTER, _INT)),
    "llama_context_default_params": (_Opaque, ()),
    "llama_init_from_model": (_POINTER, (_POINTER, _Opaque)),
    "llama_free": (None, (_POINTER,)),
    "llama_n_ctx": (_UINT, (_POINTER,)),
    "llama_set_n_threads": (None, (_POINTER, _INT, _INT)),
    "llama_get_memory": (_POINTER, (_POINTER,)),
    "llama_memory_clear": (None, (_POINTER, ctypes.c_bool)),
    "llama_batch_get_one": (_Opaque, (ctypes.POINTER(_INT), _INT)),
    "llama_decode": (_INT, (_POINTER, _Opaque)),
    "llama_sampler_chain_default_params": (_ChainParameters, ()),
    "llama_sampler_chain_init": (_POINTER, (_ChainParameters,)),
    "llama_sampler_chain_add": (None, (_POINTER, _POINTER)),
    "llama_sampler_init_greedy": (_POINTER, ()),
    "llama_sampler_init_top_k": (_POINTER, (_INT,)),
    "llama_sampler_init_temp": (_POINTER, (_FLOAT,)),
    "llama_sampler_init_top_p": (_POINTER, (_FLOAT, _SIZE)),
    "llama_sampler_init_dist": (_POINTER, (_UINT,)),
    "llama_sampler_sample": (_INT, (_POINTER, _POINTER, _INT)),
    "llama_sampler_free": (None, (_POINTER,)),
}


def _ignore(_level: int, _text: bytes, _data: int) -> None:
    """llama.cpp writes its loading to stderr otherwise."""


_SILENCE: Final = _LOG(_ignore)
"""Lives as long as the library, which keeps its address."""


@cache
def library() -> Any:
    """The library, its functions declared. Raises Refused("engine.not-installed")."""
    spec = importlib.util.find_spec("xllamacpp")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("xllamacpp*.so"))]
    if not files:
        raise Refused("engine.not-installed", f"llamacpp needs 1 more package; type: {INSTALL}")
    # Threads that spin between operations starve everybody else on a busy machine, themselves included.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    loaded = ctypes.CDLL(str(files[0]))
    for name, (result, arguments) in _SIGNATURES.items():
        try:
            function = getattr(loaded, name)
        except AttributeError as error:
            told = f"{files[0].name} has no {name}; type: {INSTALL} --upgrade"
            raise Refused("engine.not-installed", told) from error
        function.restype, function.argtypes = result, arguments
    loaded.llama_log_set(_SILENCE, None)
    loaded.llama_backend_init()
    return loaded


class Model:
    """Loaded weights. Raises Malformed("gguf.refused") if llama.cpp does not take the file."""

    def __init__(self, path: Path) -> None:
        self._c = library()
        self._at = self._c.llama_model_load_from_file(str(path).encode(), self._c.llama_model_default_params())
        if not self._at:
            raise Malformed("gguf.refused", f"llama.cpp does not load {path.name}, {path.stat().st_size} bytes")
        vocabulary = self._c.llama_model_get_vocab(self._at)
        self.vocabulary: int = self._c.llama_vocab_n_tokens(vocabulary)
        self.context: int = self._c.llama_model_n_ctx_train(self._at)
        self.ends = frozenset(at for at in range(self.vocabulary) if self._c.llama_vocab_is_eog(vocabulary, at))

    def run(self, context: int, threads: int, sequences: int = 1) -> "Run":
        """Memory for `context` ids of all sequences together. Raises Unavailable("engine.memory")."""
        return Run(self._c, self._at, context, threads, sequences)

    def free(self) -> None:
        """Afterwards neither it nor any of its runs may be used."""
        self._c.llama_model_free(self._at)


class Run:
    """Sequences of ids and their KV cache; used by one thread at a time, and again after `begin`."""

    def __init__(self, c: Any, model: int, context: int, threads: int, sequences: int) -> None:
        self._c = c
        given = c.llama_context_default_params()
        fields = ctypes.cast(ctypes.byref(given), ctypes.POINTER(_UINT))
        if tuple(fields[:4]) != DEFAULTS:
            raise Refused("engine.not-installed", f"this xllamacpp begins its contexts with {fields[:4]}")
        fields[0], fields[1], fields[3] = context, PROMPT_BATCH, sequences
        self._at = c.llama_init_from_model(model, given)
        if not self._at:
            raise Unavailable("engine.memory", f"llama.cpp makes no context of {context} ids")
        if c.llama_n_ctx(self._at) < context:
            raise Unavailable("engine.memory", f"asked for {context} ids, got {c.llama_n_ctx(self._at)}")
        c.llama_set_n_threads(self._at, threads, threads)
        self._sampler: int | None = None

    def begin(self, temperature: float, top_k: int, top_p: float, seed: int) -> None:
        """Forgets what was; samples from now on in rule P3's order: k highest, temperature, nucleus."""
        self._c.llama_memory_clear(self._c.llama_get_memory(self._at), True)
        self._free_sampler()
        self._sampler = self._c.llama_sampler_chain_init(self._c.llama_sampler_chain_default_params())
        if temperature == 0:
            links = [self._c.llama_sampler_init_greedy()]
        else:
            links = [self._c.llama_sampler_init_top_k(top_k)] if top_k else []
            links += [
                self._c.llama_sampler_init_temp(temperature),
                self._c.llama_sampler_init_top_p(top_p, 1),
                self._c.llama_sampler_init_dist(seed),
            ]
        for link in links:
            self._c.llama_sampler_chain_add(self._sampler, link)

    def feed(self, ids: Sequence[int]) -> None:
        """At most `PROMPT_BATCH` more ids. Raises Unavailable("engine.failed")."""
        held = (_INT * len(ids))(*ids)
        code = self._c.llama_decode(self._at, self._c.llama_batch_get_one(held, len(ids)))
        if code != 0:
            raise Unavailable("engine.failed", f"llama_decode of {len(ids)} ids returned {code}")

    def feed_each(self, more: Sequence[Sequence[int]], begins: Sequence[int]) -> list[int]:
        """More ids of each sequence from its position on, at most `PROMPT_BATCH` together; returns the id after each.
        Raises Unavailable("engine.failed")."""
        starts = enumerate(zip(more, begins, strict=True))
        rows = [(unit, at, which) for which, (some, begin) in starts for at, unit in enumerate(some, begin)]
        count = len(rows)
        lasts = [sum(map(len, more[: which + 1])) - 1 for which in range(len(more))]
        ids, positions, sequences = ((_INT * count)(*column) for column in zip(*rows, strict=True))
        places = [ctypes.pointer(_INT.from_buffer(sequences, at * ctypes.sizeof(_INT))) for at in range(count)]
        ones = (_INT * count)(*[1] * count)
        wanted = (ctypes.c_int8 * count)(*[at in lasts for at in range(count)])
        batch = _Batch(count, ids, None, positions, ones, (ctypes.POINTER(_INT) * count)(*places), wanted)
        code = self._c.llama_decode(self._at, _Opaque.from_buffer_copy(bytes(batch).ljust(ROOM, b"\0")))
        if code != 0:
            raise Unavailable("engine.failed", f"llama_decode of {count} ids of {len(more)} sequences returned {code}")
        return [self._c.llama_sampler_sample(self._sampler, self._at, last) for last in lasts]

    def sample(self) -> int:
        """The id after all that was fed."""
        unit: int = self._c.llama_sampler_sample(self._sampler, self._at, -1)
        return unit

    def free(self) -> None:
        self._free_sampler()
        self._c.llama_free(self._at)

    def _free_sampler(self) -> None:
        if self._sampler is not None:
            self._c.llama_sampler_free(self._sampler)
            self._sampler = None
