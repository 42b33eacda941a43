"""`steelyard --help` imports none of the slow modules. Looked at in a fresh process; nothing is timed."""

import json
import subprocess
import sys

import pytest

SLOW = (
    "aiohttp", "eth_account", "gguf", "jinja2", "llvmlite", "nacl", "numba", "numpy", "openai", "pydantic", "requests",
    "starlette", "tokenizers", "uvicorn", "web3", "xllamacpp", "msgspec", "coincurve", "Crypto", "asyncio", "sqlite3",
)  # fmt: skip
SHOW = "import json, sys; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"


def modules_after(code: str) -> set[str]:
    """Names in sys.modules after a fresh interpreter ran `code`."""
    ran = subprocess.run([sys.executable, "-c", f"{code}\n{SHOW}"], capture_output=True, text=True, check=True)
    return set(json.loads(ran.stderr.splitlines()[-1]))


CALL = "from steelyard.cli.main import main\ntry: main({})\nexcept SystemExit: pass"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []], ids=str)
def test_help_imports_nothing_slow(arguments: list[str]) -> None:
    loaded = modules_after(CALL.format(arguments))
    assert sorted(set(SLOW) & loaded) == []
    assert {name for name in loaded if name.startswith("steelyard.")} <= {
        "steelyard.cli",
        "steelyard.cli.main",
        "steelyard.protocol",
        "steelyard.protocol.errors",
    }


@pytest.mark.parametrize(
    "command", ["models", "wallet", "verify", "disputes", "up", "demo", "provide", "gateway", "audit", "bench"]
)
def test_help_of_a_command_does_not_load_a_model_runtime_or_web3(command: str) -> None:
    loaded = modules_after(CALL.format([command, "--help"]))
    assert sorted({"web3", "openai", "numpy", "llvmlite", "xllamacpp", "tokenizers", "uvicorn"} & loaded) == []


def test_the_look_sees_a_slow_module() -> None:
    assert "numpy" in modules_after("import numpy")
