"""Two processes never write into one output at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.errors import UsageError
from pipelines.output import Existing, claim_output

pytest.importorskip("fcntl", reason="nothing is locked here")

PROGRAM = """
import multiprocessing, sys, time
from pathlib import Path
from pipelines.output import Existing, claim_output

if __name__ == "__main__":
    claim_output(Path(sys.argv[1]), Existing(sys.argv[2]), command="report")
    children = [multiprocessing.get_context(way).Process(target=time.sleep, args=(60,)) for way in sys.argv[3:]]
    for child in children:
        child.start()
    print(*(child.pid for child in children), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other_run(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a process that claims an output, and may have children."""
    script = tmp_path / "other_run.py"
    script.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    def start(output: Path, existing: Existing, *ways: str) -> subprocess.Popen[str]:
        command = [sys.executable, script, output, existing.value, *ways]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)

    return start


@contextmanager
def claimed(run: subprocess.Popen[str]) -> Iterator[list[int]]:
    """While the process holds its output; the ids of its children."""
    with run:
        try:
            assert run.stdout is not None
            yield [int(pid) for pid in run.stdout.readline().split()]
        finally:
            run.kill()


def claim(output: Path, existing: Existing) -> None:
    claim_output(output, existing, command="report")


@pytest.mark.parametrize("existing", list(Existing))
def test_an_output_that_another_process_writes_is_refused_until_it_dies(
    other_run: Callable[..., subprocess.Popen[str]], tmp_path: Path, existing: Existing
) -> None:
    output = tmp_path / "out"
    with claimed(other_run(output, Existing.REFUSE)):
        (output / "patient").mkdir()
        with pytest.raises(UsageError, match="another run is writing there; wait for it, or give another folder"):
            claim(output, existing)
        assert (output / "patient").is_dir()
    (output / "patient").rmdir()
    claim(output, existing)


def test_a_process_claims_its_output_again_and_keeps_it(
    other_run: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    claim(output, Existing.REFUSE)
    claim(output / "nested", Existing.REFUSE)
    claim(output, Existing.RESUME)
    assert (output / "nested").is_dir()
    claim(output, Existing.OVERWRITE)
    assert [path.name for path in output.iterdir()] == [".fpgan"]
    claim(output / "nested", Existing.REFUSE)
    _, problem = other_run(output, Existing.OVERWRITE).communicate(timeout=60)
    assert "another run is writing there" in problem
    assert (output / "nested").is_dir()


@pytest.mark.parametrize("way", ["spawn", "fork"])
def test_children_that_outlive_their_parent_hold_nothing(
    other_run: Callable[..., subprocess.Popen[str]], tmp_path: Path, way: str
) -> None:
    output = tmp_path / "out"
    with claimed(other_run(output, Existing.REFUSE, way)) as children:
        pass
    os.kill(children[0], 0)
    claim(output, Existing.REFUSE)
    os.kill(children[0], signal.SIGKILL)


def test_more_outputs_than_files_can_be_open_are_claimed(tmp_path: Path) -> None:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    former = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
    try:
        for number in range(300):
            claim(tmp_path / str(number), Existing.REFUSE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, former)
