"""A dispute as text and as SVG: small golden files of a made-up one, and names that somebody else chose."""

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from disputes import MATRIX, made_up, nodes
from steelyard.cli.dispute_step import Explained, explained, shortest
from steelyard.cli.dispute_svg import svg
from steelyard.cli.dispute_text import text
from steelyard.engines.ir.graph import Node
from steelyard.market.disputes import Dispute, LastStep

GOLDEN = Path(__file__).parent / "golden"
"""To write its files anew: python -m unit.cli.test_dispute_pictures, in tests/."""


def step_of(dispute: Dispute) -> LastStep:
    assert dispute.step is not None
    return dispute.step


def told(dispute: Dispute) -> Explained:
    return explained(step_of(dispute), nodes())


def pictures() -> dict[str, str]:
    dispute = made_up()
    return {"dispute.txt": text(dispute, told(dispute)), "dispute.svg": svg(dispute, told(dispute))}


@pytest.mark.parametrize("name", ["dispute.txt", "dispute.svg"])
def test_a_dispute_is_drawn_as_its_golden_file_says(name: str) -> None:
    assert pictures()[name] == (GOLDEN / name).read_text()


def test_a_text_fits_a_hundred_columns() -> None:
    assert max(map(len, pictures()["dispute.txt"].splitlines())) <= 100


def test_the_last_operation_gives_what_the_contract_computes() -> None:
    dispute = made_up()
    found = told(dispute)
    assert found.operations[-1].bits == found.computed.bits != found.claimed.bits
    assert found.operands[0].decimal.split()[:3] == ["70", "121", "-56"]
    assert found.operands[0].what == f"{MATRIX}#q [640,672]"  # = 1536 · 417 + 32 · 5


@pytest.mark.parametrize("known", [[], nodes()[:12], [*nodes()[:12], nodes()[11]]])
def test_without_the_model_parts_have_numbers(known: list[Node]) -> None:
    found = explained(step_of(made_up()), known)
    assert found.node == "node 12"
    assert [value.what for value in found.operands] == [
        "tensor at leaf 40000#q [640,672]",
        "tensor at leaf 40000#d [20,021]",
        "node 9 [160]",
        "node 10 [5]",
        "node 11 [5]",
        "the sum before",
    ]


def test_an_svg_is_one_page_of_rectangles_and_text_within_its_frame() -> None:
    picture = pictures()["dispute.svg"]
    root = ET.fromstring(picture)
    assert len(picture) < 200_000
    kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert kinds == {"svg", "style", "rect", "text", "path", "polygon"}
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for element in root.iter("{http://www.w3.org/2000/svg}text"):
        assert float(element.attrib["x"]) + 8 * len(element.text or "") <= width
        assert float(element.attrib["y"]) < height
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", picture)


def test_names_that_a_file_chose_break_no_terminal_and_no_picture() -> None:
    dispute, evil = made_up(), '\x1b[2J<script>&"' + "x" * 500
    known = nodes()
    loads = tuple(replace(view, source=evil) for view in known[-1].loads)
    found = explained(step_of(dispute), [*known[:-1], replace(known[-1], name=evil, loads=loads)])
    drawn, written = svg(dispute, found), text(dispute, found)
    ET.fromstring(drawn)
    assert "\x1b" not in drawn + written
    assert "<script" not in drawn
    assert max(map(len, written.splitlines())) <= 100


def test_a_dispute_that_is_going_on_is_drawn_as_far_as_it_has_come() -> None:
    whole = made_up()
    last = replace(whole.rounds[2], named=None, after=None, gas=(101_234, 0))
    dispute = replace(
        whole, stage="point", rounds=(*whole.rounds[:2], last), step=None, outcome="", why="", slashed=None
    )
    written, drawn = text(dispute), svg(dispute)
    assert "to do: point" in written
    assert "? of 43" in written
    assert "? of 43" in drawn
    assert "CHEATED" not in written + drawn
    begun = replace(dispute, rounds=(), unit=None, positions=0)
    assert "no rounds" in text(begun)
    ET.fromstring(svg(begun))


def test_an_acquittal_and_a_rival_are_told() -> None:
    dispute = replace(made_up(), outcome="honest", rival=7, why="start", step=None)
    assert "the provider is honest" in text(dispute)
    assert "the challenger says: id 7 should have been" in text(dispute)
    assert "nobody lost" in text(replace(dispute, outcome="", why="convicted"))


@pytest.mark.parametrize(
    ("word", "decimal"),
    [
        (0x3F800000, "1.0"),
        (0x80000000, "-0.0"),
        (0x3DCCCCCD, "0.1"),
        (0x00000001, "1e-45"),
        (0x7F7FFFFF, "3.4028235e+38"),
        (0x4B000001, "8388609.0"),
        (0x7F800000, "inf"),
        (0x7FC00000, "nan"),
    ],
)
def test_a_decimal_is_the_shortest_that_is_that_number(word: int, decimal: str) -> None:
    assert shortest(word) == decimal
    if decimal != "nan":
        assert int(np.float32(decimal).view(np.uint32)) == word


if __name__ == "__main__":
    for name, content in pictures().items():
        (GOLDEN / name).write_text(content)
