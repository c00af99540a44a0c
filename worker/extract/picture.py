"""A picture's bytes: are they one, of a kind we take, and how large. The only file that imports Pillow.

Nothing is decoded before the header's size passed the cap. SVG, EPS, TIFF and the like are never handed to a reader.
"""

from __future__ import annotations

import hashlib
import io
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
}
MIN_SIDE = 100  # pixels; smaller are tracking pixels, icons and portraits of authors: lead pictures start at about 240
_ORIENTATION = 0x0112  # EXIF
_TURNED = range(5, 9)  # orientations that swap width and height


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedPicture:
    """Facts about bytes that are a picture; sizes as a viewer shows it, after EXIF rotation."""

    media_type: str
    width: int
    height: int
    sha256: str


def check_picture(data: bytes, *, max_pixels: int) -> CheckedPicture:
    """Read the header, then decode the first frame once.

    Args:
        data: The bytes as received.
        max_pixels: Largest width times height that is decoded.

    Raises: QuarantineError: ``not-a-picture``, ``unsupported-picture`` (SVG, TIFF, …), ``too-many-pixels``,
        ``too-small`` (a side below MIN_SIDE), ``truncated-picture`` (header fine, data cut or broken).
    """
    image = _opened(data)
    with image:
        width, height = image.size
        if width * height > max_pixels:
            raise QuarantineError("too-many-pixels", f"{width} x {height} pixels, allowed are {max_pixels}")
        if min(width, height) < MIN_SIDE:
            raise QuarantineError("too-small", f"{width} x {height} pixels, a lead picture has {MIN_SIDE} a side")
        media_type = FORMATS[image.format or ""]
        turned = _decode(image)
    if turned:
        width, height = height, width
    return CheckedPicture(media_type=media_type, width=width, height=height, sha256=hashlib.sha256(data).hexdigest())


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=tuple(FORMATS))
    except UnidentifiedImageError as error:
        raise _unknown(data) from error
    except Image.DecompressionBombError as error:
        raise QuarantineError("too-many-pixels", "more pixels than Pillow opens") from error
    except Exception as error:
        # Decoders of hostile bytes raise whatever they meet: struct.error, IndexError, OSError, SyntaxError, …
        raise _unknown(data) from error


def _unknown(data: bytes) -> QuarantineError:
    start = data[:512].lstrip().lower()
    if not data:
        return QuarantineError("not-a-picture", "no bytes")
    known = (b"<svg", b"%!ps", b"ii*\x00", b"mm\x00*", b"8bps", b"\x00\x00\x01\x00", b"bm", b"dds ", b"simple  =")
    if start.startswith(known) or data[:4] == b"\x00\x00\x01\x00" or b"<svg" in start:
        return QuarantineError("unsupported-picture", "only JPEG, PNG, WebP, GIF and AVIF are taken")
    if data[:3] == b"\xff\xd8\xff" or data[:8] == b"\x89PNG\r\n\x1a\n":
        return QuarantineError("truncated-picture", "cut inside its header")
    return QuarantineError("not-a-picture", "no picture format known here")


def _decode(image: Image.Image) -> bool:
    """Decode the first frame. Returns: whether a viewer turns it by a quarter."""
    try:
        orientation = image.getexif().get(_ORIENTATION)
        image.load()
    except Exception as error:
        raise QuarantineError("truncated-picture", f"cut or broken: {type(error).__name__}") from error
    return orientation in _TURNED
