"""However an image is given, the same pixels arrive."""

import numpy as np
import pytest
import torch
from PIL import Image

from seewhy.images import imaging, reading

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
FLOATS = torch.from_numpy(PIXELS.copy()).permute(2, 0, 1) / 255


def test_a_file_a_pil_image_an_array_and_a_tensor_are_read_alike(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(imaging.encode_png(PIXELS))
    ways = [
        path,
        str(path),
        Image.open(path),
        PIXELS,
        FLOATS.numpy(),
        FLOATS.double().numpy(),
        FLOATS,
        torch.from_numpy(PIXELS.copy()).permute(2, 0, 1),
    ]
    for way in ways:
        image = reading.read(way)
        assert image.dtype == torch.float32
        assert torch.allclose(image, FLOATS, atol=1e-7), type(way)


def test_grey_becomes_rgb():
    grey = PIXELS[..., 0]
    expected = (torch.from_numpy(grey.copy()) / 255).expand(3, -1, -1)
    for way in (grey, grey[..., None], torch.from_numpy(grey.copy()), torch.from_numpy(grey.copy())[None] / 255):
        assert torch.allclose(reading.read(way), expected, atol=1e-7)
    assert torch.allclose(reading.read(Image.fromarray(grey)), expected, atol=1e-7)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "F", "I"])
def test_every_mode_of_pil_is_read(mode):
    base = Image.fromarray(PIXELS)
    image = base.convert("L").convert(mode) if mode in ("LA", "F", "I") else base
    if mode == "LAB":
        image = Image.merge("LAB", base.split())
    elif mode not in ("LA", "F", "I"):
        image = base.convert(mode)
    read = reading.read(image)
    assert read.shape == (3, 5, 7)
    assert 0 <= float(read.min()) <= float(read.max()) <= 1


def test_a_pil_image_is_turned_upright():
    image = Image.fromarray(PIXELS)
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was held on its side
    image.info["exif"] = exif.tobytes()
    assert reading.read(image).shape == (3, 7, 5)


def test_reading_changes_nothing_of_what_was_given():
    fixed = PIXELS.copy()
    fixed.flags.writeable = False
    reading.read(fixed).zero_()
    whole = FLOATS.clone()
    reading.read(whole).zero_()
    assert (fixed == PIXELS).all()
    assert torch.equal(whole, FLOATS)


def test_what_is_no_image_is_refused_with_what_it_is():
    cases = {
        r"No image file 'nowhere.png'": "nowhere.png",
        r"height x width x 3 or grey; this one is \(3, 5, 7\)": PIXELS.transpose(2, 0, 1),
        r"3 x height x width here, or grey; this one is \(5, 7, 3\)": PIXELS / 255,
        r"runs from 0 to 255: divide bytes by 255": torch.tensor([[[0.0, 255.0]]]),
        r"runs from nan to nan": torch.full((3, 2, 2), torch.nan),
        r"holds bytes or floats, not int64": torch.ones(3, 2, 2, dtype=torch.int64),
        r"dict is no image": {},
    }
    for words, given in cases.items():
        with pytest.raises((ValueError, FileNotFoundError), match=words):
            reading.read(given)


def test_one_image_is_told_from_several():
    assert all(reading.is_one(one) for one in ("a.png", PIXELS, FLOATS, Image.fromarray(PIXELS)))
    assert not any(reading.is_one(several) for several in (["a.png"], PIXELS[None], FLOATS[None], (FLOATS,)))
