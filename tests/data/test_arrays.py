"""Arrays and tensors of any layout that has a name become images; anything else is refused in words."""

import numpy as np
import pytest
import torch
from PIL import Image

from seewhy.data import arrays

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
LABELS = ["b", "a", "b", None]


@pytest.mark.parametrize(
    "images",
    [
        PIXELS,
        PIXELS / 255,
        (PIXELS / 255).astype(np.float32),
        PIXELS.astype(np.int64),
        PIXELS.transpose(0, 3, 1, 2),
        torch.from_numpy(PIXELS).permute(0, 3, 1, 2),
        torch.from_numpy(PIXELS).permute(0, 3, 1, 2) / 255,
        list(PIXELS),
        [Image.fromarray(pixels) for pixels in PIXELS],
        [torch.from_numpy(pixels).permute(2, 0, 1) for pixels in PIXELS],
    ],
    ids="bytes doubles floats integers first tensor float-tensor list pillow tensors".split(),
)
def test_every_usual_layout_is_the_same_image(images):
    dataset = arrays.open((images, LABELS))
    for row in range(4):
        np.testing.assert_array_equal(dataset.pixels(row), PIXELS[row])
    assert dataset.targets == ("b", "a", "b", None)
    assert dataset.classes == ("a", "b")


@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 6, 1), (4, 1, 5, 6)])
def test_grey_images_are_repeated(shape):
    grey = PIXELS[..., 0]
    np.testing.assert_array_equal(
        arrays.open((grey.reshape(shape), LABELS)).pixels(2), np.repeat(grey[2][:, :, None], 3, 2)
    )


def test_a_tensor_of_three_by_three_images_has_its_channels_first():
    tensor = torch.arange(27, dtype=torch.uint8).reshape(1, 3, 3, 3)
    first = arrays.open((tensor, ["a"])).pixels(0)
    last = arrays.open((tensor.numpy(), ["a"])).pixels(0)
    np.testing.assert_array_equal(first, tensor[0].permute(1, 2, 0))
    np.testing.assert_array_equal(last, tensor[0])


def test_images_of_different_sizes_come_as_a_list():
    dataset = arrays.open(([np.zeros((3, 4), np.uint8), np.ones((5, 6, 3))], [0, 1]))
    assert [dataset.pixels(row).shape for row in range(2)] == [(3, 4, 3), (5, 6, 3)]


def test_a_mapping_may_bring_tags_splits_and_ids():
    dataset = arrays.open(
        {
            "images": PIXELS,
            "labels": torch.tensor([10, 2, 10, 2]),
            "tags": {"scanner": np.array(["A", "B", "A", "B"]), "age": np.array([1.0, np.nan, 2, 3])},
            "splits": ["train", "valid", "test", None],
            "ids": ["w", "x", "y", "z"],
        }
    )
    assert dataset.classes == ("2", "10")
    assert dataset.tags == {"scanner": ("A", "B", "A", "B"), "age": (1.0, None, 2.0, 3.0)}
    assert dataset.splits == ("train", "val", "test", None)
    assert dataset.ids == ("w", "x", "y", "z")


def test_nobody_can_change_the_images_afterwards():
    images = PIXELS.copy()
    dataset = arrays.open((images, LABELS))
    images[:] = 0
    dataset.pixels(0)[:] = 0
    np.testing.assert_array_equal(dataset.pixels(0), PIXELS[0])


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ((PIXELS, LABELS[:3]), "There are 4 images but 3 labels; each image needs one"),
        ({"images": PIXELS, "labels": LABELS, "tags": {"age": [1]}}, "4 images but 1 age"),
        ({"images": PIXELS}, "images and labels are needed; got images"),
        ({"images": PIXELS, "labels": LABELS, "target": 1}, "got images, labels, target"),
        (
            {"images": PIXELS, "labels": LABELS, "ids": [1, 1, 2, 3]},
            "Ids must differ, but there are 3 different ones for 4",
        ),
        (({"a": 1}, LABELS), r"Images have the shape \(\)"),
        ((PIXELS[0, 0], LABELS), r"Images have the shape \(6, 3\)"),
        ((np.zeros((4, 5, 6, 2), np.uint8), LABELS), r"Image 0 has the shape \(5, 6, 2\); expected height x width"),
        ((PIXELS.astype(float), LABELS), r"Image 0 has values from 0 to \d+; floats lie in \[0, 1\], or give uint8"),
        ((PIXELS / 127.5 - 1, LABELS), "has values from -"),
        ((np.full((4, 5, 6), np.nan), LABELS), "Image 0 has values from nan to nan"),
        ((PIXELS.astype(int) - 300, LABELS), "Image 0 is int64 beyond 0 to 255"),
    ],
)
def test_what_are_no_images_or_labels_is_refused_in_words(location, words):
    with pytest.raises(ValueError, match=words):
        arrays.open(location)
