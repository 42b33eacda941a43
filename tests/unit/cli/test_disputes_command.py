"""`steelyard disputes list` and `show`, on a made-up dispute."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import tiny_llama
from disputes import made_up
from steelyard.cli import disputes
from steelyard.cli import main as cli
from steelyard.engines import gguf_head
from steelyard.engines.canonical import model, shape
from steelyard.market.disputes import Dispute
from steelyard.market.onchain_disputes import Listed
from steelyard.protocol.errors import Refused

Run = Callable[..., tuple[int, str, str]]
CASE = "0x" + made_up().case.hex()


class Court:
    """One game; the model is registered under a name that somebody else chose."""

    name = "some-model"

    def all(self) -> list[Listed]:
        found = made_up()
        return [Listed(found.case, found.provider.address, found.challenger.address, "over", "cheated", "step")]

    def show(self, case: bytes, _: object) -> Dispute:
        if case != made_up().case:
            raise Refused("dispute.unknown", f"0x{case.hex()}")
        return made_up()

    def model(self, _: bytes) -> SimpleNamespace:
        return SimpleNamespace(name=self.name)


@pytest.fixture
def court(monkeypatch: pytest.MonkeyPatch) -> Court:
    found = Court()
    monkeypatch.setattr(disputes.Place, "ledger", lambda _: found)
    monkeypatch.setattr(disputes, "_disputes", lambda _: found)
    return found


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, court: Court) -> Run:
    """Runs a command: exit code, stdout, stderr. The store is the test's own."""
    monkeypatch.setenv("STEELYARD_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["disputes", *arguments])
        told = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0, told.out, told.err)

    return call


def test_games_are_listed(run: Run) -> None:
    code, told, _ = run("list", "--json")
    assert code == 0
    (row,) = json.loads(told)
    assert (row["case"], row["stage"], row["outcome"], row["why"]) == (CASE, "over", "cheated", "step")
    assert "cheated" in run("list")[1]


def test_a_dispute_is_shown_and_drawn(run: Run, tmp_path: Path) -> None:
    code, told, _ = run("show", CASE, "--svg", "picture.svg")
    assert code == 0
    assert "node 12, element 417 of 576, turn 5 of 48" in told
    assert "DIFFERENT" in told
    assert (tmp_path / "picture.svg").read_text().startswith("<svg ")


def test_json_has_the_rounds_and_the_step_with_bytes_as_hex(run: Run) -> None:
    code, told, _ = run("show", CASE, "--json")
    assert code == 0
    found = json.loads(told)
    assert found["dispute"]["case"] == CASE
    assert [one["place"] for one in found["dispute"]["rounds"]][-1] == "turn"
    assert found["dispute"]["rounds"][-1]["claims"][5] == "0x4252bb51"
    assert found["step"]["computed"]["bits"] == "4252bb50"
    assert found["step"]["operations"][-1]["what"] == "fma(g, i, f)"


def test_a_case_that_is_none_is_refused(run: Run) -> None:
    assert run("show", "0x" + "00" * 32) == (1, "", f"refused dispute.unknown: 0x{'00' * 32}\n")
    code, _, told = run("show", "7")
    assert (code, told.split(":")[0]) == (1, "refused record.hex")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "x.gguf", "", "no-such-model"])
def test_a_registered_name_is_looked_up_in_the_store_and_nowhere_else(run: Run, court: Court, name: str) -> None:
    court.name = name
    code, told, _ = run("show", CASE)
    assert (code, "node 12," in told) == (0, True)


def test_a_model_that_is_told_must_be_there(run: Run) -> None:
    code, _, told = run("show", CASE, "--model", "no-such-model")
    assert (code, told.split(":")[0]) == (1, "refused model.unknown")


def test_the_names_are_those_of_the_models_graph(tmp_path: Path, run: Run, court: Court) -> None:
    (tmp_path / "models").mkdir()
    file = tiny_llama.write(tmp_path / "models" / "some-model.gguf", tiny_llama.FAMILIES["llama"])
    head = gguf_head.read(file)
    expected = model.lowered(head, shape.read(head)).graph.nodes
    found = disputes._nodes(court, made_up(), None)  # type: ignore[arg-type]
    assert [node.name for node in found] == [node.name for node in expected]
    assert disputes._nodes(court, made_up(), str(file)) == found  # type: ignore[arg-type]
    assert "node 12, " in run("show", CASE)[1]  # its node 12 is another: no wrong name
