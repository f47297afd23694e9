"""The lowered maps and the digits networks on a GPU, each beside the same on the CPU, as JSON.

    python benchmarks/gpu.py [--quick]

Every map of the catalogue and of the libraries, float32 and float64, at random points, its ties, their float
neighbours, infinities and float extremes: torch on the GPU against numpy on the CPU. Then the networks of
`proxpair train` on both, with the closure error of the ledger. Ends with exit code 1 where a tie differs, a value
differs by more than 16 eps max(1, |value|), or a ledger does not close to 1e-12.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from theory.catalogue import CATALOGUE, PROX_LIBRARY, TRANSFORM_LIBRARY
from theory.exact import to_float
from theory.maps import PiecewiseMap
from verify import train
from verify.lowering import lower

MOST = 16


def maps() -> Iterator[tuple[str, PiecewiseMap]]:
    """Every map that can be lowered, by name."""
    for name, entry in CATALOGUE.items():
        pair = entry.pair()
        yield from ((f"{name} forward", pair.forward), (f"{name} backward", pair.backward))
    yield from ((f"prox {name}", entry.map()) for name, entry in PROX_LIBRARY.items())
    yield from ((f"transform {name}", entry.map()) for name, entry in TRANSFORM_LIBRARY.items())


def points(m: PiecewiseMap, count: int, dtype: Any) -> np.ndarray:
    """Random points, breakpoints with their neighbours, zeros, infinities and extremes."""
    info = np.finfo(dtype)
    rng = np.random.default_rng(0)
    marks = np.array([to_float(b) for b in m.breaks], dtype=dtype)
    near = [np.nextafter(marks, dtype(-np.inf)), marks, np.nextafter(marks, dtype(np.inf))]
    special = np.array([0.0, -0.0, np.inf, -np.inf, info.max, info.min, info.tiny, -info.tiny], dtype=dtype)
    return np.concatenate([(4 * rng.standard_normal(count)).astype(dtype), *near, special])


def compare(count: int) -> dict[str, Any]:
    """The largest difference over all maps, in eps max(1, |value|), and the maps where one is not allowed."""
    worst, wrong, compared = {"float32": 0.0, "float64": 0.0}, [], 0
    for name, m in maps():
        if m.windowed:
            continue
        compared += 1
        for dtype in (np.float32, np.float64):
            x = points(m, count, dtype)
            with np.errstate(all="ignore"):
                wanted = lower(m)(x)
                found = lower(m, "torch")(torch.from_numpy(x).cuda()).cpu().numpy()
                same = (wanted == found) | (np.isnan(wanted) & np.isnan(found))
                size = np.finfo(dtype).eps * np.maximum(np.abs(wanted), 1)
                parts = np.where(same, 0.0, np.abs(wanted - found) / size)
            largest = float(np.nanmax(parts))
            worst[np.dtype(dtype).name] = max(worst[np.dtype(dtype).name], largest)
            if not largest <= MOST or np.any(np.isnan(wanted) != np.isnan(found)):
                wrong.append(f"{name}, {np.dtype(dtype).name}: {largest:.3g} eps at {x[int(np.nanargmax(parts))]!r}")
    return {"maps": compared, "points": count, "largest_in_eps": worst, "wrong": wrong}


def networks(epochs: int) -> dict[str, Any]:
    """`proxpair train` on both devices: seconds, hardened accuracy and the largest closure error."""
    found: dict[str, Any] = {}
    for device in ("cuda", "cpu"):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            results = train.run(folder, seed=0, seeds=3, epochs=epochs, device=device)
            seconds = time.perf_counter() - start
            with (Path(folder) / "networks" / "ledger.csv").open() as file:
                closures = [float(row["closure_error"]) for row in csv.DictReader(file)]
        found[device] = {
            "seconds": seconds,
            "accuracy": {r.method: r.hard_mean for r in results},
            "closure_error": max(closures),
        }
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the module's text; returns the exit code, 2 where torch sees no GPU."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--quick", action="store_true")
    given = options.parse_args(arguments)
    if not torch.cuda.is_available():
        print("benchmarks/gpu.py: a GPU that torch can use was expected, and none was found", file=sys.stderr)
        return 2
    device = torch.cuda.get_device_name()
    found = {
        "device": device,
        "torch": torch.__version__,
        "command": "python benchmarks/gpu.py" + (" --quick" if given.quick else ""),
        "lowering": compare(1_000 if given.quick else 100_000),
        "networks": networks(5 if given.quick else 40),
    }
    closes = all(n["closure_error"] <= 1e-12 for n in found["networks"].values())
    print(json.dumps(found, indent=1))
    return 0 if closes and not found["lowering"]["wrong"] else 1


if __name__ == "__main__":
    sys.exit(main())
