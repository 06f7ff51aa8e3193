"""Decodes JPEG, JPEG-LS and JPEG 2000 frames in a process of its own. Run as a script, by `dicom_codec.CodecProcess`.

gdcm ends the process it runs in when some streams are damaged, and writes to its terminal. Here it can do both.
Requests come through standard input, answers leave through standard output; nothing of this package is imported.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import BinaryIO

import gdcm

REQUEST = struct.Struct("<64sIIHHHQ")
"""Transfer syntax, rows, columns, bits of the container, bits of a sample, whether signed, bytes of the stream."""
ANSWER = struct.Struct("<Q")
"""Bytes of the decoded frame, which follow; 0 where it could not be decoded."""


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the requests end."""
    while len(head := requests.read(REQUEST.size)) == REQUEST.size:
        syntax, rows, columns, container, bits, is_signed, length = REQUEST.unpack(head)
        stream = requests.read(length)
        try:
            pixels = decode(syntax.rstrip(b"\0").decode(), rows, columns, container, bits, is_signed, stream)
        except Exception:
            pixels = b""
        answers.write(ANSWER.pack(len(pixels)) + pixels)
        answers.flush()


def decode(syntax: str, rows: int, columns: int, container: int, bits: int, is_signed: int, stream: bytes) -> bytes:
    """The pixels of one gray frame, little-endian, row by row."""
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    image.SetPixelFormat(gdcm.PixelFormat(1, container, bits, bits - 1, is_signed))
    return image.GetBuffer().encode("utf-8", "surrogateescape")  # gdcm hands bytes over as text


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "wb") as output, open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        serve(sys.stdin.buffer, output)
