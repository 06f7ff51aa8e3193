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


def quote_header(text: str) -> str:
    """Words of a file's header, for a message: they may name a patient, so `without_header_text` can take them out."""
    return f"“{text.translate(_PLAIN_QUOTES)}”"


def without_header_text(message: str) -> str:
    """A message without what `quote_header` quoted, for files that others may read."""
    return re.sub("“[^”]*”", "“…”", message)


_PLAIN_QUOTES = str.maketrans("“”", '""')


def one_line(text: str) -> str:
    """`text` with its line breaks and other control characters written as escapes, as in `scan\\n2`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
