"""Ctrl-C, and the signal by which a scheduler ends a job: the step is finished and saved before the run stops."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While entered, the first SIGINT or SIGTERM sets `requested`; a second one acts as it would without this.

    Outside the main thread, where Python lets nobody listen to signals, it does nothing.

    Args:
        heeds_second: false where one request may come as several signals: under `torchrun`, Ctrl-C reaches a process
            from the terminal and once more from torchrun, which itself kills those that do not end.
    """

    def __init__(self, *, heeds_second: bool = True) -> None:
        self.heeds_second = heeds_second
        self.requested = False
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._request) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if self.heeds_second:
            self._restore()

    def _restore(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}
