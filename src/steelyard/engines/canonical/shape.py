"""What a file says of its model, refused unless this engine computes exactly that: llama, and its relatives."""

import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any, Final

from steelyard.engines.canonical.formats import BLOCK, FORMATS
from steelyard.engines.gguf_head import Head, Tensor, kind_of
from steelyard.protocol.errors import Refused

MAX_WIDTH: Final = 2**16
MAX_LAYERS: Final = 512
MAX_VOCABULARY: Final = 2**20
MAX_GROUP: Final = 16
"""Most query heads that share a key head: the attention kernel is written out for each."""
MAX_HEAD: Final = 256
BELOW_ONE: Final = 1.0 - 2.0**-24
NEUTRAL: Final[Mapping[str, tuple[object, ...]]] = {
    "attention.clamp_kqv": (0.0,),
    "attention.max_alibi_bias": (0.0,),
    "attention.scale": (0.0,),
    "embedding_scale": (0.0, 1.0),
    "logit_scale": (0.0, 1.0),
    "pooling_type": (0,),
    "residual_scale": (0.0, 1.0),
    "rope.scaling.alpha": (0.0,),
    "use_parallel_residual": (False,),
}
"""Fields that would make it another graph, and what they may say for it to stay this one (0 stands for "not used")."""
MAX_CONTEXT: Final = 8192
"""Most positions served, whatever the file allows."""


@dataclass(frozen=True, slots=True)
class Family:
    """What an architecture adds to llama's graph, or has otherwise."""

    halves: bool = False
    """Rotation pairs number i of a head with i + half of it, not 2i with 2i + 1."""
    biases: bool = False
    """Queries, keys and values have biases; elsewhere a file may have them."""
    head_norms: bool = False
    """Each head of queries and of keys is normed before it is turned."""
    gemma: bool = False
    """The embedding is scaled by the root of its width; the gate is GELU, not SiLU."""
    post_norms: bool = False
    """What attention and feed-forward add to the residual is normed."""
    local: int = 0
    """Of so many layers the last sees all positions, the others a window, unless the file says otherwise."""
    window: int = 0
    """Positions that such a layer sees, if the file does not say; 0: then all see all."""
    local_base: float = 0.0
    """Rotation's base in layers with a window, unscaled, if the file does not say; 0: they turn as the others do."""
    score_cap: float | None = None
    """Scores are capped by a tanh, at so much if the file does not say."""
    logit_cap: float | None = None
    """Likewise logits; 0: only if the file says so."""
    whole_width: int = 0
    """With so many layers the score's scale is that of width / heads numbers, not of a head."""


FAMILIES: Final[Mapping[str, Family]] = {
    "llama": Family(),
    "qwen2": Family(halves=True, biases=True),
    "qwen3": Family(halves=True, head_norms=True),
    "gemma": Family(halves=True, gemma=True),
    "gemma2": Family(
        halves=True, gemma=True, post_norms=True, local=2, window=4096, score_cap=50.0, logit_cap=30.0, whole_width=46
    ),
    "gemma3": Family(
        halves=True,
        gemma=True,
        post_norms=True,
        head_norms=True,
        local=6,
        local_base=10000.0,
        logit_cap=0.0,
        whole_width=62,
    ),
}
"""Architectures, by the name that a file gives itself."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A table of cosines and sines."""

    base: float
    factor: float = 1.0
    """Angles are divided by it (linear scaling)."""
    factors: str = ""
    """A tensor of further divisors, one for each pair of a head; none if empty."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Dimensions of the model."""

    family: Family
    layers: int
    width: int
    """Numbers in a token's row (embedding length)."""
    inner: int
    """Numbers between gate and down (feed-forward length)."""
    heads: int
    key_heads: int
    head_dim: int
    vocabulary: int
    context: int
    """Positions served: the file's own limit or `MAX_CONTEXT`."""
    epsilon: float
    turns: tuple[Turn, ...]
    """Rotation in layers that see all positions and, if others turn otherwise, in those."""
    tied: bool
    """The embedding is also the output matrix."""
    biased: bool
    window: int = 0
    """Positions that a layer with a window sees, at most `MAX_CONTEXT`: position + window is a 32-bit word."""
    every: int = 0
    """Of so many layers the last sees all positions, the others a window; 0: all see all."""
    score_cap: float = 0.0
    logit_cap: float = 0.0

    @property
    def scale(self) -> float:
        """What attention's dot products are multiplied by."""
        whole = self.family.whole_width == self.layers
        return 1.0 / sqrt(self.width // self.heads if whole else self.head_dim)

    def local(self, layer: int) -> bool:
        """Whether a layer sees a window only."""
        return bool(self.every) and layer % self.every < self.every - 1

    def turn(self, layer: int) -> int:
        """Which of `turns` a layer takes."""
        return int(self.local(layer) and len(self.turns) > 1)

    @property
    def key_width(self) -> int:
        return self.key_heads * self.head_dim

    @property
    def query_width(self) -> int:
        return self.heads * self.head_dim

    def matrices(self, layer: int) -> dict[str, tuple[int, int]]:
        """Tensor name -> (columns, rows), in the order in which they are packed."""
        at = f"blk.{layer}."
        return {
            f"{at}attn_q.weight": (self.width, self.query_width),
            f"{at}attn_k.weight": (self.width, self.key_width),
            f"{at}attn_v.weight": (self.width, self.key_width),
            f"{at}attn_output.weight": (self.query_width, self.width),
            f"{at}ffn_gate.weight": (self.width, self.inner),
            f"{at}ffn_up.weight": (self.width, self.inner),
            f"{at}ffn_down.weight": (self.inner, self.width),
        }

    def vectors(self) -> dict[str, int]:
        """Names of norms' weights, biases and divisors -> how many numbers, in the order in which they are packed."""
        found = {turn.factors: self.head_dim // 2 for turn in self.turns if turn.factors}
        for layer in range(self.layers):
            at = f"blk.{layer}."
            found[f"{at}attn_norm.weight"] = found[f"{at}ffn_norm.weight"] = self.width
            if self.family.post_norms:
                found[f"{at}post_attention_norm.weight"] = found[f"{at}post_ffw_norm.weight"] = self.width
            if self.biased:
                found[f"{at}attn_q.bias"] = self.query_width
                found[f"{at}attn_k.bias"] = found[f"{at}attn_v.bias"] = self.key_width
            if self.family.head_norms:
                found[f"{at}attn_q_norm.weight"] = found[f"{at}attn_k_norm.weight"] = self.head_dim
        return found | {"output_norm.weight": self.width}

    def outer(self) -> dict[str, tuple[int, int]]:
        """Embedding and, unless tied, output matrix."""
        size = (self.width, self.vocabulary)
        return {"token_embd.weight": size} | ({} if self.tied else {"output.weight": size})


def read(head: Head) -> Shape:
    """Raises Refused: `model.architecture`, `model.field`, `model.split`, `model.dimension`, `model.rope-scaling`,
    `model.tensor-missing`, `model.tensor-unknown`, `model.tensor-shape`, `model.tensor-type`; Malformed as `Head`."""
    found, refusals = survey(head)
    if found is None:
        raise refusals[0]
    return found


def survey(head: Head) -> tuple[Shape | None, list[Refused]]:
    """The shape, or else everything that speaks against the file. What can only be asked when something refused is
    known is not asked. Raises Malformed for a file that does not say what it is."""
    tensors = {tensor.name: tensor for tensor in head.tensors}
    architecture = head.text("general.architecture")
    if architecture not in FAMILIES:
        told = f"{architecture[:40]!r}, known: {', '.join(FAMILIES)}"
        return None, [Refused("model.architecture", told), *_types(tensors.values(), FORMATS)]
    refusals = list(_other_graphs(head, architecture))
    shape = Fields(head, architecture).shape(tensors, refusals)
    refusals += _types(tensors.values(), FORMATS) if shape is None else _tensors(shape, tensors)
    return (None if refusals else shape), refusals


def _other_graphs(head: Head, architecture: str) -> Iterator[Refused]:
    """Fields that ask for what is not computed here."""
    if head.fields.get(f"{architecture}.expert_count", 0):
        yield Refused("model.architecture", f"experts in {architecture}: not computed here")
    if head.fields.get(f"{architecture}.attention.causal", True) is not True:
        yield Refused("model.architecture", f"{architecture} that sees later positions: not computed here")
    for key, allowed in NEUTRAL.items():
        value = head.fields.get(f"{architecture}.{key}")
        if value is not None and value not in allowed:
            yield Refused("model.field", f"{key} is {value!r:.40}: not computed in {architecture}")
    parts = head.fields.get("split.count", 1)
    if parts not in (0, 1):
        yield Refused("model.split", f"one of {parts!r:.40} files: join them (llama.cpp's gguf-split --merge)")


@dataclass(frozen=True)
class Fields:
    """A file's fields of one architecture, bounded."""

    head: Head
    architecture: str

    def says(self, key: str) -> bool:
        return f"{self.architecture}.{key}" in self.head.fields

    def whole(self, key: str, most: int, multiple: int = 1, default: int | None = None) -> int:
        value = self.head.integer(f"{self.architecture}.{key}") if default is None or self.says(key) else default
        if not 0 < value <= most or value % multiple:
            raise Refused("model.dimension", f"{key} is {value}, must be 1 to {most}, a multiple of {multiple}")
        return value

    def real(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """The nearest binary32 number."""
        value = self.head.fields.get(f"{self.architecture}.{key}", default)
        if not isinstance(value, float) or not low < value <= high:
            raise Refused("model.dimension", f"{key} is {value!r:.40}, must be above {low}, at most {high}")
        rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
        if rounded <= low:
            raise Refused("model.dimension", f"{key} is {value!r:.40}, as binary32 {rounded}, must be above {low}")
        return rounded

    def shape(self, tensors: Mapping[str, Tensor], refusals: list[Refused]) -> Shape | None:
        """The dimensions; that all tensors have them is not yet checked. None if a part of them is refused: all that
        are refused are added to `refusals`."""
        family = FAMILIES[self.architecture]
        parts: tuple[Callable[[], dict[str, Any]], ...] = (
            self._heads,
            lambda: {"vocabulary": _vocabulary(tensors)},
            lambda: {"layers": self.whole("block_count", MAX_LAYERS)},
            lambda: {"inner": self.whole("feed_forward_length", MAX_WIDTH * 4, BLOCK)},
            lambda: {"context": min(self.whole("context_length", 2**31), MAX_CONTEXT)},
            lambda: {"epsilon": self.real("attention.layer_norm_rms_epsilon", 0.0, 1.0)},
            lambda: self._windows(family, "rope_freqs.weight" in tensors),
            lambda: {"score_cap": self._cap("attn_logit_softcapping", family.score_cap)},
            lambda: {"logit_cap": self._cap("final_logit_softcapping", family.logit_cap)},
        )
        found: dict[str, Any] = {}
        before = len(refusals)
        for part in parts:
            try:
                found |= part()
            except Refused as refusal:
                refusals.append(refusal)
        if len(refusals) > before:
            return None
        tied, biased = "output.weight" not in tensors, family.biases or "blk.0.attn_q.bias" in tensors
        return Shape(family=family, tied=tied, biased=biased, **found)

    def _heads(self) -> dict[str, Any]:
        """Width, query heads, key heads, numbers in a head."""
        width = self.whole("embedding_length", MAX_WIDTH, BLOCK)
        heads = self.whole("attention.head_count", 1024)
        key_heads = self.whole("attention.head_count_kv", heads, default=heads)
        if width % heads and not self.says("attention.key_length"):
            raise Refused("model.dimension", f"width {width}, heads {heads}: must divide")
        if heads % key_heads or heads // key_heads > MAX_GROUP:
            told = f"heads {heads}, key heads {key_heads}: must divide, at most {MAX_GROUP} to a key head"
            raise Refused("model.dimension", told)
        head_dim, values = (self.whole(f"attention.{k}_length", 2**16, 1, width // heads) for k in ("key", "value"))
        turned, near = (self.whole(f"rope.dimension_count{of}", 2**16, default=head_dim) for of in ("", "_swa"))
        if head_dim % BLOCK or head_dim > MAX_HEAD or {turned, near, values} != {head_dim}:
            told = f"head of {head_dim} ({BLOCK} to {MAX_HEAD}, a multiple of {BLOCK}), "
            raise Refused("model.dimension", told + f"{turned} turned, {near} in a window, values {values}")
        return {"width": width, "heads": heads, "key_heads": key_heads, "head_dim": head_dim}

    def _windows(self, family: Family, factors: bool) -> dict[str, Any]:
        """Positions in a window, and of how many layers the last has none (0 of both if no layer has one); how layers
        turn."""
        key, window, every = "attention.sliding_window", 0, 0
        if family.local and (family.window or self.says(key)):
            every = self.whole("attention.sliding_window_pattern", MAX_LAYERS, default=family.local)
            window = min(self.whole(key, 2**31, default=family.window), MAX_CONTEXT)
        return {"window": window, "every": every, "turns": self._turns(family, every, factors)}

    def _turns(self, family: Family, every: int, factors: bool) -> tuple[Turn, ...]:
        kind = self.head.fields.get(f"{self.architecture}.rope.scaling.type", "linear")
        if kind not in ("none", "linear"):
            raise Refused("model.rope-scaling", f"{kind!r:.40}, computed: none, linear, and divisors in the file")
        if (magnitude := self.real("rope.scaling.attn_factor", 0.0, 1e6, 1.0)) != 1.0:
            raise Refused("model.rope-scaling", f"cosines and sines times {magnitude}: not computed here")
        factor = 1.0
        if kind == "linear":
            factor = self.real("rope.scale_linear", BELOW_ONE, 1e6, 1.0)  # its name before there were types
            factor = self.real("rope.scaling.factor", BELOW_ONE, 1e6, factor)
        base = self.real("rope.freq_base", 1.0, 1e9, 10000.0)
        far = Turn(base, factor, "rope_freqs.weight" if factors else "")
        if not every:
            return (far,)
        near = Turn(family.local_base) if family.local_base else far
        near = replace(near, base=self.real("rope.freq_base_swa", 1.0, 1e9, near.base))
        return (far,) if near == far else (far, near)

    def _cap(self, key: str, usual: float | None) -> float:
        """0: no cap."""
        if usual is None or not (usual or self.says(key)):
            return 0.0
        return self.real(key, BELOW_ONE, 1e6, usual)


def _vocabulary(tensors: Mapping[str, Tensor]) -> int:
    embedding = tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise Refused("model.tensor-missing", "token_embd.weight")
    vocabulary = embedding.shape[1]
    if not 0 < vocabulary <= MAX_VOCABULARY:
        raise Refused("model.dimension", f"vocabulary {vocabulary}, must be 1 to {MAX_VOCABULARY}")
    return vocabulary


def _tensors(shape: Shape, tensors: Mapping[str, Tensor]) -> Iterator[Refused]:
    """Unless they are exactly the tensors of this graph, each of its size and of a type that has kernels."""
    expected: dict[str, tuple[int, ...]] = dict(shape.outer())
    for layer in range(shape.layers):
        expected |= shape.matrices(layer)
    vectors = shape.vectors()
    expected |= {name: (size,) for name, size in vectors.items()}
    missing = sorted(expected.keys() - tensors.keys())
    if missing:
        yield Refused("model.tensor-missing", f"{len(missing)} of {len(expected)}, first {missing[0]}")
    unknown = sorted(tensors.keys() - expected.keys())
    if unknown:
        yield Refused("model.tensor-unknown", f"{len(unknown)} besides {len(expected)}, first {unknown[0][:60]}")
    there = [tensors[name] for name in expected if name in tensors]
    wrong = [tensor for tensor in there if tensor.shape != expected[tensor.name]]
    if wrong:
        told = f"{wrong[0].name} is {wrong[0].shape}, must be {expected[wrong[0].name]}"
        yield Refused("model.tensor-shape", told + _more(wrong))
    yield from _types([tensor for tensor in there if tensor.name not in vectors], FORMATS)
    yield from _types([tensor for tensor in there if tensor.name in vectors], ("f32",))


def _types(tensors: Iterable[Tensor], computed: Collection[str]) -> Iterator[Refused]:
    """One for each type that is not computed."""
    kinds: dict[str, list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault(kind_of(tensor), []).append(tensor)
    for kind, some in kinds.items():
        if kind not in computed:
            told = f"{some[0].name[:60]} is {kind}, computed: {', '.join(computed)}"
            yield Refused("model.tensor-type", told + _more(some))


def _more(tensors: Sequence[Tensor]) -> str:
    return f"; {len(tensors) - 1} more like it" if len(tensors) > 1 else ""
