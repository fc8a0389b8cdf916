"""How long, and how much memory, does the main job take: `seewhy audit digits`, and how soon does help answer?

    python benchmarks/audit.py --repeats 3

Each line is a process of its own: seconds on the wall, CPU seconds and the largest resident size. The second audit of
the same model finds its tables in the cache. Help is set beside `python -c pass` and beside the import of PyTorch.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def run(words: list[str], folder: Path) -> dict[str, float]:
    """One process, to its end."""
    environment = {**os.environ, "SEEWHY_CACHE": str(folder / "cache")}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    child = subprocess.Popen([sys.executable, *words], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - began, "cpu": cpu, "megabytes": used.ru_maxrss / 1e3}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--repeats", type=int, default=3)
    repeats = asked.parse_args().repeats
    seewhy = ["-c", "from seewhy.cli import main; main()"]
    found: dict[str, list[dict[str, float]]] = {}
    for number in range(repeats):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            work = {
                "python -c pass": ["-c", "pass"],
                "seewhy --help": [*seewhy, "--help"],
                "import torch": ["-c", "import torch"],
                "audit digits": [*seewhy, "audit", "digits", "--seed", str(number), "--out", "first"],
                "the same model again": [*seewhy, "audit", "digits", "--seed", str(number), "--model", "first"],
            }
            for what, words in work.items():
                found.setdefault(what, []).append(run(words, folder))
    for what, rows in found.items():
        middle = {name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]}
        print(json.dumps({"what": what, **middle, "n": repeats}), flush=True)


if __name__ == "__main__":
    main()
