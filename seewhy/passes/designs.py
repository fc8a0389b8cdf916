"""Which masks are tried: squares, random subsets, coalitions, smooth windows; and stars, which all can share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional
from torch.quasirandom import SobolEngine

from seewhy.passes.masks import Masks, MaskTable
from seewhy.passes.segments import Segments

# ------------------------------------------------------------------------------------------- covered squares


@dataclass(frozen=True, slots=True)
class Squares:
    """One square of the image at a time, on a regular grid.

    `patch` and `stride` are in pixels; None is a fifth of the image's short side, at least 2, and half the patch. The
    last square of a row may stand out over the edge.
    """

    patch: int | None = None
    stride: int | None = None

    def draw(self, image: Float[Tensor, "batch channels height width"]) -> SquareMasks:
        """Every square once."""
        height, width = image.shape[2:]
        patch, stride = self.sides(image)
        places = [
            (top, left)
            for top in range(0, height - patch + stride, stride)
            for left in range(0, width - patch + stride, stride)
        ]
        order = torch.randperm(len(places), generator=torch.Generator().manual_seed(0))
        return SquareMasks([places[place] for place in order.tolist()], patch, image)

    def detail(self, image: Float[Tensor, "batch channels height width"]) -> float:
        """The side of the square."""
        return self.sides(image)[0]

    def sides(self, image: Float[Tensor, "batch channels height width"]) -> tuple[int, int]:
        """Patch and stride for this size of image. Raises ValueError where they do not fit or leave gaps."""
        height, width = image.shape[2:]
        patch = min(max(2, round(min(height, width) / 5)), height, width) if self.patch is None else self.patch
        stride = math.ceil(patch / 2) if self.stride is None else self.stride
        if not 1 <= patch <= min(height, width):
            raise ValueError(f"A patch of {patch} pixels does not fit an image of {height} x {width}")
        if not 1 <= stride <= patch:
            raise ValueError(
                f"A stride of {stride} pixels leaves gaps between patches of {patch}; it must be 1 to {patch}"
            )
        return patch, stride


class SquareMasks(Masks):
    """A square at each of these places: top, left."""

    def __init__(self, places: list[tuple[int, int]], patch: int, image: Tensor) -> None:
        self.places, self.patch, self.image = places, patch, image

    def __len__(self) -> int:
        return len(self.places)

    def covered(self, some: slice) -> Float[Tensor, "masks alike height width"]:
        chosen = self.places[some]
        masks = self.image.new_zeros(len(chosen), 1, *self.image.shape[2:])
        for mask, (top, left) in zip(masks, chosen, strict=True):
            mask[:, top : top + self.patch, left : left + self.patch] = 1
        return masks


# ----------------------------------------------------------------------------------------- covered segments


@dataclass(frozen=True, eq=False)
class SegmentMasks(Masks):
    """`codes`: how much of each segment a mask covers, 0 to 1; `segments`: to which each pixel belongs.

    `weights` is what a mask counts in a fit, where the design has an opinion.
    """

    codes: Float[Tensor, "masks segments"]
    segments: Int[Tensor, "alike height width"]
    weights: Float[Tensor, " masks"]

    def __len__(self) -> int:
        return len(self.codes)

    def covered(self, some: slice) -> Float[Tensor, "masks alike height width"]:
        return self.codes[some][:, self.segments]

    def lay(self, values: Float[Tensor, "segments batch"]) -> Float[Tensor, "batch height width"]:
        """A value a segment, laid over its pixels."""
        segments = self.segments.expand(values.shape[1], -1, -1)
        return values.T.gather(1, segments.flatten(1)).view(segments.shape)


def _masks(codes: Tensor, segments: Segments, image: Tensor, weights: Tensor | None = None) -> SegmentMasks:
    weights = torch.ones(len(codes)) if weights is None else weights
    return SegmentMasks(codes.to(image), segments.of(image), weights.to(image))


@dataclass(frozen=True, slots=True)
class _OfSegments:
    """What designs that cover segments have in common."""

    segments: Segments = field(default_factory=Segments)

    def detail(self, image: Float[Tensor, "batch channels height width"]) -> float:
        """The longer side of a segment, were they a grid."""
        return max(image.shape[2] / self.segments.rows, image.shape[3] / self.segments.columns)


@dataclass(frozen=True, slots=True)
class Subsets(_OfSegments):
    """Each segment is covered with probability `share`, at random by `seed`."""

    count: int = 1000
    seed: int = 0
    share: float = 0.5

    def draw(self, image: Float[Tensor, "batch channels height width"]) -> SegmentMasks:
        """As many masks as `count` says."""
        generator = torch.Generator().manual_seed(self.seed)
        codes = torch.rand(self.count, len(self.segments), generator=generator) < self.share
        return _masks(codes, self.segments, image)


@dataclass(frozen=True, slots=True)
class Coalitions(_OfSegments):
    """Everything covered once, then coalitions of segments as often as the Shapley kernel weighs them.

    All of them, weighted, where `count` masks suffice; else so many at random, each followed by its opposite, which
    makes Shapley values exact where no more than two segments act together.
    """

    count: int = 2048
    seed: int = 0

    def draw(self, image: Float[Tensor, "batch channels height width"]) -> SegmentMasks:
        """In random order, so that any beginning is a fair sample."""
        players = len(self.segments)
        generator = torch.Generator().manual_seed(self.seed)
        sizes = torch.arange(1, players)
        if players < 31 and 2**players - 1 <= self.count:
            numbers = torch.arange(1, 2**players - 1)
            numbers = numbers[torch.randperm(len(numbers), generator=generator)]
            codes = (numbers[:, None] >> torch.arange(players)) % 2
            ways = torch.tensor([math.comb(players, int(size)) for size in sizes])
            weights = ((players - 1) / (ways * sizes * (players - sizes)))[codes.sum(1) - 1]
        else:
            chance = 1 / (sizes * (players - sizes))
            pairs = max(1, (self.count - 1) // 2)
            drawn = torch.multinomial(chance, pairs, replacement=True, generator=generator) + 1
            rank = torch.rand(pairs, players, generator=generator).argsort(1).argsort(1)
            half = (rank < drawn[:, None]).long()
            codes = torch.stack([half, 1 - half], 1).flatten(0, 1)
            weights = torch.ones(len(codes))
        whole = torch.ones(1, players)
        return _masks(torch.cat([whole, codes]), self.segments, image, torch.cat([whole[0, :1], weights]))


# ---------------------------------------------------------------------------------------------- smooth windows


@dataclass(frozen=True, slots=True)
class Windows:
    """Random halves of a coarse grid, smoothly enlarged and shifted by less than a cell.

    Petsiuk and others 2018, https://arxiv.org/abs/1806.07421, section 3.2. `share` is the probability that a cell is
    seen.
    """

    cells: int = 7
    count: int = 4000
    share: float = 0.5
    seed: int = 0

    def draw(self, image: Float[Tensor, "batch channels height width"]) -> WindowMasks:
        """As many masks as `count` says."""
        generator = torch.Generator().manual_seed(self.seed)
        seen = torch.rand(self.count, 1, self.cells, self.cells, generator=generator) < self.share
        shifts = torch.rand(self.count, 2, generator=generator)
        return WindowMasks(seen.to(image), shifts.to(image.device), (image.shape[2], image.shape[3]))

    def detail(self, image: Float[Tensor, "batch channels height width"]) -> float:
        """The longer side of a cell."""
        return max(image.shape[2:]) / self.cells


@dataclass(frozen=True, eq=False)
class WindowMasks(Masks):
    """Which cells each mask shows, and by what share of a cell it is shifted."""

    seen: Float[Tensor, "masks one rows columns"]
    shifts: Float[Tensor, "masks two"]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.seen)

    def covered(self, some: slice) -> Float[Tensor, "masks alike height width"]:
        cells = self.seen.shape[2]
        steps = [math.ceil(side / cells) for side in self.size]
        enlarged = functional.interpolate(
            self.seen[some], size=[(cells + 1) * step for step in steps], mode="bilinear", align_corners=False
        )
        top, left = ((share * step).long()[:, None] for share, step in zip(self.shifts[some].T, steps, strict=True))
        rows, columns = (
            start + torch.arange(side, device=top.device) for start, side in zip((top, left), self.size, strict=True)
        )
        every = torch.arange(len(enlarged), device=top.device)[:, None, None]
        seen = enlarged[every, 0, rows[:, :, None], columns[:, None]]
        return (1 - seen[:, None]).clamp(min=0)  # rounding


# ---------------------------------------------------------------------------------------------------- stars


@dataclass(frozen=True, slots=True)
class Flips(_OfSegments):
    """Stars: about each of some centres every segment is turned once, seen to covered or covered to seen.

    The first centre is the whole image, so that its star covers one segment at a time; the second covers everything;
    the others cover each segment with a chance that lies evenly between. What turning a segment changes is known at
    every centre, and is exactly nothing where the network does not look.
    """

    centres: int = 21
    seed: int = 0

    def draw(self, image: Float[Tensor, "batch channels height width"]) -> SegmentMasks:
        """Star by star: the centre, then its neighbours."""
        generator = torch.Generator().manual_seed(self.seed)
        chances = self.chances()[:, None]
        centres = (torch.rand(len(chances), len(self.segments), generator=generator) < chances).float()
        return _masks(stars(centres, 1 - centres), self.segments, image)

    def chances(self) -> Float[Tensor, " centres"]:
        """Of a segment to be covered, by centre: 0, 1, and then each halfway between two of those before."""
        between = SobolEngine(1).draw(self.centres)[1:, 0]  # 1/2, 3/4, 1/4, ...
        return torch.cat([torch.tensor([0.0, 1.0]), between])[: self.centres]


@dataclass(frozen=True, slots=True)
class Exchanges(_OfSegments):
    """Stars about points that fill the cube of all partial coverings evenly; a turned segment gets another's value.

    Fel and others 2021, https://arxiv.org/abs/2111.04138, section 3: the matrices A and C(i) of `points` rows from a
    Sobol sequence of twice the dimension, without its first two, at which both are equal. B itself is not run, as the
    total index does not read it.
    """

    points: int = 32

    def draw(self, image: Float[Tensor, "batch channels height width"]) -> SegmentMasks:
        """Star by star: the centre, then its neighbours."""
        count = len(self.segments)
        drawn = 1 - SobolEngine(2 * count).draw(self.points + 2)[2:]
        return _masks(stars(drawn[:, :count], drawn[:, count:]), self.segments, image)


def stars(
    centres: Float[Tensor, "centres segments"], others: Float[Tensor, "centres segments"]
) -> Float[Tensor, "masks segments"]:
    """Each centre, and then the centre with one entry after another taken from its other."""
    rays = torch.cat([torch.zeros(1, centres.shape[1]), torch.eye(centres.shape[1])])  # 1 + segments, segments
    return torch.lerp(centres[:, None], others[:, None], rays).flatten(0, 1)


@dataclass(frozen=True, eq=False)
class Stars:
    """A table of stars, read: the score at each centre, and with each segment turned."""

    masks: SegmentMasks
    centres: Float[Tensor, "centres segments"]
    at_centre: Float[Tensor, "centres batch"]
    turned: Float[Tensor, "centres segments batch"]

    @classmethod
    def of(cls, table: MaskTable) -> Stars:
        """Those that are whole. Of the first, segments that the budget left out count as turned without effect."""
        masks = table.masks
        assert isinstance(masks, SegmentMasks)
        size = masks.codes.shape[1] + 1
        scores = table.scores
        if len(scores) < size:
            scores = torch.cat([scores, scores[:1].expand(size - len(scores), -1)])
        whole = len(scores) // size
        by_star = scores[: whole * size].unflatten(0, (whole, size))
        return cls(masks, masks.codes[: whole * size : size], by_star[:, 0], by_star[:, 1:])

    @property
    def effects(self) -> Float[Tensor, "centres segments batch"]:
        """How much higher the score is with each segment seen than covered; of flips."""
        covered = self.centres[:, :, None]
        return (self.turned - self.at_centre[:, None]) * (2 * covered - 1)

    @property
    def seen(self) -> Float[Tensor, "centres segments batch"]:
        """The score with each segment seen; of flips."""
        return torch.where(self.centres[:, :, None] > 0, self.turned, self.at_centre[:, None])

    def about_half(self) -> Stars:
        """Those stars at whose centre about half is covered, as most designs have it; all where there are none."""
        share = self.centres.mean(1)
        some = (share >= 0.25) & (share <= 0.75)
        if not some.any():
            return self
        return Stars(self.masks, self.centres[some], self.at_centre[some], self.turned[some])


#: The design whose table all mask methods can share.
SHARED = Flips()
