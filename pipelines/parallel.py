"""Independent work on many patients, in this process or in several."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def for_each(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int = 1
) -> Iterator[tuple[Item, Result | Exception]]:
    """Call `function` on every item and yield each item with its result or the exception it raised.

    With several workers the order is that of completion, and `function` and items must be picklable.
    """
    if workers == 1:
        for item in items:
            yield item, _attempt(function, item)
        return
    # "spawn" behaves alike on every platform and does not inherit threads that libraries have started.
    with ProcessPoolExecutor(min(workers, len(items) or 1), multiprocessing.get_context("spawn")) as executor:
        futures = {executor.submit(_attempt, function, item): item for item in items}
        try:
            for future in as_completed(futures):
                error = future.exception()
                yield futures.pop(future), error if isinstance(error, Exception) else future.result()
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


def _attempt(function: Callable[[Item], Result], item: Item) -> Result | Exception:
    try:
        return function(item)
    except Exception as error:
        return error
