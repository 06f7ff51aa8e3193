"""Work on many items: in this process, in several, on a Dask cluster, and when a worker dies."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from data_prep.errors import DataError
from pipelines.errors import UsageError
from pipelines.parallel import check_scheduler, for_each


def square(number: int) -> int:
    if number == 3:
        raise DataError("three is refused")
    return number * number


def die_at(number: int, doomed: int) -> int:
    if number == doomed:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def heavy_modules(_: int) -> list[str]:
    import data_prep.cohort_writer  # noqa: F401  what a worker of `prepare` loads

    return sorted({"torch", "monai", "ignite"} & set(sys.modules))


def outcomes(workers: int, count: int = 20) -> dict[int, int | str]:
    return {n: str(r) if isinstance(r, Exception) else r for n, r in for_each(square, range(count), workers=workers)}


EXPECTED = {n: "three is refused" if n == 3 else n * n for n in range(20)}


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_comes_with_its_result_or_its_error(workers: int) -> None:
    assert outcomes(workers) == EXPECTED


def test_few_items_are_taken_ahead_of_the_work() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for n in range(30):
            taken += 1
            yield n

    for done, _ in enumerate(for_each(square, items(), workers=2), start=1):
        assert taken <= done + 4


def test_a_worker_that_is_killed_costs_its_item_alone() -> None:
    results = dict(for_each(partial(die_at, doomed=5), range(12), workers=2))
    error = results.pop(5)
    assert isinstance(error, DataError)
    assert "was killed" in str(error)
    assert results == {n: n for n in range(12) if n != 5}


def test_no_worker_loads_torch() -> None:
    assert dict(for_each(heavy_modules, range(2), workers=2)) == {0: [], 1: []}


def test_a_dask_cluster_gives_the_same_results() -> None:
    distributed = pytest.importorskip("distributed", reason="the cluster extra is not installed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster:
        results = for_each(square, range(20), scheduler=cluster.scheduler_address)
        assert {n: str(r) if isinstance(r, Exception) else r for n, r in results} == EXPECTED


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:9", "nonsense", "nonsense://x", "tcp://127.0.0.1:notaport", "tcp://127.0.0.1:65536"]
)
def test_a_scheduler_that_is_not_there_is_told_at_once(address: str) -> None:
    pytest.importorskip("distributed", reason="the cluster extra is not installed")
    begin = time.monotonic()
    with pytest.raises(UsageError, match=r"no Dask scheduler answers there; give .* tcp://HOST:8786"):
        list(for_each(square, range(2), scheduler=address))
    gc.collect()  # a client that was made in vain waits for 40 s when it is deleted
    assert time.monotonic() - begin < 10


def test_a_server_of_another_kind_is_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="the cluster extra is not installed")
    monkeypatch.setattr("pipelines.parallel._SECONDS_TO_CONNECT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UsageError, match="no Dask scheduler"):
        check_scheduler(f"tcp://127.0.0.1:{silent.getsockname()[1]}")


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "import os, sys, time\nfrom pathlib import Path\nfrom pipelines.parallel import for_each\n"
        "def work(n):\n    Path(sys.argv[1], str(os.getpid())).touch()\n    time.sleep(60)\n"
        "if __name__ == '__main__':\n    list(for_each(work, range(2), workers=2))\n"
    )
    script = tmp_path / "run.py"
    script.write_text(program)
    pids = tmp_path / "pids"
    pids.mkdir()
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, script, pids], env={**os.environ, "PYTHONPATH": str(root)}) as parent:
        wait_until(lambda: len(list(pids.iterdir())) == 2)
        parent.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid.name}").exists() or alive(int(pid.name)) for pid in pids.iterdir()))


INTERRUPTED = """
import signal, sys, time
from pathlib import Path
from pipelines.parallel import for_each

folder = Path(sys.argv[1])

def work(n):
    half = folder / f"half-{n}"
    half.touch()
    (folder / f"begun-{n}").touch()
    try:
        time.sleep(60)
    finally:
        half.unlink()

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell may have switched off
    try:
        list(for_each(work, range(9), workers=2))
    except KeyboardInterrupt:
        sys.exit(130)
else:
    (folder / f"imports-{time.monotonic_ns()}").touch()
    time.sleep(1)
"""


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="no process groups that are sent a signal")
@pytest.mark.parametrize(("moment", "begun"), [("imports", set()), ("begun", {"begun-0", "begun-1"})])
def test_ctrl_c_ends_all_processes_silently_and_leaves_nothing_half_done(
    tmp_path: Path, moment: str, begun: set[str]
) -> None:
    script = tmp_path / "run.py"
    script.write_text(INTERRUPTED)
    folder = tmp_path / "files"
    folder.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, script, folder]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as parent:
        wait_until(lambda: len(list(folder.glob(f"{moment}-*"))) == 2)
        os.killpg(parent.pid, signal.SIGINT)
        output, _ = parent.communicate(timeout=30)  # of which one piece of work would take 60
    assert (parent.returncode, output) == (130, b"")
    assert {path.name for path in folder.iterdir() if not path.name.startswith("imports")} == begun


def wait_until(condition: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
