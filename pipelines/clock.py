"""Where the time of a piece of work goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Adds up seconds by part of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Time the block as `part`."""
        start = time.perf_counter()
        yield
        self.seconds[part] = round(self.seconds.get(part, 0) + time.perf_counter() - start, 3)
