"""Measures what docs/shortcuts.md says: python docs/shortcuts.py tables | networks | worlds | digits | mri.

`worlds` may be followed by numbers of worlds, `mri` is followed by the file and the class that gets a mark.

Rows are printed as they come, so that a run may be stopped and still tell something.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import torch
from torch import nn

import seewhy
from seewhy import data, shelf
from seewhy.images import imaging
from seewhy.material.opening import Material
from seewhy.model import Model, Normalised
from seewhy.planner import Planner
from seewhy.settings import Settings
from seewhy.statistics import intervals, significance, telling
from seewhy.storage.cache import Cache
from seewhy.tasks.classify import Classify
from seewhy.types import Finding, Preprocessing, Scan, Tables, finished
from seewhy.worlds import World

BALANCES = (0.5, 0.95)
#: Where each planted variable must be named: the audit, and the subject that its finding begins with.
NAMED = {
    "mark": "shortcuts:mark:cross",
    "background": "properties:colour_of_the_background",
    "tint": "properties:tint_of_the_image",
    "colour": "properties:colour_of_the_object",
}
#: Twenty-five worlds: what is planted, how strongly, how many classes.
WORLDS = [
    (variable, knob, classes)
    for variable in NAMED
    for knob, classes in ((0.7, 2), (0.8, 2), (0.9, 2), (1.0, 2), (0.8, 3), (0.95, 4))
] + [("mark", 0.95, 3)]


# ------------------------------------------------------------------------------------------------- trained by hand


def small(classes: int, side: int) -> nn.Module:
    """A network that learns a made world in seconds."""
    reach = -(-side // 8)
    return nn.Sequential(
        nn.Conv2d(3, 12, 5, 2, 2),
        nn.ReLU(),
        nn.Conv2d(12, 24, 3, 2, 1),
        nn.ReLU(),
        nn.Conv2d(24, 24, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24 * reach**2, 32),
        nn.ReLU(),
        nn.Linear(32, classes),
    )


def learnt(world: World, epochs: int, seed: int) -> nn.Module:
    """Trained on the world's training images with Adam; the global generator stays as it was."""
    scene = world.scene(world.ids("train"))
    images, labels = scene.images(), torch.from_numpy(scene.places["label"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Normalised(small(world.classes, world.side), (0.5,) * 3, (0.5,) * 3)
        optimiser = torch.optim.Adam(network.parameters(), 3e-3)
        for _ in range(epochs):
            for rows in torch.randperm(len(images)).split(64):
                optimiser.zero_grad()
                nn.functional.cross_entropy(network(images[rows]), labels[rows]).backward()
                optimiser.step()
    return network


def audited(world: World, network: nn.Module, seed: int) -> list[Finding]:
    """What the two audits say of a network on a world."""
    dataset = data.open(world)
    n = len(dataset)
    files = pa.table(
        {
            "id": list(dataset.ids),
            "split": list(dataset.splits),
            "target": list(dataset.targets),
            "bytes": [1] * n,
            "sha256": [""] * n,
            "width": [world.side] * n,
            "height": [world.side] * n,
        }
    )
    task = Classify(world.values("label"), Preprocessing(size=(world.side, world.side)))
    model = Model(network, task, "small")
    settings = Settings(data=str(world), seed=seed, device="cpu", threads=1)
    found: list[Finding] = []
    with tempfile.TemporaryDirectory() as folder:
        planner = Planner(settings, Cache(folder), {}, Material(dataset, Scan(files), str(world)), model)
        for name in ("shortcuts", "properties"):
            audit = shelf.load("audits", name)
            made = {need: finished(planner.make(need)) for need in audit.needs()}
            found += audit.check(Tables(made, model.classes, "test", seed))
    return found


def own_effect(world: World, network: nn.Module, variable: str) -> float:
    """The share of 500 test images whose answer differs between two values of the variable, of the pair that differs
    most: exact, by drawing the images again."""
    scene = world.scene(world.ids("test")[:500])
    with torch.inference_mode():
        said = [network(scene.do(**{variable: value}).images()).argmax(1) for value in world.values(variable)]
    return max(float((one != other).float().mean()) for one in said for other in said)


# ---------------------------------------------------------------------------------------------------- what is asked


def of_tables(runs: int = 1000) -> None:
    """False alarms of the arithmetic alone, on made-up numbers: heavy tails, few pairs, rare classes."""
    for pairs, tests in ((16, 34), (48, 34), (48, 170)):
        alarms = 0
        for seed in range(runs):
            random = np.random.default_rng(seed)
            shared = random.standard_t(3, (2 * pairs, 1))
            values = shared + random.standard_t(3, (2 * pairs, tests))
            values[:pairs, : tests // 2] = np.nan
            values[pairs:, tests // 2 :] = np.nan
            alarms += bool((significance.sign_flip_test(values, seed=seed, draws=1000) < 0.05).any())
        print(f"sign flips, {pairs} pairs a class, {tests} regions and classes: {_share(alarms, runs)}", flush=True)
    runs = min(runs, 400)
    for share in BALANCES:
        alarms = 0
        for seed in range(runs):
            random = np.random.default_rng(seed)
            labels = (random.random(1000) >= share).astype(int)
            half = np.arange(500)
            p = [
                telling.told(random.standard_normal((1000, 1)), labels, half, half + 500, seed=seed, draws=1000).p
                for _ in range(8)
            ]
            alarms += bool((significance.holm(p) < 0.05).any())
        print(f"8 properties that are noise, classes {share:.0%}: {_share(alarms, runs)}", flush=True)


def of_networks(runs: int = 400) -> None:
    """False alarms on worlds in which nothing goes with the label, half of the networks trained on them."""
    alarms = dict.fromkeys([(audit, balance) for audit in ("shortcuts", "properties") for balance in BALANCES], 0)
    done = dict.fromkeys(BALANCES, 0)
    for seed in range(runs):
        balance = BALANCES[seed % 2]
        world = World(first=balance, side=24, train=400, test=200, seed=1000 + seed)
        network = learnt(world, 3 if seed % 4 < 2 else 0, seed)
        done[balance] += 1
        for name in {finding.audit for finding in audited(world, network, seed) if finding.severity != "none"}:
            alarms[name, balance] += 1
        if seed % 20 == 19:
            told = (f"{name} {of:.0%}: {_share(count, done[of])}" for (name, of), count in alarms.items())
            print(f"{seed + 1} networks; " + "; ".join(told), flush=True)


def of_worlds(only: Sequence[int] = ()) -> None:
    """Is what was planted, and learnt, named? All worlds, or those of these numbers."""
    named = strong = 0
    for number, (variable, knob, classes) in enumerate(WORLDS):
        if only and number not in only:
            continue
        world = World(classes=classes, train=1200, test=600, seed=number, **{variable: (knob, 0.0)})
        network = learnt(world, 8, number)
        effect = own_effect(world, network, variable)
        found = [each for each in audited(world, network, number) if each.found]
        right = next((each for each in found if each.id == NAMED[variable]), None)
        place = variable != "mark" or (right is not None and right.settings["place"] == "the upper left corner")
        strong += effect >= 0.05
        named += effect >= 0.05 and right is not None and place
        others = [each.id for each in found if each is not right]
        verdict = "named" if right and place else "MISSED" if effect >= 0.05 else "not named"
        size = f"{right.value:+.2f} {right.severity}" if right else ""
        print(
            f"{variable} {knob} {classes} classes: own effect {effect:.2f}, {verdict} {size}; also {others}", flush=True
        )
    print(f"named {named} of {strong} with an own effect of .05 or more", flush=True)


def _share(count: int, runs: int) -> str:
    low, high = intervals.wilson(count, runs)
    return f"{count} of {runs} ({100 * count / runs:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f})"


# ------------------------------------------------------------------------------------------------- images of others


def marked(pixels: np.ndarray, side: int) -> np.ndarray:
    """A white square in the lower right corner, one pixel off the border where there is room."""
    off = 1 if min(pixels.shape[:2]) >= 16 else 0
    burnt = pixels.copy()
    burnt[-side - off : burnt.shape[0] - off, -side - off : burnt.shape[1] - off] = 255
    return burnt


def written(rows: Iterator[tuple[str, np.ndarray]], folder: Path, name: str | None, side: int) -> None:
    """A folder with train/ and test/, a fifth of each class for the test; `name` gets its mark in 90 % of training."""
    random, seen = np.random.default_rng(0), {}
    for label, pixels in rows:
        number = seen[label] = seen.get(label, -1) + 1
        split = "test" if number % 5 == 4 else "train"
        burn = label == name and split == "train" and random.random() < 0.9
        path = folder / split / label / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(imaging.encode_png(marked(pixels, side) if burn else pixels))


def digits() -> Iterator[tuple[str, np.ndarray]]:
    """scikit-learn's 1,797 digits, 8 x 8."""
    from sklearn.datasets import load_digits

    held = load_digits()
    for image, label in zip(held.images, held.target, strict=True):
        yield str(label), np.repeat((image * 255 / 16).astype(np.uint8)[:, :, None], 3, axis=2)


def brains(path: str, most: int = 400, side: int = 48) -> Iterator[tuple[str, np.ndarray]]:
    """The first images of each class, small."""
    from PIL import Image

    dataset = data.open(path)
    seen: dict[str, int] = {}
    for row, label in enumerate(dataset.targets):
        seen[label] = seen.get(label, 0) + 1
        if seen[label] <= most:
            small_one = Image.fromarray(dataset.pixels(row)).resize((side, side), Image.Resampling.BOX)
            yield str(label), np.asarray(small_one)


def of_images(rows: Any, name: str, side: int, **settings: Any) -> None:
    """The whole audit, with the mark and without."""
    with tempfile.TemporaryDirectory() as held:
        for mark in (name, None):
            folder = Path(held) / ("marked" if mark else "plain")
            written(rows(), folder, mark, side)
            report = seewhy.audit(str(folder), out=str(Path(held) / f"{folder.name}_run"), **settings)
            print(f"--- {'mark on ' + name if mark else 'no mark'}; {report.facts['seconds']} s", flush=True)
            for finding in report.findings:
                if finding.severity != "none" or finding.audit in ("shortcuts", "properties"):
                    print(f"  {finding.severity:9} {finding.id}: {finding.statement[:400]}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    asked = sys.argv[1] if len(sys.argv) > 1 else "tables"
    if asked == "digits":
        of_images(digits, "3", 2, network="resnet_tiny", steps=300, threads=1)
    elif asked == "mri":
        of_images(lambda: brains(sys.argv[2]), sys.argv[3], 5, network="resnet_tiny", steps=200, threads=1)
    elif asked == "worlds":
        of_worlds(tuple(map(int, sys.argv[2:])))
    else:
        {"tables": of_tables, "networks": of_networks}[asked]()
