"""The live view of `tbox watch` in the terminal."""

import logging
from contextlib import aclosing
from pathlib import Path
from typing import ClassVar

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import DataTable, Input, Static

from agent.labels import LANGUAGES
from agent.watch.rows import Row
from agent.watch.signals import NOT_MAPPED, VALID
from agent.watch.source import Ears, moments
from agent.watch.text import BUS_HEADINGS, BUS_SIDES, HEADINGS, NOTHING, SIDES, Words
from agent.watch.view import View, Watcher

WIDTHS = (31, 17, 16, 6, 14, 20, 12, 44)  # columns of text; the first four fill a terminal of 80
WIDE, WIDE_NAMES = 190, 44  # from so many columns on there is room for long names
BUS_LINES = 8
WARNING_UPDATES = 20
COLOURS = {VALID: "", NOT_MAPPED: "dim"}  # everything else is red
_TEXTS = {
    "en": {
        "wait": "waiting for the first second ...",
        "paused": "PAUSED",
        "invalid only": "invalid only",
        "search": "search: {}",
        "keys": "q quit  f invalid only  / search  p pause  enter open  l 中文",
    },
    "zh": {
        "wait": "等待第一秒的数据……",
        "paused": "已暂停",
        "invalid only": "仅无效项",
        "search": "搜索: {}",
        "keys": "q 退出  f 仅无效项  / 搜索  p 暂停  enter 展开  l English",
    },
}


class WatchApp(App[int]):
    """One screen: title, items by body, buses, outbox and link. Ends with the exit status of the command."""

    CSS = """
    #title { height: 1; text-style: bold; text-wrap: nowrap; text-overflow: ellipsis; }
    #remark { height: auto; color: $warning; }
    DataTable { height: 1fr; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1; }
    #below { height: auto; max-height: 12; }
    #below Static { height: auto; }
    #keys { height: 1; text-style: reverse; }
    #search { display: none; height: 1; border: none; padding: 0; }
    #search.open { display: block; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "end"),
        Binding("f", "filter"),
        Binding("slash", "search"),
        Binding("p", "pause"),
        Binding("l", "language"),
        Binding("ctrl+c", "end", priority=True),
        Binding("escape", "leave_search"),
    ]

    def __init__(self, watcher: Watcher, path: Path, ears: Ears, lang: str) -> None:
        super().__init__()
        self._watcher = watcher
        self._path = path
        self._ears = ears
        self._lang = lang
        self._words = Words(watcher, lang)
        self._view: View | None = None
        self._fault: Exception | None = None
        self._heard = _Heard()
        self._invalid_only = False
        self._paused = False
        self._wide = False
        self._needle = ""
        self._open: set[str] = set()
        self._shown: dict[str, tuple[Text, ...]] = {}  # what the table holds, by the key of its row

    def show(self) -> int:
        """Run until the user quits; raises what made the view impossible."""
        root = logging.getLogger()
        before, root.handlers = root.handlers, [self._heard]  # lines on stderr would tear the screen
        try:
            status = self.run()
        finally:
            root.handlers = before
        if self._fault is not None:
            raise self._fault
        return status or 0

    def compose(self) -> ComposeResult:
        yield Static(_TEXTS[self._lang]["wait"], id="title", markup=False)
        yield Static("", id="remark", markup=False)
        yield DataTable(cursor_type="row", fixed_columns=1)
        yield Input(id="search", placeholder="/")
        with Vertical(id="below"):
            yield Static("", id="buses", markup=False)
            yield Static("", id="lines", markup=False)
        yield Static("", id="keys", markup=False)

    def on_resize(self, event: events.Resize) -> None:
        if (event.size.width >= WIDE) != self._wide:
            self._wide = not self._wide
            self._head()
            self._update()

    def on_mount(self) -> None:
        self._head()
        self.query_one(DataTable).focus()
        self.run_worker(self._follow(), exclusive=True)

    async def _follow(self) -> None:
        try:
            async with aclosing(moments(self._path, self._ears)) as coming:
                async for moment in coming:
                    view = self._watcher.see(moment)
                    if not self._paused:
                        self._view = view
                        self._update()
        except Exception as error:  # noqa: BLE001 - raised in show(): Textual would print every local variable
            self._fault = error
            self.exit(2)

    # -- drawing -------------------------------------------------------------------------------------------------------

    def _head(self) -> None:
        table = self.query_one(DataTable)
        table.clear(columns=True)
        self._shown = {}
        widths = (WIDE_NAMES if self._wide else WIDTHS[0], *WIDTHS[1:])
        for name, side, width in zip(HEADINGS[self._lang], SIDES, widths, strict=True):
            table.add_column(Text(name, justify="right" if side == "r" else "left"), key=name, width=width)

    def _update(self) -> None:
        view = self._view
        if view is None:
            return
        texts, words = _TEXTS[self._lang], self._words
        told = [texts["paused"]] if self._paused else []
        told += [texts["invalid only"]] if self._invalid_only else []
        told += [texts["search"].format(self._needle)] if self._needle else []
        title = "  ".join([*(f"[{each}]" for each in told), words.title(view.snapshot, view.own)])
        self.query_one("#title", Static).update(title)
        heard = self._heard.take()
        causes = [bus.problem.partition(": ")[2] for bus in view.buses if bus.problem]
        if any(cause and cause in heard for cause in causes):
            heard = ""  # it stands below the buses
        remark = "\n".join(text for text in (words.remark(view), heard) if text)
        self.query_one("#remark", Static).update(remark)
        self.query_one("#remark", Static).display = bool(remark)
        self._update_table(self._lines(view))
        self.query_one("#buses", Static).update(self._buses(view))
        self.query_one("#keys", Static).update(texts["keys"])
        lines = words.lines(view)
        self.query_one("#lines", Static).update("\n".join(lines))
        self.query_one("#lines", Static).display = bool(lines)

    def _buses(self, view: View) -> Group:
        """Their numbers as a table; what is wrong with one on lines as wide as the screen."""
        *names, _ = BUS_HEADINGS[self._lang]
        table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
        for name, side in zip(names, BUS_SIDES[:-1], strict=True):
            table.add_column(name, justify="right" if side == "r" else "left", no_wrap=True)
        troubles = []
        for bus in view.buses[:BUS_LINES]:
            *cells, trouble = self._words.bus(bus)
            table.add_row(*(Text(cell) for cell in cells))
            if trouble != NOTHING:
                troubles.append(Text(f"{bus.name}: {trouble}", "red" if bus.problem else ""))
        return Group(table, *troubles)

    def _lines(self, view: View) -> dict[str, tuple[Text, ...]]:
        """The table's rows by their keys: a heading for each body, items, and the parts of those that are open."""
        lines: dict[str, tuple[Text, ...]] = {}
        for row in view.rows:
            cells = self._words.cells(row)
            if (self._invalid_only and row.validity == VALID) or not self._found(row, cells):
                continue
            if row.body not in lines:
                lines[row.body] = (Text(self._words.section(row.body), "bold"), *[Text("")] * (len(SIDES) - 1))
            sign = "" if not row.parts else "- " if row.item in self._open else "+ "
            lines[row.item] = self._styled(row, (cells[0].replace("  ", "  " + sign, 1), *cells[1:]))
            if row.item in self._open:
                for position, part in enumerate(row.parts):
                    if not (self._invalid_only and part.validity == VALID):
                        lines[f"{row.item} {position}"] = self._styled(part, self._words.cells(part, row))
        return lines

    def _found(self, row: Row, cells: tuple[str, ...]) -> bool:
        needle = self._needle.lower()
        return not needle or any(needle in text.lower() for text in (row.item, cells[0], row.source))

    def _styled(self, row: Row, cells: tuple[str, ...]) -> tuple[Text, ...]:
        style = COLOURS.get(row.validity, "red")
        lines = []
        for cell, side in zip(cells, SIDES, strict=True):
            lines.append(
                Text(cell, style, justify="right" if side == "r" else "left", no_wrap=True, overflow="ellipsis")
            )
        return tuple(lines)

    def _update_table(self, lines: dict[str, tuple[Text, ...]]) -> None:
        """Change only the cells that differ; other rows than before: all anew, with the cursor where it was."""
        table = self.query_one(DataTable)
        heads = HEADINGS[self._lang]
        if list(lines) != list(self._shown):
            key, place = self._at_cursor(), table.scroll_offset
            table.clear()
            for name, cells in lines.items():
                table.add_row(*cells, key=name)
            if key in lines:
                table.move_cursor(row=list(lines).index(key), scroll=False)
            table.scroll_to(place.x, place.y, animate=False)
        else:
            for name, cells in lines.items():
                for head, cell, before in zip(heads, cells, self._shown[name], strict=True):
                    if (cell.plain, cell.style) != (before.plain, before.style):  # Text compares without its style
                        table.update_cell(name, head, cell)
        self._shown = lines

    def _at_cursor(self) -> str:
        table = self.query_one(DataTable)
        if not self._shown or not 0 <= table.cursor_row < len(self._shown):
            return ""
        return list(self._shown)[table.cursor_row]

    # -- keys ----------------------------------------------------------------------------------------------------------

    def action_end(self) -> None:
        self.exit(0)

    def action_filter(self) -> None:
        self._invalid_only = not self._invalid_only
        self._update()

    def action_pause(self) -> None:
        self._paused = not self._paused
        self._update()

    def action_language(self) -> None:
        self._lang = LANGUAGES[(LANGUAGES.index(self._lang) + 1) % len(LANGUAGES)]
        self._words = Words(self._watcher, self._lang)
        self._head()
        self._update()

    def action_search(self) -> None:
        field = self.query_one("#search", Input)
        field.add_class("open")
        field.focus()

    def action_leave_search(self) -> None:
        self.query_one("#search", Input).value = ""
        self._leave_search()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._needle = event.value
        self._update()

    def on_input_submitted(self) -> None:
        self._leave_search()

    def _leave_search(self) -> None:
        self.query_one("#search", Input).remove_class("open")
        self.query_one(DataTable).focus()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        key = str(event.row_key.value)
        row = next((row for row in self._view.rows if row.item == key), None) if self._view else None
        if row is not None and row.parts:
            self._open ^= {key}
            self._update()


class _Heard(logging.Handler):
    """The newest warning of the log, while the screen is taken: shown for a while."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._text = ""
        self._left = 0

    def emit(self, record: logging.LogRecord) -> None:
        self._text, self._left = record.getMessage(), WARNING_UPDATES

    def take(self) -> str:
        """What to show in this update."""
        self._left -= 1
        return self._text if self._left >= 0 else ""
