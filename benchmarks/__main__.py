"""All benchmarks, one after another, each in a process of its own: `make benchmarks`, `python benchmarks loop scan`.

What each measures and how it is fair is said at the top of its file. The lines of JSON that they print are gathered
into one table; a benchmark that fails says so and ends nothing. Nothing here is a test: no number is right or wrong.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
#: By name: the words that make it short enough for a look.
BENCHMARKS = {
    "audit": (),
    "loop": ("--threads", "1"),
    "predict": (),
    "scan": (),
    "networks": ("--repeats", "7", "--batch", "4", "--side", "128", "--clock", "cpu", "--out", "/dev/stdout"),
    "explainers": ("--repeats", "5", "--side", "64", "--out", "/dev/stdout"),
    "rows": (),
}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("names", nargs="*", help=f"of {', '.join(BENCHMARKS)} [all]")
    names = asked.parse_args().names or list(BENCHMARKS)
    rows: list[dict[str, object]] = []
    for name in names:
        script = FOLDER / f"{name}.py"
        print(f"-- {name}", flush=True)
        with subprocess.Popen(
            [sys.executable, script, *BENCHMARKS.get(name, ())], stdout=subprocess.PIPE, text=True
        ) as work:
            for line in work.stdout or ():
                print(line, end="", flush=True)
                if line.startswith("{"):
                    rows.append({"benchmark": name, **json.loads(line)})
        if work.returncode:
            print(f"-- {name} ended with {work.returncode}", flush=True)
    told = [row for row in rows if "ratio" in row]
    print("\n| benchmark | what | ratio | from | to |\n| --- | --- | ---: | ---: | ---: |")
    for row in told:
        what = " ".join(str(row[key]) for key in ("what", "loop", "network", "method", "peer", "task") if key in row)
        print(f"| {row['benchmark']} | {what} | {row['ratio']} | {row.get('low', '')} | {row.get('high', '')} |")


if __name__ == "__main__":
    main()
