"""Where in an image is the object: as somebody drew it, else inside its boxes, else guessed from the image alone."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from seewhy import chance
from seewhy.types import Batch, Boxes

#: Pixels of the longer side at which an image is looked at to guess.
LOOKED_AT = 64
#: What a side of the frame is, as a share of the image; and how much colours may vary there for nothing, in [0, 1].
FRAME, LEAST_SPREAD = 1 / 16, 0.02

#: How far around an object its edge may reach, as a share of the longer side: of one that is known, of one guessed.
EDGES = 1 / 80, 1 / 20


def known(batch: Batch) -> Bool[Tensor, " batch"]:
    """Of which images it is known where the object is: those with a mask or a box that is not empty."""
    return _drawn(batch).any(2).any(1)


def found(batch: Batch) -> Bool[Tensor, "batch height width"]:
    """The pixels of each image's object: its mask, else its boxes, else a guess; never none.

    Where there is nothing to guess by, the ellipse in the middle whose axes are half the sides.
    """
    image = batch.inputs["image"]
    masks = _drawn(batch)
    missing = ~masks.any(2).any(1)
    if missing.any():
        guessed = guess(image[missing])
        hopeless = ~guessed.any(2).any(1)
        masks[missing] = guessed | (hopeless[:, None, None] & _ellipse(image))
    return masks


def with_edge(batch: Batch) -> Bool[Tensor, "batch height width"]:
    """What has to go if the object is to be gone: the object and a little around it, more where it was guessed."""
    mask, side = found(batch), max(batch.inputs["image"].shape[2:])
    little, more = (grown(mask, round(share * side)) for share in EDGES)
    return torch.where(known(batch)[:, None, None], little, more)


def grown(region: Bool[Tensor, "batch height width"], pixels: int) -> Bool[Tensor, "batch height width"]:
    """The region and all pixels that lie at most so many beside, above or below it, or across."""
    if pixels < 1:
        return region
    return functional.max_pool2d(region[:, None].float(), 2 * pixels + 1, 1, pixels)[:, 0] > 0


def elsewhere(
    region: Bool[Tensor, "batch height width"],
    avoid: Bool[Tensor, "batch height width"],
    ids: tuple[str, ...],
    *,
    seed: int,
) -> Bool[Tensor, "batch height width"]:
    """The region moved to a place where it touches nothing of `avoid`: one of all such places, drawn by the id.

    Where it fits in nowhere it goes on at the opposite border; where even so there is no room, to where least is
    missing, and what would lie on `avoid` is left out.
    """
    height, width = region.shape[1:]
    spectrum = torch.fft.rfft2(region.float()).conj() * torch.fft.rfft2(avoid.float())
    overlap = torch.fft.irfft2(spectrum, s=(height, width)).round()  # at [down, right], pixels, moved by so much
    cut = _cut(region.any(2))[:, :, None] | _cut(region.any(1))[:, None, :]
    cost = (2 * overlap + cut).flatten(1)
    best = cost <= cost.amin(1, keepdim=True)
    drawn = chance.uniform(chance.keys(list(ids)), seed=seed, stream="elsewhere")[:, 0].to(region.device)
    nth = (drawn * best.sum(1)).long()
    place = (best.cumsum(1) > nth[:, None]).float().argmax(1)  # the first of those that come after `nth` others
    down, right = place // width, place % width
    rows = (torch.arange(height, device=region.device) - down[:, None]) % height
    columns = (torch.arange(width, device=region.device) - right[:, None]) % width
    each = torch.arange(len(region), device=region.device)[:, None, None]
    return region[each, rows[:, :, None], columns[:, None, :]] & ~avoid


def _cut(occupied: Bool[Tensor, "batch side"]) -> Bool[Tensor, "batch side"]:
    """Whether what is occupied would be cut in two by the border if it moved on by so many pixels."""
    side = occupied.shape[1]
    first = occupied.float().argmax(1)[:, None]
    last = side - 1 - occupied.flip(1).float().argmax(1)[:, None]
    moved = torch.arange(side, device=occupied.device)
    return (last + moved >= side) & (first + moved < side)


def _drawn(batch: Batch) -> Bool[Tensor, "batch height width"]:
    """What somebody drew: masks, and where there is none boxes; empty for all others."""
    image = batch.inputs["image"]
    height, width = image.shape[2:]
    nowhere = torch.zeros((len(image), height, width), dtype=torch.bool, device=image.device)
    masks = nowhere if batch.masks is None else batch.masks.to(image.device).clone()
    if any(boxes is not None and len(boxes) for boxes in batch.boxes):
        empty = ~masks.any(2).any(1).cpu()
        for row, boxes in enumerate(batch.boxes):
            if boxes is not None and len(boxes) and empty[row]:
                masks[row] = inside(boxes, (height, width)).to(image.device)
    return masks


def inside(boxes: Boxes, size: tuple[int, int]) -> Bool[Tensor, "height width"]:
    """Every pixel of an image of this (height, width) that one of the boxes touches."""
    rows, columns = (torch.arange(side, device=boxes.corners.device) for side in size)
    left, top, right, bottom = boxes.corners[:, :, None].unbind(1)  # boxes, 1 each
    down = (rows + 1 > top) & (rows < bottom)
    across = (columns + 1 > left) & (columns < right)
    return (down[:, :, None] & across[:, None, :]).any(0)


def _ellipse(image: Float[Tensor, "batch channels height width"]) -> Bool[Tensor, "height width"]:
    height, width = image.shape[2:]
    down = (torch.arange(height, device=image.device) + 0.5) / height - 0.5
    across = (torch.arange(width, device=image.device) + 0.5) / width - 0.5
    return down[:, None].square() + across.square() <= 1 / 16


# ------------------------------------------------------------------------------------------------------- guessing


def guess(image: Float[Tensor, "batch 3 height width"]) -> Bool[Tensor, "batch height width"]:
    """What stands out from the frame of the image; empty where nothing does.

    How unlike each of the four sides of the frame a pixel's colour is (Mahalanobis distance), the sides' sum less the
    largest of them, since the object may cover one side: the backgroundness of Zhang and others 2015,
    https://doi.org/10.1109/ICCV.2015.165, section 3.3. Times a bump in the middle; cut in two by Otsu's rule; the one
    connected piece that stands out most, its holes filled. It takes the object to have colours of its own, to lie off
    the frame and to be in one piece, and is wrong where any of that is: of a photograph of a wood it knows nothing.
    """
    height, width = image.shape[2:]
    scale = min(1.0, LOOKED_AT / max(height, width))
    size = max(4, round(height * scale)), max(4, round(width * scale))
    small = image if size == (height, width) else functional.interpolate(image, size, mode="bilinear", antialias=True)
    small = functional.avg_pool2d(functional.pad(small, (1, 1, 1, 1), mode="replicate"), 3, 1)
    unlike = _unlike_the_frame(small)
    standing = unlike * _bump(unlike)
    over, apart = _otsu(standing.flatten(1))
    pieces = standing > over[:, None, None]
    piece = torch.from_numpy(_filled(_heaviest(pieces.cpu().numpy(), standing.cpu().numpy()))).to(image.device)
    share = piece.float().mean((1, 2))
    told = (apart > SEPARATED) & (share > LEAST) & (share < MOST)
    piece = piece & told[:, None, None]
    if size == (height, width):
        return piece
    return functional.interpolate(piece[:, None].float(), (height, width), mode="bilinear")[:, 0] >= 0.5


#: A guess is worth something where Otsu's two parts explain so much of the variance, and within these shares.
SEPARATED, LEAST, MOST = 0.7, 0.005, 0.7
#: Which pixels are connected, over (batch, height, width): the eight around one in its image, or the straight four.
WITHIN = np.pad(np.ones((1, 3, 3), bool), ((1, 1), (0, 0), (0, 0)))
STRAIGHT = WITHIN & ndimage.generate_binary_structure(3, 1)


def _unlike_the_frame(image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch height width"]:
    height, width = image.shape[2:]
    deep, wide = max(1, round(height * FRAME)), max(1, round(width * FRAME))
    sides = image[:, :, :deep], image[:, :, -deep:], image[:, :, :, :wide], image[:, :, :, -wide:]
    pixels = image.flatten(2).transpose(1, 2)  # batch, pixels, 3
    found = []
    for side in sides:
        colours = side.flatten(2)  # batch, 3, pixels of the side
        mean = colours.mean(2, keepdim=True)
        off = colours - mean
        spread = off @ off.transpose(1, 2) / off.shape[2] + LEAST_SPREAD**2 * torch.eye(3, device=image.device)
        away = pixels - mean.transpose(1, 2)
        solved = torch.linalg.solve(spread, away.transpose(1, 2)).transpose(1, 2)
        found.append((away * solved).sum(2).clamp(min=0).sqrt())
    distances = torch.stack(found)  # sides, batch, pixels
    distances = distances / distances.amax(2, keepdim=True).clamp(min=1e-6)
    return (distances.sum(0) - distances.amax(0)).unflatten(1, (height, width))


def _bump(values: Float[Tensor, "batch height width"]) -> Float[Tensor, "height width"]:
    """1 in the middle, falling off to the corners as a normal density of a third of each side."""
    height, width = values.shape[1:]
    down = torch.linspace(-0.5, 0.5, height, device=values.device)
    across = torch.linspace(-0.5, 0.5, width, device=values.device)
    return (-(down[:, None].square() + across.square()) * 4.5).exp()


def _otsu(values: Float[Tensor, "batch pixels"]) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """The level that best parts each row in two, and the share of the variance that the parts explain (Otsu 1979)."""
    ordered = values.sort(1).values
    count = values.shape[1]
    below = torch.arange(1, count, device=values.device)
    sums = ordered.cumsum(1)
    low, total = sums[:, :-1] / below, sums[:, -1:]
    high = (total - sums[:, :-1]) / (count - below)
    share = below / count
    between = share * (1 - share) * (high - low).square()
    most, place = between.max(1)
    variance = values.var(1, correction=0).clamp(min=1e-12)
    return ordered.gather(1, place[:, None])[:, 0], most / variance


def _heaviest(
    pieces: Bool[np.ndarray, "batch height width"], weight: Float[np.ndarray, "batch height width"]
) -> Bool[np.ndarray, "batch height width"]:
    """Of the connected pieces of each image, corners touching too, the one with the largest sum of weights."""
    labels, count = ndimage.label(pieces, WITHIN)
    sums = np.bincount(labels.ravel(), weight.ravel(), count + 1)
    sums[0] = 0
    best = np.where(pieces, sums[labels], 0).max((1, 2), keepdims=True)
    return pieces & (sums[labels] == best)


def _filled(piece: Bool[np.ndarray, "batch height width"]) -> Bool[np.ndarray, "batch height width"]:
    """Without the holes: what cannot be reached from the border."""
    labels, count = ndimage.label(~piece, STRAIGHT)
    reached = np.zeros(count + 1, bool)
    for edge in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        reached[edge] = True
    reached[0] = False
    return ~reached[labels]
