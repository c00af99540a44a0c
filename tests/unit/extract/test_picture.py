"""Bytes that claim to be a picture."""

from __future__ import annotations

import contextlib
import hashlib
import io
import struct
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from worker.errors import QuarantineError
from worker.extract.picture import MAX_SCANS, CheckedPicture, check_picture

CAP = 60_000_000


def encoded(kind: str, size: tuple[int, int] = (640, 360), mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 60).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def reason(data: bytes, *, max_pixels: int = CAP) -> str:
    with pytest.raises(QuarantineError) as caught:
        check_picture(data, max_pixels=max_pixels)
    return caught.value.reason


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "image/png"),
        ("WEBP", "image/webp"),
        ("GIF", "image/gif"),
        ("AVIF", "image/avif"),
    ],
)
def test_a_picture_is_measured(kind: str, media_type: str) -> None:
    data = encoded(kind)
    assert check_picture(data, max_pixels=CAP) == CheckedPicture(
        media_type=media_type, width=640, height=360, sha256=hashlib.sha256(data).hexdigest()
    )


def test_size_is_as_a_viewer_turns_it() -> None:
    """bad-inputs: Images, EXIF rotation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = check_picture(encoded("JPEG", exif=exif), max_pixels=CAP)
    assert (picture.width, picture.height) == (360, 640)


def test_a_jpeg_with_more_pictures_behind_it_is_a_jpeg() -> None:
    data = encoded("MPO", save_all=True, append_images=[Image.new("RGB", (320, 180))])
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "MPO"
    picture = check_picture(data, max_pixels=CAP)
    assert (picture.media_type, picture.width, picture.height) == ("image/jpeg", 640, 360)


def test_cmyk_is_a_picture_too() -> None:
    """bad-inputs: Images, CMYK JPEG."""
    assert check_picture(encoded("JPEG", mode="CMYK"), max_pixels=CAP).media_type == "image/jpeg"


def test_pixels_are_counted_before_anything_is_decoded() -> None:
    """bad-inputs: Images, PNG 10,000 × 10,000 1-bit, 12 KB."""
    header = struct.pack(">IIBBBBB", 10_000, 10_000, 1, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n"
    for name, content in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1251 * 10_000), 9)), (b"IEND", b"")):
        bomb += struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    assert len(bomb) < 20_000
    assert reason(bomb) == "too-many-pixels"
    assert reason(bomb, max_pixels=99_999_999) == "too-many-pixels"


def test_the_cap_is_the_argument_and_not_pillow_s() -> None:
    data = encoded("PNG", (640, 360), mode="1")
    assert check_picture(data, max_pixels=640 * 360).width == 640
    assert reason(data, max_pixels=640 * 360 - 1) == "too-many-pixels"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_cut_picture_is_flagged(kind: str) -> None:
    data = encoded(kind)
    assert reason(data[: len(data) // 2]) in {"truncated-picture", "not-a-picture"}


def test_a_jpeg_cut_in_its_data_is_truncated() -> None:
    """bad-inputs: Images, truncated JPEG."""
    data = encoded("JPEG")
    assert reason(data[: len(data) // 2]) == "truncated-picture"


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (99, 400), (400, 2)])
def test_a_pixel_an_icon_and_a_stripe_are_too_small(size: tuple[int, int]) -> None:
    """bad-inputs: Images, 1 × 1 pixel."""
    assert reason(encoded("PNG", size)) == "too-small"


@pytest.mark.parametrize("kind", ["TIFF", "BMP", "ICO", "EPS", "DDS", "PPM"])
def test_other_formats_are_not_opened(kind: str) -> None:
    """bad-inputs: Images, EPS, PSD, TIFF, ICO, FITS, DDS."""
    options = {"sizes": [(128, 128)]} if kind == "ICO" else {}
    assert reason(encoded(kind, **options)) in {"unsupported-picture", "not-a-picture"}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "unsupported-picture"),
        (b"<?xml version='1.0'?><svg/>", "unsupported-picture"),
        (
            b"<svg xmlns:x='http://www.w3.org/1999/xlink'><image x:href='file:///etc/passwd'/></svg>",
            "unsupported-picture",
        ),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "unsupported-picture"),
        (b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 640, 640, 8, 3) + bytes(16), "unsupported-picture"),
        (b"SIMPLE  =                    T".ljust(2880), "unsupported-picture"),
        (b"<!doctype html><html><body>404", "not-a-picture"),
        (b'{"status":"error","code":404}', "not-a-picture"),
        (b"", "not-a-picture"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "truncated-picture"),
    ],
    ids=[
        "SVG",
        "SVG behind a declaration",
        "SVG that refers to a file",
        "EPS",
        "PSD",
        "FITS",
        "an error page",
        "a proxy's error",
        "nothing",
        "a JPEG's first bytes",
    ],
)
def test_what_is_no_picture_is_named(data: bytes, name: str) -> None:
    """bad-inputs: Images, SVG with script; PSD and FITS, which Pillow reads but does not write."""
    assert reason(data) == name


@pytest.mark.parametrize(("kind", "media_type"), [("GIF", "image/gif"), ("PNG", "image/png"), ("WEBP", "image/webp")])
def test_only_the_first_frame_of_an_animation_is_decoded(kind: str, media_type: str) -> None:
    """bad-inputs: Images, animated GIF 50+ frames / APNG / WebP bomb."""
    frames = [Image.new("RGB", (1000, 1000), (number, 255 * (number % 2), 0)) for number in range(60)]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    with Image.open(io.BytesIO(buffer.getvalue())) as image:
        assert image.n_frames > 50
    began = time.process_time()
    picture = check_picture(buffer.getvalue(), max_pixels=1000 * 1000)
    assert time.process_time() - began < 0.5
    assert (picture.media_type, picture.width, picture.height) == (media_type, 1000, 1000)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_colour_profile_is_not_unpacked_without_bound(kind: str) -> None:
    """bad-inputs: Images, ICC bomb."""
    profile = bytes(50_000_000 if kind == "PNG" else 5_000_000)
    data = encoded(kind, icc_profile=profile) if kind != "PNG" else with_profile(zlib.compress(profile, 9))
    tracemalloc.start()
    began = time.process_time()
    with contextlib.suppress(QuarantineError):
        check_picture(data, max_pixels=CAP)
    spent_s, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert spent_s < 1
    assert peak < 30_000_000


def with_profile(packed: bytes) -> bytes:
    """A PNG whose colour profile unpacks to far more than it is."""
    data = encoded("PNG")
    chunk = b"iCCP" + b"bomb\0\0" + packed
    end_of_header = data.index(b"IHDR") + 4 + 13 + 4
    framed = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data[:end_of_header] + framed + data[end_of_header:]


def with_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is repeated until there are that many."""
    data = encoded("JPEG", (200, 200), "L", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * (count - data.count(b"\xff\xda")) + b"\xff\xd9"


def test_scans_of_a_jpeg_are_bounded() -> None:
    assert check_picture(with_scans(MAX_SCANS), max_pixels=CAP).width == 200
    assert reason(with_scans(MAX_SCANS + 1)) == "too-many-scans"


@pytest.mark.parametrize("hiding", [b"\xff\x01", b"\xff\xd3", b"\xff\xff", b"\0"], ids=["TEM", "RST", "fill", "stray"])
def test_scans_cannot_be_hidden_from_the_count(hiding: bytes) -> None:
    data = with_scans(MAX_SCANS + 1)
    first = data.index(b"\xff\xda")
    assert reason(data[:first] + hiding + data[first:]) in {"too-many-scans", "truncated-picture"}


def test_what_looks_like_a_scan_and_is_none_does_not_count() -> None:
    thumbnail = b"Exif\0\0" + b"\xff\xda" * 2_000
    assert check_picture(encoded("JPEG", exif=thumbnail) + b"\xff\xda" * 2_000, max_pixels=CAP).width == 640


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_what_would_take_too_much_memory_is_measured_but_not_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(kind)
    monkeypatch.setattr("worker.extract.picture.MAX_DECODING_BYTES", 16 * 640 * 360 - 1)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", never)
    assert check_picture(data, max_pixels=CAP).width == 640
    assert reason(data[: len(data) // 2]) == "truncated-picture"


def never(*_: object) -> None:
    raise AssertionError("decoded")


def test_one_picture_at_a_time_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data, load = encoded("WEBP"), ImageFile.ImageFile.load
    at_work: list[int] = []
    most: list[int] = []

    def watched(image: ImageFile.ImageFile) -> object:
        at_work.append(1)
        time.sleep(0.01)
        most.append(len(at_work))
        at_work.pop()
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", watched)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: check_picture(data, max_pixels=CAP), range(16)))
    assert max(most) == 1


def test_a_time_limit_is_no_trouble_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    class SoftTimeLimitExceeded(Exception):  # noqa: N818 - billiard's name and base
        pass

    def interrupted(_: object) -> None:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", interrupted)
    with pytest.raises(SoftTimeLimitExceeded):
        check_picture(encoded("PNG"), max_pixels=CAP)


PNG = encoded("PNG", (120, 120))
JPEG = encoded("JPEG", (120, 120))


@given(st.sampled_from([PNG, JPEG]), st.integers(0, 2_000), st.binary(min_size=1, max_size=6))
def test_damaged_bytes_have_a_named_outcome(data: bytes, at: int, junk: bytes) -> None:
    damaged = data[:at] + junk + data[at + len(junk) :]
    with contextlib.suppress(QuarantineError):
        check_picture(damaged, max_pixels=CAP)
