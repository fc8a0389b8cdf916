"""Draws docs/images/counterfactuals.png: images of a made world, and the smallest changes that change the answer.

Trains a network and two peers, and prints the findings that docs/causes.md speaks of. Takes some minutes.
"""

import tempfile
from pathlib import Path

import numpy as np

from seewhy import shelf
from seewhy.images.decoding import decode
from seewhy.images.imaging import encode_png
from seewhy.material import opening
from seewhy.planner import Planner
from seewhy.settings import Settings
from seewhy.storage.cache import Cache
from seewhy.training import fitting
from seewhy.types import Tables, finished

PICTURE = Path(__file__).parent / "images" / "counterfactuals.png"
WORLD = "made:background=0.95:0,train=1000,test=500"
SCALE, GAP = 3, 2
ASKED = {
    "mediation": {},
    "counterfactuals": {"train": 2},
    "peer_pressure": {"train": 2},
}


def planner(folder: str) -> Planner:
    """A network that learnt a world in which the background goes along with the label, until the test."""
    settings, cache = Settings(data=WORLD, steps=150, threads=1), Cache(Path(folder) / "cache")
    model, _ = finished(fitting.train(settings, out=Path(folder) / "run", cache=cache))
    return Planner(settings, cache, {}, finished(opening.open_material(settings, cache)), model)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        plan = planner(folder)
        for name, chosen in ASKED.items():
            audit = shelf.load("audits", name)
            made = {need: finished(plan.make(need)) for need in audit.needs(**chosen)}
            found = audit.check(Tables(made, plan.model.classes, "test", 0), **chosen)
            for finding in [found] if hasattr(found, "statement") else found:
                print(f"{finding.id}: {finding.statement}\n")
            if name == "counterfactuals":
                PICTURE.write_bytes(encode_png(sheet(plan, made[audit.needs(**chosen)[0]].to_pylist())))


def sheet(plan: Planner, rows: list[dict]) -> np.ndarray:
    """From the top: the images as they are, with a smooth edit, with cells of a look-alike."""
    dataset = plan.material.dataset
    place = {id: row for row, id in enumerate(dataset.ids)}
    edits, swaps = ([decode(row["picture"]) for row in rows if row["how"] == how] for how in ("edit", "swap"))
    before = [dataset.pixels(place[row["id"]]) for row in rows if row["how"] == "edit"]
    tiles = np.stack([before, edits, swaps]).repeat(SCALE, axis=2).repeat(SCALE, axis=3)
    padded = np.pad(tiles, ((0, 0), (0, 0), (0, 2 * GAP), (0, 2 * GAP), (0, 0)), constant_values=255)
    down, across, high, wide, _ = padded.shape
    return padded.transpose(0, 2, 1, 3, 4).reshape(down * high, across * wide, 3)[: -2 * GAP, : -2 * GAP]


if __name__ == "__main__":
    main()
