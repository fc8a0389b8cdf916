"""On how many of timm's classification architectures does one line explain an answer, without a layer or a reshape?

    python benchmarks/architectures.py                 the smallest network of each family
    python benchmarks/architectures.py --most 30       every network of at most 30 million weights
    python benchmarks/architectures.py vit swin        the families whose names hold one of these
    python benchmarks/architectures.py --most 150 --log architectures.jsonl

With `--log` each network adds a line to a file, and one that has a line there is not run again: a run may be stopped
and goes on. Every network comes in an order drawn once, so that what was run by then is a fair sample of the list.

Each network has random weights and is asked about one random image, at 128 pixels a side where the architecture takes
that, by `gradient` and `grad_cam`. It counts as explained if both maps are finite and not empty and the layer that was
found lies over the image. Failures are listed with their words.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import random
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from seewhy import passes, shelf
from seewhy.passes.gradients import LayerGradients
from seewhy.types import Batch, Question

SIZE = 128
METHODS = ("gradient", "grad_cam")


def weights(name: str) -> float:
    """Millions of weights, counted without making them."""
    with torch.device("meta"):
        return sum(weight.numel() for weight in timm.create_model(name).parameters()) / 1e6


def networks(families: list[str], most: float | None, known: Mapping[str, Any]) -> Iterator[str]:
    """Names of networks: the smallest of each family, or with `most` all that have no more weights."""
    chosen = [module for module in timm.list_modules() if not families or any(part in module for part in families)]
    by_family = {module: timm.list_models(module=module) for module in chosen}
    if most is not None:
        drawn = sorted(name for names in by_family.values() for name in names)
        random.Random(0).shuffle(drawn)
        yield from (name for name in drawn if name not in known and counted(name) <= most)
        return
    for names in by_family.values():
        smallest = min(names, key=counted, default=None)
        if smallest is not None and smallest not in known:
            yield smallest


def counted(name: str) -> float:
    """Millions of weights; infinitely many where it cannot be made without memory."""
    try:
        return weights(name)
    except Exception as error:  # noqa: BLE001
        print(f"not counted: {name}: {error}", flush=True)
        return math.inf


def sides(name: str) -> tuple[int, ...]:
    """Sides of images to try: a small one where the architecture takes several, and its own."""
    cfg = timm.get_pretrained_cfg(name)
    own = max(cfg.input_size[1:]) if cfg else 224
    if cfg and cfg.fixed_input_size:
        return (own,)
    return (min(own, max(SIZE, *((cfg.min_input_size if cfg else None) or (3, 0, 0))[1:])), own)


def fitting(network: nn.Module, name: str) -> int:
    """The first of the sides that the network itself can run on."""
    for side in sides(name)[:-1]:
        try:
            with torch.no_grad():
                network(torch.rand(1, 3, side, side))
        except (AssertionError, RuntimeError, ValueError):
            continue
        return side
    return sides(name)[-1]


def explained(name: str) -> str:
    """The layer that was found. Raises where the network cannot be explained."""
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=10).eval()
    side = fitting(network, name)
    for module in network.modules():  # a scale that training begins at 0 would hide what lies behind it
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine:
            nn.init.ones_(module.weight)
    heads = network.get_classifier()
    for head in heads if isinstance(heads, (tuple, list)) else (heads,):
        for layer in head.modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d)):
                nn.init.normal_(layer.weight)  # some architectures begin with a head of zeros
    batch = Batch(ids=("an image",), inputs={"x": torch.rand(1, 3, side, side)})
    methods = {method: (shelf.load("explainers", method), SETTINGS[method]) for method in METHODS}
    found = passes.explain(network, batch, Question("one", lambda output: output[:, 1]), methods)
    for method, heat in found.heat.items():
        if not heat.isfinite().all() or not heat.any():
            raise ValueError(f"{method} gave an empty map")
    layer = found.evidence[LayerGradients()].layer
    return f"{layer.name} {layer.grid.height} x {layer.grid.width} of {side}, {layer.grid.layout}"


SETTINGS = {"gradient": {"into": "x"}, "grad_cam": {"relu": False}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", help="parts of the families' names [all]")
    parser.add_argument("--most", type=float, help="every network of at most so many million weights")
    parser.add_argument("--log", type=Path, help="a file of one line a network, which is added to")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    warnings.simplefilter("ignore")
    logging.disable()
    lines = chosen.log.read_text().splitlines() if chosen.log and chosen.log.exists() else []
    results = {line["name"]: line for line in map(json.loads, lines)}
    for name in networks(chosen.families, chosen.most, dict(results)):
        begun = time.monotonic()
        line = {"name": name, "layer": None, "failed": None}
        try:
            line["layer"] = explained(name)
        except Exception as error:  # noqa: BLE001  whatever it is, it is a failure to list
            line["failed"] = f"{type(error).__name__}: {error}"[:300]
        line["seconds"] = round(time.monotonic() - begun, 1)
        results[name] = line
        print(f"{name:40} {line['layer'] or 'FAILED ' + line['failed']}  {line['seconds']} s", flush=True)
        if chosen.log:
            with chosen.log.open("a") as file:
                file.write(json.dumps(line) + "\n")
    failed = [line for line in results.values() if line["failed"]]
    count = len(results)
    print(f"\n{count - len(failed)} of {count} explained ({(count - len(failed)) / max(count, 1):.1%})")
    for line in failed:
        print(f"  {line['name']}: {line['failed']}")


if __name__ == "__main__":
    main()
