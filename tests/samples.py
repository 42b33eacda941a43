"""Records of any class with any values: for tests of records, vectors and the wire."""

from typing import Any

from hypothesis import strategies as st

from steelyard.protocol.eip712 import Domain, Record, bits_of
from steelyard.protocol.keys import checksum
from steelyard.protocol.records import RECORDS

BYTES32 = st.binary(min_size=32, max_size=32)
ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: checksum("0x" + raw.hex()))
DOMAINS = st.builds(Domain, st.integers(0, 2**64), ADDRESSES)


def words(kind: str) -> st.SearchStrategy[Any]:
    """Values of a Solidity type, its ends included."""
    if kind == "bytes32":
        return BYTES32
    if kind == "address":
        return ADDRESSES
    top = 2 ** bits_of(kind) - 1
    return st.sampled_from((0, 1, top)) | st.integers(0, top)


def records(*kinds: type[Record]) -> st.SearchStrategy[Record]:
    """Any record of one of these classes, or of any class."""
    return st.one_of([_records(kind) for kind in kinds or RECORDS])


def _records(kind: type[Record]) -> st.SearchStrategy[Record]:
    fields = {name: words(solidity) for name, solidity in kind.solidity().items()}
    return st.builds(kind, **{**fields, "version": st.just(kind.VERSION)})


def sample(kind: type[Record], /, **changed: Any) -> Record:
    """A record whose fields all differ: the n-th holds n."""
    values: dict[str, Any] = {}
    for at, (name, solidity) in enumerate(kind.solidity().items(), start=1):
        if solidity == "bytes32":
            values[name] = bytes([at]) * 32
        else:
            values[name] = checksum("0x" + f"{at:02x}" * 20) if solidity == "address" else at
    return kind(**{**values, "version": kind.VERSION, **changed})
