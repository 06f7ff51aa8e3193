"""`CodecProcess`: compressed frames to pixels, without the risk that a damaged stream ends this process."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType

import numpy as np

from data_prep.errors import DataError
from data_prep.readers.dicom_codec_process import ANSWER, REQUEST
from data_prep.readers.dicom_codestream import read_codestream

SCRIPT = Path(__file__).with_name("dicom_codec_process.py")
SECONDS_PER_FRAME = 120.0
"""The largest slice takes about a second; a decoder that runs longer than this is caught in a loop."""
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")


class CodecProcess:
    """Starts its process with the first frame and ends it on leaving the `with` block."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> CodecProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def decode(
        self, stream: bytes, *, syntax: str, rows: int, columns: int, is_signed: bool, path: Path
    ) -> tuple[np.ndarray, int]:
        """One gray frame as unsigned integers, (rows, columns), and how many of their bits carry it.

        Raises:
            DataError: when the stream is no such, cut short, of another size than the header says, or damaged.
        """
        head = read_codestream(stream)
        if head is None:
            raise DataError(f"has pixel data that are no stream of its transfer syntax {syntax}", path=path)
        if (head.rows, head.columns, head.components) != (rows, columns, 1):
            raise DataError(
                f"holds {head.columns}×{head.rows} pixels of {head.components} components, but its header says "
                f"{columns}×{rows} of 1; export it again",
                path=path,
            )
        if not head.is_whole:
            raise DataError("is cut short: its compressed pixels have no end; copy it again", path=path)
        # gdcm decodes JPEG-LS of fewer than 8 bits to wrong values.
        if not 0 < head.bits <= 32 or (syntax in JPEG_LS and head.bits < 8):
            raise DataError(f"has samples of {head.bits} bits, which cannot be decoded; convert it first", path=path)
        size = 1 if head.bits <= 8 else 2 if head.bits <= 16 else 4
        request = REQUEST.pack(syntax.encode(), rows, columns, 8 * size, head.bits, is_signed, len(stream))
        pixels = self._ask(request + stream, rows * columns * size)
        if len(pixels) != rows * columns * size:
            raise DataError("has compressed pixels that cannot be decoded; it is damaged, copy it again", path=path)
        return np.frombuffer(pixels, f"<u{size}").reshape(rows, columns), head.bits

    def _ask(self, request: bytes, expected: int) -> bytes:
        """The answer to `request`; nothing where it is not of the `expected` size or the process died of it."""
        if self._process is None:
            command = [sys.executable, "-P", str(SCRIPT)]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        requests, answers = self._process.stdin, self._process.stdout
        if requests is None or answers is None:
            raise RuntimeError("the decoder runs without pipes")
        watch = threading.Timer(SECONDS_PER_FRAME, self._process.kill)
        watch.start()
        try:
            requests.write(request)
            requests.flush()
            head = answers.read(ANSWER.size)
            if len(head) < ANSWER.size or ANSWER.unpack(head) != (expected,):
                return b""
            return answers.read(expected)
        except OSError:  # the process is gone
            return b""
        finally:
            watch.cancel()
