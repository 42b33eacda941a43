"""The command line: what it prints, how it refuses, and that no secret is an argument."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from claims import SESSION, Stall
from odd_gguf import honest
from steelyard.chain.deploy import Deployment
from steelyard.chain.keystore import Keystore
from steelyard.cli import main as cli
from steelyard.cli import place, screen
from steelyard.cli.nodes import Selling, _provider, engine_of
from steelyard.engines import inspection
from steelyard.engines.alphabet import Alphabet
from steelyard.market.journal import Document, Journal
from steelyard.protocol.errors import Malformed, Refused, Unavailable
from steelyard.protocol.keys import ZERO_ADDRESS, Key
from steelyard.verification.claim import Claim
from steelyard.wire.messages import Signed, sign_record
from steelyard.wire.receipts import FORMAT, DomainDocument, ReceiptDocument, to_json

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command: exit code, stdout, stderr. Wallets and models are the test's own."""
    monkeypatch.setenv("STEELYARD_WALLETS", str(tmp_path / "wallets"))
    monkeypatch.setenv("STEELYARD_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("STEELYARD_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        told = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0, told.out, told.err)

    return call


def test_what_the_system_refuses_has_a_name_too(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STEELYARD_WALLETS", str(tmp_path / "file" / "wallets"))
    monkeypatch.setenv("STEELYARD_PASSWORD", "a good password")
    code, _, told = run("wallet", "new", "owner")
    assert (code, told) == (1, f"unavailable system.enotdir: Not a directory: {tmp_path}/file/wallets\n")


def test_a_deployment_that_is_not_there_is_said_in_words(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEELYARD_DEPLOYMENT", raising=False)
    code, _, told = run("offers")
    expected = "deployment.json: No such file or directory: the file with the contracts' addresses"
    assert (code, told) == (1, f"refused deployment: {expected}\n")


def document(claim: Claim) -> ReceiptDocument:
    def signed(record: object, signature: bytes) -> Signed:
        return sign_record(record, signature)  # type: ignore[arg-type]  # any record

    return ReceiptDocument(
        format=FORMAT,
        model="alphabet",
        domain=DomainDocument(chain_id=claim.domain.chain_id, escrow=claim.domain.escrow),
        offer=signed(claim.offer, claim.offer_signature),
        order=signed(claim.order, claim.order_signature),
        receipt=signed(claim.receipt, claim.receipt_signature),
        prompt=list(claim.prompt),
        prompt_salt="0x" + claim.prompt_salt.hex(),
        answer=list(claim.answer),
        answer_salt="0x" + claim.answer_salt.hex(),
    )


@pytest.fixture
def receipt(tmp_path: Path) -> Path:
    engine, prompt = Alphabet(), (3, 1, 4, 1, 5)
    stall = Stall(engine.card.model_root)
    file = tmp_path / "receipt.json"
    file.write_bytes(to_json(document(stall.sell(engine, stall.order(prompt), prompt))))
    return file


class Endpoint:
    """An RPC endpoint that answers what a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: str) -> None:
        self.asked: list[str] = []

        def ask(rpc: object, method: str, *params: object) -> str:
            self.asked.append(method)
            return answers[method]

        monkeypatch.setattr("steelyard.chain.rpc.Rpc.__call__", ask)


@pytest.mark.parametrize(
    ("chain_id", "node"), [(1, "anvil/v1.7.1"), (31337, "Geth/v1.16.0")], ids=["another-chain", "another-node"]
)
def test_only_a_devnet_gives_money_from_nowhere(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chain_id: int, node: str
) -> None:
    Deployment(chain_id, 0, *[ZERO_ADDRESS] * 11).save(tmp_path / "deployment.json")
    endpoint = Endpoint(monkeypatch, eth_chainId=hex(chain_id), web3_clientVersion=node)
    code, _, told = run("wallet", "fund", ZERO_ADDRESS, "--deployment", "deployment.json", "--rpc", "http://chain")
    assert code == 1
    assert told.startswith(f"refused devnet.chain: http://chain serves chain {chain_id} by {node}, not 31337 by anvil")
    assert endpoint.asked == ["eth_chainId", "web3_clientVersion"]  # nothing was signed, nothing sent


# -- verify ------------------------------------------------------------------------------------------------------


def test_an_honest_receipt_holds_and_what_it_does_not_prove_is_said(run: Run, receipt: Path) -> None:
    code, out, _ = run("verify", str(receipt))
    assert code == 0
    assert "✓ answer-root" in out
    assert "– evidence" in out
    assert "What a receipt does not prove:" in out
    assert out.rstrip().endswith("The receipt holds.")


def test_an_endpoint_without_a_deployment_is_refused_and_not_passed_over(
    run: Run, receipt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, told = run("verify", str(receipt), "--rpc", "http://127.0.0.1:1")
    assert (code, told) == (
        1,
        "refused verify.rpc: --rpc needs --deployment, the file with the contracts' addresses\n",
    )
    monkeypatch.setenv("STEELYARD_RPC", "http://127.0.0.1:1")  # for other commands: this one asks nobody by itself
    assert run("verify", str(receipt))[0] == 0


def test_a_receipt_with_another_answer_does_not_hold(run: Run, receipt: Path) -> None:
    told = json.loads(receipt.read_text())
    told["answer"][0] += 1
    receipt.write_text(json.dumps(told))
    code, out, _ = run("verify", str(receipt), "--json")
    assert code == 1
    found = json.loads(out)
    assert not found["holds"]
    assert [row["check"] for row in found["findings"] if row["status"] == "failed"] == ["answer-root"]


@pytest.mark.parametrize("wrapped", ["receipt", "document"])
def test_what_the_gateway_returned_can_be_verified_as_it_is(run: Run, receipt: Path, wrapped: str) -> None:
    receipt.write_text(json.dumps({"id": "x", wrapped: json.loads(receipt.read_text())}))
    assert run("verify", str(receipt))[0] == 0


@pytest.mark.parametrize("text", ["", "{}", "[[", "7", '{"receipt": {}}'])
def test_what_is_no_receipt_is_refused_in_one_line(run: Run, receipt: Path, text: str) -> None:
    receipt.write_text(text)
    code, out, err = run("verify", str(receipt))
    assert (code, out) == (1, "")
    assert err.startswith("refused receipt.document: ")
    assert err.count("\n") == 1


def test_a_receipt_of_a_hundred_thousand_brackets_is_refused(receipt: Path) -> None:
    """In a process of its own: some of the tests' libraries raise Python's recursion limit, and then it would crash."""
    receipt.write_text("[" * 100_000)
    command = [sys.executable, "-c", "from steelyard.cli.main import main; main()", "verify", str(receipt)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 1
    assert ran.stderr.startswith("refused receipt.document: ")


def test_a_file_that_is_not_there_is_refused(run: Run) -> None:
    assert run("verify", "nothing.json") == (1, "", "refused receipt.file: nothing.json: No such file or directory\n")


def test_a_replay_needs_the_chain(run: Run, receipt: Path) -> None:
    assert run("verify", str(receipt), "--engine", "alphabet")[2].startswith("refused verify.engine: ")


# -- errors ------------------------------------------------------------------------------------------------------


def test_an_error_is_one_line_and_debug_shows_where_it_came_from(run: Run) -> None:
    code, _, err = run("models", "inspect", "nothing")
    assert code == 1
    assert err.startswith("refused model.unknown: 'nothing' is none of ")
    with pytest.raises(Refused):
        cli.main(["models", "inspect", "nothing", "--debug"])


def test_what_is_unavailable_is_not_called_a_refusal() -> None:
    assert cli.said(Unavailable("chain.unreachable", "here\nthere")) == "unavailable chain.unreachable: here there"
    assert cli.said(Malformed("amount", "x")) == "refused amount: x"


def test_an_unknown_command_ends_with_a_code(run: Run) -> None:
    assert run("nothing")[0] == 2


# -- wallet ------------------------------------------------------------------------------------------------------


@pytest.fixture
def quick_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Keystore.__init__, "__defaults__", (None, 2))


@pytest.mark.usefixtures("quick_scrypt")
def test_a_wallet_is_made_and_listed_without_its_secret(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEELYARD_PASSWORD", "correct horse")
    code, out, err = run("wallet", "new", "owner", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert json.loads(run("wallet", "show", "--json")[1]) == [{"wallet": "owner", "address": told["address"]}]
    assert Keystore().unlock("owner", "correct horse").address == told["address"]


@pytest.mark.usefixtures("quick_scrypt")
def test_a_key_is_imported_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STEELYARD_PASSWORD", "pw")
    said = tmp_path / "said"
    said.write_text("0x" + SESSION.secret.hex() + "\n")
    with said.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        code, out, _ = run("wallet", "import", "session")
    assert code == 0
    assert SESSION.address in out
    assert SESSION.secret.hex() not in out


def test_without_a_terminal_a_password_comes_from_the_environment_or_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("STEELYARD_PASSWORD", raising=False)
    with pytest.raises(Refused, match=r"wallet\.password: no terminal"):
        place.password(None)
    (tmp_path / "pw").write_text("from a file\nsecond line")
    assert place.password(tmp_path / "pw") == "from a file"
    monkeypatch.setenv("STEELYARD_PASSWORD", "from the environment")
    assert place.password(None) == "from the environment"
    with pytest.raises(Refused, match=r"wallet\.password"):
        place.password(tmp_path / "nothing")


def test_no_secret_is_an_argument() -> None:
    """Whatever is an argument can be read by every process of the machine."""
    from steelyard.cli import models, nodes, wallet

    for module in (models, nodes, wallet):
        for function in [item for item in vars(module).values() if inspect.isfunction(item)]:
            for name, parameter in inspect.signature(function).parameters.items():
                if any(word in name for word in ("password", "secret", "api_key")):
                    assert "Path" in str(parameter.annotation), f"{module.__name__}.{function.__name__}: {name}"


def test_a_key_that_a_node_uses_is_not_shown_by_its_settings() -> None:
    from steelyard.nodes.auditor.settings import Settings

    key = Key(bytes(range(1, 33)))
    shown = repr(Settings(key=key, data=Path(), deployment=Path(), rpc_url="", models=()))
    assert key.secret.hex() not in shown


# -- amounts, options --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "micro"), [("1", 10**6), ("0.000001", 1), ("0", 0), ("1e3", 10**9), ("12.5", 12_500_000)]
)
def test_amounts_are_exact(text: str, micro: int) -> None:
    assert place.micro(text) == micro
    assert place.micro(screen.tokens(micro)) == micro


@pytest.mark.parametrize("text", ["", "x", "-1", "0.0000001", "nan", "inf", "1e99", "1,5", "0x10"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(Malformed, match="amount"):
        place.micro(text)


def test_tokens_are_shown_exactly() -> None:
    assert [screen.tokens(amount) for amount in (0, 1, 1_500_000, -20_000_000, 10**12 + 1)] == [
        "0", "0.000001", "1.5", "-20", "1000000.000001",
    ]  # fmt: skip


def test_a_bare_name_runs_in_canonical_arithmetic() -> None:
    assert engine_of("smollm2-135m-instruct-q4_1") == "canonical:smollm2-135m-instruct-q4_1"
    for engine in ("alphabet", "alphabet?lie_from=3", "llamacpp:x", "canonical:x?threads=2", "mine.module:factory"):
        assert engine_of(engine) == engine


# -- orders, models ----------------------------------------------------------------------------------------------


def test_orders_of_a_journal_are_listed(run: Run, tmp_path: Path) -> None:
    stall = Stall(b"\x11" * 32)
    order = stall.order((1, 2, 3))
    signed = {"record": order.to_json(), "signature": "0x"}
    journal = Journal(tmp_path / "journal.sqlite")
    journal.write(Document("order", b"\x01" * 32, "expired", json.dumps({"model": "m", "order": signed}).encode()))
    journal.write(Document("fault", b"\x01" * 32, "peer.cut", b"{}"))
    body = {"request": {"order": signed}, "price": 12}
    journal.write(Document("order", b"\x02" * 32, "settled", json.dumps(body).encode()))
    journal.close()
    rows = json.loads(run("orders", str(tmp_path), "--json")[1])
    assert [(row["state"], row["fault"], row["price"]) for row in rows] == [
        ("expired", "peer.cut", None),
        ("settled", None, "0.000012"),
    ]
    assert len(json.loads(run("orders", str(tmp_path), "--state", "settled", "--json")[1])) == 1
    assert run("orders", str(tmp_path), "--state", "lost")[2].startswith("refused order.state: 'lost' is none of ")
    assert run("orders", str(tmp_path / "nothing"))[2].startswith("refused journal.unknown: ")


def test_models_say_which_of_them_are_here(run: Run) -> None:
    rows = json.loads(run("models", "list", "--json")[1])
    assert rows[0]["name"] == "smollm2-135m-instruct-q4_1"
    assert not any(row["pulled"] for row in rows)
    assert run("models", "inspect")[2].startswith("refused model.not-pulled: ")


def test_a_deployment_that_is_not_there_is_refused(run: Run) -> None:
    for command in (["offers"], ["wallet", "show", SESSION.address]):
        code, _, err = run(*command, "--deployment", "nowhere.json")
        assert code == 1
        assert err.startswith("refused deployment: nowhere.json: ")


def test_inspect_says_what_a_file_holds_and_why_it_is_refused(run: Run, tmp_path: Path) -> None:
    file = honest()
    path = str(file.write(tmp_path / "model.gguf"))
    code, said, _ = run("models", "inspect", path, "--context", "10", "--root", "--json")
    found = json.loads(said)
    assert (code, found["context"], found["unsupported"]) == (0, 10, [])
    assert found["model_root"] == "0x" + inspection.model_root(Path(path), lambda _done, _total: None).hex()
    code, said, _ = run("models", "inspect", path)
    assert (code, said.splitlines()[-1]) == (0, "served here")
    file.fields[0] = ("general.architecture", "mamba")
    file.write(tmp_path / "model.gguf")
    code, said, _ = run("models", "inspect", path, "--root")
    assert code == 0
    assert "not served here:\n  model.architecture: 'mamba'" in said
    assert "model root" not in said


def test_what_a_provider_is_told_reaches_its_settings(tmp_path: Path) -> None:
    selling = Selling(model="alphabet", price_in="0.2", price_out="0.6", bond="7", case_patience=33.0, data=tmp_path)
    settings = _provider(selling, place.HERE, Key.new(), bytes(32))
    assert (settings.bond, settings.case_patience, settings.data) == (7_000_000, 33.0, tmp_path)
