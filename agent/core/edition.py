"""What an edition of GB/T 32960.3 consists of: tables only. A new edition is a new module that makes one `Edition`."""

from agent.core.packet import COMMAND, STARTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.core.field import Layout

SIGNATURE = 0xFF  # the body type that marks the signature
OWN_TYPES = range(0x80, SIGNATURE)  # body types of the maker's own; 7.2.3.8


class Command:
    """A command (6.3.1): its name, whether its data unit starts with six time bytes, the rows behind them.

    `reports`: the unit holds information bodies instead of rows. `answer`: rows of an answer that carries more than the
    time (parameter query). `layout` None: nothing follows.
    """

    def __init__(
        self,
        name: str,
        timed: bool,
        layout: "Layout | None" = None,
        answer: "Layout | None" = None,
        reports: bool = False,
        clause: str = "",
    ) -> None:
        self.name = name
        self.timed = timed
        self.layout = layout
        self.answer = answer
        self.reports = reports
        self.clause = clause

    def rows(self, response: int) -> "Layout | None":
        """The rows of a unit with this response flag."""
        return self.answer if response != COMMAND and self.answer is not None else self.layout


class ReportRules:
    """When an edition wants reports: numbers and names only, for `core/occasion.py`.

    `burst_levels`: raw alarm levels that ask for every second. `burst` and `parked_burst` (of a vehicle that is off):
    (seconds before the fault, seconds after it, whether it lasts until the level clears). `after_off_s`: how long the grid
    goes on after switch-off. `watch_s`, `watch_report_s`: how long the battery is watched after switch-off, and how many
    seconds at the end of that are reported, of them the bodies `watch_bodies`; 0: no watch.
    `left_out`: (body that is not sent, field of the vehicle body, word of it at which it is not).
    """

    def __init__(
        self,
        burst_levels: "tuple[int, ...]",
        burst: "tuple[int, int, bool]",
        parked_burst: "tuple[int, int, bool]",
        after_off_s: int,
        watch_s: int,
        watch_report_s: int,
        watch_bodies: "tuple[str, ...]",
        left_out: "tuple[tuple[str, str, str], ...]",
    ) -> None:
        self.burst_levels = burst_levels
        self.burst = burst
        self.parked_burst = parked_burst
        self.after_off_s = after_off_s
        self.watch_s = watch_s
        self.watch_report_s = watch_report_s
        self.watch_bodies = watch_bodies
        self.left_out = left_out


class Edition:
    """All tables of one edition.

    `bodies` by type id, `commands` by command id, `parameters` by parameter id, `responses` by flag, `encryptions` by code.
    `signature`: the block behind the last body, type FF, where the edition has one. `declared`: bodies of the maker's own by
    type id, 80 to FE; one that is not declared is bytes, `user_body`. `split`: (type of the body that spreads over packets,
    cells in one packet), or None. `login_retry_s`: from an unanswered login to the next. `long_answers`: a terminal's answer
    keeps the whole data unit of the command and changes only the time; else it keeps the time and nothing else (annex B).
    `rules`: when to report.
    """

    def __init__(
        self,
        name: str,
        bodies: "dict[int, Layout]",
        user_body: "Layout",
        commands: "dict[int, Command]",
        parameters: "dict[int, Any]",
        responses: "dict[int, str]",
        encryptions: "dict[int, str]",
        split: "tuple[int, int] | None",
        login_retry_s: int,
        long_answers: bool,
        rules: ReportRules,
        signature: "Layout | None" = None,
        declared: "dict[int, Layout] | None" = None,
    ) -> None:
        self.name = name
        self.start = STARTS[name]
        self.bodies = bodies
        self.user_body = user_body
        self.commands = commands
        self.parameters = parameters
        self.responses = responses
        self.encryptions = encryptions
        self.split = split
        self.login_retry_s = login_retry_s
        self.long_answers = long_answers
        self.rules = rules
        self.signature = signature
        self.declared = declared or {}
        self.body_types = {layout.name: type_id for type_id, layout in bodies.items()}
        self.command_ids = {command.name: command_id for command_id, command in commands.items()}

    def body(self, type_id: int) -> "Layout | None":
        """The layout of a body type; None where neither layout nor length is known (such a body cannot be skipped)."""
        if type_id in OWN_TYPES:
            return self.declared.get(type_id, self.user_body)
        return self.signature if type_id == SIGNATURE else self.bodies.get(type_id)

    def with_declared(self, declared: "dict[int, Layout]") -> "Edition":
        """This edition with bodies of the maker's own (7.2.3.8), by type id 80 to FE."""
        return Edition(
            self.name,
            self.bodies,
            self.user_body,
            self.commands,
            self.parameters,
            self.responses,
            self.encryptions,
            self.split,
            self.login_retry_s,
            self.long_answers,
            self.rules,
            self.signature,
            declared,
        )
