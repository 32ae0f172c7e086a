"""From the bodies of one sample to the data units of its packets, and when a sample becomes a report."""

from agent.core.dataunit import encode_bodies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.core.dataunit import Bodies
    from agent.core.edition import Edition


def encode_report(edition: "Edition", bodies: "Bodies") -> "list[bytes]":
    """Encoded bodies, without time, of each packet that one sample needs; parts 1, 2, ... in order.

    A body that does not fit one packet (2016: more than 200 cells) spreads over several with the same collection time; the
    others travel in the first (annex B).
    """
    if edition.split is None:
        return [encode_bodies(edition, bodies)]
    type_id, most = edition.split
    parts: "list[Bodies]" = [[]]
    for number, values in bodies:
        if number != type_id or not isinstance(values["subsystems"], list):
            parts[0].append((number, values))
            continue
        for position, groups in enumerate(_spread(values["subsystems"], most)):
            if position == len(parts):
                parts.append([])
            parts[position].append((number, {"subsystems": groups}))
    return [encode_bodies(edition, part) for part in parts if part]


def _spread(groups: "list[dict[str, Any]]", most: int) -> "list[list[dict[str, Any]]]":
    """Cut the cell list of each group into runs of `most`; run k of every group goes into part k."""
    parts: "list[list[dict[str, Any]]]" = []
    for group in groups:
        cells = group["cells"]
        for position, first in enumerate(range(0, max(len(cells), 1), most)):
            if position == len(parts):
                parts.append([])
            piece = dict(group)
            piece["cells"] = cells[first : first + most]
            piece["start_cell"] = group["start_cell"] + first
            parts[position].append(piece)
    return parts


class Schedule:
    """Which samples are reports: the first, and every `period_ms` after it (7.2: at most 30 s apart).

    `period_ms` may be changed at any time; the next report is then so long after the last one.
    """

    def __init__(self, period_ms: int) -> None:
        self.period_ms = period_ms
        self._last: int | None = None

    def restart(self) -> None:
        """The grid's clock was set: the next sample is a report, and the grid begins anew with it."""
        self._last = None

    def due(self, now: int) -> bool:
        """True when the sample taken at `now` (ms on the sampling grid) is to be reported."""
        if self._last is None:
            self._last = now
            return True
        periods = (now - self._last) // self.period_ms
        if periods < 1:
            return False
        self._last += periods * self.period_ms  # a report that was missed does not move the grid
        return True
