"""The rooms of the house: three packages know nothing of each other, the fourth composes them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = {"anomaly_fpgan", "data_prep", "evaluation", "pipelines"}
FORBIDDEN = {
    "anomaly_fpgan": ROOMS - {"anomaly_fpgan"} | {"nibabel", "pandas"},
    "data_prep": ROOMS - {"data_prep"} | {"torch", "monai", "ignite"},
    "evaluation": ROOMS - {"evaluation"} | {"torch", "ignite", "nibabel", "pandas", "pathlib"},
}


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_no_room_imports_through_a_wall(room: str) -> None:
    crossings = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in (ROOT / room).rglob("*.py")
        for name in _imported_packages(file)
        if name in FORBIDDEN[room]
    ]
    assert not crossings


def test_the_walls_would_be_noticed(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("import torch.nn\nfrom data_prep.cohort import Cohort\n")
    assert _imported_packages(file) == {"torch", "data_prep"}


def test_command_line_and_worker_modules_do_not_load_torch() -> None:
    modules = (
        "pipelines.cli, pipelines.parallel, data_prep.cohort_writer, data_prep.synthetic, anomaly_fpgan, "
        "evaluation.numbers"
    )
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def _imported_packages(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names
