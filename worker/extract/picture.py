"""A picture's bytes: are they one, of a kind we take, and how large. The only file that imports Pillow.

Nothing is decoded before the header's size passed the cap, and one picture at a time: they come by the dozen in
threads, and a large one takes as much memory as all the rest of a process. SVG, EPS, TIFF and the like are never handed
to a reader.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import threading
import zlib
from dataclasses import dataclass
from typing import Final

from PIL import Image, UnidentifiedImageError

from worker.errors import QuarantineError

# Pillow's own cap is one number for the whole process; ours is an argument, and decides before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

FORMATS: Final = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
    "MPO": "image/jpeg",  # Pillow's name for a JPEG with more pictures behind the first: many cameras write it
}
_READERS: Final = ("JPEG", "PNG", "WEBP", "GIF", "AVIF")
MIN_SIDE = 100  # pixels; smaller are tracking pixels, icons and portraits of authors: lead pictures start at about 240
MAX_SCANS = 30  # of a JPEG: encoders write up to about 15, and each is a walk over the whole picture for the decoder
MAX_DECODING_BYTES = 256 * 1024 * 1024
# What decoding takes: a JPEG's coefficients; the other decoders' canvases, their output, and Pillow's copy of that. PNG
# and GIF take one to four, which the cap on pixels bounds well enough.
_BYTES_PER_PIXEL: Final = {"JPEG": 6, "MPO": 6, "WEBP": 16, "AVIF": 16}
_ORIENTATION = 0x0112  # EXIF
_TURNED = range(5, 9)  # orientations that swap width and height
# What decoders of hostile bytes raise. Not Exception: Celery's time limit is none of theirs and has to get through.
_BROKEN: Final = (
    OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError, RuntimeError,
    SyntaxError, EOFError, struct.error, zlib.error,
)  # fmt: skip
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")  # less those within coded data, and those without a length
_SCAN, _END = 0xDA, 0xD9
_decoding = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPicture:
    """Facts about bytes that are a picture; sizes as a viewer shows it, after EXIF rotation."""

    media_type: str
    width: int
    height: int
    sha256: str


def check_picture(data: bytes, *, max_pixels: int) -> CheckedPicture:
    """Read the header, then decode the first frame once, unless that would take more than MAX_DECODING_BYTES.

    A JPEG, WebP or AVIF of that size is believed, as far as opening it shows nothing: of a WebP it shows every cut.

    Args:
        data: The bytes as received.
        max_pixels: Largest width times height that is accepted.

    Raises: QuarantineError: ``not-a-picture``, ``unsupported-picture`` (SVG, TIFF, …), ``too-many-pixels``,
        ``too-many-scans`` (a JPEG that costs more than it shows), ``too-small`` (a side below MIN_SIDE),
        ``truncated-picture`` (its data is cut or broken).
    """
    with _decoding, _opened(data) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise QuarantineError("too-many-pixels", f"{width} x {height} pixels, allowed are {max_pixels}")
        if min(width, height) < MIN_SIDE:
            raise QuarantineError("too-small", f"{width} x {height} pixels, a lead picture has {MIN_SIDE} a side")
        kind = image.format or ""
        if FORMATS[kind] == "image/jpeg" and _scan_count(data) > MAX_SCANS:
            raise QuarantineError("too-many-scans", f"more than {MAX_SCANS} scans in a JPEG")
        turned = _read(image, decode=width * height * _BYTES_PER_PIXEL.get(kind, 0) <= MAX_DECODING_BYTES)
    if turned:
        width, height = height, width
    return CheckedPicture(media_type=FORMATS[kind], width=width, height=height, sha256=hashlib.sha256(data).hexdigest())


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=_READERS)
    except UnidentifiedImageError as error:
        raise _unknown(data) from error
    except Image.DecompressionBombError as error:
        raise QuarantineError("too-many-pixels", "more pixels than Pillow opens") from error
    except _BROKEN as error:
        raise _unknown(data) from error


def _unknown(data: bytes) -> QuarantineError:
    start = data[:512].lstrip().lower()
    if not data:
        return QuarantineError("not-a-picture", "no bytes")
    known = (b"<svg", b"%!ps", b"ii*\x00", b"mm\x00*", b"8bps", b"\x00\x00\x01\x00", b"bm", b"dds ", b"simple  =")
    if start.startswith(known) or data[:4] == b"\x00\x00\x01\x00" or b"<svg" in start:
        return QuarantineError("unsupported-picture", "only JPEG, PNG, WebP, GIF and AVIF are taken")
    if data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or data[8:12] == b"WEBP" or data[4:12] == b"ftypavif":
        return QuarantineError("truncated-picture", "cut or broken before anything could be read")
    return QuarantineError("not-a-picture", "no picture format known here")


def _scan_count(data: bytes) -> int:
    """The scans of a JPEG's first picture, by its markers; no more than MAX_SCANS + 1 are counted.

    Source: ITU-T T.81 annex B: a marker's segment begins with its length; within coded data 0xFF is followed by zero.
    """
    count, position = 0, len(b"\xff\xd8")
    while count <= MAX_SCANS and (marker := _MARKER.search(data, position)):
        if marker[1][0] == _END:
            break
        count += marker[1][0] == _SCAN
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
    return count


def _read(image: Image.Image, *, decode: bool) -> bool:
    """Read EXIF data and, if asked for, the first frame to its end. Returns: whether a viewer turns it by a quarter."""
    try:
        orientation = image.getexif().get(_ORIENTATION)
        if decode:
            image.draft("L", (1, 1))  # puts a JPEG out in grey and at an eighth; all its data is read for that, too
            image.load()
    except _BROKEN as error:
        raise QuarantineError("truncated-picture", f"cut or broken: {type(error).__name__}") from error
    return orientation in _TURNED
