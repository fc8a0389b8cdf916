"""How much does our training loop cost beside a bare PyTorch loop, timm's and Lightning's?

    python benchmarks/loop.py --network resnet20 --batch 128 --steps 8 --repeats 5

The same network from the same weights, the same bytes of images decoded beforehand, the same optimiser, no
augmentation. The bare loop does what no loop can leave out: choose rows, bytes to floats, forward, loss, backward,
step. `ours` does what SeeWhy does a step besides: order and rates from hashes, clipping, the check that nothing is
infinite, running means. Loops take turns, A B C A B C, so that what else the machine does falls on all alike, and the
ratio is that of neighbours in time. Times are CPU time of the process where there is no GPU: on a shared machine the
clock on the wall measures the others. One JSON line a loop, then a table.
"""

import argparse
import copy
import json
import logging
import statistics
import time
import warnings

import numpy as np
import torch
from torch.nn import functional

from seewhy import data, networks, training
from seewhy.loading import Loader
from seewhy.tasks.classify import Classify
from seewhy.types import Preprocessing

CLASSES = tuple("abcdefghij")


class Work:
    """What all loops are given: pixels, targets, a network to copy, how many steps of which size."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.steps, self.batch, self.device = asked.steps, asked.batch, torch.device(asked.device)
        random = np.random.default_rng(0)
        count = asked.batch * (asked.steps + asked.warm_up)
        self.warm_up = asked.warm_up
        pixels = random.integers(0, 256, (count, asked.side, asked.side, 3), dtype=np.uint8)
        self.targets = torch.from_numpy(random.integers(0, 10, count))
        self.pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
        self.dataset = data.open((pixels, [CLASSES[place] for place in self.targets.tolist()]))
        self.task = Classify(CLASSES, Preprocessing((asked.side, asked.side)))
        self.loader = Loader(self.dataset, self.task)
        for _ in self.loader.prepare():
            pass
        self._network = networks.find(asked.network, classes=10).module.to(self.device)

    def network(self) -> torch.nn.Module:
        return ByName(copy.deepcopy(self._network))

    def clock(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            return time.perf_counter()
        return time.process_time()


class ByName(torch.nn.Module):
    def __init__(self, body: torch.nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.body(image)


def sgd(network: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)


def bare(work: Work) -> float:
    """Seconds for the steps of a plain loop."""
    network = work.network().train()
    optimizer = sgd(network)
    order = torch.randperm(len(work.targets))
    began = work.clock()
    for step, rows in enumerate(order.split(work.batch)):
        if step == work.warm_up:
            began = work.clock()
        images = work.pixels[rows].to(work.device, non_blocking=True).float().div_(255)
        loss = functional.cross_entropy(network(images), work.targets[rows].to(work.device, non_blocking=True))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return work.clock() - began


def ours(work: Work) -> float:
    """The same by `seewhy.training`."""
    steps = work.warm_up + work.steps
    how = training.Settings(
        steps=steps, batch=work.batch, optimizer="sgd", learning_rate=0.01, weight_decay=5e-4, precision="fp32"
    )
    loop = training.Training(work.network(), work.task, work.loader, None, how, work.device)
    began = work.clock()
    for progress in loop:
        if progress.stage == "train" and progress.done == work.warm_up:
            began = work.clock()
        if progress.stage == "train" and progress.done == steps:
            return work.clock() - began
    raise AssertionError("the loop ended early")


def timms(work: Work) -> float:
    """The same as timm's train.py does a step: its clipping, its meter, its non-finite check."""
    from timm.utils import AverageMeter, dispatch_clip_grad

    network = work.network().train()
    optimizer, meter = sgd(network), AverageMeter()
    order = torch.randperm(len(work.targets))
    began = work.clock()
    for step, rows in enumerate(order.split(work.batch)):
        if step == work.warm_up:
            began = work.clock()
        images = work.pixels[rows].to(work.device, non_blocking=True).float().div_(255)
        loss = functional.cross_entropy(network(images), work.targets[rows].to(work.device, non_blocking=True))
        loss.backward()
        dispatch_clip_grad(network.parameters(), value=1.0, mode="norm")
        optimizer.step()
        optimizer.zero_grad()
        meter.update(loss.item(), len(rows))
    return work.clock() - began


def lightnings(work: Work) -> float:
    """The same by Lightning's Trainer with what slows it switched off: no logger, bar, checkpoint or summary."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.began = work.network(), 0.0

        def training_step(self, batch, place):
            images, targets = batch
            return functional.cross_entropy(self.body(images.float().div_(255)), targets)

        def configure_optimizers(self):
            return sgd(self.body)

        def on_train_batch_start(self, batch, place):
            if place == work.warm_up:
                self.began = work.clock()

    rows = torch.utils.data.TensorDataset(work.pixels, work.targets)
    in_batches = torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(rows), work.batch, drop_last=False)
    module = Module()
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="gpu" if work.device.type == "cuda" else "cpu", devices=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, gradient_clip_val=1.0,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(rows, sampler=in_batches, batch_size=None))
    return work.clock() - module.began


LOOPS = {"bare": bare, "ours": ours, "timm": timms, "lightning": lightnings}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=8, help="measured steps a turn")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before them")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--loops", default=",".join(LOOPS))
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    warnings.filterwarnings("ignore", module=r"lightning.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    work, chosen = Work(asked), asked.loops.split(",")
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(asked.repeats):
        for name in chosen:
            try:
                seconds[name].append(LOOPS[name](work))
            except ImportError as error:
                print(json.dumps({"loop": name, "absent": str(error)}))
                seconds[name].append(float("nan"))
    rows = [summary(name, seconds[name], seconds["bare"], asked.steps) for name in chosen]
    for row in rows:
        print(json.dumps(row))
    print(f"\n{asked.network}, batch {asked.batch}, {asked.side} px, {asked.device}, {torch.get_num_threads()} threads")
    for row in rows:
        print(f"{row['loop']:>10}  {row['ratio']:6.3f} x bare  ({row['low']:.3f} to {row['high']:.3f})")


def summary(name: str, mine: list[float], plain: list[float], steps: int) -> dict[str, object]:
    """The median of the ratios of turns that stand next to each other in time, and the middle half of them."""
    ratios = np.array(mine) / np.array(plain)
    low, middle, high = (round(float(value), 4) for value in np.quantile(ratios, [0.25, 0.5, 0.75]))
    milliseconds = round(1000 * statistics.median(mine) / steps, 2)
    return {"loop": name, "ratio": middle, "low": low, "high": high, "ms_a_step": milliseconds, "repeats": len(mine)}


if __name__ == "__main__":
    main()
