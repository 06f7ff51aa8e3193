"""The one exception that leaves this package when an input cannot be used."""

from __future__ import annotations

import re
from pathlib import Path


class DataError(ValueError):
    """An input that cannot be used: the message, one line, names the file, what is wrong and what to do."""

    def __init__(self, problem: str, *, path: Path | str | None = None) -> None:
        super().__init__(one_line(f"{path}: {problem}" if path is not None else problem))
        self.problem = one_line(problem)
        """The message without the path."""


def quote_private(text: str) -> str:
    """Words of a header, or the name of one file of a series, in a message.

    They may name a patient; `without_private_text` takes them out.
    """
    return f"“{text.translate(_PLAIN_QUOTES)}”"


def without_private_text(message: str) -> str:
    """A message without what `quote_private` quoted, for files that others may read."""
    return re.sub("“[^”]*”", "“…”", message)


_PLAIN_QUOTES = str.maketrans("“”", '""')


def one_line(text: str) -> str:
    """`text` with its line breaks and other control characters written as escapes, as in `scan\\n2`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
