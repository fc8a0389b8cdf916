"""What if the image were stored as a small JPEG?

What a JPEG of that quality does to pixels, and a batch at once: to luma and chroma, chroma at half the size, cosine
transform of blocks of 8 x 8, rounded to multiples of the table, and back (Wallace 1992,
https://doi.org/10.1109/30.125072). No bytes are written, for what follows loses nothing. Severities of ImageNet-C and
CIFAR-10-C (`_severity.py`).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.interventions._severity import STRENGTHS, Parameter, graded
from seewhy.types import Batch

changes, keeps, exact = "fine detail, by compression", "large shapes and colours", True
strengths = STRENGTHS

QUALITY = Parameter((80, 65, 58, 50, 40), (25, 18, 15, 10, 7))

#: Tables K.1 and K.2 of the standard (ITU-T T.81), for luma and chroma at quality 50.
LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
#: Red, green and blue to luma and two chromas (JFIF).
TO_CHROMA = (
    (0.299, 0.587, 0.114),
    (-0.168735892, -0.331264108, 0.5),
    (0.5, -0.418687589, -0.081312411),
)


def apply(batch: Batch, *, strength: float = 3.0, seed: int = 0) -> Batch:
    """Images in [0, 1]; `strength` is the severity, 0 to 5."""
    return graded(batch, strength, lambda image, severity: compressed(image, round(QUALITY.at(severity, image))))


def compressed(image: Tensor, quality: int) -> Tensor:
    """Images in [0, 1] after a JPEG of this quality, 1 to 100."""
    height, width = image.shape[2:]
    to_chroma = image.new_tensor(TO_CHROMA)
    levels = (image * 255).round()
    padded = functional.pad(levels, (0, -width % 16, 0, -height % 16), mode="replicate")
    planes = torch.einsum("bchw,kc->bkhw", padded, to_chroma).round()
    luma = _quantised(planes[:, :1] - 128, LUMA, quality) + 128
    chroma = _quantised(functional.avg_pool2d(planes[:, 1:], 2), CHROMA, quality)
    chroma = functional.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    back = torch.einsum("bkhw,ck->bchw", torch.cat([luma, chroma], 1), torch.linalg.inv(to_chroma))
    return back[:, :, :height, :width].round().clamp(0, 255) / 255


def _quantised(planes: Tensor, table: tuple[tuple[int, ...], ...], quality: int) -> Tensor:
    """Planes of levels, of which each block of 8 x 8 is rounded to the table's steps in its cosine transform."""
    scale = 50 / quality if quality < 50 else 2 - quality / 50  # as libjpeg has it
    steps = (planes.new_tensor(table) * scale + 0.5).floor().clamp(1, 255)
    k, n = torch.arange(8.0, device=planes.device)[:, None], torch.arange(8.0, device=planes.device)
    cosines = torch.cos((2 * n + 1) * k * math.pi / 16) / 2  # frequency, place
    cosines[0] /= 2**0.5
    blocks = planes.unflatten(3, (-1, 8)).unflatten(2, (-1, 8))  # batch, planes, down, 8, across, 8
    found = torch.einsum("bpdyax,fy,gx->bpdfag", blocks, cosines, cosines) / steps[:, None]
    kept = found.round() * steps[:, None]
    return torch.einsum("bpdfag,fy,gx->bpdyax", kept, cosines, cosines).flatten(4, 5).flatten(2, 3)
