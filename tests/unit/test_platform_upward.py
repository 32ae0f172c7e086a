"""Towards the platform above: logins, proofs, reissues. Pure: time is what the test says."""

from hypothesis import given
from hypothesis import strategies as st

from agent.core.dataunit import decode_data_unit
from agent.core.editions import EDITIONS
from agent.core.packet import COMMAND, Packet, bcc, build_packet, epoch_of, time_bytes
from bench.upward import LOGGED_IN, LOGIN_WAIT_MS, OFFLINE, Client, Stored, Upward, as_reissue

EDITION = EDITIONS["2025"]
CLIENT = Client(EDITION, b"TESTPLATFORM00001", b"user", b"secret")
VINS = [b"LGBTEST0000000017", b"LGBTEST0000000018"]
WALL_MS = 1_767_827_170_000


def upward(**options: int) -> Upward:
    made = Upward(CLIENT, **options)
    made.connected(0, WALL_MS)
    made.receive(answer(login_of(made)), 0)
    assert made.state == LOGGED_IN
    return made


def login_of(made: Upward) -> Packet:
    return Packet(build_packet(EDITION.start, 5, COMMAND, CLIENT.unique_id, 1, time_bytes(WALL_MS // 1000) + bytes(35)))


def answer(packet: Packet, flag: int = 1, unit: bytes | None = None) -> Packet:
    unit = packet.unit[:6] if unit is None else unit
    return Packet(build_packet(packet.start, packet.command, flag, packet.vin, 1, unit))


def report(number: int, command: int = 2, received_ms: int = WALL_MS, start: bytes = b"$$") -> Stored:
    unit = time_bytes(WALL_MS // 1000 + number) + b"\x04" + number.to_bytes(2, "big")
    return Stored(number, build_packet(start, command, COMMAND, VINS[number % 2], 1, unit), None, received_ms)


def test_the_login_is_that_of_the_tables_with_a_serial_of_the_day() -> None:
    made = Upward(CLIENT)
    packet = Packet(made.connected(0, WALL_MS))
    values = decode_data_unit(EDITION, packet.command, packet.unit).values
    assert (packet.command, packet.vin, len(packet.unit)) == (5, CLIENT.unique_id, 41)
    assert values == {
        "serial": 1,
        "user": b"user".ljust(12, b"\0"),
        "password": b"secret".ljust(20, b"\0"),
        "encryption_rule": 1,
    }
    assert epoch_of(packet.unit) == WALL_MS // 1000
    again = Upward(CLIENT)
    again.serial = made.serial
    again.connected(0, WALL_MS)
    assert again.serial[1] == 2
    again.connected(0, WALL_MS + 86_400_000)
    assert again.serial[1] == 1


def test_three_logins_a_minute_apart_then_half_an_hour() -> None:
    for flag in (None, 2):
        made = Upward(CLIENT)
        login = Packet(made.connected(0, WALL_MS))
        for at in (60_000, 120_000, 180_000):
            if flag is not None:
                made.receive(answer(login, flag), at - 1000)
            assert made.handle_timeout(at - 1, WALL_MS) == (b"", None)
            data, away_ms = made.handle_timeout(at, WALL_MS)
            assert (bool(data), away_ms) == ((True, None) if at < 180_000 else (False, LOGIN_WAIT_MS))


def test_a_login_answered_late_still_counts() -> None:
    made = Upward(CLIENT)
    login = Packet(made.connected(0, WALL_MS))
    made.receive(answer(login, 2), 10)
    made.receive(answer(login, 1), 20)
    assert (made.state, made.counters.logins) == (LOGGED_IN, 1)


def test_fresh_packets_go_up_byte_for_byte_and_late_ones_as_reissues() -> None:
    made = upward(late_ms=10_000)
    for start in (b"##", b"$$"):
        fresh = report(1, start=start)
        assert made.send(fresh, 0, WALL_MS + 10_000) == fresh.raw
        late = report(2, start=start)
        sent = Packet(made.send(late, 0, WALL_MS + 10_001))
        assert (sent.command, sent.bcc_ok, sent.unit) == (3, True, Packet(late.raw).unit)
        assert sent.raw[:2] + sent.raw[3:-1] == late.raw[:2] + late.raw[3:-1]
        for command in (1, 3, 4):
            other = report(3, command, 0, start)
            assert made.send(other, 0, WALL_MS) == other.raw


def test_what_came_encrypted_goes_up_opened_and_its_answer_is_known_by_the_time_inside() -> None:
    made = upward()
    units = [time_bytes(WALL_MS // 1000 + number) + b"\x04\x03\xe8" for number in range(2)]
    sent = []
    for number, unit in enumerate(units):
        raw = build_packet(b"$$", 2, COMMAND, VINS[0], 5, unit[::-1])
        sent.append(Packet(made.send(Stored(number, raw, unit, WALL_MS), 0, WALL_MS)))
    assert [packet.raw for packet in sent] == [build_packet(b"$$", 2, COMMAND, VINS[0], 1, unit) for unit in units]
    made.receive(answer(sent[1]), 0)
    assert made.proven == [1]


def test_the_answer_proves_whatever_it_carries() -> None:
    made = upward()
    packets = {number: Packet(made.send(report(number), 0, WALL_MS)) for number in range(1, 7)}
    assert made.receive(answer(packets[3]), 0)  # 1, 3 and 5 are of one vehicle
    assert made.receive(answer(packets[1], unit=b""), 0)
    assert made.receive(answer(packets[4], unit=packets[4].unit), 0)
    assert made.receive(answer(packets[5], unit=time_bytes(0 + 1_000_000_000)), 0)
    assert made.proven == [3, 1, 4, 5]
    assert not made.receive(answer(packets[1]), 0)
    assert not made.receive(Packet(build_packet(b"$$", 0x82, COMMAND, VINS[0], 1, bytes(7))), 0)
    assert made.counters.stray_answers == 1


def test_what_was_under_way_when_the_link_went_is_a_reissue_on_the_next() -> None:
    made = upward()
    made.send(report(1), 0, WALL_MS)
    made.lost()
    assert (made.state, list(made.busy()), made.room()) == (OFFLINE, [], 0)
    made.connected(10, WALL_MS)
    made.receive(answer(login_of(made)), 10)
    sent = Packet(made.send(report(1), 20, WALL_MS))
    made.receive(answer(sent), 30)
    assert (sent.command, made.proven, made.counters.repeats, made.counters.live) == (3, [1], 1, 0)


def test_a_refused_report_goes_up_three_times_more_a_minute_apart_then_is_given_up() -> None:
    made = upward()
    now = 0
    sent = Packet(made.send(report(1), now, WALL_MS))
    for _ in range(3):
        made.receive(answer(sent, 5), now)
        assert (made.rested(now + 59_999), made.next_rested()) == ([], now + 60_000)
        now += 60_000
        assert made.rested(now) == [1]
        sent = Packet(made.send(report(1), now, WALL_MS))
        assert (sent.command, made.rested(now)) == (3, [])
    made.receive(answer(sent, 5), now)
    assert (made.refused, list(made.busy()), made.counters.refused) == ([(1, 5)], [], 1)


def test_silence_above_ends_the_link() -> None:
    made = upward()
    assert made.deadline() is None
    made.send(report(1), 5, WALL_MS)
    assert made.handle_timeout(60_004, WALL_MS) == (b"", None)
    assert made.handle_timeout(60_005, WALL_MS) == (b"", 0)


def test_logout_carries_the_serial_of_the_login() -> None:
    made = upward()
    packet = Packet(made.logout(WALL_MS))
    assert (packet.command, packet.unit[6:]) == (6, b"\x00\x01")
    made.receive(answer(packet), 0)
    assert (made.state, made.logout(WALL_MS)) == (OFFLINE, b"")


@given(
    unit=st.binary(max_size=200),
    encryption=st.integers(1, 5),
    start=st.sampled_from([b"##", b"$$"]),
    vin=st.binary(min_size=17, max_size=17),
)
def test_a_reissue_differs_in_command_and_check_code_alone(
    unit: bytes, encryption: int, start: bytes, vin: bytes
) -> None:
    raw = build_packet(start, 2, COMMAND, vin, encryption, unit)
    made = as_reissue(Packet(raw))
    assert made[2] == 3
    assert made[:2] + made[3:-1] == raw[:2] + raw[3:-1]
    assert made[-1] == bcc(made[2:-1])


@given(
    steps=st.lists(st.sampled_from(["send", "answer", "refuse", "lose", "wait"]), max_size=120),
    window=st.integers(1, 5),
)
def test_no_packet_is_in_two_places_or_none(steps: list[str], window: int) -> None:
    """A store that offers what is neither dealt with nor busy, as the forwarder does."""
    made = upward(window=window)
    stored = {number: report(number) for number in range(1, 30)}
    sent: dict[int, Packet] = {}
    now = 0
    for step in steps:
        done = {*made.proven, *[number for number, _ in made.refused]}
        if step == "send" and made.room():
            due = made.rested(now) or [number for number in stored if number not in done | set(made.busy())]
            if due:
                sent[due[0]] = Packet(made.send(stored[due[0]], now, WALL_MS))
        elif step in ("answer", "refuse") and sent:
            number = next(iter(sent))
            made.receive(answer(sent.pop(number), 1 if step == "answer" else 6), now)
        elif step == "lose":
            made.lost()
            sent.clear()
            made.connected(now, WALL_MS)
            made.receive(answer(login_of(made)), now)
        elif step == "wait":
            now += 30_000
        done_list = [*made.proven, *[number for number, _ in made.refused]]
        assert len(done_list) == len(set(done_list))
        assert not set(done_list) & set(made.busy())
        assert set(sent) <= set(made.busy())
        assert window >= made.room() >= window - len(sent)
