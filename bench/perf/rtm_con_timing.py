"""A program of its own that times rtm-con (GPL-2.0), which our code never imports: PACKET-HEX REPEATS ROUNDS.

Prints a JSON object: microseconds to decode and to encode the packet, the best of REPEATS runs of ROUNDS.
"""

import json
import sys
import timeit
from importlib import import_module
from types import SimpleNamespace


def main() -> None:
    """Time both ways."""
    raw, repeats, rounds = bytes.fromhex(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    # It opens its window's toolkit on import, which Debian's Python lacks; nobody looks at a window here.
    sys.modules["rtm_con.msg_to_gui"] = SimpleNamespace(MessageAnalyzer=None)  # type: ignore[assignment]
    msg = import_module("rtm_con").msg
    parsed = msg.parse(raw)
    if msg.build(parsed) != raw:
        sys.exit("rtm-con does not encode the packet to the same bytes")
    ways = {"decode": lambda: msg.parse(raw), "encode": lambda: msg.build(parsed)}
    print(
        json.dumps(
            {n: min(timeit.repeat(way, number=rounds, repeat=repeats)) / rounds * 1e6 for n, way in ways.items()}
        )
    )


if __name__ == "__main__":
    main()
