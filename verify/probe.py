"""Probe: what a torch quantizer that somebody holds does at samples, beside the theory and the catalogue.

User code is imported and run here, and nowhere else. Sampling may refute, never prove: a probe says
that samples contradict every principled pair, or which catalogued pairs they agree with to rounding.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import io
import math
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch

from theory.errors import InputError
from theory.exact import to_float
from theory.parser import parse_constant
from verify.networks import pick_device
from verify.samples import DOUBLE, REFUTING, SINGLE, Agreement, Samples, agreements, refute

LOW, HIGH, POINTS = -4.0, 4.0, 2000
_MAX_POINTS = 1_000_000
_MARKS = (0.0, 0.1, 0.25, 1 / 3, 0.5, 2 / 3, 0.75, 1.0, 1.5, 2.0, 3.0)
_EXTREMES = (5e-324, 1e-310, 1e-300, 1e-100, 1e-20, 1e-8, 10.0, 100.0, 1e3, 1e4, 1e6, 1e8, 1e16, 1e30, 1e100, 1e300)
_SAME = 1e-9  # relative to a value plus the largest one: less is a matter of vector instructions
_FACTORS = (2.0, -1.0, 0.0, 0.125)


class _Guest:
    """Context in which user code runs: whatever it raises becomes an `InputError` in one sentence.

    Its warnings and what it prints are dropped: it is called hundreds of times. User code may raise
    anything, so every exception is turned, and an attempt to exit too.
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def __enter__(self) -> None:
        self.caught = warnings.catch_warnings()
        self.caught.__enter__()
        warnings.simplefilter("ignore")
        self.printing = redirect_stdout(io.StringIO())
        self.printing.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.printing.__exit__(None, None, None)
        self.caught.__exit__(None, None, None)
        if isinstance(error, InputError) or not isinstance(error, (Exception, SystemExit)):
            return
        text = " ".join(str(error).split())
        raise InputError(f"{self.what}: it raised {type(error).__name__}{': ' + text[:200] if text else ''}") from None


# --------------------------------------------------------------------------- the object


def _import(target: str) -> Any:
    """The object that ``package.module:attribute`` or ``path/file.py:attribute`` names."""
    where, colon, attribute = target.rpartition(":")
    if not colon or not where or not all(part.isidentifier() for part in attribute.split(".")):
        raise InputError(f"package.module:attribute or path/file.py:attribute was expected, not {target[:80]!r}")
    if where.endswith(".py"):
        found = _from_file(where)
    elif all(part.isidentifier() for part in where.split(".")):
        found = _from_name(where)
    else:
        raise InputError(f"a module such as package.module or a file ending in .py was expected, not {where[:80]!r}")
    for part in attribute.split("."):
        try:
            with _Guest(target):
                found = getattr(found, part, None) if not hasattr(found, part) else getattr(found, part)
        except AttributeError:
            found = None
        if found is None:
            raise InputError(f"{where} has no attribute {attribute!r}")
    return found


def _from_file(where: str) -> Any:
    path = Path(where)
    if not path.is_file():
        raise InputError(f"the file {where[:80]!r} was not found")
    name = f"_probed_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"the file {where[:80]!r} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))  # as `python path/file.py` would
    with _Guest(f"importing {where}"):
        spec.loader.exec_module(module)
    return module


def _from_name(where: str) -> Any:
    sys.path.insert(0, "")  # as `python -m` would
    with _Guest(f"importing {where}"):
        try:
            return importlib.import_module(where)
        except ModuleNotFoundError as error:
            if error.name is not None and (where == error.name or where.startswith(error.name + ".")):
                raise InputError(f"no module named {error.name!r} was found (looked for {where!r})") from None
            raise


def read_arguments(texts: list[str]) -> dict[str, float | int]:
    """``NAME=VALUE`` texts as numbers, integers as int. Raises `InputError`."""
    given: dict[str, float | int] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier() or not value.strip():
            raise InputError(f"--arg expects NAME=VALUE, for example beta=5, not {text[:60]!r}")
        if name in given:
            raise InputError(f"--arg {name}: one value was expected, it is given twice")
        number = parse_constant(value, f"--arg {name}")
        given[name] = int(number) if number.is_Integer else to_float(number)
    return given


@dataclass(frozen=True)
class _Probed:
    """What is called: tensor to tensor, and what it is in words."""

    call: Callable[[Any], Any]
    kind: str
    notes: list[str] = field(default_factory=list)


def _prepared(target: str, found: Any, arguments: Mapping[str, float | int], device: torch.device) -> _Probed:
    if inspect.isclass(found) and issubclass(found, torch.autograd.Function):
        extra = _positions(target, found, arguments)
        return _Probed(lambda x: found.apply(x, *extra), "autograd.Function")
    kind = "module"
    if inspect.isclass(found) and issubclass(found, torch.nn.Module):
        with _Guest(f"{target}, its constructor"):
            found = found(**arguments)
        kind, arguments = "module class", {}
    if isinstance(found, torch.nn.Module):
        if arguments:
            raise InputError(f"--arg {next(iter(arguments))}: {target} is made already; arguments are for a class")
        with _Guest(target):
            found = found.to(device=device, dtype=torch.float64)
            frozen = [name for name, p in found.named_parameters() if p.requires_grad]
        notes = [f"its own parameters ({', '.join(frozen)}) are frozen at their present values"] if frozen else []
        return _Probed(found, kind, notes)
    if inspect.isclass(found) or not callable(found):
        what = f"the class {found.__name__}" if inspect.isclass(found) else f"of type {type(found).__name__}"
        raise InputError(f"{target}: an autograd.Function, a Module or a callable was expected, it is {what}")
    return _Probed(lambda x: found(x, **arguments), "callable")


def _positions(target: str, function: Any, arguments: Mapping[str, float | int]) -> list[Any]:
    """The extra arguments of ``apply`` in the order of ``forward``; defaults fill what lies before a given one."""
    if not arguments:
        return []
    separate = function.setup_context is not torch.autograd.Function.setup_context
    names = list(inspect.signature(function.forward).parameters.values())[1 if separate else 2 :]
    unknown = [name for name in arguments if name not in {p.name for p in names}]
    if unknown:
        known = ", ".join(p.name for p in names) or "it takes none"
        raise InputError(f"--arg {unknown[0]}: {target} has no such argument ({known})")
    last = max(i for i, p in enumerate(names) if p.name in arguments)
    missing = [p.name for p in names[:last] if p.name not in arguments and p.default is p.empty]
    if missing:
        raise InputError(f"--arg: {target} needs a value of {missing[0]} too")
    return [arguments.get(p.name, p.default) for p in names[: last + 1]]


# --------------------------------------------------------------------------- sampling


@dataclass(frozen=True)
class _Sampler:
    """Draws F and B: one forward and one backward call of user code at a vector of points."""

    target: str
    probed: _Probed
    device: torch.device

    def __call__(self, x: Any, incoming: Any = None) -> tuple[Any, Any]:
        """F(x) and incoming * B(x), float64 of x's shape; raises `InputError` for what is no real map."""
        leaf = torch.tensor(np.asarray(x, dtype=np.float64), device=self.device, requires_grad=True)
        with _Guest(f"{self.target}, forward"):
            out = self.probed.call(leaf.clone())  # a copy, so that it may work in place
        if not isinstance(out, torch.Tensor):
            raise InputError(f"{self.target}: one tensor was expected as output, not a {type(out).__name__}")
        if out.shape != leaf.shape:
            raise InputError(
                f"{self.target}: output of the input's shape {tuple(leaf.shape)} was expected, not {tuple(out.shape)}"
            )
        if not out.is_floating_point():
            raise InputError(f"{self.target}: real floating-point output was expected, not {out.dtype}")
        if not out.requires_grad:
            raise InputError(f"{self.target}: no gradient reaches the input: the output is detached from it")
        seed = np.ones(leaf.shape) if incoming is None else incoming
        with _Guest(f"{self.target}, backward"):
            ones = torch.tensor(seed, dtype=out.dtype, device=out.device)
            (slope,) = torch.autograd.grad(out, leaf, ones, allow_unused=True)
        if slope is None:
            raise InputError(f"{self.target}: no gradient reaches the input: the backward gives none")
        forward, backward = (t.detach().to("cpu", torch.float64).numpy() for t in (out, slope))
        return forward, backward

    def one_by_one(self, x: Any) -> tuple[Any, Any]:
        """F and B at points that are given in calls of their own, so that none spoils another."""
        rows = [self(x[i : i + 1]) for i in range(len(x))]
        return np.concatenate([f for f, _ in rows]), np.concatenate([b for _, b in rows])


def _points(low: float, high: float, count: int, seed: int) -> Any:
    """Sorted points of the range: evenly spaced, random, and round numbers with their neighbours."""
    # twelve decimals: witnesses that people can type again
    even = np.clip(np.round(np.linspace(low, high, count), 12), low, high)
    drawn = np.random.default_rng(seed).uniform(low, high, max(count // 4, 8))
    marks = np.array([side * m for m in _MARKS for side in (1.0, -1.0)])
    marks = np.concatenate([marks, np.nextafter(marks, np.inf), np.nextafter(marks, -np.inf)])
    inside = marks[(marks >= low) & (marks <= high)]
    return np.unique(np.concatenate([even, drawn, inside]) + 0.0)


def _apart(a: Any, b: Any) -> Any:
    """Where two vectors of values differ by more than `_SAME`; NaN equals NaN."""
    size = np.abs(np.concatenate([a, b]))
    scale = size[np.isfinite(size)].max(initial=0.0)
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(a - b) <= _SAME * (np.abs(a) + scale)
    return ~(near | (a == b) | (np.isnan(a) & np.isnan(b)))


def _not_a_number(target: str, x: Any, forward: Any, backward: Any) -> None:
    for what, values in (("the forward", forward), ("the backward", backward)):
        if np.isnan(values).any():
            raise InputError(f"{target}: {what} is NaN at x = {float(x[np.isnan(values)][0])!r}")


def _outside(sampler: _Sampler, x: Any, forward: Any, backward: Any, seed: int) -> str | None:
    """Why the object is no pair of maps of one variable, on the samples; None if nothing shows."""
    for _ in range(3):
        again = sampler(x)
        for what, one, two in (("forward", forward, again[0]), ("backward", backward, again[1])):
            moved = _apart(one, two)
            if moved.any():
                i = int(np.argmax(moved))
                return (
                    f"two calls with the same points gave the {what} {one[i]:.6g} and {two[i]:.6g} at x = {x[i]:.6g}: "
                    "it draws random numbers or keeps a state"
                )
    random = np.random.default_rng(seed + 1)
    order = random.permutation(x.size)
    halves = [np.arange(x.size // 2), np.arange(x.size // 2, x.size), order[: x.size // 3], order]
    singles = [np.array([i]) for i in order[:24]]
    for chosen in (*halves, *singles):
        alone = sampler(x[chosen])
        for what, one, two in (("forward", forward[chosen], alone[0]), ("backward", backward[chosen], alone[1])):
            moved = _apart(one, two)
            if moved.any():
                i = int(np.argmax(moved))
                return (
                    f"the {what} at x = {x[chosen][i]:.6g} is {one[i]:.6g} among all points and {two[i]:.6g} "
                    f"among {chosen.size} of them: it depends on the other entries, such as a scale computed from them"
                )
    mixed = random.choice(np.array([0.0, 1.0, -1.0, 0.5, 3.0]), x.size)
    for incoming in (*(np.full(x.size, f) for f in _FACTORS), mixed):
        got = sampler(x, incoming)[1]
        with np.errstate(invalid="ignore"):
            moved = _apart(got, incoming * backward)
        if moved.any():
            i = int(np.argmax(moved))
            return (
                f"with the incoming gradient {incoming[i]:.6g} the backward at x = {x[i]:.6g} is {got[i]:.6g}, "
                f"not {incoming[i]:.6g} times {backward[i]:.6g}: it is not linear in it entry by entry"
            )
    return None


def _range(low: float, high: float, points: int) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high and high - low >= 1e-6 and high - low <= 1e9):
        raise InputError(
            f"--low and --high: finite numbers with 1e-6 <= high - low <= 1e9 were expected, not {low}, {high}"
        )
    if not 50 <= points <= _MAX_POINTS:
        raise InputError(f"--points: a number from 50 to {_MAX_POINTS} was expected, not {points}")


def probe(
    target: str,
    *,
    arguments: Mapping[str, float | int] | None = None,
    low: float = LOW,
    high: float = HIGH,
    points: int = POINTS,
    seed: int = 0,
    device: str = "auto",
    timeout: float = 10.0,
) -> dict[str, Any]:
    """Import ``package.module:attribute`` or ``path/file.py:attribute``, sample it, and say what the samples say.

    F is the output on float64 points, B the gradient at the input for the incoming gradient 1.
    ``status`` of the object returned: "refuted" (samples contradict every principled pair; docs/mathematics.md,
    section 3), "agrees" (with catalogued pairs, to rounding), "agrees off ties" (differs at a
    breakpoint that the theory judges), "outside" (not a pair of maps of one variable) or "unknown".
    ``exit_code``: 0 agrees with a principled pair, 1 refuted or agrees with unprincipled ones only, 3 otherwise.
    ``timeout``: seconds for the exact verdict on a catalogued pair that is named.

    Runs user code. Raises `InputError` for what cannot be sampled.
    """
    _range(low, high, points)
    where = pick_device(device)
    given = dict(arguments or {})
    probed = _prepared(target, _import(target), given, where)
    sampler = _Sampler(target, probed, where)
    x = _points(low, high, points, seed)
    forward, backward = sampler(x)
    answer: dict[str, Any] = {
        "target": target,
        "kind": probed.kind,
        "arguments": given,
        "device": where.type,
        "range": [low, high],
        "seed": seed,
        "samples": int(x.size),
        "tolerance": {"double": DOUBLE, "single": SINGLE, "refuting": REFUTING},
        "proved": False,
        "status": "unknown",
        "reason": "the samples contradict no principled pair and agree with no catalogued one",
        "witness": None,
        "agrees": [],
        "agrees_off_ties": [],
        "notes": list(probed.notes),
        "exit_code": 3,
    }
    reason = _outside(sampler, x, forward, backward, seed)
    _not_a_number(target, x, forward, backward)
    if reason is not None:
        answer.update(status="outside", reason=f"outside the theory: {reason}")
        return answer
    extremes = np.array(sorted({side * v for v in _EXTREMES for side in (1.0, -1.0)}))
    extremes = extremes[~np.isin(extremes, x)]
    far_forward, far_backward = sampler.one_by_one(extremes)
    answer["samples"] += int(extremes.size)
    known = np.isfinite(far_forward) & np.isfinite(far_backward)
    if not known.all():
        seen = ", ".join(f"{v:g}" for v in extremes[~known][:6])
        answer["notes"].append(f"F or B is not finite at x = {seen}; not used")
    answer["notes"] += _negative_zero(sampler)
    every = np.concatenate([x, extremes[known]])
    order = np.argsort(every)
    all_f, all_b = (np.concatenate([a, b[known]])[order] for a, b in ((forward, far_forward), (backward, far_backward)))
    samples = Samples(every[order], all_f, all_b, low, high, sampler)
    contradiction = refute(samples)
    _name(answer, agreements(samples), timeout)
    if contradiction is not None:
        answer.update(
            status="refuted",
            reason=f"refuted on the samples: {contradiction.sentence}",
            witness=contradiction.as_dict(),
            exit_code=1,
        )
    return answer


def _negative_zero(sampler: _Sampler) -> list[str]:
    plus, minus = sampler(np.array([0.0])), sampler(np.array([-0.0]))
    different = [
        f"the {what} is {float(b[0]):.6g} at -0.0 and {float(a[0]):.6g} at 0.0"
        for what, a, b in zip(("forward", "backward"), plus, minus, strict=True)
        if a[0] != b[0] and not (np.isnan(a[0]) and np.isnan(b[0]))
    ]
    return different


def _name(answer: dict[str, Any], found: list[Agreement], timeout: float) -> None:
    """Write the agreeing pairs into the answer, each with the exact verdict on the catalogued pair."""
    from theory.catalogue import lookup
    from theory.checking import check

    verdicts = set()
    for agreement in found:
        entry = lookup(agreement.name)
        values = {k: parse_constant(v, k) for k, v in agreement.params.items()}
        verdict = check(entry.forward, entry.backward, params=values, timeout=timeout, with_theory=False)
        settings = "".join(
            f" --param {k}={v}" for k, v in agreement.params.items() if parse_constant(entry.params[k], k) != values[k]
        )
        name = f'"{entry.name}"' if not entry.name.replace("+", "").replace("-", "").isalnum() else entry.name
        row = {**agreement.as_dict(), "verdict": verdict.grade, "command": f"proxpair check {name}{settings}"}
        answer["agrees" if agreement.full else "agrees_off_ties"].append(row)
        if agreement.full:
            verdicts.add(verdict.exit_code)
    names = ", ".join(row["name"] for row in answer["agrees"]) or ", ".join(
        r["name"] for r in answer["agrees_off_ties"]
    )
    if answer["agrees"]:
        answer.update(
            status="agrees",
            reason=f"the samples agree with {names}",
            exit_code=0 if 0 in verdicts else 1 if verdicts == {1} else 3,
        )
    elif found:
        answer.update(status="agrees off ties", reason=f"the samples agree with {names} but at breakpoints")


def report(answer: Mapping[str, Any]) -> str:
    """The answer as plain text for people."""
    lines = [f"{answer['target']}: {answer['status'].upper()}", f"  {answer['reason']}"]

    def row(label: str, value: object) -> None:
        lines.append(f"  {label:<22}{value}")

    low, high = answer["range"]
    row("samples", f"{answer['samples']} ({low:g} to {high:g}, and extremes), {answer['kind']} on {answer['device']}")
    if answer["witness"]:
        w = answer["witness"]
        for x, f, b in zip(w["points"], w["forward"], w["backward"], strict=True):
            row("witness", f"x = {x!r}: F = {f:.9g}, B = {b:.9g}")
    for off, key in (("", "agrees"), (" off ties", "agrees_off_ties")):
        for found in answer[key]:
            values = "".join(f", {k} = {v}" for k, v in found["params"].items())
            row(
                f"agrees{off} with",
                f"{found['name']}{values} ({found['verdict']}): {found['samples']} samples, "
                f"largest difference {found['difference']:.1e}",
            )
            if found["lost_to_rounding"]:
                row(
                    "  set aside",
                    f"{found['lost_to_rounding']} samples beyond the range are x + (F(x) - x) rounded",
                )
            for t in found["ties"]:
                judged = "" if t["judged"] else "; F jumps there, so it is not judged"
                row(
                    "  tie",
                    f"x = {t['x']:g}: F = {t['forward']:g}, B = {t['backward']:g}; stated there: "
                    f"F = {t['stated_forward']:g}, B = {t['stated_backward']:g}{judged}",
                )
    for note in answer["notes"]:
        row("note", note)
    commands = [r["command"] for r in (*answer["agrees"], *answer["agrees_off_ties"])]
    run = f"; run `{commands[0]}` for a proof about the catalogued pair" if commands else ""
    if answer["witness"]:
        run = "; F could move between two samples" + run
    lines.append(f"  Samples prove nothing{run}.")
    return "\n".join(lines)


__all__ = ["HIGH", "LOW", "POINTS", "probe", "read_arguments", "report"]
