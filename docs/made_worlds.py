"""Draws docs/images/made_worlds.png: a few images of a made world, and the same ones with one variable set."""

from pathlib import Path

import numpy as np

from seewhy.images.imaging import encode_png
from seewhy.worlds import Scene, World

PICTURE = Path(__file__).parent / "images" / "made_worlds.png"
COLUMNS, SCALE, GAP = 12, 2, 4


def scenes() -> list[Scene]:
    """The rows of the picture, from the top."""
    world = World(classes=4, seed=4)
    scene = world.scene(world.ids("train")[:COLUMNS])
    changed = ("shape", "square"), ("colour", "blue"), ("background", "sea"), ("mark", "yes"), ("tint", "warm")
    return [scene, *(scene.edit(**{variable: value}) for variable, value in changed)]


def sheet() -> np.ndarray:
    """One row a scene and one of masks, each pixel twice as wide and high."""
    rows = [scene.pixels() for scene in scenes()]
    rows.append(np.repeat(scenes()[0].masks()[..., None] * np.uint8(255), 3, axis=3))
    tiles = np.pad(np.stack(rows), ((0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0)), constant_values=255)
    down, across, high, wide, _ = tiles.shape
    page = tiles.transpose(0, 2, 1, 3, 4).reshape(down * high, across * wide, 3)[:-GAP, :-GAP]
    return page.repeat(SCALE, axis=0).repeat(SCALE, axis=1)


if __name__ == "__main__":
    PICTURE.write_bytes(encode_png(sheet()))
