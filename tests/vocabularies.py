"""Small tokenizers of the kinds that real files have, trained on little, for files that llama.cpp loads too."""

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence

from gguf import GGUFWriter, TokenType
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from steelyard.engines.text import byte_letters

START, END = "<|start|>", "<|end|>"
MESSAGES = "{% for m in messages %}{{ '<|start|>' + m.role + '\n' + m.content + '<|end|>' }}{% endfor %}"
NASTY = [
    "",
    " a  b   ",
    "\n\n  x\t\t\r\n \n",
    "12345 6 7.89 ½ ² Ⅷ ٣٤٥ 一二三 𝟘𝟙",
    "don't I'LL we've 'S 's 'd",
    "naïve café ﬁ ŉ ß ẞ İ ı ſ",
    "a\u0300\u0301 z\u200bz \ufeff \u00a0\u3000nbsp \u2028\x85\x0b\x0c",
    "👩‍👩‍👧‍👦🏳️‍🌈 emoji🙂text",
    "日本語テキスト 한국어 العربية עברית हिन्दी ไทย",
    "def f(x):\n\treturn x**2  # tab\r\n",
    "<|im_end|> <|im_start|>system <repo_name> <|endoftext|>",
    "http://x.y/z?a=1&b=%20 {'k': [1,2]}",
    "\x00\x01\x7f\U0010ffff\ue000",
    "x" * 500 + "1" * 50,
]
"""Texts that tokenizers differ about."""
Words = tuple[int, Callable[[GGUFWriter], None]]
"""How many tokens, and what writes them."""


def _write(model: str, names: Sequence[str], kinds: Sequence[int], writer: GGUFWriter) -> None:
    writer.add_tokenizer_model(model)
    writer.add_token_list(list(names))
    writer.add_token_types(list(kinds))
    writer.add_bos_token_id(1)
    writer.add_chat_template(MESSAGES)


def byte_pairs(pre: str, texts: Sequence[str], size: int = 700) -> Words:
    """Byte-level BPE. `texts`: what its merges are learnt from; words are cut at spaces only, so that some merges and
    tokens go across what `pre` cuts; two tokens no merge makes."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=byte_letters(), show_progress=False)
    made.train_from_iterator((word for text in texts for word in text.split(" ")), trainer)
    vocabulary = made.get_vocab()
    whole = [START, END, "</s>", "<think>", "zebra", "Ġzebra"]
    found = sorted(vocabulary.keys() - whole, key=vocabulary.__getitem__)
    merges = json.loads(made.to_str())["model"]["merges"]
    names = [*whole, *found]
    kinds = [TokenType.CONTROL] * 3 + [TokenType.USER_DEFINED] + [TokenType.NORMAL] * (len(found) + 2)

    def write(writer: GGUFWriter) -> None:
        _write("gpt2", names, kinds, writer)
        writer.add_tokenizer_pre(pre)
        writer.add_token_merges([" ".join(pair) for pair in merges])

    return len(names), write


def sentence_pieces(texts: Sequence[str], prefix: bool = True, size: int = 900) -> Words:
    """Pieces of up to six letters, with scores of which some are equal; three are matched as a whole."""
    chance = random.Random(5)
    counts: Counter[str] = Counter()
    for text in texts:
        said = text.replace(" ", "\u2581")
        counts.update(said[at : at + n] for n in (1, 2, 3, 4, 6) for at in range(len(said) - n + 1))
    pieces = [piece for piece, _ in counts.most_common(size) if not piece.startswith("<")]
    names = ["<unk>", START, END, "<think>", "  ", "   ", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL] + [TokenType.USER_DEFINED] * 3
    kinds += [TokenType.BYTE] * 256 + [TokenType.NORMAL] * len(pieces)

    def write(writer: GGUFWriter) -> None:
        _write("llama", names, kinds, writer)
        writer.add_token_scores([0.0] * 262 + [float(-chance.randrange(size // 2)) for _ in pieces])
        writer.add_add_space_prefix(prefix)

    return len(names), write


def nasty_corpus(count: int) -> list[str]:
    """Short texts of letters that tokenizers differ about, and of any assigned or unassigned ones."""
    chance = random.Random(20)
    few = " \n\t'sdtlmrveabcXYZ019½²é日👍🏽\u200d\u0301\u00a0\u2003<|>_-.,!?#𝟘Ⅷ٣\x85\x1c\u180e\u0e33\u0903\u20dd"
    anything = [*range(0x20, 0x250), *range(0x300, 0xD800, 7), *range(0xE000, 0x20000, 11)]
    short = ["".join(chance.choices(few, k=chance.randrange(1, 25))) for _ in range(count)]
    return NASTY + short + ["".join(map(chr, chance.choices(anything, k=6))) for _ in range(count)]
