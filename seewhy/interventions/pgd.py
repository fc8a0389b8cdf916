"""What if each pixel were changed by as little as nobody sees, in the direction that hurts most?

Projected gradient descent within |delta| <= eps, eps = `strength` / 255 in every channel of images in [0, 1]:

    x <- clip(x + step sign(d harm / d x)),     to eps around the image and to [0, 1],     step = 2.5 eps / steps

from a start drawn by the id (Madry and others 2018, https://arxiv.org/abs/1706.06083, equation 3). Harm is minus the
log-odds of the true class, which do not stand still where the loss does, near 0; for a task without such odds its loss.
`against` "truth" leads away from the label, and from the answer where there is none; "answer" from the answer given.
The most harmful image seen is kept, the one given among them. Costs `steps` + 2 passes forward and `steps` back.

It is a lower bound of what an attacker can do: that it finds nothing proves nothing. A network without gradients looks
robust to it and is not: it is refused where no image of the batch has any gradient.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seewhy import chance, hooks
from seewhy.passes import Unsuitable
from seewhy.types import Batch

changes, keeps, exact = "each pixel by at most `strength` levels of 255", "what anybody sees", True
needs = frozenset({"network"})
strengths = (0.5, 1.0, 2.0, 4.0, 8.0)


def apply(
    batch: Batch,
    *,
    strength: float = 2.0,
    seed: int = 0,
    network: nn.Module,
    task: Any,
    steps: int = 10,
    against: str = "truth",
) -> Batch:
    """`strength` in levels of 0 to 255; 0 changes nothing.

    Raises Unsuitable where no image has a gradient, ValueError for another aim or no step.
    """
    if against not in ("truth", "answer"):
        raise ValueError(f"An attack goes against the 'truth' or the 'answer', not {against!r}")
    if steps < 1:
        raise ValueError(f"An attack makes at least one step, not {steps}")
    if strength == 0:
        return batch
    image, eps = batch.inputs["image"].detach(), strength / 255
    drawn = chance.uniform(chance.keys(batch.ids), seed=seed, stream="pgd", draws=image[0].numel()).to(image.device)
    least, most = (image - eps).clamp(min=0), (image + eps).clamp(max=1)

    def into_reach(x: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(x, least), most)

    x, followed = into_reach(image + eps * (2 * drawn.view_as(image) - 1)), False
    with hooks.frozen(network), torch.enable_grad():
        aimed, found = _aimed(batch, network, task, against)
        worst = image
        for step in range(steps + 1):
            x = x.detach().requires_grad_(step < steps)
            harm = _harm(network(**batch.with_inputs(image=x).inputs), aimed, task)
            worse = harm.detach() >= found
            worst = torch.where(worse[:, None, None, None], x.detach(), worst)
            found = torch.maximum(found, harm.detach())
            if harm.requires_grad:
                gradient = torch.autograd.grad(harm.sum(), x)[0].nan_to_num()
                followed = followed or bool(gradient.any())
                x = into_reach(x + 2.5 * eps / steps * gradient.sign())
    if not followed:
        raise Unsuitable(
            f"the network's gradient is 0 at all of {len(image)} images, so an attack by gradients has nothing to "
            "follow; that it finds nothing says nothing about how robust the network is"
        )
    return batch.with_inputs(image=worst)


def _harm(output: Any, batch: Batch, task: Any) -> Float[Tensor, " batch"]:
    """How far the network is from what it ought to say; one number an image, the larger the worse."""
    odds = task.logodds_true(output, batch)
    return task.loss(output, batch) if odds is None else -odds


def _aimed(batch: Batch, network: nn.Module, task: Any, against: str) -> tuple[Batch, Float[Tensor, " batch"]]:
    """The batch with the classes that the attack goes against as its targets, and what the image given has of harm."""
    with torch.no_grad():
        output = network(**batch.inputs)
        if task.logodds_true(output, batch) is not None:
            answers = output.argmax(1)
            targets = batch.targets.to(answers.device)
            targets = answers if against == "answer" else torch.where(targets < 0, answers, targets)
            batch = replace(batch, targets=targets)
        elif against == "answer":
            raise ValueError(f"The task {task.name!r} has no odds of an answer; an attack on it goes against the truth")
        return batch, _harm(output, batch, task)
