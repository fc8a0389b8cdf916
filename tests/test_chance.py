"""The numbers an example gets depend on its id, the seed and the stream alone."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats

from seewhy import chance

IDS = [f"image {number}" for number in range(4000)]


def test_numbers_are_the_same_whoever_else_is_in_the_batch():
    keys = chance.keys(IDS)
    together = chance.uniform(keys, seed=3, stream="flip", draws=4)
    alone = chance.uniform(chance.keys(IDS[17:18]), seed=3, stream="flip", draws=4)
    assert torch.equal(together[17:18], alone)


def test_numbers_are_the_same_in_another_process():
    code = "from seewhy import chance; print(chance.uniform(chance.keys(['a']), seed=1, stream='s', draws=2).tolist())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.strip() == str(chance.uniform(chance.keys(["a"]), seed=1, stream="s", draws=2).tolist())


@pytest.mark.parametrize("other", [{"seed": 4}, {"stream": "shift"}])
def test_another_seed_or_stream_gives_other_numbers(other):
    keys = chance.keys(IDS)
    first = chance.uniform(keys, seed=3, stream="flip")[:, 0]
    second = chance.uniform(keys, **{"seed": 3, "stream": "flip"} | other)[:, 0]
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.06  # 4,000 pairs: 0.06 is almost four standard errors


def test_numbers_are_uniform_and_below_one():
    numbers = chance.uniform(chance.keys(IDS), seed=0, stream="x", draws=3)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    for column in numbers.T:
        assert stats.kstest(column.numpy(), "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(numbers[:, 0], numbers[:, 1])[0, 1]) < 0.06


def test_the_order_is_a_permutation_that_follows_ids_not_places():
    keys = chance.keys(IDS)
    order = chance.order(keys, seed=5, epoch=2)
    assert sorted(order.tolist()) == list(range(len(IDS)))
    backwards = chance.order(keys.flip(0), seed=5, epoch=2)
    assert [IDS[place] for place in order] == [IDS[::-1][place] for place in backwards]
    assert not torch.equal(order, chance.order(keys, seed=5, epoch=3))
