"""A program of its own around rtm-con (GPL-2.0), which our code never imports: packets in hexadecimal in, its reading out.

One line in, one line of JSON out: {"value": ...} or {"error": "..."}.
"""

import json
import sys
from importlib import import_module
from types import SimpleNamespace

# rtm-con opens its window's toolkit on import, which Debian's Python lacks; nobody looks at a window here.
sys.modules["rtm_con.msg_to_gui"] = SimpleNamespace(MessageAnalyzer=None)  # type: ignore[assignment]
rtm_con = import_module("rtm_con")


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        try:
            answer = {"value": rtm_con.con_to_pyobj(rtm_con.msg.parse(bytes.fromhex(line)))}
        except Exception as error:  # noqa: BLE001  # whatever it raises is its answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, default=str), flush=True)


if __name__ == "__main__":
    main()
