"""On how many of timm's classification architectures does one line explain an answer, without a layer or a reshape?

    python benchmarks/architectures.py                 the smallest network of each family
    python benchmarks/architectures.py --most 30       every network of at most 30 million weights
    python benchmarks/architectures.py vit swin        the families whose names hold one of these

Each network has random weights and is asked about one random image, at 128 pixels a side where the architecture takes
that, by `gradient` and `grad_cam`. It counts as explained if both maps are finite and not empty and the layer that was
found lies over the image. Failures are listed with their words.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Iterator

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


def networks(families: list[str], most: float | None) -> Iterator[str]:
    """Names of networks: the smallest of each family, or with `most` all that have no more weights."""
    for module in timm.list_modules():
        if families and not any(family in module for family in families):
            continue
        sizes = {}
        for name in timm.list_models(module=module):
            try:
                sizes[name] = weights(name)
            except Exception as error:  # noqa: BLE001  some cannot be made without memory
                print(f"not counted: {name}: {error}", flush=True)
        if most is not None:
            yield from (name for name, size in sizes.items() if size <= most)
        elif sizes:
            yield min(sizes, key=sizes.__getitem__)


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
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("families", nargs="*", help="parts of the families' names [all]")
    parser.add_argument("--most", type=float, help="every network of at most so many million weights")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    failures, count = {}, 0
    for name in networks(chosen.families, chosen.most):
        count, begun = count + 1, time.monotonic()
        try:
            print(f"{name:40} {explained(name)}  {time.monotonic() - begun:.1f} s", flush=True)
        except Exception as error:  # noqa: BLE001  whatever it is, it is a failure to list
            failures[name] = f"{type(error).__name__}: {error}"
            print(f"{name:40} FAILED {failures[name][:200]}", flush=True)
    print(f"\n{count - len(failures)} of {count} explained ({(count - len(failures)) / max(count, 1):.1%})")
    for name, words in failures.items():
        print(f"  {name}: {words[:300]}")


if __name__ == "__main__":
    main()
