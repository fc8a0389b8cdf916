"""Draws docs/images/interventions.jpg: a scene of a made world and a photograph, under each change and placebo."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

from seewhy import shelf
from seewhy.images import imaging
from seewhy.interventions import Change
from seewhy.tasks.classify import Classify
from seewhy.types import Batch, Preprocessing
from seewhy.worlds import World

PICTURE = Path(__file__).parent / "images" / "interventions.jpg"
TILE, LINE, WORDS = 96, 4, 190
#: Settings of those that are shown in more than the usual way.
WAYS = {
    "background": [{}, {"into": "plain"}, {"into": "blurred"}],
    "object": [{}, {"fill": "mean"}],
    "border_crop": [{}, {"into": "scaled"}],
    "transplant": [{"row": 1, "column": 2}],
    "cover": [{"row": 1, "column": 1}],
    "do": [{"variable": "background"}, {"variable": "shape", "how": "edit"}],
}


class Slope(torch.nn.Module):
    """Something that has gradients, for the attack to follow."""

    classes = ("cross", "disc")

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        steps = image.mean(1).diff(dim=1).abs().mean((1, 2))
        return torch.stack([steps, -steps], 1)


def changes() -> Iterator[Change]:
    """All of the shelf, with their placebos."""
    for name in shelf.members("interventions"):
        for way in WAYS.get(name, [{}]):
            strength = 8.0 if name == "pgd" else None
            yield Change(name, strength, tuple(way.items()))
        if hasattr(shelf.load("interventions", name), "placebo"):
            yield Change(name, settings=tuple(WAYS.get(name, [{}])[0].items()), placebo=True)


def subjects() -> list[tuple[Batch, dict[str, object]]]:
    """A scene with its mask, and a photograph without; each with a donor and what else a change may ask for."""
    world = World(background=1.0, mark=0.5, side=TILE)
    labels = world.scene(world.ids("train")[:9])["label"].tolist()
    pair = labels.index("disc"), labels.index("cross")
    scene, other = (world.scene([world.id("train", place)]) for place in pair)
    made, donor = (
        Batch(each.ids, {"image": each.images()}, torch.tensor([0]), masks=torch.from_numpy(each.masks()))
        for each in (scene, other)
    )
    flower, china = (load_sample_image(name) for name in ("flower.jpg", "china.jpg"))
    how = Preprocessing((TILE, TILE))
    photos = [
        Batch(
            (name,), {"image": imaging.fit([torch.from_numpy(pixels.copy()).permute(2, 0, 1)], how)}, torch.tensor([0])
        )
        for name, pixels in (("flower", flower), ("china", china))
    ]
    network = Slope()
    given = {"network": network, "task": Classify(network.classes, how)}
    return [(made, given | {"donors": donor, "world": world}), (photos[0], given | {"donors": photos[1]})]


def tile(batch: Batch) -> np.ndarray:
    return batch.inputs["image"][0].permute(1, 2, 0).mul(255).round().byte().numpy()


def main() -> None:
    found: list[tuple[str, list[np.ndarray]]] = [("as they are", [tile(batch) for batch, _ in subjects()])]
    found.append(("what is borrowed from", [tile(given["donors"]) for _, given in subjects()]))
    for change in changes():
        tiles = []
        for batch, given in subjects():
            able = all(need in given for need in change.needs - {"masks"})
            tiles.append(tile(change.apply(batch, **given)) if able else np.full((TILE, TILE, 3), 255, np.uint8))
        found.append((str(change), tiles))
    columns = 4
    lines = -(-len(found) // columns)
    wide, high = 2 * (TILE + LINE) + LINE, TILE + 16
    sheet = Image.new("RGB", (columns * (wide + 2 * LINE), lines * high), "white")
    for place, (words, tiles) in enumerate(found):
        left, top = place % columns * (wide + 2 * LINE), place // columns * high
        ImageDraw.Draw(sheet).text((left + LINE, top + 1), words, fill="black")
        for number, pixels in enumerate(tiles):
            sheet.paste(Image.fromarray(pixels), (left + LINE + number * (TILE + LINE), top + 14))
    sheet.save(PICTURE, quality=85, optimize=True)


if __name__ == "__main__":
    main()
