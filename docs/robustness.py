"""Draws docs/images/corruptions.jpg: every change of colour, light and detail at strengths 1, 3 and 5."""

import io
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

from seewhy import interventions, shelf
from seewhy.images import imaging
from seewhy.types import Batch, Preprocessing
from seewhy.worlds import World

SIDE, LINE, ACROSS = 112, 14, 2
STRENGTHS = (1.0, 3.0, 5.0)


def main() -> None:
    photo = imaging.fit_pixels(load_sample_image("flower.jpg"), Preprocessing((224, 224)))
    world = World(background=0.5, test=8)
    pictures = {
        "photo": torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 255,
        "small": world.scene(world.ids("test")[:1]).images(),
    }
    names = [name for name in shelf.members("interventions") if _graded(name)]
    wide = (2 * len(STRENGTHS)) * SIDE + 8
    lines = -(-len(names) // ACROSS)
    sheet = Image.new("RGB", (ACROSS * wide, lines * (SIDE + LINE)), "white")
    for place, name in enumerate(names):
        left, top = place % ACROSS * wide, place // ACROSS * (SIDE + LINE)
        ImageDraw.Draw(sheet).text((left + 2, top + 1), name, fill="black")
        for number, (image, strength) in enumerate((i, s) for i in pictures.values() for s in STRENGTHS):
            batch = Batch(("flower",), {"image": image})
            changed = interventions.Change(name, strength).apply(batch).inputs["image"][0]
            levels = changed.mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
            small = Image.fromarray(levels).resize((SIDE - 2, SIDE - 2), Image.Resampling.BOX)
            sheet.paste(small, (left + number * SIDE, top + LINE))
    written = io.BytesIO()
    sheet.save(written, "JPEG", quality=80, optimize=True)
    (Path(__file__).parent / "images" / "corruptions.jpg").write_bytes(written.getvalue())


def _graded(name: str) -> bool:
    module = shelf.load("interventions", name)
    return tuple(getattr(module, "strengths", ())) == (1, 2, 3, 4, 5)


if __name__ == "__main__":
    main()
