"""What the rows `agent` and `alarm` do inside a kernel with CAN: python -m bench.perf.fullcarwork SIZE; lines for `guest.watch`.

Three full buses, a platform that speaks TLS, and the agent, each a process; an alarm message whose bits come and go at random.
"""

import contextlib
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agent.core.edition2016 import ALARM_FLAGS
from agent.core.packet import Packet
from agent.packetjson import packet_to_json
from bench.perf import rig
from bench.perf.busload import Load, setup
from bench.perf.guest import BUSES, phase
from bench.perf.traffic import MESSAGES, dbc_text

SIGNALS = 200
CELLS = 180  # of them; the others are temperatures
INTERVAL_S = 10
ALARM_ID, ALARM_CYCLE_MS = 0x6F0, 100
# A bit stays for longer than the time between two samples, on and off: each rise has to come out.
SHORTEST_S, LONGEST_S = 1.3, 2.3
START_S = 60.0
NEW_CERTIFICATE = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
NEW_CERTIFICATE += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]

CONFIG = """\
[vehicle]
vin = "{vin}"
mapping = "full.toml"
{buses}
[platform]
host = "127.0.0.1"
port = {port}
tls = true
tls_ca = "certificate.pem"
policy = "each"
[report]
interval_s = {interval}
[outbox]
path = "tbox.db"
"""


class Size(NamedTuple):
    """Seconds with the agent stopped (before and after), of the agent at work, and of alarms."""

    held_s: int
    agent_s: int
    alarms_s: int


SIZES = {"full": Size(5, 30, 25), "quick": Size(3, 10, 8)}


class Rise(NamedTuple):
    """A bit that went on at `ms`, Unix milliseconds."""

    bit: int
    ms: int


class Alarms:
    """The alarm message of the first bus, sent by the kernel; each of its bits goes on and off at random moments."""

    def __init__(self, channel: str, rng: random.Random) -> None:
        self.rises: list[Rise] = []
        self._rng = rng
        self._bits = 0
        self._socket = socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, socket.CAN_BCM)
        self._socket.connect((channel,))
        self._send()

    def _send(self) -> None:
        self._socket.send(setup(ALARM_ID, ALARM_CYCLE_MS, [self._bits.to_bytes(8, "little")]))

    def play(self, seconds: float) -> None:
        """For so many seconds; no bit goes on in the last of them, so that all can arrive."""
        begun = time.monotonic()
        due = sorted((begun + self._rng.uniform(0, LONGEST_S), bit) for bit in range(len(ALARM_FLAGS)))
        while due:
            at, bit = due.pop(0)
            time.sleep(max(0.0, at - time.monotonic()))
            self._bits ^= 1 << bit
            rise = self._bits >> bit & 1
            if rise:
                self.rises.append(Rise(bit, time.time_ns() // 1_000_000))
            self._send()
            if rise or time.monotonic() - begun < seconds - LONGEST_S:
                due.append((time.monotonic() + self._rng.uniform(SHORTEST_S, LONGEST_S), bit))
                due.sort()

    def close(self) -> None:
        self._socket.close()


def mapping_text() -> str:
    """200 signals of the three buses, and the alarm bits of the first."""
    names = [f"{bus}.M{number}.S1" for bus in "abc" for number in range(1, MESSAGES + 1)]
    others = [f"{bus}.M{number}.S2" for bus in "abc" for number in range(1, MESSAGES + 1)]
    buses = '[dbc.a]\nfiles = ["full.dbc", "alarms.dbc"]\n' + "".join(
        f'[dbc.{bus}]\nfiles = ["full.dbc"]\n' for bus in "bc"
    )
    flags = "".join(f'{flag} = "a.Alarms.B{bit}"\n' for bit, flag in enumerate(ALARM_FLAGS))
    probes = ", ".join(f'{{ signal = "{name}", unit = "degC" }}' for name in others[: SIGNALS - CELLS])
    return (
        f'format = 1\nname = "full car"\nedition = "2016"\n{buses}'
        f"[storage_voltages]\ncells = {names[:CELLS]}\n[storage_temperatures]\nprobes = [{probes}]\n"
        f"[alarms]\ndefault_level = 3\n[alarms.flags]\n{flags}"
    )


def alarm_dbc() -> str:
    """The DBC file of the alarm message."""
    rows = [f' SG_ B{bit} : {bit}|1@1+ (1,0) [0|1] "" TBOX' for bit in range(len(ALARM_FLAGS))]
    return "\n".join(['VERSION ""', "NS_ :", "BS_:", "BU_: BMS TBOX", f"BO_ {ALARM_ID} Alarms: 8 BMS", *rows]) + "\n"


def write_files(folder: Path, port: int) -> Path:
    """Configuration, mapping and DBC files; the configuration's path."""
    (folder / "full.dbc").write_text(dbc_text())
    (folder / "alarms.dbc").write_text(alarm_dbc())
    (folder / "full.toml").write_text(mapping_text())
    buses = "".join(
        f'[[can]]\nname = "{name}"\ninterface = "socketcan"\nchannel = "{channel}"\n'
        for name, channel in zip("abc", BUSES, strict=True)
    )
    config = folder / "tbox.toml"
    config.write_text(CONFIG.format(vin=rig.VIN, buses=buses, port=port, interval=INTERVAL_S))
    return config


def latencies(rises: list[Rise], packets: list[tuple[int, int]]) -> list[float]:
    """ms from each rise to the first packet with its bit; infinite where none came. `packets`: (arrival in ms, bits)."""
    return [
        min((at - rise.ms for at, bits in packets if at >= rise.ms and bits >> rise.bit & 1), default=float("inf"))
        for rise in rises
    ]


def _certificate(folder: Path) -> str:
    """CERTIFICATE:KEY of a platform on this machine."""
    names = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [*NEW_CERTIFICATE, "-out", str(names[0]), "-keyout", str(names[1])],
        check=True,
        capture_output=True,
    )
    return ":".join(map(str, names))


@contextlib.contextmanager
def _platform(folder: Path) -> Iterator[int]:
    arguments = ("platform", "--policy", "each", "--port", "0", "--quiet", "--tls", _certificate(folder))
    with rig.process(folder, "platform", "-m", "bench.cli", *arguments, "--db", str(folder / "platform.db")) as running:
        out = folder / "platform.out"
        rig.wait_for(lambda: b"\n" in out.read_bytes(), START_S, "the platform listens", running)
        yield int(out.read_bytes().split()[-1])


def _reports(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM packets WHERE command IN ('realtime', 'reissue')").fetchone()[0])


def _ticks(pid: int) -> float:
    """CPU seconds of a process as its kernel counts them."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(size: Size) -> None:
    """Start all, then: hold the agent, let it work, hold it, let alarms come."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(rig.scratch()))
        port = stack.enter_context(_platform(folder))
        db = stack.enter_context(contextlib.closing(rig.received(folder)))
        stack.enter_context(Load(BUSES))
        alarms = stack.enter_context(contextlib.closing(Alarms(BUSES[0], random.Random(11))))
        agent = stack.enter_context(rig.agent(folder, write_files(folder, port)))
        rig.wait_for(lambda: _reports(db) > 0, START_S, "the first report arrives", agent)
        _hold(agent.pid, size.held_s)
        time.sleep(2)
        _work(agent.pid, size.agent_s, db)
        _hold(agent.pid, size.held_s)
        _play(alarms, size.alarms_s, db)
        if "CAN bus away" in (words := (folder / "agent.log").read_text()):
            raise rig.RigError(f"the agent lost a bus: {words[-rig.LAST_WORDS :]}")


def _hold(pid: int, seconds: float) -> None:
    """The agent stands still, and its kernel goes on to receive for it."""
    os.kill(pid, signal.SIGSTOP)
    with phase("held"):
        time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


def _work(pid: int, seconds: float, db: sqlite3.Connection) -> None:
    carried = [Path(f"/sys/class/net/{bus}/statistics/rx_packets") for bus in BUSES]
    with phase("agent") as result:
        reports, frames, cpu = _reports(db), sum(int(each.read_text()) for each in carried), _ticks(pid)
        begun = time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - begun
        result |= {
            "process": (_ticks(pid) - cpu) / took,
            "frames_per_s": (sum(int(each.read_text()) for each in carried) - frames) / took,
            "reports": _reports(db) - reports,
            "seconds": took,
        }


def _play(alarms: Alarms, seconds: float, db: sqlite3.Connection) -> None:
    with phase("alarm") as result:
        alarms.play(seconds)
        rows = db.execute("SELECT received_ms, raw FROM packets WHERE command IN ('realtime', 'reissue')").fetchall()
        result |= {
            "latencies_ms": latencies(alarms.rises, [(at, _bits(raw)) for at, raw in rows]),
            "packets": len(rows),
        }


def _bits(raw: bytes) -> int:
    """The alarm bits of a packet."""
    names = [
        name for body in packet_to_json(Packet(raw))["bodies"] if body["body"] == "alarms" for name in body["flags"]
    ]
    return sum(1 << ALARM_FLAGS.index(name) for name in names)


if __name__ == "__main__":
    main(SIZES[sys.argv[1]])
