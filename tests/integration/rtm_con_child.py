"""A program of its own around rtm-con (GPL-2.0), which our code never imports: packets in hexadecimal in, its reading out.

One line in, one line of JSON out: {"value": ...} or {"error": "..."}.
"""

import json
import sys

from rtm_con import con_to_pyobj, msg


def main() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        try:
            answer = {"value": con_to_pyobj(msg.parse(bytes.fromhex(line)))}
        except Exception as error:  # noqa: BLE001  # whatever it raises is its answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, default=str), flush=True)


if __name__ == "__main__":
    main()
