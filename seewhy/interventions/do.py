"""What would the image be, had one variable of the made world been otherwise?

Drawn anew with `variable` set to `value`, or to another value drawn by the id, and all noise as it was: Pearl's do
(2009, Causality, chapter 7), exact, and only where images are made (docs/made_worlds.md). With `how="do"` what follows
from the variable follows, as the arrows say: of the shape the label, and of the label colour, background, mark and
tint; with "edit" nothing but the variable changes. What the image was to be taken for stays written as it was.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from seewhy import chance
from seewhy.images import imaging
from seewhy.types import Batch, Boxes
from seewhy.worlds import World

changes, keeps, exact = "one variable of the made world", "all that does not follow from it", True
needs = frozenset({"world"})


def apply(
    batch: Batch,
    *,
    strength: float = 1.0,
    seed: int = 0,
    world: World,
    task: Any,
    variable: str = "background",
    value: str = "other",
    how: str = "do",
) -> Batch:
    """Mixed with what it was by `strength`. Raises ValueError for no such variable or value, or way of setting it."""
    if how not in ("do", "edit"):
        raise ValueError(f"A variable is set by 'do' or 'edit', not {how!r}")
    scene = world.scene(batch.ids)
    values = world.values(variable)
    others: list[str] | str = value
    if value == "other":
        drawn = chance.uniform(chance.keys(batch.ids), seed=seed, stream=f"do {variable}")[:, 0].numpy()
        step = 1 + (drawn * (len(values) - 1)).astype(np.int64)
        others = [values[place] for place in (scene.places[variable] + step) % len(values)]
    after = (scene.do if how == "do" else scene.edit)(**{variable: others})
    there = batch.inputs["image"]
    image = imaging.fit(list(after.images()), task.preprocessing).to(there)
    masks = torch.stack([imaging.fit_mask(torch.from_numpy(mask), task.preprocessing) for mask in after.masks()])
    size, corners = (world.side, world.side), torch.from_numpy(after.boxes())
    boxes = tuple(
        imaging.fit_boxes(Boxes(corner[None], (shape,)), size, task.preprocessing)
        for corner, shape in zip(corners, after["shape"], strict=True)
    )
    return replace(
        batch.with_inputs(image=torch.lerp(there, image, strength)),
        masks=None if batch.masks is None else masks.to(there.device),
        boxes=boxes if batch.boxes else (),
    )
