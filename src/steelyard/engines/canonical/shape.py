"""What a llama-architecture file says of its model, refused unless this engine computes exactly that."""

import struct
from dataclasses import dataclass
from typing import Final

from steelyard.engines.gguf_head import KINDS, Head, Tensor
from steelyard.protocol.errors import Malformed, Refused

BLOCK: Final = 32
MAX_WIDTH: Final = 2**16
MAX_LAYERS: Final = 512
MAX_VOCABULARY: Final = 2**20
MAX_GROUP: Final = 16
"""Most query heads that share a key head: the attention kernel is written out for each."""
MAX_CONTEXT: Final = 8192
"""Most positions served, whatever the file allows."""
MATRIX_KINDS: Final = ("q4_0", "q4_1", "q8_0", "f32")


@dataclass(frozen=True, slots=True)
class Shape:
    """Dimensions of the model."""

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
    rope_base: float
    tied: bool
    """The embedding is also the output matrix."""

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

    def norms(self) -> list[str]:
        """Names of the norms' weights, `width` numbers each."""
        pairs = [(f"blk.{i}.attn_norm.weight", f"blk.{i}.ffn_norm.weight") for i in range(self.layers)]
        return [name for pair in pairs for name in pair] + ["output_norm.weight"]

    def outer(self) -> dict[str, tuple[int, int]]:
        """Embedding and, unless tied, output matrix."""
        size = (self.width, self.vocabulary)
        return {"token_embd.weight": size} | ({} if self.tied else {"output.weight": size})


def read(head: Head) -> Shape:
    """Raises Refused: `model.architecture`, `model.dimension`, `model.rope-scaling`, `model.tensor-missing`,
    `model.tensor-unknown`, `model.tensor-shape`, `model.tensor-type`; Malformed as `Head` does."""
    architecture = head.text("general.architecture")
    if architecture != "llama":
        raise Refused("model.architecture", f"{architecture[:40]!r}, known: 'llama'")
    scaling = head.fields.get("llama.rope.scaling.type", "none")
    if scaling != "none" or "llama.expert_count" in head.fields:
        raise Refused("model.rope-scaling", f"rope scaling {scaling!r:.40}, or experts: neither is computed here")
    tensors = {tensor.name: tensor for tensor in head.tensors}
    if len(tensors) != len(head.tensors):
        raise Malformed("model.tensor-unknown", f"{len(head.tensors)} tensors, {len(tensors)} names")
    shape = _dimensions(head, tensors)
    _check(shape, tensors)
    return shape


def _dimensions(head: Head, tensors: dict[str, Tensor]) -> Shape:
    def bounded(key: str, most: int, multiple: int = 1) -> int:
        value = head.integer("llama." + key)
        if not 0 < value <= most or value % multiple:
            raise Refused("model.dimension", f"{key} is {value}, must be 1 to {most}, a multiple of {multiple}")
        return value

    width = bounded("embedding_length", MAX_WIDTH, BLOCK)
    heads = bounded("attention.head_count", 1024)
    key_heads = bounded("attention.head_count_kv", heads) if "llama.attention.head_count_kv" in head.fields else heads
    if width % heads or heads % key_heads or heads // key_heads > MAX_GROUP:
        told = f"width {width}, heads {heads}, key heads {key_heads}: must divide, at most {MAX_GROUP} to a key head"
        raise Refused("model.dimension", told)
    head_dim = width // heads
    rotated = head.fields.get("llama.rope.dimension_count", head_dim)
    lengths = [head.fields.get(f"llama.attention.{k}_length", head_dim) for k in ("key", "value")]
    if head_dim % BLOCK or head_dim > 256 or [rotated, *lengths] != [head_dim] * 3:
        told = f"head of {head_dim} (32 to 256, a multiple of 32), {rotated!r:.40} turned, lengths {lengths!r:.80}"
        raise Refused("model.dimension", told)
    embedding = tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise Refused("model.tensor-missing", "token_embd.weight")
    vocabulary = embedding.shape[1]
    if not 0 < vocabulary <= MAX_VOCABULARY:
        raise Refused("model.dimension", f"vocabulary {vocabulary}, must be 1 to {MAX_VOCABULARY}")
    return Shape(
        layers=bounded("block_count", MAX_LAYERS),
        width=width,
        inner=bounded("feed_forward_length", MAX_WIDTH * 4, BLOCK),
        heads=heads,
        key_heads=key_heads,
        head_dim=head_dim,
        vocabulary=vocabulary,
        context=min(bounded("context_length", 2**31), MAX_CONTEXT),
        epsilon=_real(head, "llama.attention.layer_norm_rms_epsilon", 0.0, 1.0),
        rope_base=_real(head, "llama.rope.freq_base", 1.0, 1e9, 10000.0),
        tied="output.weight" not in tensors,
    )


def _real(head: Head, key: str, low: float, high: float, default: float | None = None) -> float:
    value = head.fields.get(key, default)
    if not isinstance(value, float) or not low < value <= high:
        raise Refused("model.dimension", f"{key} is {value!r:.40}, must be above {low}, at most {high}")
    rounded: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return rounded


def _check(shape: Shape, tensors: dict[str, Tensor]) -> None:
    """Exactly the tensors of this graph, each of its size and of a type that has kernels."""
    expected: dict[str, tuple[int, ...]] = dict(shape.outer())
    for layer in range(shape.layers):
        expected |= shape.matrices(layer)
    norms = set(shape.norms())
    expected |= dict.fromkeys(norms, (shape.width,))
    missing = sorted(expected.keys() - tensors.keys())
    if missing:
        raise Refused("model.tensor-missing", f"{len(missing)} of {len(expected)}, first {missing[0]}")
    unknown = sorted(tensors.keys() - expected.keys())
    if unknown:
        raise Refused("model.tensor-unknown", f"{len(unknown)} besides {len(expected)}, first {unknown[0][:60]}")
    for name, size in expected.items():
        tensor = tensors[name]
        if tensor.shape != size:
            raise Refused("model.tensor-shape", f"{name} is {tensor.shape}, must be {size}")
        kind = KINDS[tensor.kind][0] if tensor.kind in KINDS else str(tensor.kind)
        allowed = ("f32",) if name in norms else MATRIX_KINDS
        if kind not in allowed:
            raise Refused("model.tensor-type", f"{name} is {kind}, computed: {', '.join(allowed)}")
