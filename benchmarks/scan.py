"""How fast is the scan of a folder of which a tenth is broken in every way that the data zoo knows?

    python benchmarks/scan.py --files 5000 --side 224

Makes JPEG and PNG images in a temporary folder, breaks some of them, scans, and prints one line of JSON: files a
second, the largest resident size of a child in MB, how many broken files were not named and how many good ones were.
"""

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import zoo

from seewhy import data
from seewhy.material import scanning


def made(folder: Path, files: int, side: int, broken: int) -> set[str]:
    """A folder of two classes; returns the ids of what cannot be used."""
    random = np.random.default_rng(0)
    ways = [quirk for _, quirk in zoo.QUIRKS if quirk.outcome == "left out" and quirk.place != "own"]
    for name in ("cat", "dog"):
        (folder / name).mkdir()
    for number in range(files - broken):
        coarse = Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        image = coarse.resize((side, side), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        pixels = np.asarray(image) + random.normal(0, 8, (side, side, 3))
        kind, ending = (("JPEG", "jpg"), ("PNG", "png"))[number % 4 == 3]
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, kind)
        (folder / ("cat", "dog")[number % 2] / f"{number}.{ending}").write_bytes(buffer.getvalue())
    left_out = set()
    for number in range(broken):
        quirk = ways[number % len(ways)]
        with tempfile.TemporaryDirectory() as aside:
            (Path(aside) / "cat").mkdir()
            quirk.make(Path(aside))
            (entry,) = (Path(aside) / "cat").iterdir()
            if "permission" in quirk.name and os.geteuid() == 0:
                (Path(aside) / "cat" / entry.name).write_bytes(b"")  # nothing is forbidden to root
            name = f"cat/{number} {entry.name}"
            entry.rename(folder / name) if not entry.is_symlink() else (folder / name).symlink_to(entry.readlink())
        left_out.add(name)
    return left_out


def peaks() -> list[float]:
    """The largest resident size so far, in MB, of each child process; none where the system does not tell."""
    found = []
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            with contextlib.suppress(OSError, IndexError):
                found.append(int(Path(f"/proc/{child}/status").read_text().partition("VmHWM:")[2].split()[0]) / 1e3)
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--files", type=int, default=5000)
    asked.add_argument("--side", type=int, default=224)
    asked.add_argument("--broken", type=float, default=0.1, help="the share that is broken")
    asked.add_argument("--threads", type=int, default=2)
    chosen = asked.parse_args()
    with tempfile.TemporaryDirectory() as place:
        left_out = made(Path(place), chosen.files, chosen.side, int(chosen.files * chosen.broken))
        peak = 0.0
        began, spent = time.monotonic(), sum(os.times()[:4])
        dataset = data.open(place)
        work = scanning.scan(dataset, threads=chosen.threads)
        while True:
            try:
                next(work)
                peak = max([peak, *peaks()])
            except StopIteration as end:
                found = end.value
                break
        seconds, spent = time.monotonic() - began, sum(os.times()[:4]) - spent
    named = {entry.where for entry in found.quarantine}
    print(
        json.dumps(
            {
                "benchmark": "scan",
                "files": chosen.files,
                "side": chosen.side,
                "broken": len(left_out),
                "not_named": len(left_out - named),
                "wrongly_named": len(named - left_out),
                "seconds": round(seconds, 2),
                "cpu_seconds": round(spent, 2),
                "files_per_second": round(chosen.files / seconds, 1),
                "child_peak_mb": round(peak, 1),
                "threads": chosen.threads,
            }
        )
    )


if __name__ == "__main__":
    main()
