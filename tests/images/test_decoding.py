"""Any file becomes pixels by one rule, or an error in plain words; nothing else comes out."""

import contextlib
import io
import pickle
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from zoo import ADOBE

from seewhy.images import decoding
from seewhy.images.decoding import Undecodable, decode

SAMPLE = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)


def stored(image, kind="PNG", **settings):
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_header(width, height):
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", b"")
    )


# ------------------------------------------------------------------------------------------------ the rule a mode


@pytest.mark.parametrize(("kind", "settings"), [("PNG", {}), ("BMP", {}), ("TIFF", {}), ("PPM", {})])
def test_lossless_kinds_come_back_exactly(kind, settings):
    pixels = decode(stored(Image.fromarray(SAMPLE), kind, **settings))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, SAMPLE)
    pixels[0, 0, 0] = 0  # may be written to


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF"])
def test_lossy_kinds_come_back_nearly(kind):
    smooth = np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8) * 4
    pixels = decode(stored(Image.fromarray(smooth).convert("RGB"), kind))
    assert np.abs(pixels.astype(int) - smooth[:, :, None]).mean() < 4


def test_grey_is_repeated_and_black_and_white_is_0_and_255():
    grey = SAMPLE[:, :, 0]
    np.testing.assert_array_equal(decode(stored(Image.fromarray(grey))), np.repeat(grey[:, :, None], 3, 2))
    bits = Image.fromarray(grey > 127)
    assert bits.mode == "1"
    np.testing.assert_array_equal(decode(stored(bits))[:, :, 0], np.where(grey > 127, 255, 0))


def test_whatever_is_transparent_lies_on_white():
    colour = np.zeros((1, 3, 4), dtype=np.uint8)
    colour[0, :, 0] = 200
    colour[0, :, 3] = (0, 255, 128)
    np.testing.assert_array_equal(
        decode(stored(Image.fromarray(colour))), [[[255, 255, 255], [200, 0, 0], [227, 127, 127]]]
    )
    grey = Image.merge("LA", [Image.new("L", (1, 1), 10), Image.new("L", (1, 1), 0)])
    np.testing.assert_array_equal(decode(stored(grey)), [[[255, 255, 255]]])


def test_a_palette_gives_its_colours_and_its_transparent_one_white():
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8)).convert("L")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    assert image.mode == "P"
    np.testing.assert_array_equal(decode(stored(image)), [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]])
    for transparency in (1, b"\xff\x00\xff"):
        content = stored(image, transparency=transparency)
        np.testing.assert_array_equal(decode(content), [[[10, 20, 30], [255, 255, 255], [70, 80, 90]]])


def test_cmyk_becomes_red_green_blue():
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    np.testing.assert_array_equal(decode(stored(image, "TIFF"))[0, 0], [0, 255, 255])
    assert np.abs(decode(stored(image, "JPEG", quality=95))[8, 8].astype(int) - [0, 255, 255]).max() < 6


def test_wide_grey_is_stretched_from_its_darkest_to_its_lightest():
    values = np.array([[1000, 1500, 2000]], dtype=np.uint16)
    np.testing.assert_array_equal(decode(stored(Image.fromarray(values)))[:, :, 0], [[0, 128, 255]])
    np.testing.assert_array_equal(decode(stored(Image.fromarray(values), "TIFF"))[:, :, 1], [[0, 128, 255]])
    flat = np.full((2, 2), 40_000, dtype=np.uint16)
    assert not decode(stored(Image.fromarray(flat))).any()


def test_numbers_that_are_none_are_black_in_a_float_image():
    values = np.array([[-1.0, 1.0, np.nan, np.inf]], dtype=np.float32)
    np.testing.assert_array_equal(decode(stored(Image.fromarray(values), "TIFF"))[:, :, 2], [[0, 255, 0, 255]])


def test_of_several_frames_the_first_counts():
    red, blue = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    for kind in ("GIF", "PNG", "TIFF", "MPO"):
        content = stored(red, kind, save_all=True, append_images=[blue])
        np.testing.assert_allclose(decode(content)[0, 0], [255, 0, 0], atol=2)  # MPO holds JPEGs


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_stand_upright(kind, orientation):
    """Bright in the upper left corner when upright; each file is stored turned, and says so."""
    upright = np.zeros((32, 48, 3), dtype=np.uint8)
    upright[:16, :16] = 255
    turn = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if kind == "WEBP" else {}
    pixels = decode(stored(Image.fromarray(np.ascontiguousarray(turn(upright))), kind, exif=exif, **lossless))
    assert pixels.shape == (32, 48, 3)
    assert np.abs(pixels.astype(int) - upright).mean() < 3


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0rubbish", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0II*\0\xff\xff\xff\x7f"]
)
def test_a_picture_with_broken_exif_is_taken_as_it_lies(exif):
    content = stored(Image.new("RGB", (16, 8), "white"), "JPEG", exif=exif)
    assert decode(content).shape == (8, 16, 3)


# ------------------------------------------------------------------------------------------------ colour profiles


COLOURS = np.array([[[200, 60, 60], [60, 200, 60], [90, 90, 90], [120, 130, 140]]], np.uint8)


def in_srgb(pixels, gamma, matrix):
    """The slow twin of a colour profile, in 64 bits: to linear light, to sRGB's primaries, to sRGB's curve."""
    linear = np.clip((pixels / 255) ** gamma @ matrix.T, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def test_a_photo_in_adobe_rgb_gets_the_colours_that_a_viewer_shows():
    adobe_to_srgb = np.array([[1.39836, -0.39836, 0], [0, 1, 0], [0, -0.04293, 1.04293]])  # from both sets of primaries
    expected = in_srgb(COLOURS, 563 / 256, adobe_to_srgb)
    for kind in ("PNG", "TIFF"):
        pixels = decode(stored(Image.fromarray(COLOURS), kind, icc_profile=ADOBE))
        assert np.abs(pixels - expected).max() < 2.5
    assert np.abs(expected - COLOURS).max() > 30  # else this would show nothing


def test_a_profile_that_is_srgb_broken_grey_or_of_another_kind_changes_nothing():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for claimed in (srgb, b"rubbish", ADOBE[:150], ADOBE[:-200], b""):
        content = stored(Image.fromarray(COLOURS), icc_profile=claimed)
        np.testing.assert_array_equal(decode(content), COLOURS)
    grey = stored(Image.fromarray(COLOURS[:, :, 0]), icc_profile=ADOBE)
    np.testing.assert_array_equal(decode(grey)[:, :, 1], COLOURS[:, :, 0])
    cmyk = Image.new("CMYK", (4, 4), (255, 0, 0, 0))
    np.testing.assert_array_equal(decode(stored(cmyk, "TIFF", icc_profile=ADOBE))[0, 0], [0, 255, 255])


def test_a_transparent_image_keeps_its_alpha_and_its_profile():
    alpha = np.concatenate([COLOURS, np.array([[[255], [255], [0], [255]]], np.uint8)], 2)
    plain = decode(stored(Image.fromarray(COLOURS), icc_profile=ADOBE))
    pixels = decode(stored(Image.fromarray(alpha), icc_profile=ADOBE))
    np.testing.assert_array_equal(pixels[0, [0, 1, 3]], plain[0, [0, 1, 3]])
    np.testing.assert_array_equal(pixels[0, 2], [255, 255, 255])


# ---------------------------------------------------------------------------------------------- in bands of rows


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_an_image_converted_some_rows_at_a_time_is_the_same(mode, monkeypatch):
    grey = Image.fromarray(SAMPLE[:, :, 0])
    image = Image.fromarray(SAMPLE).convert(mode) if mode in ("1", "P", "RGBA", "CMYK", "RGB") else grey
    if mode == "I;16":
        image = Image.fromarray(SAMPLE[:, :, 0].astype(np.uint16) * 99)
    elif mode in ("LA", "F"):
        image = grey.convert(mode)
    image.info["icc_profile"] = ADOBE
    whole = decoding.as_pixels(image)
    monkeypatch.setattr(decoding, "_BAND", 40)  # two rows
    np.testing.assert_array_equal(decoding.as_pixels(image), whole)


def test_the_pixels_of_a_pil_image_are_ones_own():
    image = Image.fromarray(SAMPLE)
    decoding.as_pixels(image)[:] = 0
    np.testing.assert_array_equal(np.asarray(image), SAMPLE)


# ------------------------------------------------------------------------------------------------- what is broken

WHOLE_JPEG = stored(Image.fromarray(np.tile(SAMPLE, (8, 8, 1))), "JPEG")
WHOLE_PNG = stored(Image.fromarray(np.tile(SAMPLE, (8, 8, 1))))


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "empty-file", "'cat.jpg' is an empty file"),
        (b"hello, this is text", "not-an-image", "'cat.jpg' is not an image .* or is broken from its start, b'hello"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not-an-image", "JPEG, PNG, BMP, GIF, TIFF, WEBP, PPM"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not-an-image", "is not an image"),
        (WHOLE_JPEG[: len(WHOLE_JPEG) // 2], "broken-image", "'cat.jpg' cannot be decoded: image file is truncated"),
        (WHOLE_PNG[: len(WHOLE_PNG) // 2], "broken-image", "'cat.jpg' cannot be decoded: "),
        (
            png_header(60_000, 60_000),
            "too-large",
            "far too many pixels by its header; the most that is read is 50,000,000",
        ),
        (png_header(10_000, 10_000), "too-large", "10,000 x 10,000 pixels by its header"),
        (png_header(0, 10), "not-an-image|broken-image", "cat.jpg"),
        (WHOLE_PNG[:8], "not-an-image", "cat.jpg"),
        (b"P6 4 4 255\n123", "broken-image", "cat.jpg"),
    ],
    ids="empty text eps svg cut-jpeg cut-png bomb large no-width cut-header cut-ppm".split(),
)
def test_what_is_wrong_with_a_file_is_said(content, code, words):
    with pytest.raises(Undecodable, match=words) as raised:
        decode(content, "cat.jpg")
    assert raised.value.code in code.split("|")
    assert isinstance(raised.value, ValueError)


def test_a_file_of_too_many_bytes_is_not_looked_into(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_BYTES", 100)
    with pytest.raises(Undecodable, match=r"has [\d,]+ bytes; the most that is read is 100"):
        decode(WHOLE_PNG)


def test_the_reason_survives_the_way_out_of_another_process():
    error = pickle.loads(pickle.dumps(Undecodable("a sentence", "empty-file")))
    assert (str(error), error.code) == ("a sentence", "empty-file")


KINDS = {
    "jpeg": WHOLE_JPEG,
    "cmyk": stored(Image.new("CMYK", (40, 40), (9, 80, 7, 6)), "JPEG"),
    "png": stored(Image.fromarray(SAMPLE)),
    "palette": stored(Image.fromarray(SAMPLE).quantize(9), transparency=b"\xff\x00\x07"),
    "gif": stored(Image.fromarray(SAMPLE), "GIF", save_all=True, append_images=[Image.new("RGB", (17, 12))]),
    "tiff": stored(Image.fromarray(SAMPLE), "TIFF"),
    "packed tiff": stored(Image.fromarray(SAMPLE), "TIFF", compression="tiff_lzw"),
    "webp": stored(Image.fromarray(SAMPLE), "WEBP"),
    "bmp": stored(Image.fromarray(SAMPLE), "BMP"),
    "ppm": stored(Image.fromarray(SAMPLE), "PPM"),
    "wide": stored(Image.fromarray(SAMPLE[:, :, 0].astype(np.uint16) * 200)),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_pixels_or_an_error_in_words(kind, data):
    content = bytearray(KINDS[kind])
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, min(len(content) - 1, 200)))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(len(content) // 3, len(content)))]
    with contextlib.suppress(Undecodable):
        pixels = decode(bytes(content), "cat.jpg")
        assert pixels.ndim == 3
        assert pixels.dtype == np.uint8


def test_pillow_warns_nobody_in_any_thread():
    """Warnings are errors here, so one that got out would break the decoding of a picture that can be read."""
    odd = WHOLE_PNG[:33] + chunk(b"acTL", bytes(8)) + WHOLE_PNG[33:]  # an animation of no frames
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="APNG"):
            Image.open(io.BytesIO(odd)).load()
        with ThreadPoolExecutor(4) as pool:
            for pixels in pool.map(decode, [odd] * 50):
                assert pixels.shape == (96, 136, 3)
