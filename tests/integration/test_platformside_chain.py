"""From the frames to the platform: an alarm's seconds from before it, bodies that spread over packets, signatures, the grid."""

import asyncio
import sqlite3
from contextlib import asynccontextmanager, closing

import pytest
from commanded_parts import VIN
from security_parts import a_key, write_keys
from side_parts import Side, configured, place, played
from test_collect_alarm import DBC, MAPPING

from agent.clock import Clock
from agent.collect import Collector
from agent.core.editions import EDITIONS
from agent.core.frames import LatestFrames
from agent.core.sampler import Sampler
from agent.crypto.keys import ALGORITHMS, encode_public_key
from agent.outbox import NewRow
from agent.outbox_ledger import read_stats
from agent.outbox_thread import OutboxThread
from agent.security import Security
from agent.signalmap import load_mapping
from bench.delivery import verdict
from bench.registry import Entry, Registry
from bench.vault import Vault

SIGNED = {"sign": "sm2", "private_key": "private.pem"}
CELLS = 'cells = { signal = "b.V.C{n}", count = 260 }'


@pytest.fixture(scope="module")
def mapping_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    (folder / "alarm.dbc").write_text("\n".join(DBC), encoding="utf-8")
    both = MAPPING.replace('edition = "2016"', 'edition = ["2016", "2025"]') + f"[unit_voltages]\n{CELLS}\n"
    (folder / "alarm.toml").write_text(both, encoding="utf-8")
    return folder / "alarm.toml"


def terminal_keys(folder, security):
    """What the platform knows of a terminal that signs; nothing of one that does not."""
    if not security:
        return {}
    write_keys(folder, a_key("sm2"))
    key = encode_public_key(a_key("sm2").public_key(), "raw")
    registry = Registry([Entry(VIN.encode(), b"", b"", ALGORITHMS["sm2"], key)])
    return {"seals": Vault(registry, Security(**security), lambda: 0)}


@asynccontextmanager
async def chain(folder, mapping_file, edition, security, speed):
    """(clock, platform, process, frames, collector): everything behind the buses, the collector not yet running."""
    clock = Clock(speed)
    keys = terminal_keys(folder, security)
    async with place(folder / "platform", clock, **keys) as platform:
        side = Side(configured(folder, platform.port, edition=edition, security=security), clock)
        await side.start()
        plan = load_mapping(mapping_file, edition, cache=False).plan
        latest = LatestFrames(plan)
        collector = Collector(
            edition=EDITIONS[edition],
            vin=VIN,
            sampler=Sampler(plan, clock.ticks_per_ms),
            latest=latest,
            settings=side.side.parameters.report_settings(),
            silence_s=0,
            outbox=side.outbox,
            clock=clock,
            appended=side.side.appended,
            on_phase=side.side.phase,
            refresh=lambda: None,
        )
        side.side.collector = collector
        task = asyncio.create_task(collector.run())
        side.tasks.append(task)
        try:
            yield clock, platform, side, latest, collector
        finally:
            await collector.flush()
            await side.stop()


@pytest.mark.slow
@pytest.mark.parametrize(("edition", "security", "parts", "speed"), [("2016", {}, 2, 20), ("2025", SIGNED, 1, 6)])
def test_the_seconds_before_an_alarm_arrive_once_each_with_all_their_parts(
    tmp_path, mapping_file, edition, security, parts, speed
):
    async def scene():
        async with chain(tmp_path, mapping_file, edition, security, speed) as (
            clock,
            platform,
            side,
            latest,
            collector,
        ):
            await side.logged_in()

            async def drive(seconds, level):
                end = clock.now() + 1000 * seconds
                while clock.now() < end:
                    latest.keep(0, 256, b"\x01\x03" + bytes((level,)) + bytes(5), clock.stamp())
                    await clock.sleep_until(clock.now() + 300)

            await drive(45, 0)
            await platform.ask("set 2=5")  # from the next sample on
            await drive(3, 3)
            await drive(10, 0)
            assert collector.settings.period_ms == 5000
            sent = side.uplink.sending.counters
            await side.until(lambda: side.uplink.sending.idle())
            await side.until(lambda: sent.proven >= collector.counters.reported * parts)
            assert (sent.error_answers, sent.refused) == (0, 0)
            assert collector.counters.held >= 24
            return set(platform.seconds("reissue")), platform.received.read(
                "SELECT command FROM packets WHERE fault <> ''"
            )

    kept = []

    async def keeping():
        kept.append(await scene())

    played(keeping)
    (late, faults) = kept[0]
    with closing(sqlite3.connect(tmp_path / "tbox.db")) as db:
        seconds = sorted(second for (second,) in db.execute("SELECT DISTINCT collected_at FROM rows"))
        total = read_stats(db)["total"]
    assert faults == []
    assert len(late) >= 24  # those of before the alarm that the grid had left out
    delivery = verdict(tmp_path / "platform" / "platform.sqlite", VIN, 1, seconds).deliveries[0]
    assert (delivery.received, delivery.lost, delivery.repeats, delivery.conflicts) == (parts * len(seconds), [], 0, 0)
    assert (total["pending"], total["unaccounted"], total["lost"]) == (0, 0, {})


@pytest.mark.slow
def test_the_grid_keeps_its_seconds_while_a_signed_backlog_drains(tmp_path, mapping_file):
    """A signature of SM2 takes 12 ms of this loop: a hundred in a row are a second in which nobody else has a turn."""
    rows = 200

    async def scene():
        clock = Clock(1)
        now_s = clock.wall_ms() // 1000
        write_keys(tmp_path, a_key("sm2"))
        outbox = await OutboxThread.open(tmp_path / "tbox.db", wall_s=lambda: now_s, now_ms=clock.now)
        for number in range(rows):
            row = NewRow(clock.now(), now_s - 2 * rows + number, "2025", VIN, 1, b"\x04\x03\xe8")
            await outbox.append([row], 1, 0)
        await outbox.close()
        async with chain(tmp_path, mapping_file, "2025", SIGNED, 1) as (_, platform, side, _, collector):
            platform.platform.seals = None  # or the platform's own arithmetic holds the loop
            sent = side.uplink.sending.counters
            turns = 0
            while sent.sent_reissue < rows:
                before = sent.sent_reissue
                await asyncio.sleep(0)
                turns += 1
                assert sent.sent_reissue - before <= 3, "signatures in a row"
            assert turns > rows / 3
            assert collector.counters.missed == 0

    played(scene)
