"""What a command shows: progress bars with remaining time, lines of text, and at its end where the output is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from data_prep.errors import one_line

Show = Callable[[int, str], None]
"""Called with the number of finished pieces of work and a few words on its state (may be empty)."""


def counted(number: int, noun: str) -> str:
    """`1 patient`, `2 patients`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


class Screen:
    """Everything goes to standard error, so that standard output stays free.

    `quiet` shows warnings and errors only; `mute` nothing: of several processes only one should speak.
    """

    def __init__(self, *, quiet: bool = False, mute: bool = False) -> None:
        self.quiet = quiet or mute
        # Names of files may hold anything, `:brain:` too.
        self.console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False, quiet=mute)
        self._started = time.monotonic()

    def say(self, text: str) -> None:
        """One line for the user."""
        if not self.quiet:
            self.console.print(one_line(text), markup=False)

    def warn(self, text: str) -> None:
        """A line the user should not miss."""
        self.console.print(one_line(f"warning: {text}"), markup=False, style="yellow")

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Show]:
        """A bar over `total` pieces of work."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("elapsed"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with _ProgressWithState(*columns, console=self.console, disable=self.quiet) as progress:
            task = progress.add_task(what, total=total, state="")
            yield lambda done, state: progress.update(task, completed=done, state=one_line(state))

    def finish(self, output: Path) -> None:
        """The closing line of a command."""
        self.say(f"Done in {duration(time.monotonic() - self._started)}. Output: {output}")


class _ProgressWithState(Progress):
    """A bar, and below it, where it has room, the state of the work."""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        for task in self.tasks:
            if task.fields["state"]:
                yield Text(f"  {task.fields['state']}", no_wrap=True, overflow="ellipsis")


def duration(seconds: float) -> str:
    """`1 day 2 h`, `3 h 05 min`, `2 min 30 s`, `1.5 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return f"{counted(days, 'day')} {hours_left} h"
    if hours:
        return f"{hours} h {minutes_left:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"
