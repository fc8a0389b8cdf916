"""How do time and memory of the audits grow with the rows of predictions?

    python benchmarks/rows.py                       1,000 to 1,000,000 rows, one table of results
    python benchmarks/rows.py --sizes 1000,10000    fewer

Ten classes, three tags, a tag with a planted gap, log-probabilities and embeddings; no image and no network. Each line
is a process of its own that reads the table and does one thing: CPU seconds, and the most memory above what Python, the
libraries and the table took before. `growth` is the time of the last size over that of the one before; `whole` is
`seewhy audit TABLE`, with the process's whole memory. Nothing here fails for being slow.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

CLASSES = tuple("abcdefghij")
TAGS = {"sex": 2, "scanner": 5, "age": 60}
#: Memory that a process may ask for in bytes, and the seconds it may take, before it is given up.
MOST_MEMORY, MOST_SECONDS = 12_000_000_000, 900


def written(rows: int, folder: Path) -> None:
    """Write a table of predictions, right on nine of ten, and on seven of ten of the last scanner."""
    from seewhy.storage import predicted
    from seewhy.types import PREDICTION_COLUMNS, Predictions

    random = np.random.default_rng(0)
    tags = {name: random.integers(0, count, rows) for name, count in TAGS.items()}
    target = random.integers(0, len(CLASSES), rows)
    right = random.random(rows) < np.where(tags["scanner"] == TAGS["scanner"] - 1, 0.7, 0.9)
    answer = np.where(right, target, (target + random.integers(1, len(CLASSES), rows)) % len(CLASSES))
    logits = random.normal(0, 1, (rows, len(CLASSES)))
    logits[np.arange(rows), answer] += 5
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    names = np.array(CLASSES)
    odds = logs[np.arange(rows), target]
    columns = {
        "id": pa.array(np.char.add("i", np.arange(rows).astype(str))),
        "condition": pa.array([""] * rows),
        "target": pa.array(names[target]),
        "answer": pa.array(names[answer]),
        "confidence": pa.array(np.exp(logs[np.arange(rows), answer]), pa.float32()),
        "right": pa.array(right.astype(np.float32)),
        "logodds_true": pa.array(odds - np.log1p(-np.exp(np.minimum(odds, -1e-9))), pa.float32()),
        "loss": pa.array(-odds, pa.float32()),
    }
    columns |= {name: pa.nulls(rows, PREDICTION_COLUMNS.field(name).type) for name in PREDICTION_COLUMNS.names[8:]}
    table = pa.table(columns, schema=PREDICTION_COLUMNS)
    for name, values in tags.items():
        table = table.append_column(f"tag:{name}", pa.array(values if name == "age" else np.array(CLASSES)[values]))
    embeddings = random.normal(0, 1, (rows, 64)).astype(np.float16)
    predicted.save(Predictions(table, CLASSES, None, logs.astype(np.float16), embeddings), folder)
    plain = table.drop_columns(["condition", "loss", "logodds_true", *PREDICTION_COLUMNS.names[8:]])
    pa.parquet.write_table(plain, folder / "table.parquet")


def audits() -> list[str]:
    """Those that say something of a table of predictions alone."""
    from seewhy import shelf
    from seewhy.types import Need

    found = []
    for name in shelf.members("audits"):
        module = shelf.load("audits", name)
        needs, optional = module.needs(), getattr(module, "optional", frozenset())
        if Need("baseline") in needs and all(need == Need("baseline") or need.table in optional for need in needs):
            found.append(name)
    return found


def job(what: str, folder: Path) -> Callable[[], object]:
    """The thing to measure, with all it needs read before."""
    from seewhy import auditing, shelf
    from seewhy.settings import Settings
    from seewhy.storage import predicted
    from seewhy.types import Need, Tables

    if what == "whole":
        settings = Settings(data=str(folder / "table.parquet"))
        return lambda: list(auditing.audit(settings, out=folder / "run"))
    if what == "read":
        return lambda: predicted.from_table(folder / "table.parquet")
    module, predictions = shelf.load("audits", what), predicted.load(folder)
    absent = {need: "it is not measured here" for need in module.needs() if need != Need("baseline")}
    tables = Tables({Need("baseline"): predictions}, predictions.classes, absent=absent)

    def ask() -> object:
        found = module.check(tables)
        return found if hasattr(found, "audit") else list(found)

    return ask


def measured(what: str, folder: Path) -> dict[str, float]:
    """CPU seconds, and the most memory in MB: of `whole` all of it, else what came on top."""
    before = 0 if what == "whole" else None
    run = job(what, folder)
    before = _peak() if before is None else before
    began = time.process_time()
    run()
    return {"seconds": time.process_time() - began, "megabytes": _peak() - before}


def _peak() -> float:
    """The largest resident size so far, in MB; the system's `ru_maxrss` begins at that of the parent."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def asked(what: str, folder: Path) -> dict[str, float] | str:
    """`measured` in a process of its own, or why there is no number."""
    line = [sys.executable, __file__, "--measure", what, "--folder", str(folder)]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=MOST_SECONDS)
    except subprocess.TimeoutExpired:
        return f"over {MOST_SECONDS} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1][:40]
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure everything at every size and print the table."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--sizes", default="1000,10000,100000,1000000")
    words.add_argument("--only", default="", help="names of audits, or read, or whole")
    words.add_argument("--measure", help=argparse.SUPPRESS)
    words.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.measure:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        print(json.dumps(measured(given.measure, given.folder)))
        return
    sizes = [int(size) for size in given.sizes.split(",")]
    wanted = [name for name in given.only.split(",") if name] or ["read", *audits(), "whole"]
    print("| |", *(f"{size:,} rows |" for size in sizes), "growth |")
    print("| --- |" + " ---: |" * (len(sizes) + 1))
    with tempfile.TemporaryDirectory() as place:
        folders = [Path(place) / str(size) for size in sizes]
        for size, folder in zip(sizes, folders, strict=True):
            written(size, folder)
        for what in wanted:
            found = [asked(what, folder) for folder in folders]
            cells = [
                one if isinstance(one, str) else f"{one['seconds']:.2f} s, {one['megabytes']:,.0f} MB" for one in found
            ]
            last = [one["seconds"] for one in found[-2:] if not isinstance(one, str)]
            growth = f"{last[1] / max(last[0], 1e-9):.1f}" if len(last) == 2 else ""
            print(f"| {what} |", *(f"{cell} |" for cell in cells), f"{growth} |", flush=True)


if __name__ == "__main__":
    main()
