"""What an action costs and how large a contract is, as committed in bench/gas.json."""

import json
import runpy
from pathlib import Path

import pytest
from sources import SOURCES, compiled

TOOL = Path(__file__).parents[2] / "tools" / "gas.py"
LIMIT = 24_576  # EIP-170


def test_gas_and_sizes_are_the_committed_ones():
    tool = runpy.run_path(str(TOOL))
    assert tool["measure"]() == json.loads(tool["SNAPSHOT"].read_text()), "run tools/gas.py and look at the difference"


@pytest.mark.parametrize("name", [path.stem for path in sorted(SOURCES.glob("[A-Z]*.vy"))])
def test_a_contract_can_be_deployed(name):
    assert 0 < len(compiled(name).runtime) < LIMIT
