"""A progress bar on stderr for long work, only where somebody watches."""

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress_of(name: str, share: Callable[[], float], *, silent: bool = False) -> Iterator[Callable[[], None]]:
    """Yield a function to call now and then; it shows `share()`, 0 to 1. Nothing is shown, or imported, off a terminal.

    Nor where stdout is the same terminal, unless the work is `silent` there.
    """
    if not sys.stderr.isatty() or (sys.stdout.isatty() and not silent):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=1.0)
        yield lambda: bar.update(task, completed=share())
