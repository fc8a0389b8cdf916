"""One batch of noise serves every method that smooths or compares gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seewhy import passes
from seewhy.passes.noise import NoisyGradients, noise
from seewhy.types import Batch, Question

SUM = Question("the sum", lambda output: output)
BATCH = Batch(ids=("a", "b"), inputs={"image": torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))})


class Cube(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.pow(3).sum((1, 2, 3))


def test_mean_square_and_variance_are_those_of_the_gradients_at_the_noisy_copies() -> None:
    need = NoisyGradients(samples=5, spread=0.2, seed=3)
    found = passes.gather(Cube(), BATCH, SUM, [need], chunk=4)[need]
    image = BATCH.inputs["image"]
    gradients = 3 * (image + noise(image, 5, 0.2, 3)(slice(None))).square()
    assert torch.allclose(found.mean, gradients.mean(0), atol=1e-5)
    assert torch.allclose(found.square, gradients.square().mean(0), atol=1e-4)
    assert torch.allclose(found.variance, gradients.var(0, unbiased=False), atol=1e-3)


def test_methods_with_the_same_settings_share_the_passes() -> None:
    needs = [NoisyGradients(), NoisyGradients(samples=16), NoisyGradients()]
    assert passes.gather(Cube(), BATCH, SUM, needs).forwards == 17


def test_noise_is_measured_in_the_range_of_each_image_and_the_same_for_each() -> None:
    image = torch.stack([torch.linspace(0, 1, 300), torch.linspace(0, 0.1, 300)])
    drawn = noise(image, 50, 0.5, 0)(slice(None))
    assert 0.49 < drawn[:, 0].std() < 0.51
    assert torch.allclose(drawn[:, 1], drawn[:, 0] / 10, atol=1e-6)
    assert torch.equal(noise(image, 50, 0.5, 0)(slice(7, 9)), drawn[7:9])
    assert not torch.equal(noise(image, 50, 0.5, 1)(slice(None)), drawn)
