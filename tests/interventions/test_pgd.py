"""An attack on a linear network is known in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seewhy.interventions import Change
from seewhy.tasks.classify import Classify
from seewhy.types import Batch, Preprocessing

WEIGHT = torch.randn(2, 3 * 8 * 8, generator=torch.Generator().manual_seed(0))


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(192, 2)
        with torch.no_grad():
            self.last.weight.copy_(WEIGHT)

    def forward(self, image):
        return self.last(image.flatten(1))


NETWORK = Linear()
TASK = Classify(("a", "b"), Preprocessing((8, 8)))


def batch_of(targets: tuple[int, ...] = (0, 1, -1)) -> Batch:
    image = 0.3 + 0.4 * torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    return Batch(tuple("xyz"), {"image": image}, torch.tensor(targets))


def attacked(batch: Batch, strength: float = 2.0, **settings: object) -> Batch:
    return Change("pgd", strength, tuple(settings.items())).apply(batch, seed=0, network=NETWORK, task=TASK)


@pytest.mark.parametrize("strength", [0.5, 2.0, 8.0])
def test_it_finds_the_corner_of_the_cube_that_is_worst(strength):
    batch = batch_of()
    image = batch.inputs["image"]
    after = attacked(batch, strength).inputs["image"]
    answer = NETWORK(image).argmax(1)
    aimed = torch.where(batch.targets < 0, answer, batch.targets)
    against = (WEIGHT[1 - aimed] - WEIGHT[aimed]).view_as(image)
    assert torch.allclose(after, image + strength / 255 * against.sign(), atol=1e-6)
    assert (after - image).abs().max() <= strength / 255 + 1e-7


def test_it_goes_against_the_answer_where_that_is_asked():
    batch = batch_of()
    after = attacked(batch, against="answer").inputs["image"]
    answer = NETWORK(batch.inputs["image"]).argmax(1)
    same = attacked(batch_of(tuple(answer.tolist()))).inputs["image"]
    assert torch.equal(after, same)


def test_no_strength_is_the_clean_image_and_a_stronger_attack_does_no_less_harm():
    batch = batch_of((0, 1, 0))
    assert attacked(batch, 0) is batch
    harm = [
        -TASK.logodds_true(NETWORK(attacked(batch, strength).inputs["image"]), batch) for strength in (0, 0.5, 1, 4)
    ]
    assert (torch.stack(harm).diff(dim=0) > 0).all()


def test_wrong_settings_are_said():
    with pytest.raises(ValueError, match="An attack goes against the 'truth' or the 'answer', not 'all'"):
        attacked(batch_of(), against="all")
    with pytest.raises(ValueError, match="An attack makes at least one step, not 0"):
        attacked(batch_of(), steps=0)
