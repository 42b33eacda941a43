"""Each family's graph against llama.cpp's, on the same small file of random weights.

A wrong graph (a missing bias, pairs turned the wrong way round, a window one position too wide) makes other logits
altogether; what is left between two right ones is rounding: llama.cpp quantises activations otherwise, keeps keys and
values as binary16, and has GELU from a table of binary16.
"""

from pathlib import Path

import numpy as np
import pytest

import tiny_llama
from teacher_forced import Ours

pytest.importorskip("xllamacpp")

from test_llamacpp_agrees import Theirs

TINIES = tiny_llama.FAMILIES | tiny_llama.VARIANTS
TINIES["gemma2, windows' base"] = tiny_llama.FAMILIES["gemma2"].but(scaling=4.0, fields={"rope.freq_base_swa": 500.0})

IDS = [int(unit) for unit in np.random.default_rng(3).integers(3, 100, 60)]


@pytest.mark.parametrize("name", TINIES)
def test_a_familys_logits_are_llama_cpps(name: str, tmp_path: Path) -> None:
    tiny = TINIES[name].but(kind="f32", outer="f32", vocabulary_kind="none")
    file = tiny_llama.write(tmp_path / "tiny.gguf", tiny)
    ours, theirs = Ours(file, tmp_path), Theirs(file)
    mine, other = ours.logits(IDS), theirs.logits(IDS)
    ours.close()
    theirs.close()
    cosines = (mine * other).sum(1) / np.sqrt((mine * mine).sum(1) * (other * other).sum(1))

    assert cosines.min() > 0.9999
