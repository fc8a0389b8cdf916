"""What does prediction cost beside the bare network: decoding, fitting, tables and all?

    python benchmarks/predict.py --images 2000 --side 32

`ours` is `predicting.predict` on images in memory; `bare` runs the same network on the same batches and keeps the
probabilities. They take turns; the ratio is bare by ours in seconds, 1 where the rest costs nothing. CPU time.
"""

import argparse
import json
import statistics
import time
from typing import Any

import numpy as np
import torch

from seewhy import data, networks, predicting
from seewhy.loading import Loader
from seewhy.model import Normalised
from seewhy.tasks.classify import Classify
from seewhy.types import Preprocessing

CLASSES = tuple("abcdefghij")


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    told.add_argument("--network", default="resnet20")
    told.add_argument("--images", type=int, default=2000)
    told.add_argument("--side", type=int, default=32)
    told.add_argument("--repeats", type=int, default=5)
    told.add_argument("--threads", type=int, default=1)
    asked = told.parse_args()
    torch.set_num_threads(asked.threads)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (asked.images, asked.side, asked.side, 3), dtype=np.uint8)
    labels = [CLASSES[place] for place in random.integers(0, 10, asked.images)]
    task = Classify(CLASSES, Preprocessing((asked.side, asked.side)))
    network = Normalised(networks.find(asked.network, classes=10).module, (0.5,) * 3, (0.5,) * 3).eval()
    loader = Loader(data.open((pixels, labels)), task)
    inputs = torch.from_numpy(pixels).permute(0, 3, 1, 2)

    def ours() -> Any:
        for _ in predicting.predict(network, loader):
            pass

    def bare() -> Any:
        with torch.inference_mode():
            return [network(part.float() / 255).softmax(1) for part in inputs.split(128)]

    times: dict[str, list[float]] = {"ours": [], "bare": []}
    for number in range(asked.repeats + 1):
        for name, work in (("ours", ours), ("bare", bare)) if number % 2 else (("bare", bare), ("ours", ours)):
            began = time.process_time()
            work()
            if number:  # the first turn warms up
                times[name].append(time.process_time() - began)
    ratios = sorted(theirs / mine for theirs, mine in zip(times["bare"], times["ours"], strict=True))
    row = {
        "what": f"predict, {asked.network}, {asked.side} px",
        "images_per_second": round(asked.images / statistics.median(times["ours"])),
        "ratio": round(statistics.median(ratios), 3),
        "low": round(ratios[0], 3),
        "high": round(ratios[-1], 3),
        "n": asked.repeats,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
