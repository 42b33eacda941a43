"""Each kind of tokenizer against llama.cpp's, on the same small file.

Letters that this Python does not know are left out: the two know letters of different years of Unicode, and cut words
of those that only one knows otherwise."""

import ctypes
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tiny_llama
import vocabularies
from steelyard.engines import llama_c
from steelyard.engines.text import PRE, GgufText

pytest.importorskip("xllamacpp")

LEARNT = ["".join(c for c in text if unicodedata.category(c) != "Cn") for text in vocabularies.nasty_corpus(150)]
CORPUS = [
    *LEARNT,
    "   x    ",
    "==========",
    "zebra zebra",
    "aaaaaaaaaaaaa b",
    " ",
    "  ",
    "x  <think>  y<think> z<think>",
    "<unk><0x41>",
    "\u2581 \u2581",
]


@contextmanager
def theirs(path: Path) -> Iterator[Callable[[str, bool, bool], list[int]]]:
    """llama.cpp's ids of (text, with beginning-of-sequence, control tokens too)."""
    c, model = llama_c.library(), llama_c.Model(path)
    vocabulary = c.llama_model_get_vocab(model._at)
    tokenize = c.llama_tokenize
    number, flag, place = ctypes.c_int32, ctypes.c_bool, ctypes.POINTER(ctypes.c_int32)
    tokenize.argtypes = [ctypes.c_void_p, ctypes.c_char_p, number, place, number, flag, flag]
    tokenize.restype = number

    def ids(text: str, begin: bool, controls: bool) -> list[int]:
        raw, room = text.encode(), (ctypes.c_int32 * (2 * len(text.encode()) + 8))()
        count = tokenize(vocabulary, raw, len(raw), room, len(room), begin, controls)
        assert count >= 0
        return list(room[:count])

    yield ids
    model.free()


def written(folder: Path, words: vocabularies.Words) -> Path:
    size, write = words
    tiny = tiny_llama.Tiny(layers=1, vocabulary=size, tokenizer=write)
    return tiny_llama.write(folder / "tiny.gguf", tiny)


def agree(path: Path) -> None:
    text = GgufText(path)
    with theirs(path) as ids:
        for words in CORPUS:
            assert list(text.encode(words)) == ids(words, True, False), words
        messages = [{"role": "user", "content": words} for words in (*CORPUS[:20], "x ")]
        said = "".join(f"<|start|>user\n{message['content']}<|end|>" for message in messages)
        assert list(text.render(messages)) == ids(said, False, True)


@pytest.mark.parametrize("pre", PRE)
def test_byte_pairs_are_cut_as_llama_cpp_cuts_them(pre: str, tmp_path: Path) -> None:
    agree(written(tmp_path, vocabularies.byte_pairs(pre, LEARNT)))


@pytest.mark.parametrize("prefix", [True, False])
def test_sentence_pieces_are_cut_as_llama_cpp_cuts_them(prefix: bool, tmp_path: Path) -> None:
    agree(written(tmp_path, vocabularies.sentence_pieces(LEARNT, prefix)))
