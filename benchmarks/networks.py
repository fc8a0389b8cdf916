"""Are our networks as quick as timm's and torchvision's?

    python benchmarks/networks.py                              # all pairs, as they were published
    python benchmarks/networks.py resnet50 densenet121 --repeats 25 --out networks.jsonl

Both networks of a pair get the same batch, number type, threads and memory layout, and take turns: in each repeat ours
runs, then theirs, in the next theirs, then ours. The ratio is theirs by ours in seconds, more than 1 where ours is
quicker: the median over the repeats, with the 95 % interval of a median from the order of the ratios. `--clock cpu`
counts the seconds of this process instead of those on the wall, for a machine on which others work too.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from scipy.stats import binom
from torch import Tensor, nn

from seewhy import networks

#: Ours, and the peer with equal weights and equal multiplications.
PAIRS = {
    "alexnet_one": "torchvision:alexnet",
    "vgg11_bn": "torchvision:vgg11_bn",
    "googlenet_bn": "torchvision:googlenet",
    "inception_v3": "torchvision:inception_v3",
    "inception_v4": "timm:inception_v4",
    "inception_resnet_v2": "timm:inception_resnet_v2",
    "resnet18": "torchvision:resnet18",
    "resnet50": "torchvision:resnet50",
    "preresnet50": "timm:resnetv2_50",
    "resnext50_32x4d": "torchvision:resnext50_32x4d",
    "se_resnet50": "timm:seresnet50",
    "densenet121": "torchvision:densenet121",
    "xception": "timm:legacy_xception",
    "mobilenet_w100": "timm:mobilenetv1_100",
    "vit_s16": "timm:vit_small_patch16_224",
}
SIDES = {"inception_v3": 299, "inception_v4": 299, "inception_resnet_v2": 299, "xception": 299}


def main() -> int:
    """0 if every ratio's interval reaches `--least`."""
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PAIRS)} [all]")
    told.add_argument("--batch", type=int, default=8)
    told.add_argument("--side", type=int, help="pixels a side [as published]")
    told.add_argument("--repeats", type=int, default=15)
    told.add_argument("--threads", type=int, default=1)
    told.add_argument("--device", default="cpu")
    told.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    told.add_argument("--layout", choices=("channels_last", "contiguous_format"), default="channels_last")
    told.add_argument("--least", type=float, default=0.97)
    told.add_argument("--out", help="a file to which one line of JSON a measurement is added")
    chosen = told.parse_args()
    unknown = set(chosen.names) - set(PAIRS)
    if unknown:
        told.error(f"no pair for {', '.join(sorted(unknown))}; there are {', '.join(PAIRS)}")
    torch.set_num_threads(chosen.threads)
    print(f"{'network':<20} {'peer':<28} {'task':<9} {'ours/s':>8} {'theirs/s':>8} {'ratio':>6}  95 %")
    slow = 0
    for name in chosen.names or PAIRS:
        for row in measured(name, chosen):
            slow += row["high"] < chosen.least
            print(
                f"{name:<20} {row['peer']:<28} {row['task']:<9} {row['ours']:>8.2f} {row['theirs']:>8.2f} "
                f"{row['ratio']:>6.3f}  {row['low']:.3f} to {row['high']:.3f}",
                flush=True,
            )
            if chosen.out:
                with open(chosen.out, "a", encoding="utf-8") as file:  # noqa: PTH123
                    file.write(json.dumps(row) + "\n")
    return 1 if slow else 0


def measured(name: str, chosen: argparse.Namespace):
    """A row for inference and one for training."""
    side = 224 if name.startswith("vit") else chosen.side or SIDES.get(name, 224)  # its positions are for one size
    pair = {"ours": networks.find(name, classes=100).module, "theirs": networks.find(PAIRS[name], classes=100).module}
    counts = {who: sum(parameter.numel() for parameter in network.parameters()) for who, network in pair.items()}
    if counts["ours"] != counts["theirs"]:
        raise ValueError(f"{name} and {PAIRS[name]} differ in parameters: {counts}")
    images = torch.rand(chosen.batch, 3, side, side, device=chosen.device)
    layout = getattr(torch, chosen.layout)
    for network in pair.values():
        network.to(device=chosen.device, memory_format=layout)
    images = images.to(memory_format=layout)
    for task, prepare in (("inference", inference), ("training", training)):
        steps = {who: prepare(network, images) for who, network in pair.items()}
        seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
        for repeat in range(-1, chosen.repeats):  # the first warms up
            for who in ("ours", "theirs") if repeat % 2 else ("theirs", "ours"):
                taken = timed(steps[who], chosen)
                if repeat >= 0:
                    seconds[who].append(taken)
        ratios = sorted(b / a for a, b in zip(seconds["ours"], seconds["theirs"], strict=True))
        outside = int(binom.ppf(0.025, len(ratios), 0.5))  # so many ratios lie beyond each end of the interval
        yield {
            "network": name,
            "peer": PAIRS[name],
            "task": task,
            "ours": chosen.batch / statistics.median(seconds["ours"]),
            "theirs": chosen.batch / statistics.median(seconds["theirs"]),
            "ratio": statistics.median(ratios),
            "low": ratios[max(0, outside - 1)],
            "high": ratios[min(len(ratios) - 1, len(ratios) - outside)],
            "repeats": chosen.repeats,
            "batch": chosen.batch,
            "side": side,
            "threads": chosen.threads,
            "device": chosen.device,
            "clock": chosen.clock,
            "layout": chosen.layout,
            "torch": torch.__version__,
        }


def inference(network: nn.Module, images: Tensor) -> Callable[[], object]:
    """One pass, as it is made for answers."""

    def step() -> object:
        network.eval()
        with torch.inference_mode():
            return network(images)

    return step


def training(network: nn.Module, images: Tensor) -> Callable[[], object]:
    """A pass there and back, and a step of stochastic gradient descent."""
    targets = torch.arange(len(images), device=images.device) % 100
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9)

    def step() -> object:
        network.train()
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(images), targets).backward()
        return optimiser.step()

    return step


def timed(step: Callable[[], object], chosen: argparse.Namespace) -> float:
    """Seconds."""
    now = time.perf_counter if chosen.clock == "wall" else time.process_time
    gc.collect()
    if chosen.device.startswith("cuda"):
        torch.cuda.synchronize()
    begun = now()
    step()
    if chosen.device.startswith("cuda"):
        torch.cuda.synchronize()
    return now() - begun


if __name__ == "__main__":
    sys.exit(main())
