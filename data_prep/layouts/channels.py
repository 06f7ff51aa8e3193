"""Which file or series becomes which channel: names as the user gives them, matched to what a patient has."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeVar

from data_prep.errors import DataError, quote_private
from data_prep.layouts.volume_files import listed

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A channel that was asked for. `pattern` (`*FLAIR*tra*`) says which file or series is meant; None: by its name."""

    name: str
    pattern: str | None = None


def parse_channels(text: str) -> tuple[Channel, ...]:
    """Channels from `flair,t1ce` or `flair=*FLAIR*,t1ce=*T1*Gd*`.

    Raises:
        DataError: when a name is empty or stands twice.
    """
    channels = []
    for part in text.split(","):
        name, equals, pattern = (piece.strip() for piece in part.partition("="))
        if not name or (equals and not pattern):
            raise DataError(f"channels must be names, or names with patterns as in flair=*FLAIR*, got {text!r}")
        channels.append(Channel(name=name.lower(), pattern=pattern or None))
    names = [channel.name for channel in channels]
    if len(set(names)) < len(names):
        raise DataError(f"channels name one twice: {', '.join(names)}")
    return tuple(channels)


def choose(channel: Channel, candidates: Sequence[tuple[str, T]], *, kind: str = "file") -> T:
    """The one candidate whose label (a file's name, a series' description) fits the channel.

    Without a pattern a label fits that has the channel's name as a word of its own; where none has, and there is only
    one candidate, that one is taken. Upper and lower case are alike.

    Raises:
        DataError: when none or several fit; the message lists what there is.
    """
    fitting = [(label, value) for label, value in candidates if _fits(channel, label)]
    if not fitting and channel.pattern is None and len(candidates) == 1:
        fitting = list(candidates)
    if len(fitting) == 1:
        return fitting[0][1]
    wanted = f"{channel.name}={channel.pattern}" if channel.pattern else channel.name
    quote = quoting(kind)
    if not fitting:
        there = listed((label for label, _ in candidates), quote=quote)
        raise DataError(f"no {kind} fits channel {wanted}; there is {there}")
    labels = listed((label for label, _ in fitting), quote=quote)
    if len({label for label, _ in fitting}) < len(fitting):
        raise DataError(f"several {kind}s fit channel {wanted}: {labels}; as their names are alike, give a table (CSV)")
    raise DataError(f"several {kind}s fit channel {wanted}: {labels}; say which, as in {channel.name}=*word*")


def quoting(kind: str) -> Callable[[str], str]:
    """How a message quotes labels: those of scans are words of headers."""
    return quote_private if kind == "scan" else repr


def _fits(channel: Channel, label: str) -> bool:
    if channel.pattern is not None:
        return fnmatchcase(label.lower(), channel.pattern.lower())
    return channel.name in re.split(r"[^0-9a-z]+", label.lower())
