"""chain/keystore: a key at rest is encrypted, and only its password opens it."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from eth_account import Account

from steelyard.chain.keystore import Keystore, decrypt, encrypt
from steelyard.protocol.errors import Malformed, Refused
from steelyard.protocol.keys import Key

KEY = Key(bytes(range(1, 33)))
FEW = 2  # scrypt's rounds: a test has no secret to keep


@pytest.fixture
def store(tmp_path: Path) -> Keystore:
    return Keystore(tmp_path / "wallets", scrypt_n=FEW)


def test_a_key_comes_back_with_its_password(store: Keystore) -> None:
    entry = store.add("owner", KEY, "correct horse")
    assert (entry.name, entry.address) == ("owner", KEY.address)
    assert store.unlock("owner", "correct horse").secret == KEY.secret
    assert store.entries() == [entry]


def test_another_password_is_refused_and_nothing_is_shown(store: Keystore) -> None:
    store.add("owner", KEY, "correct horse")
    for wrong in ("", "correct horse ", "Correct horse"):
        with pytest.raises(Refused) as caught:
            store.unlock("owner", wrong)
        assert caught.value.rule == "wallet.password"
        assert KEY.secret.hex() not in str(caught.value)


def test_the_file_holds_no_secret_and_is_its_owners(store: Keystore) -> None:
    file = store.add("owner", KEY, "correct horse").file
    assert KEY.secret.hex() not in file.read_text().lower()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700


def test_ethereums_tools_read_the_file(store: Keystore) -> None:
    body = json.loads(store.add("owner", KEY, "correct horse").file.read_text())
    assert (body["version"], body["crypto"]["kdf"]) == (3, "scrypt")
    assert bytes(Account.decrypt(body, "correct horse")) == KEY.secret


def test_a_key_is_never_overwritten(store: Keystore) -> None:
    store.add("owner", KEY, "one")
    with pytest.raises(Refused, match=r"wallet\.exists"):
        store.add("owner", Key.new(), "two")
    assert store.unlock("owner", "one").secret == KEY.secret


def test_an_empty_password_is_refused(store: Keystore) -> None:
    with pytest.raises(Refused, match=r"wallet\.password"):
        store.add("owner", KEY, "")
    assert store.entries() == []


def test_a_file_of_ethereums_tools_is_read(store: Keystore) -> None:
    theirs = Account.encrypt(KEY.secret, "correct horse", kdf="scrypt", iterations=FEW)
    store.folder.mkdir(mode=0o700)
    (store.folder / "theirs.json").write_text(json.dumps(theirs))
    assert store.unlock("theirs", "correct horse").secret == KEY.secret


def test_a_wallet_does_not_raise_the_recursion_limit() -> None:
    """eth-account's reader does, and then a deeply nested body ends the process instead of being refused."""
    code = "import sys; b = sys.getrecursionlimit(); import steelyard.chain.keystore as k, steelyard.cli.nodes; "
    code += "from steelyard.protocol.keys import Key; k.decrypt(k.encrypt(Key.new(), 'x', 2), 'x'); "
    code += "import steelyard.nodes.gateway.main, steelyard.nodes.provider.main, steelyard.nodes.auditor.main; "
    subprocess.run([sys.executable, "-c", code + "sys.exit(sys.getrecursionlimit() != b)"], check=True)


@pytest.mark.parametrize("name", ["", "../owner", "a/b", "Owner", "a" * 41, ".hidden", "owner.json", "a b", "é"])
def test_a_name_that_could_be_a_path_is_refused(store: Keystore, name: str) -> None:
    with pytest.raises(Refused, match=r"wallet\.name"):
        store.add(name, KEY, "pw")


def test_an_unknown_wallet_is_refused_with_the_known_ones(store: Keystore) -> None:
    store.add("owner", KEY, "pw")
    with pytest.raises(Refused, match=r"wallet\.unknown: 'session' is none of \['owner'\]"):
        store.unlock("session", "pw")


BROKEN = [
    "",
    "[]",
    "{}",
    "nonsense",
    '{"address": "00", "version": 3}',
    json.dumps({"address": KEY.address, "version": 3}),
    json.dumps({"address": KEY.address, "version": 3, "crypto": {"kdf": "scrypt"}}),
    json.dumps({"address": KEY.address, "version": 9, "crypto": {}}),
]


@pytest.mark.parametrize(
    "changed",
    [
        {"n": 2**40},
        {"n": 3},
        {"n": 0},
        {"r": -1},
        {"p": 10**30},
        {"n": None},
        {"dklen": 16},
        {"salt": "zz"},
        {"n": 10**5000},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_parameters_that_would_take_all_memory_are_refused(changed: dict[str, object]) -> None:
    body = encrypt(KEY, "pw", FEW)
    body["crypto"]["kdfparams"].update(changed)
    with pytest.raises(Malformed, match=r"wallet\.file"):
        decrypt(body, "pw")


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_is_refused_by_name(store: Keystore, text: str) -> None:
    store.folder.mkdir(mode=0o700)
    (store.folder / "owner.json").write_text(text)
    with pytest.raises(Malformed):
        store.unlock("owner", "pw")


def test_a_file_that_names_another_address_is_refused(store: Keystore) -> None:
    file = store.add("owner", KEY, "pw").file
    body = json.loads(file.read_text())
    body["address"] = Key.new().address[2:].lower()
    file.write_text(json.dumps(body))
    with pytest.raises(Malformed, match=f"and holds {KEY.address}"):
        store.unlock("owner", "pw")
