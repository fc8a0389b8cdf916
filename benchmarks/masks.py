"""Do the mask methods say the same from one shared table as each from its own, and do their own masks suffice?

    python benchmarks/masks.py MODEL DATA                  eight images, one table of results
    python benchmarks/masks.py MODEL DATA --images 32      more

For each method Spearman's rank correlation of two maps of the answer given, as means over 7 x 7 cells: of its own
design and the shared one (`shared`), and of its own design with two seeds (`seeds`: what would be 1 if masks were never
too few). Mean over the images, and between brackets the least. MODEL is a folder or a name such as lite0. Nothing here
fails for a low number.
"""

import argparse
import inspect
from collections import defaultdict

import numpy as np
import torch
from scipy.stats import spearmanr
from torch.nn import functional

import seewhy
from seewhy import data, passes, shelf
from seewhy.model import Model
from seewhy.types import Batch

CELLS = 7


def maps(model: Model, batch: Batch) -> dict[tuple[str, str], np.ndarray]:
    """By method and kind ("own", "seed 1", "shared") the map of one image, as means over cells."""
    names = [name for name in shelf.members("explainers") if "design" in _settings(name)]
    kinds = {"own": {}, "shared": {"design": "shared"}, "seed 1": {"seed": 1}}
    methods = {
        f"{name}: {kind}": (shelf.load("explainers", name), settings)
        for name in names
        for kind, settings in kinds.items()
        if settings.keys() <= _settings(name)
    }
    with torch.no_grad():
        (answer,) = model.task.decode(model.network(**batch.inputs))
    heat = passes.explain(model.network, batch, model.task.question(answer.value), methods).heat
    return {
        tuple(name.split(": ")): functional.adaptive_avg_pool2d(each, CELLS).flatten().numpy()  # type: ignore[misc]
        for name, each in heat.items()
    }


def _settings(name: str) -> set[str]:
    return set(inspect.signature(shelf.load("explainers", name).heat).parameters)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--images", type=int, default=8)
    wanted = parser.parse_args()
    model, dataset = seewhy.load(wanted.model), data.open(wanted.data)
    agreement: dict[tuple[str, str], list[float]] = defaultdict(list)
    for place in np.linspace(0, len(dataset) - 1, wanted.images).astype(int):
        found = maps(model, model.task.collate([dataset[int(place)]]))
        for (method, kind), map_ in found.items():
            if kind != "own":
                agreement[method, kind].append(float(spearmanr(found[method, "own"], map_).statistic))
    print("| method | shared | seeds |\n| --- | --- | --- |")
    for method in dict.fromkeys(method for method, _ in agreement):
        told = [
            f"{np.mean(values):.2f} ({min(values):.2f})" if values else "none"
            for values in (agreement.get((method, kind), []) for kind in ("shared", "seed 1"))
        ]
        print(f"| `{method}` | " + " | ".join(told) + " |")


if __name__ == "__main__":
    main()
