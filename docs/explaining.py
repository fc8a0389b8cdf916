"""Draws the pictures of docs/explaining.md, which take some minutes:

images/explainers.jpg   a photo, and what each method shows of lite0's answer
images/neighbours.png   a digit that is answered wrongly, and the training images that speak for the answer and against
"""

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

import seewhy
from seewhy import data, explaining, neighbouring
from seewhy.images import heatmap, imaging
from seewhy.types import finished

SIDE, COLUMNS, LINE = 150, 6, 16


def main() -> None:
    draw_explainers()
    draw_neighbours()


def draw_neighbours() -> None:
    """Of the digits that were not trained on, one that is answered wrongly, with the greatest confidence."""
    with tempfile.TemporaryDirectory() as folder:
        run = f"{folder}/run"
        how = {"network": "resnet_tiny", "epochs": 4, "keep_checkpoints": 4, "threads": 1}
        model = seewhy.train("digits", out=run, **how)
        learnt = finished(neighbouring.learn(model, neighbouring.settings_for(run, "digits")))
    known, digits = set(learnt.dataset.ids), data.open("digits")
    others = [example for example in digits if example.id not in known]
    answers = model([example.inputs["image"] for example in others])
    wrong = [(a.confidence, e, a) for e, a in zip(others, answers, strict=True) if a.value != e.target]
    confidence, example, answer = max(wrong, key=lambda entry: entry[0])
    print(f"{example.id}: a {example.target}, answered {answer.value} with {confidence:.0%}")
    drawn = neighbouring.drawn(learnt, example, neighbouring.near(learnt, example, answer.value))
    (Path(__file__).parent / "images" / "neighbours.png").write_bytes(imaging.encode_png(drawn))


def draw_explainers() -> None:
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
