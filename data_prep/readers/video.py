"""Videos (mp4, avi, mov, mkv), each frame a slice, to `Volume`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from math import floor, isfinite
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from data_prep.errors import DataError
from data_prep.grid import MAX_VOXELS
from data_prep.readers.foreign import HEAD_BYTES, bounded_by_memory, opened, refuse_foreign
from data_prep.readers.slice_stack import volume_of
from data_prep.volume import Volume

_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm"
"""No play lists: they would make FFmpeg open other files and addresses."""
_MAX_FRAME_PIXELS = 2**26
_TOLERANCE = 1e-6
"""Part of a frame's interval by which its time may be early through rounding."""


def read_video(path: Path, *, frames_per_second: float | None = None, color: bool = False) -> Volume:
    """Read frames as the axial slices of a volume: (1, I, J, K) gray, or (3, I, J, K) RGB with `color`, in [0, 1].

    `to_slices(volume.array[c], "axial")[k]` is frame k as a screen shows it. With `frames_per_second` the first frame
    of each interval of that length is taken, by the times at which frames are shown; otherwise every frame. A pixel
    counts as 1 mm, and so does the distance of frames.

    Raises:
        DataError: when the file is missing, damaged, no video, too large, or when PyAV is not installed.
    """
    path = Path(path)
    if frames_per_second is not None and not (isfinite(frames_per_second) and frames_per_second > 0):
        raise DataError(f"frames_per_second must be a number above 0, got {frames_per_second}")
    av = _import_av()
    with opened(path) as file:
        refuse_foreign(path, file.read(HEAD_BYTES))
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with bounded_by_memory(path):
        frames = _read_frames(av, path, frames_per_second, color)
        stack = np.empty((3 if color else 1, len(frames), *frames[0].shape[:2]), np.float32)
        for index, frame in enumerate(frames):
            stack[:, index] = np.moveaxis(frame, -1, 0) if color else frame
        stack /= 255
    return volume_of(stack, path, digest)


def _import_av() -> ModuleType:
    try:
        import av
        import av.logging
    except ImportError as error:
        raise DataError("videos need PyAV; install it with `pip install 'fpgan[video]'`") from error
    av.logging.set_level(None)
    return av


def _read_frames(av: ModuleType, path: Path, frames_per_second: float | None, color: bool) -> list[np.ndarray]:
    """uint8 pictures (H, W), or (H, W, 3) with `color`; at least one, and all of one size."""
    frames: list[np.ndarray] = []
    try:
        # An absolute path cannot be taken for an address or a protocol.
        with av.open(path.absolute(), options={"format_whitelist": _CONTAINERS}) as container:
            if not container.streams.video:
                raise DataError("has no video stream; it may hold sound only", path=path)
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            stream.codec_context.options = {"max_pixels": str(_MAX_FRAME_PIXELS)}
            _check_promises(path, container, stream, frames_per_second, color)
            for frame in _at_times(container.decode(stream), stream, frames_per_second):
                frames.append(_picture(frame, color))
                if frames[-1].shape != frames[0].shape:
                    raise DataError("changes its size from frame to frame; convert it to one size", path=path)
                if len(frames) * frames[0].size > MAX_VOXELS:
                    raise _too_large(path, frames[0].shape[:2])
    except DataError:
        raise
    except Exception as error:  # FFmpeg and its wrapper raise many kinds on damaged files
        what = getattr(error, "strerror", None) or str(error) or repr(error)
        raise DataError(f"is damaged or no video ({what}); convert it to mp4", path=path) from error
    if not frames:
        raise DataError("has no frame that can be decoded; convert it to mp4", path=path)
    return frames


def _at_times(frames: Iterator[Any], stream: Any, frames_per_second: float | None) -> Iterator[Any]:
    """The first of all frames in each interval; those that have no time are taken for evenly spaced."""
    last = -1
    start: float | None = None
    for index, frame in enumerate(frames):
        if frames_per_second is None:
            yield frame
            continue
        time = index / float(stream.average_rate) if frame.time is None else float(frame.time)
        start = time if start is None else start
        interval = floor((time - start) * frames_per_second + _TOLERANCE)
        if interval > last:
            last = interval
            yield frame


def _picture(frame: Any, color: bool) -> np.ndarray:
    picture = np.asarray(frame.to_image().convert("RGB" if color else "L"))
    # Phones store which way they were held; the angle counts against the clock.
    return np.rot90(picture, round(frame.rotation / 90))


def _check_promises(path: Path, container: Any, stream: Any, frames_per_second: float | None, color: bool) -> None:
    seconds = float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / 1e6
    count = stream.frames or seconds * float(stream.average_rate or 0)
    if frames_per_second is not None and seconds:
        count = min(count, seconds * frames_per_second) if count else seconds * frames_per_second
    if count * stream.width * stream.height * (3 if color else 1) > MAX_VOXELS:
        raise _too_large(path, (stream.height, stream.width))


def _too_large(path: Path, size: tuple[int, ...]) -> DataError:
    problem = f"has too many frames of {size[1]} x {size[0]} pixels for one volume"
    return DataError(f"{problem}; take fewer with frames_per_second, or cut it", path=path)
