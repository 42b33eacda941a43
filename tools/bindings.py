"""Compiles contracts/*.vy and writes what users need of them: artifacts (ABI, bytecode, layout) and typed bindings.

python tools/bindings.py            writes src/steelyard/chain/{artifacts,bindings}/
python tools/bindings.py --check    compares (the compiler is a development dependency; users never need it)
"""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from eth_utils import keccak

ROOT = Path(__file__).parent.parent
CONTRACTS = ("Token", "Registry", "Bonds", "Escrow", "Orders", "Rulings", "Step", "Operands")
OUT = ROOT / "src" / "steelyard" / "chain"
SIZE_LIMIT = 24_576  # EIP-170

HEAD = '''"""{name}.vy as Python. Written by tools/bindings.py from the contract's ABI: do not edit."""

from dataclasses import dataclass
from typing import Any, ClassVar

from steelyard.chain.codec import decode, decode_event, encode
from steelyard.chain.port import Chain, Log, Mined
from steelyard.protocol.units import Address

'''


def abi_type(item: dict[str, Any]) -> str:
    """Canonical ABI type, tuples spelled out."""
    kind: str = item["type"]
    if kind.startswith("tuple"):
        return "(" + ",".join(abi_type(part) for part in item["components"]) + ")" + kind.removeprefix("tuple")
    return kind


def python_type(item: dict[str, Any]) -> str:
    """What the caller passes or gets."""
    kind: str = item["type"]
    if re.search(r"\[\d*\]$", kind):
        inner = python_type({**item, "type": re.sub(r"\[\d*\]$", "", kind)})
        return f"tuple[{inner}, ...]"
    if kind == "tuple":
        return "tuple[Any, ...]"
    if kind.startswith(("uint", "int")):
        return "int"
    return {"address": "Address", "bool": "bool", "string": "str"}.get(kind, "bytes")


def snake(name: str) -> str:
    """transferFrom -> transfer_from; DOMAIN_SEPARATOR -> domain_separator."""
    if name.isupper():
        return name.lower()
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def camel(name: str) -> str:
    """channel_of -> ChannelOf."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def selector(name: str, inputs: list[dict[str, Any]]) -> bytes:
    """First four bytes of the signature's hash."""
    return bytes(keccak(text=f"{name}({','.join(abi_type(i) for i in inputs)})")[:4])


def wrap(head: str, parts: list[str], tail: str, indent: str) -> str:
    """One line if it fits in 120 columns, else one part a line with a trailing comma (as the formatter would)."""
    line = f"{indent}{head}{', '.join(parts)}{tail}"
    if len(line) <= 120 or not parts:
        return line
    inner = ", ".join(parts)
    if len(indent) + 4 + len(inner) <= 120:
        return f"{indent}{head}\n{indent}    {inner}\n{indent}{tail}"
    return f"{indent}{head}\n" + "".join(f"{indent}    {part},\n" for part in parts) + f"{indent}{tail}"


def function(entry: dict[str, Any], structs: dict[str, list[str]]) -> str:
    """One method."""
    inputs, outputs = entry["inputs"], entry["outputs"]
    reads = entry["stateMutability"] in ("view", "pure")
    names = [f"{snake(i['name']) or f'key{n}'}" for n, i in enumerate(inputs)]
    names = [f"{name}_" if name in ("from", "to_", "id") else name for name in names]
    arguments = ["self"] + [f"{name}: {python_type(i)}" for name, i in zip(names, inputs, strict=True)]
    types = ", ".join(f'"{abi_type(i)}"' for i in inputs)
    values = ", ".join(names) + ("," if len(names) == 1 else "")
    first, comma = selector(entry["name"], inputs).hex(), "," if len(inputs) == 1 else ""
    data = f'encode(bytes.fromhex("{first}"), ({types}{comma}), ({values}))'
    signature = ", ".join(f"{i['type'].replace('tuple', 'struct')} {i['name']}".strip() for i in inputs)
    doc = f'        """{entry["name"]}({signature})"""\n'
    if not reads:
        head = wrap(f"def {snake(entry['name'])}(", arguments, ") -> Mined:", "    ")
        return f"{head}\n{doc}        data = {data}\n        return self.chain.send(self.address, data)\n"
    out_types = ", ".join(f'"{abi_type(o)}"' for o in outputs) + ("," if len(outputs) == 1 else "")
    one = len(outputs) == 1
    if one and outputs[0]["type"] == "tuple":
        result = camel(entry["name"])
        structs[result] = [f"{snake(c['name'])}: {python_type(c)}" for c in outputs[0]["components"]]
        back = f"return {result}(*decode(({out_types}), self.chain.call(self.address, data))[0])"
    elif one:
        result = python_type(outputs[0])
        back = f"value: {result} = decode(({out_types}), self.chain.call(self.address, data))[0]\n        return value"
    else:
        result = f"tuple[{', '.join(python_type(o) for o in outputs)}]"
        names_ = ", ".join(f"v{n}" for n in range(len(outputs)))
        back = f"{names_} = decode(({out_types}), self.chain.call(self.address, data))\n        return {names_}"
    head = wrap(f"def {snake(entry['name'])}(", arguments, f") -> {result}:", "    ")
    return f"{head}\n{doc}        data = {data}\n        {back}\n"


def event(entry: dict[str, Any]) -> str:
    """One event as a frozen dataclass."""
    inputs = entry["inputs"]
    topic = bytes(keccak(text=f"{entry['name']}({','.join(abi_type(i) for i in inputs)})")).hex()
    fields = "".join(f"    {snake(i['name'])}: {python_type(i)}\n" for i in inputs)
    types = ", ".join(f'("{abi_type(i)}", {i["indexed"]})' for i in inputs) + ("," if len(inputs) == 1 else "")
    return (
        f"@dataclass(frozen=True, slots=True)\nclass {entry['name']}:\n"
        f'    """Event {entry["name"]}."""\n\n'
        f'    TOPIC: ClassVar[bytes] = bytes.fromhex("{topic}")\n'
        f"    TYPES: ClassVar[tuple[tuple[str, bool], ...]] = ({types})\n{fields}\n"
        f'    @classmethod\n    def read(cls, log: Log) -> "{entry["name"]}":\n'
        f'        """From a log with this TOPIC."""\n        return cls(*decode_event(cls.TYPES, log))\n\n\n'
    )


def module(name: str, abi: list[dict[str, Any]]) -> str:
    """The binding's source."""
    structs: dict[str, list[str]] = {}
    functions = [function(entry, structs) for entry in abi if entry["type"] == "function"]
    events = [entry for entry in abi if entry["type"] == "event"]
    parts = [HEAD.format(name=name)]
    for struct, fields in structs.items():
        body = "".join(f"    {field}\n" for field in fields)
        parts.append(
            f'\n@dataclass(frozen=True, slots=True)\nclass {struct}:\n    """What {name}.vy returns."""\n\n{body}\n'
        )
    parts += ["\n" + event(entry).rstrip("\n") + "\n\n" for entry in events]
    if events:
        parts.append(f"\nEVENTS = {{kind.TOPIC: kind for kind in ({', '.join(e['name'] for e in events)},)}}\n\n")
    parts.append(
        f'\nclass {name}:\n    """{name}.vy at an address."""\n\n'
        "    def __init__(self, chain: Chain, address: Address) -> None:\n"
        "        self.chain = chain\n        self.address = address\n\n"
    )
    parts.append("\n".join(functions))
    return "".join(parts)


def compile_contract(name: str) -> dict[str, Any]:
    """Runs the compiler on one contract."""
    source = ROOT / "contracts" / f"{name}.vy"
    vyper = Path(sys.executable).parent / "vyper"
    command = [str(vyper), "-f", "abi,bytecode,bytecode_runtime,layout", str(source)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    version = subprocess.run([str(vyper), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    abi, code, runtime, layout = json.loads(lines[0]), lines[1], lines[2], json.loads(lines[3])
    size = len(runtime) // 2 - 1
    if size > SIZE_LIMIT:
        raise SystemExit(f"{name}: {size} bytes of runtime code, EIP-170 allows {SIZE_LIMIT}")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return {
        "contract": name, "compiler": version, "source_sha256": digest, "runtime_bytes": size,
        "abi": abi, "layout": layout, "bytecode": code,
    }  # fmt: skip


def formatted(text: str) -> str:
    """As the house's formatter leaves it."""
    ruff = Path(sys.executable).parent / "ruff"
    command = [str(ruff), "format", "-", "--stdin-filename", "binding.py", "--config", str(ROOT / "pyproject.toml")]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def main() -> int:
    """Writes, or compares with --check."""
    check, stale = "--check" in sys.argv, []
    files = {
        OUT / "bindings" / "__init__.py": '"""The contracts as Python classes, generated by tools/bindings.py."""\n'
    }
    files[OUT / "artifacts" / "__init__.py"] = (
        '"""ABI, bytecode and storage layout, generated by tools/bindings.py."""\n'
    )
    for name in CONTRACTS:
        if not (ROOT / "contracts" / f"{name}.vy").exists():
            print(f"{name}.vy: missing")
            continue
        artifact = compile_contract(name)
        files[OUT / "artifacts" / f"{name}.json"] = json.dumps(artifact, indent=1) + "\n"
        files[OUT / "bindings" / f"{name.lower()}.py"] = formatted(module(name, artifact["abi"]))
    for path, text in files.items():
        if check:
            if not path.exists() or path.read_text() != text:
                stale.append(path.name)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    print(f"bindings: {f'stale {stale}, run scripts/generate' if stale else 'fresh'}")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
