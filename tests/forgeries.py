"""Mutated certificates: what a checker must never accept with a false claim.

`python tests/forgeries.py --count 10000` makes that many mutants of the
certificates of the two lists of pairs and counts how many are accepted, and whether a claim among
those is false by the lists or by `check`.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

from theory.certificates import certificate, to_bytes
from theory.checker.audit import load, verify
from theory.checker.terms import Rejected
from theory.checking import check
from theory.deadline import limit
from theory.decision import decide
from theory.errors import InputError, OutOfTime, Undecided
from theory.pairs import QuantizerPair
from theory.parser import parse

_NUMBER = re.compile(r"\d+")
RULES = ("range", "boxes", "sturm", "dominance", "zero", "circle")
BEYOND = ("exponents are read up to", "digits at column")
KINDS = (
    "opposite-signs",
    "forward-moves-where-backward-vanishes",
    "backward-varies-on-level-set",
    "isolated-forward-value",
)


def make(forward: str, backward: str, seconds: float = 20.0) -> dict[str, Any]:
    """The certificate of a pair. Raises `Undecided` or `OutOfTime` where there is none."""
    pair = QuantizerPair(parse(forward), parse(backward))
    with limit(seconds):
        return certificate(forward, backward, pair, decide(pair))


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for k, v in value.items():
            yield from _paths(v, (*path, k))
    elif isinstance(value, list):
        for i, v in enumerate(value):
            yield from _paths(v, (*path, i))


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for k in path:
        value = value[k]
    return value


def _put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    _at(value, path[:-1])[path[-1]] = new
    return value


def mutant(given: dict[str, Any], other: dict[str, Any], rng: random.Random) -> bytes:
    """One forgery of ``given``, possibly with parts of ``other``."""
    m = copy.deepcopy(given)
    kind = rng.randrange(12)
    paths = list(_paths(m))
    texts = [p for p in paths if isinstance(_at(m, p), str)]
    if kind <= 2:  # one number in one text
        p = rng.choice([p for p in texts if _NUMBER.search(_at(m, p))] or texts)
        m = _put(m, p, _new_number(_at(m, p), rng))
    elif kind == 3:  # the same number everywhere
        data = json.dumps(m)
        numbers = sorted(set(_NUMBER.findall(data.replace("proxpair/certificate/1", ""))))
        if numbers:
            old, new = rng.choice(numbers), str(rng.choice((0, 1, 2, 3, 7, 10)))
            data = re.sub(rf"(?<![\d/]){old}(?!\d)", new, data)
        return re.sub(r"certificate/\d+", "certificate/1", data).encode()
    elif kind == 4:  # another verdict
        m["claim"]["verdict"] = rng.choice(("smooth", "lipschitz", "unprincipled"))
    elif kind == 5:  # an element of a list dropped or doubled
        lists = [p for p in paths if isinstance(_at(m, p), list) and _at(m, p)]
        if lists:
            p = rng.choice(lists)
            items = _at(m, p)
            i = rng.randrange(len(items))
            items.pop(i) if rng.random() < 0.7 else items.insert(i, items[i])
    elif kind == 6:  # the body of one certificate under the claim of another
        m = {**copy.deepcopy(other), "claim": m["claim"]}
        if rng.random() < 0.5:
            m["claim"]["verdict"] = other["claim"]["verdict"]
    elif kind == 7:  # one piece, lemma or witness of another certificate
        for key in ("witness", "pieces", "breakpoints"):
            if key in other and rng.random() < 0.6:
                m[key] = copy.deepcopy(other[key])
    elif kind == 8:  # another rule
        proofs = [p for p in paths if isinstance(_at(m, p), dict) and "by" in _at(m, p)]
        if proofs:
            p = rng.choice(proofs)
            m = _put(m, p, {"by": rng.choice(RULES), **({"cuts": []} if rng.random() < 0.3 else {})})
    elif kind == 9:  # a sign, a relation or an operator
        p = rng.choice(texts)
        old, new = rng.choice((("<", ">"), (">=", ">"), (">", "<="), ("+", "-"), ("-", ""), ("*", "+"), ("x", "-x")))
        m = _put(m, p, _at(m, p).replace(old, new, 1))
    elif kind == 10:  # a witness out of nothing
        m = {
            "schema": m["schema"],
            "claim": {**m["claim"], "verdict": "unprincipled"},
            "witness": {"kind": rng.choice(KINDS), "point": str(rng.choice((-1, 0, "1/2", 1, 2, 100)))},
        }
    else:  # a field of another type, missing or extra
        p = rng.choice(paths[1:])
        m = _put(m, p, rng.choice((None, True, 0, 1, -1, "", "0", "oo", [], {}, [[]], 10**30)))
    return json.dumps(m).encode()


def _new_number(text: str, rng: random.Random) -> str:
    found = list(_NUMBER.finditer(text))
    if not found:
        return text + "0"
    spot = rng.choice(found)
    new = rng.choice(
        (str(int(spot.group()) + 1), str(rng.randrange(12)), spot.group() + "/3", "0", spot.group() + "00")
    )
    return text[: spot.start()] + new + text[spot.end() :]


def accepted_claim(data: bytes) -> dict[str, Any] | None:
    """The claim of a file that the checker accepts, else None."""
    try:
        return verify(load(data))
    except Rejected:
        return None


def is_false(claim: dict[str, Any], given: dict[str, Any]) -> bool | None:
    """Whether an accepted claim is false: by the original, else by `check`. None: check leaves it open."""
    original = given["claim"]
    if {**claim, "verdict": None} == {**original, "verdict": None}:
        return bool(claim["verdict"] != original["verdict"])
    try:
        grade = check(claim["forward"], claim["backward"], params=claim["parameters"], with_repairs=False).grade
    except InputError as error:
        # no T o P equals a map that has no value somewhere: to call it unprincipled is true
        if claim["verdict"] == "unprincipled" and "no finite real value" in str(error):
            return False
        # a claim beyond the sizes that the parser reads may be true; any other claim it refuses is no claim
        return None if any(words in str(error) for words in BEYOND) else True
    return None if grade == "undecided" else grade != claim["verdict"]


def attack(made: list[dict[str, Any]], count: int, seed: int) -> Counter[str]:
    """How many of ``count`` mutants are rejected, unchanged, accepted with a true, open or false claim."""
    rng = random.Random(seed)
    originals = [to_bytes(m) for m in made]
    tally: Counter[str] = Counter()
    for _ in range(count):
        i = rng.randrange(len(made))
        data = mutant(made[i], made[rng.randrange(len(made))], rng)
        claim = accepted_claim(data)
        if claim is None:
            tally["rejected"] += 1
        elif load(data) == load(originals[i]):
            tally["unchanged"] += 1
        else:
            verdict = is_false(claim, made[i])
            tally[{True: "FALSE", False: "true", None: "open"}[verdict]] += 1
            if verdict:
                print("accepted with a false claim:", claim, file=sys.stderr)
    return tally


def main() -> int:
    import near_misses
    import truth

    options = argparse.ArgumentParser()
    options.add_argument("--count", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    pairs = [(t.forward, t.backward) for t in (*truth.TRUTHS, *near_misses.NEAR_MISSES)]
    made = []
    for f, b in pairs:
        try:
            made.append(make(f, b))
        except (Undecided, OutOfTime, InputError):
            continue
    tally = attack(made, given.count, given.seed)
    print(f"{len(made)} certificates of {len(pairs)} pairs; mutants: {dict(tally)}")
    return 1 if tally["FALSE"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
