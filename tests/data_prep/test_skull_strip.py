"""Skull stripping by a command of the user's own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_prep.case import Case
from data_prep.errors import DataError
from data_prep.patient import prepare_patient
from data_prep.settings import CohortSettings
from data_prep.skull_strip import parse_command

STRIP = """
import sys
import nibabel as nib
import numpy as np
image = nib.load(sys.argv[1])
array = np.asarray(image.dataobj)
array[:, :30] = 0
nib.save(nib.Nifti1Image({what}, image.affine), sys.argv[2])
print("noise on standard output")
{ending}
"""


@pytest.fixture
def strip(tmp_path: Path, make_settings: Callable[..., CohortSettings]) -> Callable[..., CohortSettings]:
    """`strip()`: settings with a command that keeps what lies behind the 30th row of the file."""

    def build(*, ending: str = "", what: str = "array", interpreter: str = sys.executable) -> CohortSettings:
        program = tmp_path / "my strip.py"
        program.write_text(STRIP.format(what=what, ending=ending))
        command = f"{interpreter} '{program}' {{input}} {{output}}"
        return make_settings(skull_strip=command, foreground="mask")

    return build


def test_what_the_command_leaves_is_the_foreground(
    make_case: Callable[..., Case], strip: Callable[..., CohortSettings]
) -> None:
    case = make_case(lesion={5: 6})
    prepared = prepare_patient(case, strip())
    # 4 mm pixels in a window of 48: the file's rows run backwards, so what is kept lies below row 30 of the image.
    rows = np.flatnonzero((prepared.images > 0).any(axis=(0, 1, 3)))
    bottom = prepared.patient["crop_box"][0]
    assert rows.min() == 30 - bottom
    assert prepare_patient(case, strip(what="(array != 0).astype(np.uint8)")).images.tobytes() == (
        prepared.images.tobytes()
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ending": "sys.exit('no GPU found')"}, "ended with status 1: “no GPU found”"),
        ({"ending": "import os; os.remove(sys.argv[2])"}, "wrote no {output}"),
        ({"ending": "open(sys.argv[2], 'w').write('x')"}, "its output"),
        ({"what": "array[:-1]"}, "its output has shape"),
        ({"interpreter": "no-such-program"}, "'no-such-program' cannot be started"),
    ],
)
def test_a_command_that_fails_is_told_with_the_patient(
    make_case: Callable[..., Case], strip: Callable[..., CohortSettings], changes: dict[str, str], message: str
) -> None:
    case = make_case()
    with pytest.raises(DataError) as caught:
        prepare_patient(case, strip(**changes))
    assert str(caught.value).startswith(f"{case.images['flair'].files[0]}: skull stripping: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", ["hd-bet -i {input}", "hd-bet {output}", "hd-bet", "hd-bet '{input} {output}"])
def test_a_command_without_places_is_refused_before_anything_runs(command: str) -> None:
    with pytest.raises(DataError, match="--skull-strip"):
        parse_command(command)
