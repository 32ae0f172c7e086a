"""What a terminal answers to the commands of its platform: query 80, set 81, control 82 (annex B). It judges; its owner acts.

::

    damaged (cannot be split by the table)             no answer, nothing done; the owner counts it
    well-formed, but something in it is not allowed    flag 02, nothing done, not even what was good
    all of it allowed                                  flag 01 and an `action` for the owner
"""

from agent.core.dataunit import decode_data_unit
from agent.core.errors import RemoteProtocolError
from agent.core.hostname import is_host_name
from agent.core.packet import ERROR, SUCCESS
from agent.core.parameters import ALARM_CONTROL, UnknownParameterError
from agent.core.upgradeorder import UpgradeOrderError, read_upgrade

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agent.core.edition import Edition

    Values = dict[int, Any]  # parameter id: int or bytes, as on the wire

QUERY = 0x80
SET = 0x81
CONTROL = 0x82

HARDWARE_VERSION = 0x07
FIRMWARE_VERSION = 0x08
READ_ONLY = (HARDWARE_VERSION, FIRMWARE_VERSION)
PLATFORM = (0x04, 0x05, 0x06)  # length of the domain, domain, port
PUBLIC_PLATFORM = (0x0D, 0x0E, 0x0F)

UPGRADE = 0x01
POWER_OFF = 0x02
RESET = 0x03
FACTORY_SETTINGS = 0x04
DROP_LINK = 0x05
ALARM = ALARM_CONTROL
MONITORING = 0x07
BARE_CONTROLS = (POWER_OFF, RESET, FACTORY_SETTINGS, DROP_LINK, MONITORING)  # nothing stands behind their id
MAX_TEXT = 1024  # bytes of an alarm's text: nobody reads more of a warning, and an argument of a program has its limit


class Permissions:
    """What the configuration allows: parameters to be set, platforms to move to (b"host:port", lower case), control ids."""

    def __init__(
        self, settable: bool = False, platforms: "tuple[bytes, ...]" = (), controls: "tuple[int, ...]" = ()
    ) -> None:
        self.settable = settable
        self.platforms = platforms
        self.controls = controls


class Reply:
    """What is to be answered, and what to do.

    `flag`: 01, 02, or None for no answer. `values`: the rows of the answer to a query, else None. `reason`: why not, or what
    was left out; begins with "security:" where somebody tried what is nobody's to try. `action`: (), ("set", {id: value}),
    ("control", id, values of the control row; for an upgrade those of `read_upgrade`).
    """

    def __init__(
        self,
        flag: "int | None",
        reason: str = "",
        values: "dict[str, Any] | None" = None,
        action: "tuple[Any, ...]" = (),
    ) -> None:
        self.flag = flag
        self.reason = reason
        self.values = values
        self.action = action


class Terminal:
    """The judge. `values`: every parameter in force, by id; `permissions` may be replaced."""

    def __init__(self, edition: "Edition", values: "Values", permissions: Permissions) -> None:
        self.edition = edition
        self.values = values
        self.permissions = permissions

    def respond(self, command: int, unit: bytes, authenticated: bool) -> Reply:
        """Judge the plain data unit of a command; any bytes are taken.

        `authenticated`: the link has proved who the platform is.
        """
        judge = {QUERY: self._query, SET: self._set, CONTROL: self._control}.get(command)
        if judge is None:
            return Reply(None, "command %02X is not for a terminal" % command)
        try:
            found = decode_data_unit(self.edition, command, unit)
        except UnknownParameterError as error:
            return Reply(ERROR, str(error))
        except RemoteProtocolError as error:
            return Reply(None, str(error))
        if found.rest or found.values is None:
            return Reply(None, "%d bytes behind the end of command %02X" % (len(found.rest), command))
        return judge(found.values, authenticated)

    # -- 80 ------------------------------------------------------------------------------------------------------------

    def _query(self, asked: "dict[str, Any]", _authenticated: bool) -> Reply:
        ids = asked["ids"]
        if isinstance(ids, int):
            return Reply(None, "the count of a query is %02X and names nothing" % ids)
        given: "list[int]" = []
        unknown: "list[int]" = []
        for number in ids:
            row = self.edition.parameters.get(number)
            if row is None or number not in self.values:
                if number not in unknown:
                    unknown.append(number)
                continue
            for needed in (row, number) if isinstance(row, int) else (number,):
                if needed not in given:
                    given.append(needed)
        reason = "unknown parameters left out: " + _hex(unknown) if unknown else ""
        return Reply(SUCCESS, reason, {"parameters": [(number, self.values[number]) for number in given]})

    # -- 81 ------------------------------------------------------------------------------------------------------------

    def _set(self, wanted: "dict[str, Any]", authenticated: bool) -> Reply:
        items = wanted["parameters"]
        if isinstance(items, int):
            return Reply(ERROR, "the count of a set is %02X and sets nothing" % items)
        changes: "Values" = {}
        for number, value in items:
            if number in changes:
                return Reply(ERROR, "parameter %02X stands twice in one set" % number)
            changes[number] = value
        reason = "" if self.permissions.settable else "setting parameters is switched off in the configuration"
        for number, value in items:
            reason = reason or self._fault(number, value, changes)
        for ids in (PLATFORM, PUBLIC_PLATFORM):
            reason = reason or self._move_fault(ids, changes, authenticated)
        if reason:
            return Reply(ERROR, reason)
        return Reply(SUCCESS, action=("set", changes))

    def _fault(self, number: int, value: "Any", changes: "Values") -> str:
        if number in READ_ONLY:
            return "parameter %02X can only be read" % number
        row = self.edition.parameters[number]
        if isinstance(row, int):
            return "" if is_host_name(value) else "parameter %02X: %r is no host name" % (number, bytes(value)[:64])
        if not row.lo <= value <= row.hi:
            return "parameter %02X: %d is not in %d..%d" % (number, value, row.lo, row.hi)
        lengthless = [own for own, length in self.edition.parameters.items() if length == number and own not in changes]
        return "parameter %02X is a length, and %02X does not follow" % (number, lengthless[0]) if lengthless else ""

    def _move_fault(self, ids: "tuple[int, ...]", changes: "Values", authenticated: bool) -> str:
        """Why these changes may not move the terminal to another platform; "" when they do not, or may."""
        _, host, port = [changes.get(number, self.values.get(number)) for number in ids]
        before = [self.values.get(number) for number in ids[1:]]
        if [host, port] == before:
            return ""
        if not host or port is None or port == 0:
            return "platform %r port %r: a host and a port from 1 are needed" % (host, port)
        place = bytes(host).lower() + b":%d" % port
        if place not in self.permissions.platforms:
            return "security: new platform %s is not among the allowed ones" % place.decode()
        if not authenticated:
            return "security: new platform %s over a link that has not proved whose it is" % place.decode()
        return ""

    # -- 82 ------------------------------------------------------------------------------------------------------------

    def _control(self, values: "dict[str, Any]", _authenticated: bool) -> Reply:
        number = values["control"]
        if number not in self.permissions.controls:
            return Reply(ERROR, "control %02X is unknown or not enabled in the configuration" % number)
        if number == UPGRADE:
            try:
                return Reply(SUCCESS, action=("control", number, read_upgrade(values["arguments"])))
            except UpgradeOrderError as error:
                return Reply(ERROR, str(error))
        reason = ""
        if number in BARE_CONTROLS and values["arguments"]:
            reason = "control %02X takes no arguments, and %d bytes follow" % (number, len(values["arguments"]))
        elif number == ALARM:
            reason = self._alarm_fault(values)
        return Reply(ERROR, reason) if reason else Reply(SUCCESS, action=("control", number, values))

    def _alarm_fault(self, values: "dict[str, Any]") -> str:
        if "level" not in values:
            return "an alarm without its level"
        level = self.edition.commands[CONTROL].layout.rows[0].level  # type: ignore[union-attr]
        if not (level.lo <= values["level"] <= level.hi or values["level"] == level.invalid):
            return "alarm level %d is not in %d..%d, nor %d for invalid" % (
                values["level"],
                level.lo,
                level.hi,
                level.invalid,
            )
        if len(values["text"]) > MAX_TEXT:
            return "alarm text of %d bytes; at most %d are taken" % (len(values["text"]), MAX_TEXT)
        return ""


def _hex(numbers: "list[int]") -> str:
    return " ".join(["%02X" % number for number in numbers])
