"""How long the whole catalogue takes to decide, to certify and to re-check, on one core in this process.

    python benchmarks/catalogue.py [--json]
    SYMPY_USE_CACHE=no python benchmarks/catalogue.py    the same with sympy's cache off

Every certificate is written, read back and verified by the separate checker, and its verdict compared with
the declared one; a difference ends the run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

from theory.catalogue import CATALOGUE
from theory.certificates import certificate, to_bytes
from theory.checker.audit import load, verify
from theory.decision import decide
from theory.declarations import Entry
from theory.parser import parse_constant


def seconds(entry: Entry) -> float:
    """Wall time of deciding, certifying and re-checking one entry. Raises `AssertionError` on another verdict."""
    start = time.perf_counter()
    pair = entry.pair()
    verdict = decide(pair)
    values = {k: parse_constant(v, k) for k, v in entry.params.items()}
    claim = verify(load(to_bytes(certificate(entry.forward, entry.backward, pair, verdict, values))))
    if not claim["verdict"] == verdict.grade == entry.verdict:
        raise AssertionError(f"{entry.name}: declared {entry.verdict}, decided {verdict.grade}, {claim['verdict']}")
    return time.perf_counter() - start


def measure() -> dict[str, Any]:
    """The figures of the module's text, in seconds."""
    times = {name: seconds(entry) for name, entry in CATALOGUE.items()}
    slowest = max(times, key=times.__getitem__)
    return {
        "entries": len(times),
        "total": sum(times.values()),
        "median": statistics.median(times.values()),
        "slowest": {"name": slowest, "seconds": times[slowest]},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command of the module's text."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--json", action="store_true")
    given = options.parse_args(arguments)
    found = measure()
    if given.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{found['entries']} entries decided, certified and re-checked in {found['total']:.1f} s")
    print(f"median {found['median']:.2f} s; slowest {found['slowest']['name']} {found['slowest']['seconds']:.1f} s")


if __name__ == "__main__":
    main()
