"""Seconds from a new process to an answer, beside the bare imports that they rest on.

    python benchmarks/startup.py [--json]

Prints the median of five runs of each command and its ratio to the peer in the same row: the time
that Python takes to import the library the command cannot do without.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

RUNS = 5
ROWS = (
    ("proxpair --help", ["-m", "proxpair", "--help"], "import typer, rich.console"),
    ("proxpair check BNN", ["-m", "proxpair", "check", "BNN"], "import sympy, flint"),
    ("proxpair check BNN+", ["-m", "proxpair", "check", "BNN+"], "import sympy, flint"),
)


def median_seconds(arguments: list[str]) -> float:
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=False)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    rows = []
    for name, arguments, peer in ROWS:
        ours, theirs = median_seconds(arguments), median_seconds(["-c", peer])
        rows.append({"command": name, "seconds": ours, "peer": peer, "peer_seconds": theirs, "ratio": ours / theirs})
    if "--json" in sys.argv[1:]:
        print(json.dumps(rows, indent=1))
        return
    print(f"{'command':<22}{'seconds':>9}  {'peer':<28}{'seconds':>9}{'ratio':>8}")
    for r in rows:
        print(f"{r['command']:<22}{r['seconds']:>9.3f}  {r['peer']:<28}{r['peer_seconds']:>9.3f}{r['ratio']:>8.2f}")


if __name__ == "__main__":
    main()
