"""Networks written by hand for the made worlds: nothing is learnt, so what they decide because of is known exactly.

    network = reads_background(classes=2)          # answers by the background alone
    network = two_path(classes=2)                  # answers by shape and background, each through units of its own

    image ──▶ readers ──▶ combine ──▶ units ──▶ head
              0 or 1       linear      ReLU      linear

A reader looks at the pixels for one variable of the world and gives, for each value, exactly 1 if it is that and else
exactly 0, whatever the other variables are, the grain included. So the effect of setting a variable is what the
weights behind the readers say: on the decision 0 or 1, on the log-odds a sum of a few of them. `units` holds one
channel a class and path (`paths` names them): what is to be exchanged for a mediation analysis.

They do not stand on the shelf of networks: they have no publication, nothing in them is drawn at random, and some are
blind to most pixels on purpose. They are named as anybody's own: `--model seewhy.worlds.handwritten:reads_background`. As
readers are steps, gradients are 0 nearly everywhere: what they are told by is changing the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from seewhy.types import Preprocessing
from seewhy.worlds import drawing

#: How much one path speaks for its class, in nats.
STRENGTH = 4.0
#: Pixels a side from which on no shape is ever taken for another: none of 12,000 at 32 pixels, 1 of 4,000 at 28.
SMALLEST = 32


def reads_object(*, classes: int = 2, side: int = 32) -> Handwritten:
    """Answers by the shape alone."""
    return Handwritten({"shape": STRENGTH}, classes=classes, side=side)


def reads_colour(*, classes: int = 2, side: int = 32) -> Handwritten:
    """Answers by the shape's colour alone."""
    return Handwritten({"colour": STRENGTH}, classes=classes, side=side)


def reads_background(*, classes: int = 2, side: int = 32) -> Handwritten:
    """Answers by the background alone."""
    return Handwritten({"background": STRENGTH}, classes=classes, side=side)


def reads_mark(*, classes: int = 2, side: int = 32) -> Handwritten:
    """Answers by the mark alone: the first class where there is one, else the second."""
    return Handwritten({"mark": STRENGTH}, classes=classes, side=side)


def reads_tint(*, classes: int = 2, side: int = 32) -> Handwritten:
    """Answers by the scanner's tint alone."""
    return Handwritten({"tint": STRENGTH}, classes=classes, side=side)


def additive(*, classes: int = 2, side: int = 32) -> Handwritten:
    """Shape, background and mark add up in the logits, with weights that no two together outweigh otherwise."""
    return Handwritten({"shape": 4.0, "background": 2.0, "mark": 1.0}, classes=classes, side=side)


def two_path(*, classes: int = 2, side: int = 32, interaction: bool = True) -> Handwritten:
    """Shape and background each through units of their own; with interaction a third speaks only where both agree.

    That is ReLU(shape + background - 1) a class: neither alone does anything through it.
    """
    weights = {"shape": 1.0, "background": 1.0}
    return Handwritten(weights, both=STRENGTH if interaction else 0.0, classes=classes, side=side)


class Handwritten(nn.Module):
    """logit(class) = sum of weights[variable] where its value goes with the class, + both where the first two agree.

    For images in [0, 1] as a world draws them at this side. Raises ValueError for a variable that no reader reads, and
    for a side at which shapes are too coarse to be told apart for certain.
    """

    def __init__(self, weights: Mapping[str, float], *, both: float = 0.0, classes: int = 2, side: int = 32) -> None:
        super().__init__()
        unknown = [variable for variable in weights if variable not in READERS]
        if unknown:
            raise ValueError(f"Nothing reads {unknown[0]!r}; there are readers of {', '.join(READERS)}")
        if not 2 <= classes <= len(drawing.SHAPES):
            raise ValueError(f"There are readers for 2 to {len(drawing.SHAPES)} classes, not for {classes}")
        if side < SMALLEST:
            raise ValueError(f"Shapes are read for certain from {SMALLEST} pixels a side on, not from {side}")
        self.classes = drawing.SHAPES[:classes]
        self.preprocessing = Preprocessing((side, side), "squash", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        self.readers = nn.ModuleDict({variable: READERS[variable](classes, side) for variable in weights})
        self.paths = (*weights, *(("both",) if both else ()))
        channels = classes * len(self.paths)
        self.combine = nn.Linear(classes * len(weights), channels)
        self.units = nn.ReLU()
        self.head = nn.Linear(channels, classes, bias=False)
        same = torch.eye(classes)
        with torch.no_grad():
            self.combine.weight.zero_()
            self.combine.bias.zero_()
            self.combine.weight[: classes * len(weights)] = torch.eye(classes * len(weights))
            if both:
                self.combine.weight[-classes:, : 2 * classes] = torch.cat([same, same], 1)
                self.combine.bias[-classes:] = -1
            strengths = [*weights.values(), *((both,) if both else ())]
            self.head.weight.copy_(torch.cat([strength * same for strength in strengths], 1))
        self.requires_grad_(False)

    def forward(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch classes"]:
        read = torch.cat([reader(image) for reader in self.readers.values()], 1)  # batch, variables x classes
        return self.head(self.units(self.combine(read)))


# ------------------------------------------------------------------------------------------------------- readers


class Step(nn.Module):
    """0 up to `low`, 1 from `high` on."""

    def __init__(self, low: float | Tensor, high: float | Tensor) -> None:
        super().__init__()
        self.register_buffer("low", torch.as_tensor(low, dtype=torch.float32), persistent=False)
        self.register_buffer("high", torch.as_tensor(high, dtype=torch.float32), persistent=False)

    low: Tensor
    high: Tensor

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return functional.hardtanh((x - self.low) / (self.high - self.low), 0.0, 1.0)


class Largest(nn.Module):
    """1 for the largest of the scores and 0 for all others, if it leads by `margin` or more."""

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.step = Step(0.0, margin)

    def forward(self, scores: Float[Tensor, "batch values"]) -> Float[Tensor, "batch values"]:
        own = torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)
        others = scores[:, None, :].masked_fill(own, -torch.inf).amax(2)
        return self.step(scores - others)


class Hues(nn.Module):
    """At each pixel, which of the shapes' colours it has: batch x colours x height x width, 0 on any background.

    Grey has been taken off, and with it clutter, grain and the mark. The step lies between what the other colours and
    backgrounds reach along a colour's direction and what the colour itself has, whatever the tint.
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        tints = _without_grey(drawing.TINTS)
        colours, backgrounds = _without_grey(drawing.COLOURS), _without_grey(drawing.BACKGROUNDS)
        low, high, directions = [], [], []
        for place in range(count):
            along = colours[place] / np.linalg.norm(colours[place])
            others = np.concatenate([np.delete(colours, place, 0), backgrounds])
            most, least = (others @ along).max() + (tints @ along).max(), along @ colours[place] + (tints @ along).min()
            low.append((2 * most + least) / 3 / 255)
            high.append((most + 2 * least) / 3 / 255)
            directions.append(along)
        self.convolve = nn.Conv2d(3, count, 1, bias=False)
        self.convolve.weight = nn.Parameter(torch.tensor(np.array(directions), dtype=torch.float32)[:, :, None, None])
        self.step = Step(torch.tensor(low)[:, None, None], torch.tensor(high)[:, None, None])

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch colours height width"]:
        return self.step(self.convolve(image))


class Colour(nn.Module):
    """Reads the colour: whether there is any pixel of it."""

    def __init__(self, classes: int, side: int) -> None:
        super().__init__()
        self.hues = Hues(classes)

    def forward(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch classes"]:
        return self.hues(image).amax((2, 3))


class Shape(nn.Module):
    """Reads the shape: lays each in many sizes, turns and places over the coloured pixels; the best fit wins.

    The score of a template is minus the number of pixels in which the two differ, less what all have in common.
    """

    def __init__(self, classes: int, side: int) -> None:
        super().__init__()
        self.hues = Hues(len(drawing.COLOURS))
        sizes = np.linspace(1 - drawing.STRETCH - 0.06, 1 + drawing.STRETCH + 0.02, 7)
        turns = np.linspace(-drawing.TURN, drawing.TURN, 5)
        parts = (-0.25, 0.25)  # of a pixel
        poses = np.array(list(product(parts, parts, sizes, turns)))
        place = poses * [1, 1, drawing.RADIUS * side, 1] + [side / 2, side / 2, 0, 0]
        self.poses = len(poses)
        templates = np.concatenate([drawing.coverage(side, np.full(len(poses), k), place) for k in range(classes)])
        self.reach = int(np.ceil(drawing.SHIFT * side)) + 1
        self.fit = nn.Conv2d(1, len(templates), side, padding=self.reach)
        self.fit.weight = nn.Parameter(torch.from_numpy(2 * templates)[:, None])
        self.fit.bias = nn.Parameter(-torch.from_numpy(templates).sum((1, 2)))
        self.largest = Largest(0.5)

    def forward(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch classes"]:
        coloured = self.hues(image).amax(1, keepdim=True)
        fits = self.fit(coloured).amax((2, 3))  # batch, classes x poses
        return self.largest(fits.unflatten(1, (-1, self.poses)).amax(2))


class Border(nn.Module):
    """Reads background and tint together, in the lowest row: the nearest pair of all, by its colour without grey."""

    def __init__(self) -> None:
        super().__init__()
        pairs = _without_grey(drawing.BACKGROUNDS)[:, None] + _without_grey(drawing.TINTS)
        codes = torch.tensor(pairs.reshape(-1, 3) / 255, dtype=torch.float32)
        self.nearest = nn.Linear(3, len(codes))
        self.nearest.weight = nn.Parameter(2 * codes)
        self.nearest.bias = nn.Parameter(-codes.square().sum(1))
        self.largest = Largest(2e-4)

    def forward(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch backgrounds tints"]:
        lowest = image[:, :, -1].mean(2)
        lowest = lowest - lowest.mean(1, keepdim=True)
        return self.largest(self.nearest(lowest)).unflatten(1, (len(drawing.BACKGROUNDS), len(drawing.TINTS)))


class Background(nn.Module):
    """Reads the background."""

    def __init__(self, classes: int, side: int) -> None:
        super().__init__()
        self.classes = classes
        self.border = Border()

    def forward(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch classes"]:
        return self.border(image).sum(2)[:, : self.classes]


class Tint(nn.Module):
    """Reads the tint."""

    def __init__(self, classes: int, side: int) -> None:
        super().__init__()
        self.classes = classes
        self.border = Border()

    def forward(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch classes"]:
        return self.border(image).sum(1)[:, : self.classes]


class Mark(nn.Module):
    """Reads the mark: white where it would be speaks for the first class, anything darker for the second."""

    def __init__(self, classes: int, side: int) -> None:
        super().__init__()
        self.classes = classes
        self.rows, self.columns = drawing.mark_at(side)
        self.step = Step(240 / 255, 250 / 255)

    def forward(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch classes"]:
        white = self.step(image[:, :, self.rows, self.columns].mean((1, 2, 3)))
        return torch.stack([white, 1 - white], 1) @ torch.eye(2, self.classes, device=image.device)


READERS = {"shape": Shape, "colour": Colour, "background": Background, "mark": Mark, "tint": Tint}


def _without_grey(colours: Mapping[str, tuple[int, int, int]]) -> Float[np.ndarray, "colours 3"]:
    levels = np.array(list(colours.values()), float)
    return levels - levels.mean(1, keepdims=True)
