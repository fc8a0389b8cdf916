"""Draws docs/images/explainers.jpg: a photo, and what each method shows of lite0's answer. Takes some minutes."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

import seewhy
from seewhy import explaining, heatmap, imaging

SIDE, COLUMNS, LINE = 150, 6, 16


def main() -> None:
    model = seewhy.load("lite0")
    photo = load_sample_image("flower.jpg")
    found = explaining.explain_one(model, photo, methods=["all"], design="shared")
    pixels = imaging.fit_pixels(photo, model.preprocessing)
    pictures = {f"asked about {model(photo).value!r}": pixels}
    for method, explanation in found.items():
        signed = heatmap.is_signed([explanation])
        pictures[method] = heatmap.overlay(pixels, explanation.heat["image"], side=SIDE, signed=signed)
    lines = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * SIDE, lines * (SIDE + LINE)), "white")
    for place, (name, picture) in enumerate(pictures.items()):
        left, top = place % COLUMNS * SIDE, place // COLUMNS * (SIDE + LINE)
        small = Image.fromarray(np.asarray(picture)).resize((SIDE - 4, SIDE - 4), Image.Resampling.BICUBIC)
        sheet.paste(small, (left + 2, top + LINE))
        ImageDraw.Draw(sheet).text((left + 3, top + 2), name, fill="black")
    written = io.BytesIO()
    sheet.save(written, "JPEG", quality=82, optimize=True)
    (Path(__file__).parent / "images" / "explainers.jpg").write_bytes(written.getvalue())


if __name__ == "__main__":
    main()
