"""Draws docs/images/spreadsheet-*.png: three sheets of a workbook that computes, as LibreOffice shows them.

Trains a LeNet on the digits that come along for a minute, and takes the test image of which it is least sure. Needs
LibreOffice and poppler's pdftoppm.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops
from sklearn.datasets import load_digits

import seewhy

IMAGES = Path(__file__).parent / "images"
#: Each picture with the words that its sheet begins with, and how much of the page is kept, from the top.
SHEETS = {
    "cover": ("lenet5_relu: from pixels", 1.0),
    "convolution": ("Convolution: conv1", 0.62),
    "loss": ("Cross-entropy", 1.0),
}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = seewhy.train("digits", network="lenet5_relu", steps=400, out=folder / "run")
        digits = load_digits()
        images = [np.repeat((each / 16 * 255).astype(np.uint8)[:, :, None], 3, 2) for each in digits.images]
        sure = [answer.confidence for answer in model(images)]
        place = int(np.argmin(sure))
        seewhy.sheet(model, [images[place]], folder / "digits.xlsx", labels=[str(digits.target[place])])
        draw(folder)


def draw(folder: Path) -> None:
    """The first page of each of the sheets, without its margins."""
    office = ["soffice", "--headless", "--norestore", f"-env:UserInstallation={(folder / 'profile').as_uri()}"]
    subprocess.run([*office, "--convert-to", "pdf", "digits.xlsx"], cwd=folder, check=True, capture_output=True)
    pages = subprocess.run(["pdftotext", "digits.pdf", "-"], cwd=folder, check=True, capture_output=True, text=True)
    texts = pages.stdout.split("\f")
    for name, (words, share) in SHEETS.items():
        number = str(next(place for place, text in enumerate(texts, start=1) if text.startswith(words)))
        made = ["pdftoppm", "-r", "130", "-png", "-singlefile", "-f", number, "-l", number, "digits.pdf", name]
        subprocess.run(made, cwd=folder, check=True)
        page = Image.open(folder / f"{name}.png").convert("RGB")
        left, top, right, bottom = ImageChops.invert(page).getbbox()
        cut = page.crop((left, top, right, top + round((bottom - top) * share)))
        cut.quantize(96, dither=Image.Dither.NONE).save(IMAGES / f"spreadsheet-{name}.png", optimize=True)


if __name__ == "__main__":
    main()
