"""MNIST's own files, plain or packed; broken ones are refused in words."""

import gzip
import struct

import numpy as np
import pytest

from seewhy.data import idx

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


def images(array=IMAGES):
    return struct.pack(">BBBBIII", 0, 0, 8, 3, *array.shape) + array.tobytes()


def labels(values=(7, 10, 7)):
    return struct.pack(">BBBBI", 0, 0, 8, 1, len(values)) + bytes(values)


def put(root, prefix="train", dot="-", packed=False, image_file=None, label_file=None):
    root.mkdir(exist_ok=True)
    for kind, content in (("images", image_file or images()), ("labels", label_file or labels())):
        name = f"{prefix}-{kind}{dot}idx{3 if kind == 'images' else 1}-ubyte"
        if packed:
            (root / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (root / name).write_bytes(content)
    return root


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dot", ["-", "."])
def test_train_and_t10k_are_splits(tmp_path, packed, dot):
    put(tmp_path, "t10k", dot, packed, images(IMAGES[:2] + 100), labels([1, 10]))
    dataset = idx.open(put(tmp_path, "train", dot, packed))
    assert dataset.splits == ("train",) * 3 + ("test",) * 2
    assert dataset.ids == ("train/0", "train/1", "train/2", "t10k/0", "t10k/1")
    assert dataset.targets == ("7", "10", "7", "1", "10")
    assert dataset.classes == ("1", "7", "10")
    np.testing.assert_array_equal(dataset.pixels(1), np.repeat(IMAGES[1][:, :, None], 3, 2))
    np.testing.assert_array_equal(dataset.pixels(4)[:, :, 1], IMAGES[1] + 100)


def test_one_file_has_no_split_and_a_set_may_have_a_name(tmp_path):
    put(tmp_path, "emnist-letters-train")
    file = tmp_path / "emnist-letters-train-images-idx3-ubyte"
    assert idx.recognises(file)
    assert idx.open(file).splits == ()
    assert idx.open(tmp_path).splits == ("train",) * 3
    assert idx.open(tmp_path).ids[0] == "emnist-letters-train/0"


@pytest.mark.parametrize(
    ("image_file", "label_file", "words"),
    [
        (images()[:-1], None, "announces 3 x 4 x 5 bytes but ends after 59"),
        (b"\0\0\x08\x01" + images()[4:], None, "is no idx file of images: it begins with"),
        (b"", labels(), "has 3 images|is no idx file of images"),
        (None, labels([1, 2]), "has 3 images, but train-labels-idx1-ubyte 2 labels"),
        (None, labels()[:-1], "announces 3 bytes but ends after 2"),
    ],
)
def test_broken_files_are_refused_in_words(tmp_path, image_file, label_file, words):
    put(tmp_path, image_file=image_file, label_file=label_file)
    if image_file == b"":
        (tmp_path / "train-images-idx3-ubyte").write_bytes(b"")
    with pytest.raises(ValueError, match=words):
        idx.open(tmp_path)


def test_a_packed_file_that_is_cut_off_is_refused_in_words(tmp_path):
    file = put(tmp_path, packed=True) / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-12])
    with pytest.raises(ValueError, match="is no idx file of images"):
        idx.open(tmp_path)
    file.write_bytes(b"not packed")
    with pytest.raises(ValueError, match="is no idx file of images: Not a gzipped file"):
        idx.open(tmp_path)


def test_no_more_is_unpacked_than_was_announced(tmp_path):
    put(tmp_path, packed=True, image_file=images() + bytes(50_000_000))
    assert len(idx.open(tmp_path)) == 3


def test_missing_labels_are_named(tmp_path):
    (put(tmp_path) / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no train-labels-idx1-ubyte, plain or \.gz"):
        idx.open(tmp_path)
