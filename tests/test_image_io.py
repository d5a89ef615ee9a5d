import base64
import io
import sys

import cv2
import numpy as np
import pytest
from drawn_faces import bare, broken_files, encode, files, turned
from PIL import Image

from shared.faces.image_io import (
    NEUTRAL,
    UnusableImageError,
    decode,
    decode_sizes,
    read_jpeg_header,
    read_size,
)

ORIENTATIONS = range(1, 9)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference in grey levels."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(float) - other).mean())


@pytest.mark.parametrize(("form", "times"), [("JPEG", 1), ("PNG", 1), ("TIFF", 1), ("JPEG", 4)])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_images_come_out_upright_and_know_their_full_size(orientation: int, form: str, times: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    large = cv2.resize(bare().pixels, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    image = decode(encode(turned(large, orientation), form, exif=exif))
    assert (image.width, image.height) == (384 * times, 512 * times)
    assert image.scale == times / (2 if times > 1 else 1)
    assert difference(cv2.resize(image.pixels, (384, 512), interpolation=cv2.INTER_AREA), bare().pixels) < 4


def test_grey_becomes_rgb() -> None:
    grey = cv2.cvtColor(bare().pixels, cv2.COLOR_RGB2GRAY)
    for form in ("JPEG", "PNG"):
        pixels = decode(encode(grey, form)).pixels
        assert difference(pixels[:, :, 0], grey) < 2
        assert (pixels[:, :, :1] == pixels).all()


def test_cmyk_becomes_rgb() -> None:
    file = io.BytesIO()
    Image.fromarray(bare().pixels).convert("CMYK").save(file, "JPEG", quality=95)
    assert difference(decode(file.getvalue()).pixels, bare().pixels) < 3


def test_sixteen_bits_become_eight() -> None:
    grey = cv2.cvtColor(bare().pixels, cv2.COLOR_RGB2GRAY)
    _, png = cv2.imencode(".png", grey.astype(np.uint16) * 257)
    assert difference(decode(png.tobytes()).pixels[:, :, 1], grey) < 1
    _, png = cv2.imencode(".png", cv2.cvtColor(bare().pixels, cv2.COLOR_RGB2BGR).astype(np.uint16) * 257)
    assert difference(decode(png.tobytes()).pixels, bare().pixels) < 1


def test_float_tiffs_are_scaled_to_their_brightest_value() -> None:
    levels = np.array([[0.0, 0.5], [1.0, 2.0]], np.float32)
    assert decode(encode(levels, "TIFF")).pixels[:, :, 0].tolist() == [[0, 63], [127, 255]]


def test_transparent_parts_become_neutral_grey() -> None:
    for mode in ("RGBA", "LA", "PA"):
        image = Image.fromarray(bare().pixels).convert("RGBA")
        image.putalpha(Image.fromarray(np.vstack([np.zeros((256, 384)), np.full((256, 384), 255)]).astype(np.uint8)))
        file = io.BytesIO()
        image.convert("LA" if mode == "LA" else "RGBA").save(file, "PNG") if mode != "PA" else image.quantize().save(
            file, "PNG"
        )
        pixels = decode(file.getvalue()).pixels
        assert (pixels[:256] == NEUTRAL).all(), mode
        assert pixels[256:].std() > 10


def test_of_an_animation_the_first_frame_counts() -> None:
    first = Image.fromarray(bare().pixels)
    for form in ("GIF", "WEBP", "PNG"):
        file = io.BytesIO()
        first.save(file, form, save_all=True, append_images=[Image.new("RGB", first.size)], duration=100)
        assert difference(decode(file.getvalue()).pixels, bare().pixels) < 12, form


@pytest.mark.parametrize("form", ["PNG", "BMP", "WEBP", "TIFF", "GIF"])
def test_the_content_counts_and_not_the_suffix(form: str) -> None:
    assert decode(encode(bare().pixels, form)).pixels.shape == (512, 384, 3)


@pytest.mark.parametrize(("data", "reason"), broken_files().values(), ids=broken_files())
def test_an_unusable_file_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UnusableImageError, match=f"^{reason}$"):
        decode(data)


@pytest.mark.parametrize("tenth", [1, 4, 6, 9])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "progressive"])
def test_a_file_cut_short_is_refused_unless_it_is_a_jpeg_that_lacks_little(form: str, tenth: int) -> None:
    progressive = {"progressive": True, "optimize": True} if form == "progressive" else {}
    data = encode(bare().pixels, "PNG" if form == "PNG" else "JPEG", **progressive)
    if (form, tenth) == ("JPEG", 9):
        image = decode(data[: len(data) * tenth // 10])
        assert image.remark == "truncated"
        assert difference(image.pixels[:384], bare().pixels[:384]) < 3
    else:
        with pytest.raises(UnusableImageError):
            decode(data[: len(data) * tenth // 10])


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_truncated_jpeg_that_is_turned_is_used_too(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(turned(bare().pixels, orientation), exif=exif)
    assert decode(data[: len(data) * 9 // 10]).remark == "truncated"
    with pytest.raises(UnusableImageError, match="truncated"):
        decode(data[: len(data) * 5 // 10])


HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAA"
    "ACJpbG9jAAAAAERAAAEAAQAAAAABoQABAAAAAAAAAEgAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRt"
    "AAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMA"
    "AAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5j"
    "bHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBp"
    "eGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAAFBtZGF0AAAARCgBrxOA9SeBP//YlR/+3Pnh93Z8xP/7k66P5wfH"
    "/4fI3bgMOuHoSA2InH37tZw8y4OzWfFXc/6Zp6oO+gBR9dgi51y6"
)
"""64 x 48 pixels, red at the left and blue at the right; made with pillow-heif."""


def test_heic_is_read_where_its_reader_is_installed() -> None:
    pytest.importorskip("pi_heif")
    pixels = decode(HEIC).pixels
    assert pixels.shape == (48, 64, 3)
    np.testing.assert_allclose(pixels[24, [8, 56]].astype(int), [[200, 40, 40], [40, 40, 200]], atol=8)


def test_heic_without_its_reader_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    with pytest.raises(UnusableImageError, match=r"^HEIC: pip install 'face18\[heic\]'$"):
        decode(HEIC)


def test_avif_is_read() -> None:
    assert difference(decode(encode(bare().pixels, "AVIF")).pixels, bare().pixels) < 5


@pytest.mark.parametrize("form", ["EPS", "PPM", "ICO", "PCX"])
def test_formats_that_are_not_named_are_no_images(form: str) -> None:
    with pytest.raises(UnusableImageError, match=r"^not an image$"):
        decode(encode(bare().pixels[:64, :64], form))


def test_the_end_of_an_embedded_thumbnail_is_not_taken_for_the_end_of_the_image() -> None:
    exif = Image.Exif()
    exif[0x010E] = files()[0].decode("latin-1")[-500:]
    data = encode(bare().pixels, exif=exif.tobytes() + files()[0][:3000] + b"\xff\xd9")
    assert decode(data).pixels.shape == (512, 384, 3)
    assert decode(data[:-2000]).remark == "truncated"


@pytest.mark.parametrize("times", [2, 4, 8])
def test_jpegs_decoded_at_reduced_size_keep_their_colours(times: int) -> None:
    small = cv2.resize(bare().pixels, (576, 768), interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, None, fx=times, fy=times, interpolation=cv2.INTER_NEAREST)
    image = decode(encode(large, quality=95))
    assert (image.width, image.height) == (times * 576, times * 768)
    assert difference(image.pixels, small) < 3


@pytest.mark.parametrize("options", [{"form": "JPEG"}, {"form": "JPEG", "progressive": True}, {"form": "PNG"}])
def test_an_image_that_is_decoded_once_has_the_pixels_of_each_size(options: dict) -> None:
    data = encode(np.tile(bare().pixels, (6, 9, 1)), **options)
    assert read_size(data) == (9 * 384, 6 * 512)
    for side, image in zip((768, 1600), decode_sizes(data, 768, 1600), strict=True):
        alone = decode(data, side)
        assert (image.width, image.height) == (alone.width, alone.height) == (9 * 384, 6 * 512)
        assert np.array_equal(image.pixels, alone.pixels)


def test_the_header_is_read_behind_long_comments_and_padding() -> None:
    data = files()[0]
    padded = data[:2] + b"\xff\xfe\xff\xff" + bytes(65533) + b"\xff\xff\xff" + data[3:]
    header = read_jpeg_header(padded)
    assert header is not None
    assert (header.width, header.height, header.components, header.precision) == (384, 512, 3, 8)
