"""Models of any shape that is served: kernels leave what the graph says, and evidence does not depend on how the work
is cut. Dimensions are drawn, few of them multiples of anything that a kernel likes."""

import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import tiny_llama
from steelyard.engines.base import Job
from steelyard.engines.canonical import lowering
from steelyard.engines.canonical import model as models
from steelyard.engines.canonical.engine import CanonicalEngine
from steelyard.engines.canonical.formats import FORMATS
from steelyard.engines.canonical.shape import FAMILIES
from steelyard.engines.canonical.trace import Trace
from steelyard.engines.ir import evaluate
from tiny_llama import Tiny

SHARP = 0x3F800000
SMALL = sorted(kind for kind, form in FORMATS.items() if form.span < 256)


@st.composite
def models_of_any_shape(draw: st.DrawFn) -> Tiny:
    """Formats with super-blocks need rows that are multiples of 256; the others take any of 32."""
    architecture = draw(st.sampled_from(sorted(FAMILIES)))
    super_blocks = draw(st.booleans())
    key_heads, group = draw(st.sampled_from([(1, 1), (2, 1), (3, 2), (1, 5), (1, 16), (2, 7)]))
    head = draw(st.sampled_from([32, 96, 160, 256]))
    if super_blocks:
        head, group = 32 * draw(st.sampled_from([1, 2, 4])), 8
    row = st.sampled_from([256, 512] if super_blocks else [32, 64, 96, 160, 352])
    kinds = st.sampled_from(sorted(FORMATS) if super_blocks else SMALL)
    return Tiny(
        architecture=architecture,
        layers=draw(st.sampled_from([1, 2, 6] if architecture == "gemma3" else [1, 2, 3])),
        width=draw(row),
        inner=draw(row),
        heads=key_heads * group,
        key_heads=key_heads,
        head=head,
        vocabulary=draw(st.sampled_from([1, 2, 3, 15, 16, 17, 63, 65, 127, 1009])),
        context=draw(st.sampled_from([1, 2, 15, 17, 127, 128, 129, 200])),
        kind=tuple(draw(st.lists(kinds, min_size=1, max_size=3))),
        outer=draw(kinds),
        untied=draw(st.booleans()),
        biases=architecture == "qwen2" or (architecture == "llama" and draw(st.booleans())),
        divisors=tuple(1 + i / 3 for i in range(head // 2)) if architecture == "llama" and draw(st.booleans()) else (),
        scaling=draw(st.sampled_from([0.0, 2.5])),
        window=draw(st.sampled_from([1, 16, 20, 127, 2**31])),
        seed=draw(st.integers(0, 2**32)),
    )


@settings(max_examples=8)
@given(models_of_any_shape(), st.data())
def test_any_shape_is_computed_as_its_graph_says_however_the_work_is_cut(tiny: Tiny, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = tiny_llama.write(folder / "tiny.gguf", tiny)
        file = models.open_file(path, folder)
        sizes = lowering.sizes(file.lowered, file.head)
        file.lowered.graph.check(sizes, file.shape.context - 1, file.shape.vocabulary)
        most = st.sampled_from([length for length in (1, 2, 17, 128, 130, tiny.context) if length <= tiny.context])
        length = data.draw(most)
        ids = [at * at % 1013 % tiny.vocabulary for at in range(length)]
        _kernels_leave_what_the_graph_says(file, ids)
        if tiny.context > 1:
            _evidence_does_not_depend_on_the_cut(path, file, ids)


def _kernels_leave_what_the_graph_says(file: models.File, ids: list[int]) -> None:
    """And so does what lies between two of them."""
    with Trace(models.load(file, 2, tokens=24), ids) as trace:
        for position in {0, len(ids) // 2, len(ids) - 1}:
            trace.value(position, "logits")
            for name in trace._known.keys() | trace._loops.keys():
                node = trace.graph.by_name[name]
                some = range(0, node.elements(position), max(1, node.elements(position) // 200))
                expected = evaluate.value(node, position, trace, [*some])  # type: ignore[arg-type]  # made an array
                assert trace.value(position, name)[some].tobytes() == expected.tobytes(), (name, position)


def _evidence_does_not_depend_on_the_cut(path: Path, file: models.File, ids: list[int]) -> None:
    most = min(6, file.shape.context - 1)
    prompt = ids[: file.shape.context - most]
    job = Job(tuple(prompt), len(prompt), most, SHARP, SHARP, 0, 5)
    here = models.recipe_of(file.head, file.shape)
    found = []
    for cut in (
        {"threads": 1, "tokens": 8, "prefill": 1, "prefix_cache": False},
        {"threads": 3, "grain": 1, "recipe": replace(here, dot="plain", page=48, tiles=(8,), half=False)},
    ):
        engine = CanonicalEngine(path, "tiny", cache=path.parent, **cut)  # type: ignore[arg-type]  # keywords of its own
        both = [engine.generate(one) for one in (job, replace(job, seed=6))]
        steps = [list(run) for run in both]
        replayed = engine.replay(job, [step.id for step in steps[0]])
        assert list(replayed.leaves) == [step.leaf for step in steps[0]]
        found.append(steps)
        engine.close()
    assert found[0] == found[1]
