"""What if the border of the image were not there?

Marks, captions, rulers and frames lie at the border. `strength` is how much goes at each side, as a share of it; `into`
what comes there: "inpaint", the inside goes on smoothly, so that everything keeps its place and size and there is no
frame to be seen; "plain", the mean colour of the inside; "scaled", nothing: the inside is scaled up, as `scale` does
it. At least one pixel goes.
"""

from __future__ import annotations

import torch

from seewhy.interventions._moving import warped
from seewhy.passes.fillings import drawn_over
from seewhy.types import Batch

changes, keeps, exact = "the border", "what is inside", True
nuisance = True
strengths = (1 / 16, 1 / 8)


def apply(batch: Batch, *, strength: float = 1 / 8, seed: int = 0, into: str = "inpaint") -> Batch:
    """Strength 0 changes nothing. Raises ValueError for one that leaves nothing inside, and for no such filling."""
    if not 0 <= strength < 0.5:
        raise ValueError(f"The intervention 'border_crop' has strength {strength:g}; it must lie between 0 and 0.5")
    if into not in ("inpaint", "plain", "scaled"):
        raise ValueError(f"A border is changed into 'inpaint', 'plain' or 'scaled', not {into!r}")
    if strength == 0:
        return batch
    if into == "scaled":
        return warped(batch, torch.eye(2).expand(len(batch), 2, 2) / (1 - 2 * strength))
    image = batch.inputs["image"]
    height, width = image.shape[2:]
    above, left = (min(max(1, round(strength * side)), (side - 1) // 2) for side in (height, width))
    border = torch.ones((len(image), height, width), dtype=torch.bool, device=image.device)
    border[:, above : height - above, left : width - left] = False
    if into == "inpaint":
        return batch.with_inputs(image=drawn_over(image, border).clamp(0, 1))
    plain = image[:, :, above : height - above, left : width - left].mean((2, 3), keepdim=True)
    return batch.with_inputs(image=torch.where(border[:, None], plain, image))
