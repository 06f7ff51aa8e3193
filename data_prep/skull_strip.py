"""Skull stripping by a program of the user's own, such as HD-BET or SynthStrip."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from data_prep.errors import DataError, quote_private
from data_prep.readers.nifti import read_nifti, write_nifti
from data_prep.volume import Volume


def parse_command(command: str) -> list[str]:
    """The words of a command line; no shell is involved when it runs.

    Raises:
        DataError: when it names no `{input}` or `{output}`, or its quotes do not match.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise DataError(f"--skull-strip {command!r} cannot be read: {error}") from error
    for place in ("{input}", "{output}"):
        if not any(place in word for word in words):
            raise DataError(f'--skull-strip must name {place}, as in "hd-bet -i {{input}} -o {{output}}"')
    return words


def strip_skull(volume: Volume, command: str) -> np.ndarray:
    """Run the command on the first channel.

    Args:
        volume: the patient's channels; the first is written to `{input}` as NIfTI.
        command: what writes the stripped image, or a brain mask, to `{output}`, a NIfTI name.

    Returns:
        (I, J, K) bool in RAS+ order: voxels that are not 0 in the output.

    Raises:
        DataError: when the command cannot start, fails, or leaves no usable image on the same grid.
    """
    path = volume.paths[0]
    with tempfile.TemporaryDirectory(prefix="fpgan-") as folder:
        given, made = Path(folder) / "input.nii.gz", Path(folder) / "output.nii.gz"
        write_nifti(given, volume.source.from_ras(volume.channels[0]), volume.source.affine, source=volume.source)
        words = [word.replace("{input}", str(given)).replace("{output}", str(made)) for word in parse_command(command)]
        try:
            done = subprocess.run(words, capture_output=True, check=False, stdin=subprocess.DEVNULL)
        except OSError as error:
            raise DataError(f"skull stripping: {words[0]!r} cannot be started ({error.strerror})", path=path) from error
        if done.returncode:
            said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
            last = f": {quote_private(said[-1].strip())}" if said else ""
            raise DataError(f"skull stripping: {words[0]} ended with status {done.returncode}{last}", path=path)
        if not made.exists():
            raise DataError(f"skull stripping: {words[0]} wrote no {{output}}", path=path)
        try:
            stripped = read_nifti(made)
        except DataError as error:
            raise DataError(f"skull stripping: its output {str(error).removeprefix(str(made))}", path=path) from error
        difference = stripped.difference_from(volume)
        if difference:
            raise DataError(f"skull stripping: its output has {difference}", path=path)
        return stripped.channels[0] != 0
