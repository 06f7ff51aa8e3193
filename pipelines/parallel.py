"""Independent work on many patients: in this process, in several, or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import wait as wait_for_process
from typing import TypeVar

from data_prep.errors import DataError
from pipelines.errors import UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")


def for_each(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int = 1, scheduler: str | None = None
) -> Iterator[tuple[Item, Result | Exception]]:
    """Call `function` on every item and yield each item with its result or the exception it raised.

    Args:
        function: picklable, like the items, unless one worker does it all.
        items: taken one by one as work is done, so however many there are, few are held.
        workers: processes on this machine. With several, results come in the order of completion. A worker that dies,
            for want of memory for example, costs its item alone: the outcome is a `DataError`.
        scheduler: address of a running Dask scheduler (`tcp://…`), whose workers are used instead; they need this
            package, and see the same files under the same paths.

    Raises:
        UsageError: when the scheduler cannot be reached, or the `cluster` extra is not installed.
    """
    source = iter(items)
    if scheduler:
        with _dask_executor(scheduler) as (executor, slots):
            yield from _run(executor, function, source, ahead=2 * slots, unfinished=[])
    elif workers == 1:
        for item in source:
            yield item, _attempt(function, item)
    else:
        unfinished: list[Item] = []
        while True:
            with _process_pool(workers) as pool:
                yield from _run(pool, function, source, ahead=2 * workers, unfinished=unfinished)
            if not unfinished:
                return
            # One of these killed its worker, and with it the pool. Alone in a process, only that one fails again.
            for item in unfinished:
                with _process_pool(1) as pool:
                    yield item, _result(pool.submit(_attempt, function, item))
            unfinished.clear()


def check_scheduler(address: str) -> None:
    """Connect once, before anything else is begun.

    Raises:
        UsageError: when the scheduler cannot be reached, or has no workers.
    """
    with _dask_executor(address):
        pass


def _run(
    executor: Executor,
    function: Callable[[Item], Result],
    source: Iterator[Item],
    *,
    ahead: int,
    unfinished: list[Item],
) -> Iterator[tuple[Item, Result | Exception]]:
    """Results as they complete, with `ahead` items under way; what a broken pool leaves undone goes to `unfinished`."""
    running: dict[Future[Result | Exception], Item] = {}

    def submit_next() -> None:
        for item in islice(source, 1):
            unfinished.append(item)  # until it is safely handed over
            running[executor.submit(_attempt, function, item)] = item
            unfinished.pop()

    try:
        for _ in range(ahead):
            submit_next()
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                error = future.exception()
                if isinstance(error, BrokenExecutor):
                    raise error
                yield running.pop(future), _result(future)
                submit_next()
    except BrokenExecutor:
        unfinished += running.values()
    except BaseException:
        for future in running:
            future.cancel()
        raise


def _attempt(function: Callable[[Item], Result], item: Item) -> Result | Exception:
    try:
        return function(item)
    except Exception as error:
        return error


def _result(future: Future[Result | Exception]) -> Result | Exception:
    error = future.exception()
    if isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker":  # the latter is Dask's
        return DataError("the process that worked on it was killed, mostly for want of memory; use fewer --workers")
    return error if isinstance(error, Exception) else future.result()


@contextmanager
def _process_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    # "spawn" behaves alike on every platform and does not inherit threads that libraries have started.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_end_with_parent)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _end_with_parent() -> None:
    """Workers of a killed run would wait for work for ever, and write on meanwhile."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait_for_process([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _dask_executor(address: str) -> Iterator[tuple[Executor, int]]:
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError("--scheduler needs Dask; install it with `pip install 'fpgan[cluster]'`") from error
    try:
        client = Client(address, timeout=20, set_as_default=False)
    except (OSError, ValueError) as error:  # a wrong address; nobody answers there
        raise UsageError(f"--scheduler {address}: no Dask scheduler answers there") from error
    with client:
        slots = sum(client.nthreads().values())
        if not slots:
            raise UsageError(f"--scheduler {address}: has no workers")
        yield client.get_executor(pure=False, retries=0), slots
