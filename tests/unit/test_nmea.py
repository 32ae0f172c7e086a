"""A receiver's bytes to fixes: what sentences say, what belongs together, what is not to be believed."""

import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pynmeagps
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nmea_parts import gga, gns, rmc, said

from agent.core.nmea import MOST_CHARACTERS, QUIET_MS, STUCK_MS, Fix, NmeaReader, SentenceReader
from agent.core.nmea_fields import angle, day_number, number, time_of_day

LOGS = {"nmea-rtk": (122, 0), "telit-he910": (187, 37), "ublox-8": (72, 0)}  # epochs with and without a fix
FLOOR = 1_735_689_600_000  # 2025
LAT, LON = 315020567, 1215094633  # 31°30.1234', 121°30.5678'


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def fixes(*bursts: bytes, floor_ms: int = FLOOR, step_ms: int = 1000) -> list[Fix]:
    """One burst a second; what each epoch came to."""
    reader = NmeaReader(floor_ms)
    out = []
    for second, burst in enumerate(bursts):
        out += reader.feed(burst, second * step_ms)
        out += reader.poll(second * step_ms + QUIET_MS)
    return out


def only(*bursts: bytes, floor_ms: int = FLOOR) -> Fix:
    (fix,) = fixes(*bursts, floor_ms=floor_ms)
    return fix


# --- sentences --------------------------------------------------------------------------------------------------------


def test_sentences_are_found_between_noise() -> None:
    reader = SentenceReader()
    assert reader.feed(b"\x00\xffnoise$GP" + said("GPTXT,1") + b"# remark\n" + said("GPTXT,2")) == [
        ["GPTXT", "1"],
        ["GPTXT", "2"],
    ]
    assert (reader.good, reader.bad_checksum, reader.noise_bytes) == (2, 0, 7 + 3 + 8)


@pytest.mark.parametrize(
    "line",
    [
        b"$GPTXT,1\r\n",
        b"$GPTXT,1*00\r\n",
        b"$GPTXT,1*5\r\n",
        b"$*00\r\n",
        b"$\r\n",
        b"$GPT\x07XT*55\n",
        b"$GPT\xc3XT*91\n",
    ],
    ids=["none", "wrong", "half", "empty", "nothing", "control character", "not ASCII"],
)
def test_a_sentence_without_a_good_checksum_is_none(line: bytes) -> None:
    reader = SentenceReader()
    assert reader.feed(line + said("GPTXT,2")) == [["GPTXT", "2"]]
    assert (reader.good, reader.bad_checksum) == (1, 1)


def test_checksums_are_read_in_either_case_and_lines_end_either_way() -> None:
    lines = [said(f"GPTXT,{n}").strip() for n in range(20)]
    line = next(line for line in lines if line[-1:].isalpha())
    for written in (line, line[:-2] + line[-2:].lower()):
        for end in (b"\r", b"\n", b"\r\n"):
            assert len(SentenceReader().feed(written + end)) == 1


def test_a_sentence_as_long_as_allowed_is_one_and_a_longer_one_noise() -> None:
    longest = "GPTXT," + "1" * (MOST_CHARACTERS - 3 - 6)
    reader = SentenceReader()
    assert reader.feed(said(longest)) == [["GPTXT", longest[6:]]]
    assert reader.feed(said(longest + "1")) == []
    assert reader.noise_bytes == MOST_CHARACTERS + 2
    assert reader.feed(b"$" + b"1" * 1000) == []
    assert reader.feed(said("GPTXT,2")) == [["GPTXT", "2"]], "the rest of an endless one is not waited for"


def test_memory_stays_bounded() -> None:
    reader = SentenceReader()
    for _ in range(1000):
        reader.feed(b"$" + b"x" * 50)
        reader.feed(b"y" * 300)
        assert len(reader._rest) <= MOST_CHARACTERS + 1


def test_what_came_before_another_rate_is_forgotten() -> None:
    reader, line = NmeaReader(), said(rmc())
    reader.feed(said(gga()) + line[:20], 0)
    reader.restart()
    assert reader.feed(line[20:], 10) + reader.poll(1000) == []
    assert reader.sentences.noise_bytes == len(line) - 2
    reader.feed(said("GPVTG,90.5,T,,M,5.4,N,10.0,K,A"), 2000)
    reader.restart()
    (fix,) = reader.feed(said(gga()), 2500) + reader.poll(3000)
    assert fix.speed is None


# --- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [("", None), ("0", 0), ("1.5", 150), ("-31.4", -3140), ("0.005", 1), ("0.0049999", 0), ("-0.005", -1), (".5", 50)],
)
def test_numbers(text: str, count: int | None) -> None:
    assert number(text, 100) == count


@pytest.mark.parametrize("text", ["-", ".", "1e5", " 1", "+1", "--1", "1.-5", "x", "1_0"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        number(text, 100)


def test_knots_become_kilometres_an_hour() -> None:
    assert number("10.0", 18520, 100) == 1852


@pytest.mark.parametrize(
    ("text", "letter", "count"),
    [
        ("", "", None),
        ("0000.0000", "N", 0),
        ("9000.0000", "S", -900_000_000),
        ("3130", "N", 315_000_000),
        ("3130.", "N", 315_000_000),
        ("804.1", "S", -80_683_333),
        ("4134.49795459", "N", 415_749_659),
        ("0000.00000299", "N", 0),
        ("0000.000003", "N", 1),
        ("0000.00000300000000000000000001", "S", -1),
    ],
)
def test_angles(text: str, letter: str, count: int | None) -> None:
    assert angle(text, letter, ("N", "S"), 90) == count


@pytest.mark.parametrize(
    ("text", "letter"),
    [("3130.0", ""), ("", "N"), ("3130.0", "E"), ("3160.0", "N"), ("9000.00001", "N"), (".5", "N"), ("031300.0", "N"),
     ("003130.0", "N"), ("31x0", "N"), ("-3130", "N"), ("3130.0.0", "N")],
)  # fmt: skip
def test_what_is_no_angle(text: str, letter: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        angle(text, letter, ("N", "S"), 90)


@given(st.integers(-1_800_000_000, 1_800_000_000), st.integers(6, 12))
@example(-1_800_000_000, 6)
@example(1, 7)
def test_a_written_angle_is_read_as_it_was(count: int, decimals: int) -> None:
    degrees, rest = divmod(abs(count), 10_000_000)
    tenths = round(Fraction(rest * 60, 10_000_000) * 10**decimals)
    text = f"{degrees:03d}{tenths // 10**decimals:02d}.{tenths % 10**decimals:0{decimals}d}"
    assert angle(text, "W" if count < 0 else "E", ("E", "W"), 180) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [("", None), ("000000", 0), ("235959.999", 86_399_999), ("235960.00", 86_400_000), ("010203.4567", 3_723_456)],
)
def test_times_of_day(text: str, count: int | None) -> None:
    assert time_of_day(text) == count


@pytest.mark.parametrize("text", ["240000", "006000", "000061", "12000", "1200000", "12:00:00", "120000.x"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        time_of_day(text)


def test_dates_are_those_of_the_calendar() -> None:
    day, epoch = date(1980, 1, 1), date(1970, 1, 1)
    while day.year < 2080:
        assert day_number(f"{day:%d%m%y}") == (day - epoch).days
        day += timedelta(days=1)


@pytest.mark.parametrize("text", ["310226", "290225", "000126", "010026", "011326", "320126", "1012026", "01-1-6"])
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(ValueError, match=r"^$"):
        day_number(text)
    assert day_number("") is None


# --- what sentences say -----------------------------------------------------------------------------------------------


def test_all_of_one_second() -> None:
    fix = only(said(rmc(), "GNVTG,90.5,T,,M,10.0,N,18.5,K,A", gga(sky="08,1.2"), gns()))
    assert vars(fix) == {
        "valid": True,
        "latitude": LAT,
        "longitude": LON,
        "utc_ms": ms("2026-01-17T12:00:00"),
        "speed": 1852,
        "course": 9050,
        "altitude": 1230,
        "satellites": 11,
        "hdop": 80,
        "quality": 1,
    }


def test_rmc_alone() -> None:
    fix = only(said(rmc(mode=",D")))
    assert (fix.valid, fix.latitude, fix.quality, fix.speed, fix.altitude, fix.satellites) == (
        True,
        LAT,
        2,
        1852,
        None,
        None,
    )


def test_rmc_of_nmea_2_0_has_no_mode() -> None:
    assert only(said("GPRMC,120000,A,3130.1234,N,12130.5678,E,,,170126,,")).quality == 1
    assert only(said("GPRMC,120000,A,3130.1234,N,12130.5678,E,,,170126")).valid


def test_gga_alone_has_no_date() -> None:
    fix = only(said(gga(quality="4")))
    assert (fix.valid, fix.latitude, fix.longitude, fix.quality, fix.utc_ms) == (True, LAT, LON, 4, None)


def test_gns_alone() -> None:
    assert (only(said(gns(modes="NDN"))).quality, only(said(gns(modes="R"))).quality) == (2, 4)


def test_west_and_south_are_negative() -> None:
    fix = only(said(rmc(place="3130.1234,S,12130.5678,W")))
    assert (fix.latitude, fix.longitude) == (-LAT, -LON)


def test_quality_is_that_of_gga_in_either_order() -> None:
    assert only(said(rmc(), gga(quality="5"))).quality == 5
    assert only(said(gga(quality="5"), rmc())).quality == 5


@pytest.mark.parametrize("talker", ["GP", "GN", "BD", "GB", "GL", "GA", "GQ", "GI"])
def test_talkers(talker: str) -> None:
    assert only(said(rmc(talker=talker))).valid


def test_others_are_passed_over() -> None:
    reader = NmeaReader()
    assert reader.feed(said("PUBX,00", "GPGSV,1,1,00", "AIRMC,x", "GP"), 0) + reader.poll(1000) == []
    assert (reader.ignored, reader.malformed) == (4, 0)


@pytest.mark.parametrize(
    "body",
    ["GPRMC,120000", rmc(status="X"), "GPGGA,120000", "GPGNS,120000", "GPVTG,1,T", "GPVTG,054.7,034.4,005.5,010.2,1,2,3,4",
     rmc(place="9130.1234,N,12130.5678,E"), gga(place="3130.1234,N,18130.5678,E"), rmc(date="310226"), gga(quality="x")],
)  # fmt: skip
def test_a_good_checksum_over_nonsense(body: str) -> None:
    reader = NmeaReader()
    assert reader.feed(said(body), 0) + reader.poll(1000) == []
    assert reader.malformed == 1
    assert only(said(body, gga())).valid, "others of the same second count"


# --- without a fix ----------------------------------------------------------------------------------------------------

VOID = {
    "RMC V": rmc(status="V"),
    "RMC V, empty": "GPRMC,,V,,,,,,,,,,N",
    "RMC A of mode N": rmc(mode=",N"),
    "typed in": rmc(mode=",M"),
    "simulated": rmc(mode=",S"),
    "GGA 0": gga(quality="0"),
    "GGA, empty": "GPGGA,,,,,,0,,,,M,,M,,",
    "GGA without quality": gga(quality=""),
    "GGA typed in": gga(quality="7"),
    "GGA simulated": gga(quality="8"),
    "GGA 9": gga(quality="9"),
    "GNS NNN": gns(modes="NNN"),
    "GNS simulated": gns(modes="AS"),
    "0 N 0 E": rmc(place="0000.0000,N,00000.0000,E"),
    "A without a place": rmc(place=",,,"),
    "A with half a place": rmc(place="3130.1234,N,,"),
}


@pytest.mark.parametrize("body", VOID.values(), ids=VOID)
def test_no_fix(body: str) -> None:
    fix = only(said(body))
    assert not fix.valid
    assert (fix.latitude, fix.longitude, fix.utc_ms, fix.quality) == (None, None, None, 0)


@pytest.mark.parametrize("order", [1, -1])
def test_one_kind_that_has_none_is_enough(order: int) -> None:
    assert not only(said(*[rmc(status="V"), gga()][::order])).valid
    assert not only(said(*[rmc(), gga(quality="0")][::order])).valid
    assert not only(said(*[gga(), gns(modes="NN")][::order])).valid


def test_zero_on_one_side_only_is_a_place() -> None:
    assert only(said(rmc(place="0000.0000,N,00130.0000,W"))).longitude == -15_000_000


def test_talkers_of_one_kind_may_differ() -> None:
    assert only(said(gga(talker="GP"), gga(talker="BD", quality="0"))).latitude == LAT
    assert only(said(gga(talker="BD", quality="0", place="1000.0,N,01000.0,E"), gga(talker="GP"))).latitude == LAT


def test_gns_of_each_system_says_nothing() -> None:
    reader = NmeaReader()
    reader.feed(said(gns(), "GPGNS,120000.00,,,,,,06,,,,,", "GLGNS,120000.00,,,,,,05,,,,,"), 0)
    (fix,) = reader.poll(1000)
    assert (fix.valid, fix.satellites) == (True, 11)


def test_satellites_are_told_without_a_fix() -> None:
    assert only(said(gga(quality="0", sky="03,9.9"))).satellites == 3


# --- what belongs together --------------------------------------------------------------------------------------------


def test_an_epoch_ends_with_the_next_or_with_silence() -> None:
    reader = NmeaReader()
    assert reader.feed(said(rmc("120000.0")), 0) == []
    assert reader.poll(QUIET_MS - 1) == []
    assert len(reader.feed(said(rmc("120000.1")), QUIET_MS)) == 1
    assert len(reader.poll(3 * QUIET_MS)) == 1
    assert reader.poll(9 * QUIET_MS) == []


def test_what_comes_late_completes_its_second() -> None:
    first, second = fixes(said(rmc()), said(gga()), step_ms=500)
    assert (first.altitude, second.altitude, second.speed) == (None, 1230, 1852)


def test_sentences_without_a_time_are_one_round_each() -> None:
    void = said("GPGGA,,,,,,0,,,,M,,M,,", "GPRMC,,V,,,,,,,,,,N")
    assert [fix.valid for fix in fixes(void + void + void)] == [False] * 3


def test_a_place_without_a_time() -> None:
    assert only(said(gga(""))).latitude == LAT
    assert only(said(gga(""))).utc_ms is None


def test_a_sentence_said_twice_or_left_out() -> None:
    twice = [said(rmc(f"12000{n}", knots=f"{n}")) * (1 + n % 2) + said(gga(f"12000{n}")) for n in range(4)]
    assert [fix.speed for fix in fixes(*twice)] == [0, 185, 370, 556]
    missing = [said(rmc("120000")) + said(gga("120000")), said(gga("120001")), said(rmc("120002"))]
    assert [fix.utc_ms for fix in fixes(*missing)] == [ms(f"2026-01-17T12:00:0{n}") for n in range(3)]


def test_vtg_stands_in_for_rmc() -> None:
    vtg = "GPVTG,90.5,T,,M,5.4,N,10.0,K,A"
    assert only(said(gga(), vtg)).speed == 1000
    assert only(said(rmc(knots=""), vtg)).speed == 1000
    assert only(said(rmc(), vtg)).speed == 1852
    assert only(said(gga(), "GPVTG,,T,,M,,N,,K,N")).speed is None


def test_vtg_before_its_second() -> None:
    vtg = said("GPVTG,90.5,T,,M,5.4,N,10.0,K,A")
    assert [fix.speed for fix in fixes(vtg + said(gga()), said(gga("120001")))] == [1000, None]
    assert [fix.speed for fix in fixes(vtg, said(gga()), step_ms=1000)] == [None], "too old"
    assert fixes(said(gga()), vtg, vtg)[1:] == [], "it refreshes nothing"


def test_a_receiver_that_stands_still_is_not_heard() -> None:
    reader, out = NmeaReader(), []
    for now in range(0, 10_000, 1000):
        out += reader.feed(said(rmc()), now) + reader.poll(now + QUIET_MS)
    assert len(out) == 1 + STUCK_MS // 1000
    assert reader.stuck == 10 - len(out)
    assert reader.feed(said(rmc("120001")), 10_000) + reader.poll(10_000 + QUIET_MS) != []


# --- time -------------------------------------------------------------------------------------------------------------


def test_midnight_and_the_turn_of_the_year() -> None:
    before = [said(rmc("235958", "311226"), gga("235958")), said(gga("235959"))]
    after = [said(gga("000000")), said(gga("000001"), rmc("000001", "010127"))]
    start = ms("2026-12-31T23:59:58")
    assert [fix.utc_ms for fix in fixes(*before, *after)] == [start + 1000 * n for n in range(4)]


def test_gga_before_the_date_of_its_own_second() -> None:
    late = said(gga("000000"), rmc("000000", "010127"))
    assert fixes(said(rmc("235959", "311226")), late)[1].utc_ms == ms("2027-01-01T00:00:00")


def test_a_little_back_over_midnight_without_a_date() -> None:
    out = fixes(said(rmc("000000", "010127")), said(gga("235959")))
    assert out[1].utc_ms == ms("2026-12-31T23:59:59")


@pytest.mark.parametrize("day", ["060180", "010100", "220806"], ids=["1980", "2000", "1024 weeks early"])
def test_a_date_that_cannot_be_is_no_time_and_still_a_place(day: str) -> None:
    out = fixes(said(rmc("120000")), said(rmc("120001", day)), said(gga("120002")), said(rmc("120003")))
    assert [fix.valid for fix in out] == [True] * 4
    assert [fix.utc_ms is not None for fix in out] == [True, False, False, True]


def test_the_floor_itself_is_a_true_date() -> None:
    assert only(said(rmc()), floor_ms=ms("2026-01-17T12:00:00")).utc_ms == ms("2026-01-17T12:00:00")
    assert only(said(rmc()), floor_ms=ms("2026-01-17T12:00:00") + 1).utc_ms is None


def test_a_time_without_a_date_is_astray_by_more_than_a_minute() -> None:
    """The second sentence comes one second after the first."""
    out = fixes(said(rmc("120000")), said(gga("120101")))
    assert out[1].utc_ms == ms("2026-01-17T12:01:01")
    assert fixes(said(rmc("120000")), said(gga("120101.001")))[1].utc_ms is None


def test_a_reset_is_no_leap_of_a_day() -> None:
    out = fixes(said(rmc("120000")), said(gga("000005")), said(rmc("000006", "180126")))
    assert [fix.utc_ms for fix in out] == [ms("2026-01-17T12:00:00"), None, ms("2026-01-18T00:00:06")]


def test_time_jumps_back() -> None:
    out = fixes(said(rmc("120000")), said(rmc("110000")))
    assert [fix.utc_ms for fix in out] == [ms("2026-01-17T12:00:00"), ms("2026-01-17T11:00:00")]


def test_a_leap_second() -> None:
    assert only(said(rmc("235960", "311226"))).utc_ms == ms("2027-01-01T00:00:00")


# --- any bytes --------------------------------------------------------------------------------------------------------

ROUGHLY = st.one_of(
    st.binary(max_size=40),
    st.from_regex(
        r"\A(GP|GN|BD)(RMC|GGA|GNS|VTG),(1200\d\d)?,[AV\d.]{0,4},[NS\d.]{0,6},[EW\d.]{0,8},[\d.]{0,3},[AN]{0,3},[\dK.]{0,3},\d{0,6},,\Z"
    ).map(said),
    st.sampled_from(
        [said(rmc()), said(gga("120001")), said(gns()), said("GPVTG,1,T,,M,5.4,N,10.0,K,A"), b"$", b"\r\n"]
    ),
)


@given(st.lists(ROUGHLY, max_size=12).map(b"".join), st.lists(st.integers(1, 30), min_size=1))
@example(said(rmc(), gga("120001")), [1])
def test_bytes_cut_anywhere_give_the_same(data: bytes, sizes: list[int]) -> None:
    whole, cut = NmeaReader(), NmeaReader()
    at, out = 0, []
    while at < len(data):
        size = sizes[at % len(sizes)]
        out += cut.feed(data[at : at + size], 0)
        at += size
    assert [vars(fix) for fix in out + cut.poll(1000)] == [vars(fix) for fix in whole.feed(data, 0) + whole.poll(1000)]
    counted = [(each.sentences.good, each.sentences.bad_checksum, each.malformed) for each in (whole, cut)]
    assert counted[0] == counted[1]
    for each in (whole, cut):
        each.restart()
    assert whole.sentences.noise_bytes == cut.sentences.noise_bytes


# --- recordings -------------------------------------------------------------------------------------------------------


def recorded(folder: Path, name: str) -> bytes:
    return (folder / f"nmea/gpsd_{name}.log").read_bytes()


def replayed(data: bytes) -> list[Fix]:
    reader = NmeaReader()
    return [*reader.feed(data, 0), *reader.poll(1000)]


@pytest.mark.parametrize("name", LOGS)
def test_recordings(name: str, tbox_data: Path) -> None:
    out = replayed(recorded(tbox_data, name))
    assert Counter(fix.valid for fix in out) == Counter({True: LOGS[name][0], False: LOGS[name][1]})


@pytest.mark.parametrize("name", LOGS)
def test_another_reader_of_nmea_says_the_same(name: str, tbox_data: Path) -> None:
    """pynmeagps, in floating point, sentence by sentence."""
    for line in re.findall(rb"\$G[NP](?:RMC|GGA)[^$*]*\*[0-9A-F]{2}\r?\n", recorded(tbox_data, name)):
        theirs = pynmeagps.NMEAReader.parse(line)
        fix = only(line, floor_ms=0)
        if theirs.msgID == "RMC":
            assert fix.valid == (theirs.status == "A")
        if not fix.valid:
            continue
        assert (fix.latitude / 1e7, fix.longitude / 1e7) == pytest.approx((theirs.lat, theirs.lon), abs=1e-7)
        if theirs.msgID == "RMC":
            moment = datetime.combine(theirs.date, theirs.time, UTC)
            assert fix.utc_ms == pytest.approx(moment.timestamp() * 1000, abs=0.6)
            assert fix.speed == pytest.approx(theirs.spd * 185.2, abs=0.51)
        else:
            assert (fix.satellites, fix.quality) == (theirs.numSV, theirs.quality)
            assert fix.altitude == pytest.approx(theirs.alt * 100, abs=0.51)
