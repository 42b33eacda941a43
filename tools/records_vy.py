"""Writes contracts/records.vy from the Python records: one definition, two languages. `--check` compares."""

import re
import sys
from pathlib import Path

from steelyard.protocol.eip712 import DOMAIN_TYPE, NAME, VERSION, Record
from steelyard.protocol.hashing import keccak256
from steelyard.protocol.keys import HALF_ORDER
from steelyard.protocol.records import (
    AuditTicket,
    Cancel,
    ChannelGrant,
    Offer,
    Order,
    Receipt,
    Registration,
    VerdictRecord,
    Vote,
    Voucher,
)

TARGET = Path(__file__).parent.parent / "contracts" / "records.vy"
HASHED: tuple[type[Record], ...] = (Registration, Vote)
"""Known by their struct hash: nobody signs them."""
SIGNED: tuple[type[Record], ...] = (Offer, Order, Receipt, Voucher, Cancel, AuditTicket, ChannelGrant, VerdictRecord)

HEAD = f'''# pragma version 0.4.3
"""
@title Records
@notice Structs, EIP-712 digests, signer recovery. Written by tools/records_vy.py from the Python records: do not edit.
"""

# keccak256("{DOMAIN_TYPE}"), keccak256("{NAME}"), keccak256("{VERSION}")
DOMAIN_TYPE: constant(bytes32) = 0x{keccak256(DOMAIN_TYPE.encode()).hex()}
NAME: constant(bytes32) = 0x{keccak256(NAME.encode()).hex()}
VERSION: constant(bytes32) = 0x{keccak256(VERSION.encode()).hex()}
HALF_ORDER: constant(uint256) = {HALF_ORDER}
'''

TAIL = '''

@internal
@view
def separator(escrow: address) -> bytes32:
    """
    @dev EIP-712 domain separator of {Steelyard, 1, this chain, escrow}.
    """
    return keccak256(abi_encode(DOMAIN_TYPE, NAME, VERSION, chain.id, escrow))


@internal
@pure
def typed(domain: bytes32, struct_hash: bytes32) -> bytes32:
    """
    @dev EIP-712 digest.
    """
    return keccak256(concat(x"1901", domain, struct_hash))


@internal
@pure
def recover(digest: bytes32, signature: Bytes[65]) -> address:
    """
    @dev The signer; reverts "signature" on a wrong length, a high s (EIP-2), v other than 27 or 28, or no key.
    """
    assert len(signature) == 65, "signature"
    s: uint256 = convert(slice(signature, 32, 32), uint256)
    v: uint256 = convert(slice(signature, 64, 1), uint256)
    assert s <= HALF_ORDER, "signature"
    assert v == 27 or v == 28, "signature"
    signer: address = ecrecover(digest, v, convert(slice(signature, 0, 32), uint256), s)
    assert signer != empty(address), "signature"
    return signer
'''


def snake(name: str) -> str:
    """AuditTicket -> audit_ticket."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def render() -> str:
    """The whole module."""
    parts = [HEAD]
    for record in (*HASHED, *SIGNED):
        constant = f"{snake(record.__name__).upper()}_TYPE"
        parts.append(f"# {record.type_string()}\n{constant}: constant(bytes32) = 0x{record.type_hash().hex()}\n")
    for record in (*HASHED, *SIGNED):
        fields = "".join(f"    {name}: {kind}\n" for name, kind in record.solidity().items())
        parts.append(f"\nstruct {record.__name__}:\n{fields}")
    for record in (*HASHED, *SIGNED):
        noun = snake(record.__name__)
        parts.append(
            f"\n\n@internal\n@pure\ndef hash_{noun}(r: {record.__name__}) -> bytes32:\n"
            f'    """\n    @dev EIP-712 hashStruct.\n    """\n'
            f"    return keccak256(abi_encode({noun.upper()}_TYPE, r))\n"
        )
    for record in SIGNED:
        noun = snake(record.__name__)
        parts.append(
            f"\n\n@internal\n@pure\ndef digest_{noun}(r: {record.__name__}, domain: bytes32) -> bytes32:\n"
            f'    """\n    @dev EIP-712 digest in a domain (`separator`).\n    """\n'
            f"    return self.typed(domain, self.hash_{noun}(r))\n"
        )
    return "\n".join(parts[:1]) + "\n" + "".join(parts[1:]) + TAIL


def main() -> int:
    """Writes, or with --check says whether the file is fresh."""
    text = render()
    if "--check" in sys.argv:
        fresh = TARGET.exists() and TARGET.read_text() == text
        print(f"{TARGET.name}: {'fresh' if fresh else 'stale, run scripts/generate'}")
        return 0 if fresh else 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
