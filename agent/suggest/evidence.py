"""What a recording says for or against a proposal, and which way the current counts."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise

from agent.suggest.behaviour import Recording
from agent.suggest.candidates import Candidate
from agent.suggest.score import Scored, figure, in_unit

__all__ = ["current_sign", "judged", "sign_by_words"]

PLAUSIBLE_SHARE = 0.9
MOSTLY = 0.99  # a stray value is a stray value
# What a value can change in a second, and what it may jump between two looks (resolution, late frames).
FASTEST = {"vehicle.speed": (70.0, 8.0), "drive_motors.motors.speed": (30000.0, 1500.0)}
FEWEST_JUMPS, JUMP_SHARE = 3, 0.01
SLACK = 0.02  # of its range that a value may lie outside of what the DBC gives
LEAST_PAIRS = 8
LEAST_AMPERES = 1.0
CORRELATED = 0.6
OHMS = (0.003, 3.0)  # of a whole pack, from a truck's to a scooter's
POWER_CORRELATED = 0.7


def judged(scored: Scored, recording: Recording) -> Scored:
    """The proposal with what the recording adds. A signal that was not there is never sure."""
    item, candidate = scored.item, scored.candidate
    behaviour = recording.by.get(candidate.reference)
    if behaviour is None:
        return scored
    if not behaviour.known:
        return scored.changed(0.6, doubt="never seen in the recording")
    known = recording.known(candidate, scored.absent)
    if not known:
        return scored.changed(0.6, doubt='in the recording only the code of "not available"')
    if item.words:
        return _judged_words(scored, known)
    values = [in_unit(value, candidate, item, scored.unit) for value in known]
    lo, hi = min(values), max(values)
    seen = (
        f"in the recording {figure(lo)}..{figure(hi)} {item.unit}"
        if lo < hi
        else f"in the recording always {figure(lo)} {item.unit}"
    )
    inside = sum(item.plausible[0] <= value <= item.plausible[1] for value in values) / len(values)
    if inside < PLAUSIBLE_SHARE:
        return scored.changed(0.4, doubt=f"{seen}: no plausible {item.label}")
    scored = scored.changed(1.0, seen)
    slack = SLACK * (candidate.hi - candidate.lo)
    strays = (not candidate.lo - slack <= value <= candidate.hi + slack for value in known)
    outside = sum(strays) if candidate.declared else 0
    if outside > (1 - MOSTLY) * len(known):
        return scored.changed(0.6, doubt="leaves the range that the DBC gives: a DBC of another model year?")
    if lo == hi == 0 and item.path in _NEVER_ZERO:
        return scored.changed(0.6, doubt="always 0 in the recording: empty, or no sensor fitted")
    if item.path in FASTEST and recording.times_us and _jumps(recording, candidate, scored):
        return scored.changed(0.5, doubt="jumps as no car can: a DBC of another model year?")
    if item.path == "vehicle.odometer" and any(after < before for before, after in pairwise(known)):
        return scored.changed(0.4, doubt="counts backwards in the recording")
    return scored


_NEVER_ZERO = ("vehicle.total_voltage", "vehicle.soc", "vehicle.odometer", "drive_motors.motors.temperature")


def _judged_words(scored: Scored, known: list[float]) -> Scored:
    """`known` are physical values; tables of value words have factor 1 in nearly every file."""
    if not scored.values or scored.candidate.factor != 1:
        return scored
    strange = [value for value in known if round(value) not in scored.values]
    if len(strange) == len(known):
        return scored.changed(0.7, doubt="none of the words of its table in the recording")
    return scored.changed(
        1.0, "in the recording " + ", ".join(sorted({scored.values[round(v)] for v in known if v not in strange}))
    )


def _jumps(recording: Recording, candidate: Candidate, scored: Scored) -> bool:
    series = recording.by[candidate.reference].series
    per_second, least = FASTEST[scored.item.path]
    wild = 0
    for index in range(1, min(len(series), len(recording.times_us))):
        before, after = series[index - 1], series[index]
        seconds = (recording.times_us[index] - recording.times_us[index - 1]) / 1e6
        if before is None or after is None or seconds < 0:
            continue
        change = abs(
            in_unit(after, candidate, scored.item, scored.unit) - in_unit(before, candidate, scored.item, scored.unit)
        )
        wild += change > max(per_second * seconds, least)
    return wild >= FEWEST_JUMPS and wild > JUMP_SHARE * len(series)


def sign_by_words(candidate: Candidate) -> tuple[int, str]:
    """(1 discharge counts positive as in GB/T 32960, -1 charge does, 0 unknown) by what the DBC's comment says, and the words."""
    text = " ".join(candidate.comment.lower().split())
    for pattern, sign in (
        (r"(positive|pos\.?|\+|>\s*0)[^.;,]{0,25}\bdischarg", 1),
        (r"\bdischarg\w*[^.;,]{0,25}(positive|\+|>\s*0)", 1),
        (r"(negative|neg\.?|<\s*0)[^.;,]{0,25}\bcharg", 1),
        (r"(positive|pos\.?|\+|>\s*0)[^.;,]{0,25}\bcharg", -1),
        (r"\bcharg\w*[^.;,]{0,25}(positive|\+|>\s*0)", -1),
        (r"(negative|neg\.?|<\s*0)[^.;,]{0,25}\bdischarg", -1),
        (r"放电[为是]?正|充电[为是]?负", 1),
        (r"充电[为是]?正|放电[为是]?负", -1),
    ):
        if match := re.search(pattern, text):
            return sign, f'the DBC says "{match[0][:40]}"'
    return 0, ""


def current_sign(
    recording: Recording,
    current: Scored,
    voltage: Scored | None,
    soc: Scored | None,
    torque: Scored | None,
    speed: Scored | None,
) -> tuple[int, str]:
    """(1 discharge counts positive, -1 charge does, 0 not to be told, why) by what the recording shows."""
    votes: list[tuple[int, str]] = []
    if soc is not None:
        votes.append(_by_soc(_pairs(recording, current, soc)))
    if voltage is not None:
        votes.append(_by_voltage(_pairs(recording, current, voltage)))
    if torque is not None and speed is not None:
        votes.append(_by_power(recording, current, torque, speed))
    found = [vote for vote in votes if vote[0]]
    if len({sign for sign, _ in found}) == 1:
        return found[0][0], "; ".join(why for _, why in found)
    if found:
        return 0, "the recording contradicts itself: " + "; ".join(why for _, why in found)
    return 0, "the recording shows neither charge nor drive clearly enough"


def _pairs(recording: Recording, first: Scored, second: Scored) -> list[tuple[float, float]]:
    """Values of two signals at the same snapshots, without codes and what is implausible, in the items' units."""
    columns = []
    for scored in (first, second):
        candidate, item = scored.candidate, scored.item
        allowed = {round(value, 9) for value in recording.known(candidate, scored.absent)}
        column = []
        for value in recording.by[candidate.reference].series:
            good = value is not None and round(value, 9) in allowed
            converted = in_unit(value, candidate, item, scored.unit) if good and value is not None else math.nan
            column.append(converted if item.plausible[0] <= converted <= item.plausible[1] else math.nan)
        columns.append(column)
    return [pair for pair in zip(*columns, strict=True) if not math.isnan(pair[0]) and not math.isnan(pair[1])]


def _by_soc(pairs: Sequence[tuple[float, float]]) -> tuple[int, str]:
    """A battery whose charge rises is being charged."""
    if len(pairs) < LEAST_PAIRS:
        return 0, ""
    rise = pairs[-1][1] - pairs[0][1]
    mean = sum(current for current, _ in pairs) / len(pairs)
    steps = {soc for _, soc in pairs}
    one_way = [after[1] - before[1] for before, after in pairwise(pairs)]
    steady = all(step >= 0 for step in one_way) or all(step <= 0 for step in one_way)
    if len(steps) < 3 or not steady or abs(mean) < LEAST_AMPERES:
        return 0, ""
    if sum(abs(current) >= abs(mean) / 2 and current * mean > 0 for current, _ in pairs) < PLAUSIBLE_SHARE * len(pairs):
        return 0, ""
    sign = -1 if (rise > 0) == (mean > 0) else 1
    way = "rises" if rise > 0 else "falls"
    return sign, f"SOC {way} from {pairs[0][1]:g} to {pairs[-1][1]:g} % at {mean:+.1f} A"


def _by_voltage(pairs: Sequence[tuple[float, float]]) -> tuple[int, str]:
    """A battery's voltage sags under load and rises under charge, by an inner resistance that a pack can have."""
    found = _line(pairs)
    if found is None or max(c for c, _ in pairs) - min(c for c, _ in pairs) < 3 * LEAST_AMPERES:
        return 0, ""
    slope, correlation = found
    if abs(correlation) < CORRELATED or not OHMS[0] <= abs(slope) <= OHMS[1]:
        return 0, ""
    way = "rises" if slope > 0 else "falls"
    return (
        -1 if slope > 0 else 1
    ), f"the voltage {way} by {abs(slope):.2g} V per ampere (correlation {correlation:.2f})"


def _by_power(recording: Recording, current: Scored, torque: Scored, speed: Scored) -> tuple[int, str]:
    """A motor that drives takes current out of the battery."""
    drive, turns = _pairs(recording, current, torque), _pairs(recording, current, speed)
    if len(drive) != len(turns):
        return 0, ""
    found = _line([(one[1] * other[1], one[0]) for one, other in zip(drive, turns, strict=True)])
    if found is None or abs(found[1]) < POWER_CORRELATED or max(c for c, _ in drive) - min(c for c, _ in drive) < 10:
        return 0, ""
    way = "with" if found[1] > 0 else "against"
    return (1 if found[1] > 0 else -1), f"moves {way} the motor's power (correlation {found[1]:.2f})"


def _line(pairs: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """Slope of the second over the first, and their correlation; None where one of them stands still."""
    if len(pairs) < LEAST_PAIRS:
        return None
    mean_x = sum(x for x, _ in pairs) / len(pairs)
    mean_y = sum(y for _, y in pairs) / len(pairs)
    xx = sum((x - mean_x) ** 2 for x, _ in pairs)
    yy = sum((y - mean_y) ** 2 for _, y in pairs)
    xy = sum((x - mean_x) * (y - mean_y) for x, y in pairs)
    return None if xx <= 0 or yy <= 0 else (xy / xx, xy / math.sqrt(xx * yy))
