"""Independent work on many patients: in this process, in several, or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from data_prep.errors import DataError
from pipelines.errors import UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")
_Submit = Callable[[Callable[[Item], Result], Item], "Future[Result | Exception]"]

_SECONDS_TO_CONNECT = 10
_SECONDS_TO_STOP = 5


def for_each(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int = 1, scheduler: str | None = None
) -> Iterator[tuple[Item, Result | Exception]]:
    """Call `function` on every item and yield each item with its result or the exception it raised.

    Args:
        function: picklable, like the items, unless one worker does it all.
        items: taken one by one as work is done, so however many there are, few are held.
        workers: processes on this machine. With several, results come in the order of completion. A worker that dies,
            for want of memory for example, costs its item alone: the outcome is a `DataError`. Ctrl-C is the caller's
            to handle: where an exception ends the iteration, no further item is begun, and a `KeyboardInterrupt` is
            raised in those under way.
        scheduler: address of a running Dask scheduler (`tcp://…`), whose workers are used instead; they need this
            package, and see the same files under the same paths.

    Raises:
        UsageError: when the scheduler cannot be reached, or the `cluster` extra is not installed.
    """
    source = iter(items)
    if scheduler:
        with _dask_cluster(scheduler) as (submit, slots):
            yield from _run(submit, function, source, ahead=2 * slots, unfinished=[])
    elif workers == 1:
        for item in source:
            yield item, _attempt(function, item)
    else:
        unfinished: list[Item] = []
        while True:
            with _process_pool(workers) as submit:
                yield from _run(submit, function, source, ahead=2 * workers, unfinished=unfinished)
            if not unfinished:
                return
            # One of these killed its worker, and with it the pool. Alone in a process, only that one fails again.
            for item in unfinished:
                with _process_pool(1) as submit:
                    yield item, _result(submit(function, item))
            unfinished.clear()


def check_scheduler(address: str) -> None:
    """Connect once, before anything else is begun.

    Raises:
        UsageError: when the scheduler cannot be reached, or has no workers.
    """
    with _dask_cluster(address):
        pass


def _run(
    submit: _Submit[Item, Result],
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
            running[submit(function, item)] = item
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
def _process_pool(workers: int) -> Iterator[_Submit[Any, Any]]:
    # "spawn" behaves alike on every platform and does not inherit threads that libraries have started.
    context = multiprocessing.get_context("spawn")
    lifeline, parents_end = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, initializer=_follow_parent, initargs=(lifeline,))

    def submit(function: Callable[[Any], Any], item: Any) -> Future[Any]:
        with _interrupts_wait():
            return pool.submit(_attempt_unless_stopped, function, item)

    with lifeline, parents_end:
        try:
            yield submit
        except BaseException:
            parents_end.close()
            raise
        finally:
            with _interrupts_wait():
                pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C acts when the block ends. Processes that start in it are deaf to Ctrl-C, even while they import."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


_stopped = threading.Event()
"""In a worker: its parent wants no more work, or is gone."""


def _follow_parent(lifeline: Connection) -> None:
    """Stop when the parent closes its end of `lifeline`, or dies: workers would wait, and write on, for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def watch() -> None:
        lifeline.poll(None)
        _stopped.set()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(_SECONDS_TO_STOP)
        os._exit(1)

    if lifeline.poll():  # closed while this process imported: no work must begin before the thread runs
        _stopped.set()
    threading.Thread(target=watch, daemon=True).start()


def _attempt_unless_stopped(function: Callable[[Item], Result], item: Item) -> Result | Exception:
    signal.signal(signal.SIGINT, _interrupt)
    try:
        if _stopped.is_set():
            raise KeyboardInterrupt
        return _attempt(function, item)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt(*_: object) -> None:
    """Ctrl-C reaches all processes of a group, but the parent alone decides. Once: what cleans up is not disturbed."""
    if _stopped.is_set():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt


@contextmanager
def _dask_cluster(address: str) -> Iterator[tuple[_Submit[Any, Any], int]]:
    try:
        from distributed import Client
        from distributed.comm.addressing import get_address_host_port
    except ImportError as error:
        raise UsageError("--scheduler needs Dask; install it with `pip install 'fpgan[cluster]'`") from error
    try:
        # A client that cannot connect tries on for long, and then complains of itself.
        with socket.create_connection(get_address_host_port(address), timeout=_SECONDS_TO_CONNECT) as connection:
            if address.startswith("tcp://"):  # where Dask speaks first, and its dashboard, for example, waits
                connection.recv(1)
        client = Client(address, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError, OverflowError) as error:  # a wrong address; nobody answers there; no such port
        problem = "no Dask scheduler answers there; give the address that it shows, as tcp://HOST:8786"
        raise UsageError(f"--scheduler {address}: {problem}") from error
    with client:
        slots = sum(client.nthreads().values())
        if not slots:
            raise UsageError(f"--scheduler {address}: has no workers")
        yield partial(client.get_executor(pure=False, retries=0).submit, _attempt), slots
