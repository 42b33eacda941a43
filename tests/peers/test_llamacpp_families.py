"""Each family's graph against llama.cpp's, on the same small file of random weights.

A wrong graph (a missing bias, pairs turned the wrong way round, a window one position too wide) makes other logits
altogether; what is left between two right ones is rounding: llama.cpp quantises activations otherwise, keeps keys and
values as binary16, and has GELU from a table of binary16.
"""

from pathlib import Path

import numpy as np
import pytest

import tiny_llama

pytest.importorskip("xllamacpp")

from test_llamacpp_agrees import Ours, Theirs

IDS = [int(unit) for unit in np.random.default_rng(3).integers(3, 100, 60)]


@pytest.mark.parametrize("name", tiny_llama.FAMILIES)
def test_a_familys_logits_are_llama_cpps(name: str, tmp_path: Path) -> None:
    tiny = tiny_llama.FAMILIES[name].but(kind="f32", outer="f32", vocabulary_kind="none")
    file = tiny_llama.write(tmp_path / "tiny.gguf", tiny)
    ours, theirs = Ours(file), Theirs(file)
    mine, other = ours.logits(IDS), theirs.logits(IDS)
    ours.close()
    theirs.close()
    cosines = (mine * other).sum(1) / np.sqrt((mine * mine).sum(1) * (other * other).sum(1))

    assert cosines.min() > 0.9999
