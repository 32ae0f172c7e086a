"""Child of row `start`: a program that ends with its first CAN frame and prints when that was.

python -m bench.perf.first_frame agent CONFIG          `tbox run`, until it has kept a frame of its mapping
python -m bench.perf.first_frame peer CHANNEL DBC      python-can Notifier and cantools, until a frame of the DBC is decoded
"""

import os
import sys
import time
from collections.abc import Callable


def _end() -> None:
    """Print the monotonic time, which all processes share, and be gone."""
    print(time.monotonic_ns(), flush=True)
    os._exit(0)


def _agent(config: str) -> int:
    from agent.core import frames

    class Watched(frames.LatestFrames):
        def keeper(self, bus: int) -> Callable[[int, bytes | bytearray, int], None]:
            keep = super().keeper(bus)

            def keep_one(can_id: int, data: bytes | bytearray, stamp: int) -> None:
                keep(can_id, data, stamp)
                if self.kept:
                    _end()

            return keep_one

    frames.LatestFrames = Watched  # type: ignore[misc]
    from agent.cli import main

    return main(["run", "-c", config])


def _peer(channel: str, dbc: str) -> None:
    import can
    import cantools.database
    from cantools.database.can import Database

    database = cantools.database.load_file(dbc)
    assert isinstance(database, Database)  # noqa: S101 - a DBC file
    known = {message.frame_id for message in database.messages}

    def decode(message: can.Message) -> None:
        if message.arbitration_id in known:
            database.decode_message(message.arbitration_id, bytes(message.data))
            _end()

    can.Notifier(can.Bus(channel, "udp_multicast", ignore_config=True), [decode])
    time.sleep(30)


if __name__ == "__main__":
    if sys.argv[1] == "agent":
        sys.exit(_agent(sys.argv[2]))
    _peer(*sys.argv[2:])
