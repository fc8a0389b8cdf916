"""The digits that come along."""

import numpy as np
from sklearn.datasets import load_digits

from seewhy.data import digits


def test_the_digits_are_scikit_learns_spread_over_all_levels():
    dataset = digits.open()
    assert len(dataset) == 1797
    assert dataset.classes == tuple("0123456789")
    original = load_digits()
    assert dataset.targets == tuple(map(str, original.target))
    pixels = np.stack([dataset.pixels(row) for row in range(1797)])
    assert pixels.shape == (1797, 8, 8, 3)
    assert (pixels.min(), pixels.max()) == (0, 255)
    np.testing.assert_allclose(pixels[..., 1], original.images * 255 / 16, atol=0.5)


def test_a_folder_of_that_name_is_pointed_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert digits.open().problems == ()
    (tmp_path / "digits").mkdir()
    (problem,) = digits.open().problems
    assert "./digits would mean that one" in problem.what
    assert not digits.recognises("./digits")
