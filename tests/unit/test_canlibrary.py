"""python-can without what it would load for a reader that nobody uses."""

import subprocess
import sys

import pytest

pytest.importorskip("asammdf", reason="the extra mf4 is not installed")


@pytest.mark.parametrize(
    "first", ["agent.canbus.bus", "agent.canbus.slcan", "agent.canlog.asc", "agent.mapping.dbcfile"]
)
def test_a_process_that_hears_buses_does_not_load_asammdf(first):
    script = (
        f"import sys, {first}\n"
        "from agent.canlibrary import can\n"
        "assert can.VALID_INTERFACES\n"
        "print('asammdf' in sys.modules, 'numpy' in sys.modules)\n"
        "import asammdf\n"
        "print(asammdf.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "asammdf"]
