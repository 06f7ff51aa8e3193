"""Patients with an unmistakable text wherever a header can hold one, and a search for it through every output file."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom import dcmread
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.sequence import Sequence as Items

MARK = "ZQPLANT"
"""Begins every planted text; eight hexadecimal digits of the element's tag follow."""
DATE, STUDY_DATE, TIME, AGE, NUMBER = "19310417", "19320518", "134759.246813", "089Y", "739184620"
ISO_DATES = {DATE: "1931-04-17", STUDY_DATE: "1932-05-18"}

_TEXTS = ("PN", "LO", "SH", "ST", "LT", "UT", "UC", "UR", "AE", "CS", "DA", "TM", "DT", "AS", "UI")
_NUMBERS = ("IS", "DS")
_NUMBERED_GROUPS = (0x0010, 0x0032, 0x0038)
_NEEDED = {
    # what tells slices from other objects and series from each other
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
    *("FrameOfReferenceUID", "Modality", "ImageType", "ConcatenationUID"),
    # what pixels and their places are read with
    *("PhotometricInterpretation", "LossyImageCompression"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "ModalityLUTSequence"),
    *("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence", "PixelValueTransformationSequence"),
}
_ELEMENTS = [
    (tag, vr, keyword)
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items()
    if 0x0002 < tag >> 16 < 0x7FE0 and keyword and keyword not in _NEEDED
]


def plant_dicom(dataset: Dataset, *, nested: bool = True) -> None:
    """Put a text into every element of the dictionary that can hold one, and into every sequence an item of such.

    Left as they are: what makes the object an image, its pixels and their places, and the UIDs that reports keep.
    """
    for tag, vr, _ in _ELEMENTS:
        if vr in _TEXTS or (vr in _NUMBERS and tag >> 16 in _NUMBERED_GROUPS):
            dataset.add_new(tag, vr, _value(tag, vr))
        elif vr == "SQ" and nested:
            dataset.add_new(tag, vr, Items([_item(tag)]))
    dataset.StudyDate = STUDY_DATE
    dataset.SeriesNumber = dataset.AcquisitionNumber = int(NUMBER)
    dataset.add_new(0x60000022, "LO", _value(0x60000022, "LO"))  # OverlayDescription
    dataset.add_new(0x60001500, "LO", _value(0x60001500, "LO"))  # OverlayLabel
    _plant_private(dataset)
    dataset.add_new(0xFFFCFFFC, "OB", f"{MARK}FFFCFFFC ".encode())  # DataSetTrailingPadding


def plant_around(path: Path) -> None:
    """Put texts into the preamble and the file meta information of a DICOM file."""
    dataset = dcmread(path)
    dataset.preamble = f"{MARK}00000000".encode().ljust(128, b" ")
    for keyword in ("SourceApplicationEntityTitle", "SendingApplicationEntityTitle", "ReceivingApplicationEntityTitle"):
        setattr(dataset.file_meta, keyword, f"{MARK}00020016")
    dataset.file_meta.ImplementationVersionName = f"{MARK}00020013"
    dataset.file_meta.PrivateInformationCreatorUID = f"1.2.{NUMBER}"
    dataset.file_meta.PrivateInformation = f"{MARK}00020102 ".encode()
    dataset.save_as(path, enforce_file_format=True)


def pack(folder: Path, archive: Path) -> Path:
    """All files of a folder as a zip archive, whose comment and names of members tell whose they are."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.comment = f"{MARK} comment".encode()
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, f"{MARK} member/{path.relative_to(folder)}")
    return archive


def plant_nifti(path: Path) -> Path:
    """Put texts into the header of a `.nii.gz`, into extensions, behind its voxels, and into the header of gzip."""
    image = nib.load(path)
    array = np.asarray(image.dataobj)
    for code, text in ((6, "comment"), (4, "<AFNI_attributes>"), (44, '{"PatientName": "PATIENT"}')):
        image.header.extensions.append(nib.nifti1.Nifti1Extension(code, f"{text} {MARK}{code:08X}".encode()))
    dataset = Dataset()
    dataset.PatientName, dataset.PatientBirthDate = _value(0x00100010, "PN"), DATE
    image.header.extensions.append(nib.nifti1.Nifti1DicomExtension(2, dataset))
    raw = bytearray(nib.Nifti1Image(array, image.affine, image.header).to_bytes())
    for offset, longest in ((4, 10), (14, 18), (148, 80), (228, 24), (328, 16)):
        # data_type, db_name, descrip, aux_file, intent_name
        raw[offset : offset + longest] = f"{MARK}{offset:08X}"[:longest].encode().ljust(longest, b"\0")
    raw += f" {MARK} behind the voxels {DATE}".encode()
    with path.open("wb") as file, gzip.GzipFile(f"{MARK}.nii", "wb", fileobj=file) as packed:
        packed.write(raw)
    return path


def write_bids(root: Path, image: Path) -> Path:
    """A BIDS data set of one subject, the channel of which is the file `image`, with names in all that goes with it."""
    target = root / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz"
    target.parent.mkdir(parents=True)
    target.write_bytes(image.read_bytes())
    texts = {"PatientName": f"{MARK}^NAME", "PatientBirthDate": DATE, "InstitutionName": f"{MARK} HOSPITAL"}
    target.with_name("sub-01_FLAIR.json").write_text(json.dumps(texts))
    (root / "dataset_description.json").write_text(
        json.dumps({"Name": f"{MARK} STUDY", "BIDSVersion": "1.8.0", "Authors": [f"{MARK} AUTHOR"]})
    )
    (root / "participants.tsv").write_text(f"participant_id\tname\tage\tbirth\nsub-01\t{MARK} NAME\t{AGE}\t{DATE}\n")
    (root / "participants.json").write_text(json.dumps({"name": {"Description": f"{MARK} DESCRIPTION"}}))
    (root / "README").write_text(f"{MARK} README")
    return root


def write_metaimage(path: Path, voxels: np.ndarray) -> Path:
    """A `.mha` of (I, J, K) int16 with comments and fields of its own."""
    header = (
        f"ObjectType = Image\nNDims = 3\nComment = {MARK} COMMENT\nPatientName = {MARK} NAME\nName = {MARK}\n"
        f"AcquisitionDate = {DATE}\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
        "TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 10 20 30\nElementSpacing = 0.8 1.5 4\n"
        f"DimSize = {' '.join(map(str, voxels.shape))}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.encode() + voxels.astype("<i2").tobytes(order="F"))
    return path


def write_nrrd(path: Path, voxels: np.ndarray) -> Path:
    """A `.nrrd` of (I, J, K) int16 with comments, a content and keys of its own."""
    header = (
        f"NRRD0005\n# {MARK} COMMENT\ntype: short\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {' '.join(map(str, voxels.shape))}\nspace directions: (0.8,0,0) (0,1.5,0) (0,0,4)\n"
        f"kinds: domain domain domain\nendian: little\nencoding: raw\ncontent: {MARK} CONTENT\n"
        f"space origin: (10,20,30)\nPatientName:={MARK} NAME\nStudyDate:={DATE}\n\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.encode() + voxels.astype("<i2").tobytes(order="F"))
    return path


def planted_in(folder: Path, *, also: tuple[str, ...] = (), allowed: tuple[str, ...] = ()) -> list[str]:
    """Where below `folder` a planted text stands, in a name or in a file, packed or not: `<file>: <text>`, sorted.

    Args:
        folder: what is searched, hidden files too.
        also: texts that are looked for beside those that `plant_dicom` and its like put in.
        allowed: texts that are not.
    """
    texts = [MARK, *ISO_DATES, *ISO_DATES.values(), TIME, NUMBER, *also]
    pattern = _pattern([text for text in texts if text not in allowed])
    age = re.compile(rf"\b{AGE}\b".encode())
    found = set()
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder).as_posix()
        found |= {f"{place}: its name has {_readable(hit)}" for hit in pattern.findall(path.name.encode().lower())}
        if path.is_file():
            raw = path.read_bytes()
            for view in _views(raw):
                found |= {f"{place}: {_readable(hit)}" for hit in pattern.findall(view.lower())}
            if any(age.search(view) for view in _short_texts(raw)):
                found.add(f"{place}: {AGE}")
    return sorted(found)


def _value(tag: int, vr: str) -> object:
    text = f"{MARK}{tag:08X}"
    values: dict[str, object] = {
        "PN": f"{text}^{MARK}^{MARK}={MARK}={MARK}",
        "UR": f"http://{text}.example/{MARK}",
        "DA": DATE,
        "TM": TIME,
        "DT": DATE + TIME,
        "AS": AGE,
        "UI": f"1.2.{NUMBER}.{tag}",
        "IS": int(NUMBER),
        "DS": f"{NUMBER}.5",
    }
    return values.get(vr, text)


def _item(tag: int) -> Dataset:
    """What any sequence can hold: names, codes, dates, references, private elements, and a sequence of these."""
    item = Dataset()
    for keyword in ("PatientName", "PatientID", "CodeMeaning", "CodeValue", "TextValue", "RequestedProcedureID"):
        item.add_new(keyword, "PN" if keyword == "PatientName" else "LO", _value(tag, "LO"))
    item.PatientBirthDate, item.ScheduledProcedureStepStartDateTime = DATE, DATE + TIME
    item.ReferencedSOPInstanceUID = f"1.2.{NUMBER}"
    inner = Dataset()
    inner.PersonName = _value(tag, "PN")
    _plant_private(inner)
    item.PersonIdentificationCodeSequence = Items([inner])
    return item


def _plant_private(dataset: Dataset) -> None:
    block = dataset.private_block(0x0029, f"{MARK}00290010", create=True)
    block.add_new(0x10, "LO", f"{MARK}00291010")
    block.add_new(0x11, "UN", f"{MARK}00291011 ".encode())
    block.add_new(0x12, "OB", f"{MARK}00291012 ".encode())
    item = Dataset()
    item.PatientName = f"{MARK}00291013"
    block.add_new(0x13, "SQ", Items([item]))


def _pattern(texts: list[str]) -> re.Pattern[bytes]:
    """Any of the texts, in lower case, in UTF-8 and in UTF-16 of either kind; digits of a tag may follow."""
    escaped = [re.escape(text.lower().encode(name)) for text in texts for name in ("utf-8", "utf-16-le", "utf-16-be")]
    return re.compile(b"(?:" + b"|".join(escaped) + rb")(?:[0-9a-f]{8})?")


def _readable(hit: bytes) -> str:
    text = hit.replace(b"\0", b"").decode().upper()
    digits = text[len(MARK) :]
    keyword = keyword_for_tag(int(digits, 16)) if text.startswith(MARK) and len(digits) == 8 else ""
    return f"{text} ({keyword})" if keyword else text


def _views(raw: bytes, depth: int = 3) -> Iterator[bytes]:
    """The bytes of a file, and those of all that is packed in them."""
    yield raw
    if depth:
        for inner in _unpacked(raw):
            yield from _views(inner, depth - 1)


def _unpacked(raw: bytes) -> Iterator[bytes]:
    # gzip and zlib streams stand anywhere: in PNG chunks, in PDF objects
    for start in re.finditer(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]", raw):
        yield from _inflated(raw[start.start() :], zlib.MAX_WBITS | 32)
    for text in re.finditer(rb"[A-Za-z0-9+/]{24,}={0,2}", raw):
        whole = text[0].rstrip(b"=")
        try:
            decoded = base64.b64decode(whole + b"=" * (-len(whole) % 4))
        except binascii.Error:
            continue
        yield decoded
        yield from _inflated(decoded, -zlib.MAX_WBITS)
    if raw.startswith(b"PK") and zipfile.is_zipfile(io.BytesIO(raw)):
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    if raw.startswith(b"%PDF"):
        yield from _pdf_texts(raw)
    if raw[128:132] == b"DICM":
        yield from _dicom_texts(raw)


def _inflated(raw: bytes, window: int) -> Iterator[bytes]:
    try:
        unpacked = zlib.decompressobj(window).decompress(raw, 2**26)
    except zlib.error:
        return
    if unpacked:
        yield unpacked


def _pdf_texts(raw: bytes) -> Iterator[bytes]:
    """What a page shows: glyphs, by the table of each font in turn, since fonts share no numbering."""
    streams = [raw[match.end() :] for match in re.finditer(rb"stream\r?\n", raw)]
    contents = [content for stream in streams for content in _inflated(stream, zlib.MAX_WBITS)]
    for table in (content for content in contents if b"beginbfchar" in content):
        letters = {
            code.lower(): bytes.fromhex(letter.decode()).decode("utf-16-be")
            for code, letter in re.findall(rb"<([0-9A-Fa-f]{4})> <([0-9A-Fa-f]+)>", table)
        }
        for content in contents:
            glyphs = b"".join(re.findall(rb"<([0-9A-Fa-f]+)>", content)).lower() if b"TJ" in content else b""
            yield "".join(letters.get(glyphs[i : i + 4], "?") for i in range(0, len(glyphs), 4)).encode()


def _dicom_texts(raw: bytes) -> Iterator[bytes]:
    try:
        dataset = dcmread(io.BytesIO(raw))
    except InvalidDicomError:
        return
    for element in (*dataset.file_meta, *dataset.iterall()):
        if element.VR not in ("SQ", "OB", "OW"):
            yield str(element.value).encode()


def _short_texts(raw: bytes) -> Iterator[bytes]:
    """Readings in which four letters do not come by chance: text without data URIs, elements of DICOM."""
    if raw[128:132] == b"DICM":
        yield from _dicom_texts(raw)
    elif b"\0" not in raw:
        yield re.sub(rb"[A-Za-z0-9+/=]{24,}", b"", raw)
