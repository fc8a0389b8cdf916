"""Pixels are fitted by one rule and written without a trace of where they came from."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seewhy.images import imaging
from seewhy.images.decoding import decode
from seewhy.types import Preprocessing

SAMPLE = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)


def stored(image, kind="PNG", **settings):
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


# ------------------------------------------------------------------------------------------------------- writing


def test_png_and_ppm_keep_every_pixel():
    for encode in (imaging.encode_png, imaging.encode_ppm):
        np.testing.assert_array_equal(decode(encode(SAMPLE)), SAMPLE)


def test_the_bytes_of_a_ppm_are_the_pixels_themselves():
    pixels = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    assert imaging.encode_ppm(pixels) == b"P6 2 1 255\n\x00\x01\x02\x03\x04\x05"


def test_a_jpeg_of_ours_says_nothing_of_where_it_was_taken():
    exif = Image.Exif()
    exif[0x010E] = "in my garden"
    original = stored(Image.fromarray(SAMPLE), "JPEG", exif=exif)
    assert b"garden" in original
    written = imaging.encode_jpeg(decode(original), 80)
    assert b"garden" not in written
    assert not Image.open(io.BytesIO(written)).getexif()


def test_a_thumbnail_keeps_its_shape_and_never_grows():
    wide = np.zeros((50, 200, 3), dtype=np.uint8)
    assert imaging.thumbnail(wide, 100).shape == (25, 100, 3)
    assert imaging.thumbnail(wide, 500).shape == (50, 200, 3)
    assert imaging.thumbnail(np.zeros((1000, 1, 3), dtype=np.uint8), 10).shape == (10, 1, 3)
    assert imaging.thumbnail_exact(wide, 16).shape == (16, 16, 3)


# ------------------------------------------------------------------------------------------------------- fitting


def test_an_image_that_fits_is_not_touched():
    assert imaging.fit_pixels(SAMPLE, Preprocessing((12, 17), "crop")) is SAMPLE
    floats = torch.rand(3, 12, 17) * 0.999
    assert torch.equal(imaging.fit([floats], Preprocessing((12, 17), "pad"))[0], floats)


def test_an_image_that_only_needs_cutting_is_not_blurred():
    fitted = imaging.fit_pixels(SAMPLE, Preprocessing((12, 12), "crop"))
    np.testing.assert_array_equal(fitted, SAMPLE[:, 2:14])


def test_crop_keeps_shapes_squash_does_not_and_pad_adds_black():
    wide = np.full((40, 80, 3), 200, dtype=np.uint8)
    wide[:, 60:] = 0
    crop, squash, pad = (imaging.fit_pixels(wide, Preprocessing((20, 20), fit)) for fit in ("crop", "squash", "pad"))
    assert (crop == 200).all()  # the dark quarter on the right is cut off
    assert (squash[:, :14] == 200).all()
    assert (squash[:, 16:] == 0).all()
    assert (pad[:5] == 0).all()
    assert (pad[5:15, :14] == 200).all()
    assert (pad[15:] == 0).all()


def test_a_size_that_is_no_square_is_height_then_width():
    for fit in ("crop", "squash", "pad"):
        assert imaging.fit_pixels(SAMPLE, Preprocessing((5, 9), fit)).shape == (5, 9, 3)


def test_an_unknown_way_to_fit_is_refused():
    preprocessing = Preprocessing((8, 8))
    object.__setattr__(preprocessing, "fit", "stretch")  # as a file from elsewhere may have it
    with pytest.raises(ValueError, match="by 'crop', 'squash' or 'pad', not by 'stretch'"):
        imaging.fit_pixels(SAMPLE, preprocessing)


def test_shrinking_does_not_alias():
    board = np.indices((64, 64)).sum(0) % 2 * 255
    fitted = imaging.fit_pixels(np.repeat(board[:, :, None], 3, 2).astype(np.uint8), Preprocessing((8, 8), "squash"))
    assert np.abs(fitted.astype(int) - 127).max() <= 3


def test_a_tiny_image_grows_smoothly():
    ramp = np.repeat(np.repeat(np.arange(0, 256, 36, dtype=np.uint8)[None, :, None], 8, 0), 3, 2)
    fitted = imaging.fit_pixels(ramp, Preprocessing((32, 32), "crop"))[16, :, 0].astype(int)
    assert np.all(np.diff(fitted) >= 0)
    assert np.diff(fitted).max() <= 10


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.sampled_from(["crop", "squash", "pad"]),
)
def test_batches_and_single_images_are_fitted_alike(size, wanted, fit):
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    preprocessing = Preprocessing(wanted, fit)
    expected = torch.from_numpy(imaging.fit_pixels(pixels, preprocessing).copy()).permute(2, 0, 1) / 255
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    batch = imaging.fit([tensor, tensor.float() / 255], preprocessing)
    assert batch.shape == (2, 3, *wanted)
    assert torch.equal(batch[0], expected)
    assert torch.equal(batch[1], expected)
