"""Re-checks a certificate: recomputes every obligation of its verdict and accepts only what it proved itself.

The claim is a pair of texts (F, B) and a grade. For *smooth* and *lipschitz* the certificate cuts the
line into pieces and gives a proof for each lemma that the decision of docs/mathematics.md, section 3, asks for;
for *unprincipled* it names a witness. The statements of the lemmas are made here and compared with
those in the file, so a lemma of another pair proves nothing. No field is left unread.

A witness refutes whatever the maps do elsewhere. That they have a value everywhere is proved for the
two principled grades alone: a map without a value at some point equals no T o P there, so that
*unprincipled* stays true of it.
"""

from __future__ import annotations

import json
import re
from fractions import Fraction
from itertools import pairwise
from typing import Any

from theory.checker import forms, limits, terms
from theory.checker.forms import is_zero
from theory.checker.intervals import STEPS
from theory.checker.limits import between, compare, defined_at, limit, order, sign
from theory.checker.places import At, Beside, NoValue, OnInterval, resolve
from theory.checker.rules import Prover, rational, statement
from theory.checker.terms import (
    NOO,
    OO,
    ZERO,
    Rejected,
    Term,
    X,
    derivative,
    mul,
    neg,
    num,
    power,
    read,
    read_constant,
    read_end,
    show,
    sub,
    substitute,
)

SCHEMA = "proxpair/certificate/1"
MAX_BYTES = 20_000_000
MAX_STEPS = 6_000_000
MAX_PIECES = 1_000
GRADES = ("smooth", "lipschitz", "unprincipled")
WITNESSES = {
    "opposite-signs": ("point",),
    "forward-moves-where-backward-vanishes": ("point",),
    "backward-varies-on-level-set": ("point",),
    "not-integrable": ("point", "side", "bound"),
    "unbounded": ("map", "point", "side"),
    "isolated-forward-value": ("point",),
    "slopes": (),
}


class Slopes:
    """What T' can be at one end of a run: one number, a half-line by the sign of a jump, or nothing."""

    def __init__(self, value: Term | None = None, jump: int = 0) -> None:
        self.value, self.jump = value, jump

    @property
    def absent(self) -> bool:
        return self.value is None and self.jump == 0

    def offers(self, b: Term) -> bool:
        if self.value is not None:
            return compare(self.value, b) == 0
        return self.jump != 0 and sign(b) in (0, self.jump)

    def reaches(self, b: Term) -> bool:
        """Whether b lies in the hull of 0 and these slopes."""
        if sign(b) == 0 or self.offers(b):
            return True
        return self.value is not None and lies_between(b, ZERO, self.value)


def lies_between(b: Term, p: Term, q: Term) -> bool:
    return compare(b, p) * compare(b, q) <= 0


def run_passes(levels: list[Term], left: Slopes, right: Slopes) -> bool:
    """The rule of docs/mathematics.md, section 3, for one maximal run of constant pieces without a jump of F."""
    merged: list[Term] = []
    for b in levels:
        if not merged or compare(merged[-1], b) != 0:
            merged.append(b)
    if not merged:
        return True
    if len(merged) == 1:
        b = merged[0]
        if sign(b) == 0 or (left.absent and right.absent):
            return True
        if left.absent or right.absent:
            return (right if left.absent else left).offers(b)
        if left.reaches(b) or right.reaches(b):
            return True
        return left.value is not None and right.value is not None and lies_between(b, left.value, right.value)
    if any(sign(b) != 0 for b in merged[1:-1]):
        return False
    return left.reaches(merged[0]) and right.reaches(merged[-1])


class Region:
    """One open piece as it was checked: kind, F and B there, B's level on a constant piece."""

    def __init__(self, kind: str, a: Term, b: Term, f: Term, g: Term, level: Term) -> None:
        self.kind, self.a, self.b, self.f, self.g, self.level = kind, a, b, f, g, level


def _check_constants(t: Term) -> None:
    """Raise `Rejected` for a constant without a value anywhere in a text, such as 1/0 at a breakpoint."""
    stack, seen = [t], set()
    while stack:
        s = stack.pop()
        if s in seen or s in (OO, NOO):
            continue
        seen.add(s)
        if s.has_x:
            stack += terms.parts_of(s)
            continue
        try:
            value = resolve(s, At(terms.ZERO))
        except NoValue:
            raise Rejected(f"a constant of F or B has no value: {show(s)[:60]}") from None
        if not limits.defined(value):
            raise Rejected(f"a constant of F or B has no value: {show(s)[:60]}")


class Audit:
    """One certificate under examination."""

    def __init__(self, certificate: dict[str, Any]) -> None:
        keys = {"schema", "claim"} | (
            {"witness"} if isinstance(certificate, dict) and "witness" in certificate else {"breakpoints", "pieces"}
        )
        if isinstance(certificate, dict) and "witness" in certificate and "pieces" in certificate:
            keys |= {"breakpoints", "pieces"}
        _keys(certificate, keys, "the certificate")
        if certificate["schema"] != SCHEMA:
            raise Rejected(f"the schema {SCHEMA} was expected")
        self.certificate = certificate
        self.claim = certificate["claim"]
        _keys(self.claim, {"forward", "backward", "parameters", "verdict"}, "the claim")
        if self.claim["verdict"] not in GRADES:
            raise Rejected("a verdict smooth, lipschitz or unprincipled was expected")
        given = self.claim["parameters"]
        if not isinstance(given, dict) or len(given) > 50:
            raise Rejected("parameters: an object of named constants was expected")
        names = {}
        for name, text in given.items():
            value = read_constant(text)
            used = any(_mentions(self.claim[key], name) for key in ("forward", "backward"))
            if not used or name in terms.RESERVED or not limits.defined(value):
                raise Rejected(f"parameter {name[:30]!r}: the constant value of a name in F or B was expected")
            names[name] = value
        self.forward, self.backward = read(self.claim["forward"], names), read(self.claim["backward"], names)
        for t in (self.forward, self.backward):
            _check_constants(t)
        self.prover = Prover()
        self.used: set[int] = set()

    # ---- lemmas

    def proof_of(self, text: str, piece: dict[str, Any], _lemma: tuple[Term, str, Term, Term]) -> Any:
        """The proof that the file gives for a lemma."""
        for entry in piece["lemmas"]:
            if entry["statement"] == text:
                self.used.add(id(entry))
                return entry["proof"]
        raise Rejected(f"a lemma is missing: {text}")

    def hint(self, piece: dict[str, Any], _region: Region) -> dict[str, Any]:
        """What the file says about the integral of F'/B on a piece."""
        value = piece["integral"]
        _keys(value, {"ratio", "zeros", "left", "right"}, "an integral")
        return dict(value)

    def lemma(self, piece: dict[str, Any], f: Term, relation: str, a: Term, b: Term) -> None:
        """Prove f > 0 (or >= 0) on (a, b) with the proof in the file."""
        if not f.has_x:
            s = sign(f)
            if s < 0 or (s == 0 and relation == ">"):
                raise Rejected(f"not true: {statement(f, relation, a, b)}")
            return
        text = statement(f, relation, a, b)
        self.prover.prove(f, relation, a, b, self.proof_of(text, piece, (f, relation, a, b)))

    # ---- pieces

    def region(self, piece: dict[str, Any], a: Term, b: Term) -> Region:
        """Check one piece of the file against the texts of F and B."""

        def ask(f: Term, relation: str, lo: Term, hi: Term) -> None:
            self.lemma(piece, f, relation, lo, hi)

        place = OnInterval(a, b, ask)
        f, g = resolve(self.forward, place), resolve(self.backward, place)
        self.agree(piece, "forward", f)
        self.agree(piece, "backward", g)
        kind = self.kind(piece, f, g)
        df = derivative(f)
        if kind == "S":
            _nonzero(df, a, b)
            _nonzero(g, a, b)
            region = Region(kind, a, b, f, g, ZERO)
            ask(mul(df, g), ">=", a, b)
            self.integrable(piece, region, df)
            return region
        if not is_zero(df):
            raise Rejected(f"F is not shown constant between {show(a)} and {show(b)}")
        if kind == "Z":
            if not is_zero(g):
                raise Rejected(f"B is not shown to vanish between {show(a)} and {show(b)}")
            return Region(kind, a, b, f, ZERO, ZERO)
        if kind != "K" or not is_zero(derivative(g)):
            raise Rejected(f"B is not shown constant between {show(a)} and {show(b)}")
        level = substitute(g, num(between(a, b)))
        if sign(level) == 0:
            raise Rejected("a piece of kind K needs B other than 0")
        return Region(kind, a, b, f, g, level)

    def agree(self, piece: dict[str, Any], key: str, t: Term) -> None:
        if piece[key] != show(t):
            raise Rejected(f"the {key} map on a piece is {show(t)[:200]}, the file says {str(piece[key])[:200]}")

    def kind(self, piece: dict[str, Any], _f: Term, _g: Term) -> str:
        return str(piece["kind"])

    def integrable(self, piece: dict[str, Any], s: Region, df: Term) -> None:
        """F'/B is integrable inside the piece and up to its finite ends."""
        hint = self.hint(piece, s)
        a, b, g = s.a, s.b, s.g
        ratio: Term | None = None
        if hint["ratio"] is not None:
            ratio = read(hint["ratio"])
            if terms.has_switch(ratio) or not is_zero(sub(df, mul(ratio, g))):
                raise Rejected(f"not shown: F' = ({hint['ratio']}) B")
            # the ratio is analytic on the open piece, hence integrable inside
            resolve(ratio, OnInterval(a, b, lambda f, r, lo, hi: self.lemma(piece, f, r, lo, hi)))
        else:
            zeros = [read_constant(z) for z in _texts(hint["zeros"])]
            points = [a, *zeros, b]
            if any(compare(p, q) >= 0 for p, q in pairwise(points)):
                raise Rejected("the zeros of B must increase within the piece")
            for p, q in pairwise(points):
                self.lemma(piece, g if _sign_inside(g, p, q) > 0 else neg(g), ">", p, q)
            for z in zeros:
                if not _order_at_least(df, z, order(g, z)):
                    raise Rejected(f"F'/B is not shown bounded at {show(z)}")
        for end, side, key in ((a, 1, "left"), (b, -1, "right")):
            if end not in (OO, NOO):
                self.end_integrable(piece, s, df, ratio, end, side, hint[key])
            elif hint[key] is not None:
                raise Rejected("a bound at an infinite end proves nothing")

    def end_integrable(
        self, piece: dict[str, Any], s: Region, df: Term, ratio: Term | None, end: Term, side: int, bound: Any
    ) -> None:
        if bound is not None:
            # F'/B <= C/(d^p |log d|^q), d = |x - end|, with p < 1, or p = 1 and q > 1:
            # (C B)^2 - (F' d^p |log d|^q)^2 >= 0 beside the end
            _keys(bound, {"exponent", "logarithm", "constant", "to"}, "a bound")
            p, q = rational(bound["exponent"]), rational(bound["logarithm"])
            c, to = rational(bound["constant"]), read_constant(bound["to"])
            if not ((0 < p < 1 and q == 0) or (p == 1 and q > 1)) or c <= 0:
                raise Rejected("a bound needs an exponent below 1, or 1 and a logarithm's above 1, and a constant > 0")
            if compare(s.a, to) > 0 or compare(to, s.b) > 0 or compare(to, end) == 0:
                raise Rejected("a bound needs a point of the piece")
            d = mul(num(side), sub(X, end))
            distance = power(d, 2 * p)
            if q != 0:
                if compare(mul(num(side), sub(to, end)), num(1)) >= 0:
                    raise Rejected("a logarithmic bound needs a point within 1 of the end")
                distance = mul(power(d, Fraction(2)), power(neg(terms.call("log", d)), 2 * q))
            lo, hi = (end, to) if side > 0 else (to, end)
            gap = sub(mul(num(c * c), power(s.g, Fraction(2))), mul(power(df, Fraction(2)), distance))
            self.lemma(piece, gap, ">=", lo, hi)
            return
        v = limit(s.g, end, side)
        if v not in (OO, NOO) and sign(v) != 0:
            return  # F is bounded there and B stays away from 0
        if ratio is not None:
            try:
                if limit(ratio, end, side) not in (OO, NOO):
                    return
            except Rejected:
                pass
        if not _order_at_least(df, end, order(s.g, end)):
            raise Rejected(f"F'/B is not shown integrable beside {show(end)}")

    # ---- breakpoints

    def value(self, t: Term, c: Term) -> Term | None:
        """The value of a map at a point, None where it has none."""
        try:
            return resolve(t, At(c))
        except NoValue:
            return None

    def regions(self) -> tuple[list[Term], list[Region]]:
        """The pieces of the file between its breakpoints, each checked."""
        ends = [read_end(t) for t in _texts(self.certificate["breakpoints"])]
        pieces = self.certificate["pieces"]
        if not isinstance(pieces, list) or len(pieces) > MAX_PIECES or len(pieces) != len(ends) - 1:
            raise Rejected("one piece between each two neighbouring breakpoints was expected")
        for c in ends:
            if c not in (OO, NOO) and not limits.defined(c):
                raise Rejected("a breakpoint has no value")
        if any(compare(p, q) >= 0 for p, q in pairwise(ends)) or NOO in ends[1:] or OO in ends[:-1]:
            raise Rejected("the breakpoints must increase")
        found = []
        for piece, (a, b) in zip(pieces, pairwise(ends), strict=True):
            self.check_piece_form(piece)
            found.append(self.region(piece, a, b))
            self.check_all_used(piece)
        return ends, found

    def check_piece_form(self, piece: Any) -> None:
        _keys(piece, {"kind", "forward", "backward", "lemmas", "integral"}, "a piece")
        if not isinstance(piece["lemmas"], list):
            raise Rejected("lemmas: a list was expected")
        for entry in piece["lemmas"]:
            _keys(entry, {"statement", "proof"}, "a lemma")
        if piece["kind"] not in ("S", "K", "Z") or (piece["kind"] != "S") != (piece["integral"] is None):
            raise Rejected("a piece of kind S has an integral, one of kind K or Z has none")

    def check_all_used(self, piece: dict[str, Any]) -> None:
        for entry in piece["lemmas"]:
            if id(entry) not in self.used:
                raise Rejected(f"a lemma that is not needed: {str(entry['statement'])[:200]}")

    # ---- verdicts

    def run(self) -> dict[str, Any]:
        """Check everything; returns the claim. Raises `Rejected`."""
        verdict = self.claim["verdict"]
        if verdict == "unprincipled":
            if "witness" not in self.certificate:
                raise Rejected("an unprincipled pair needs a witness")
            self.witness(self.certificate["witness"])
            return dict(self.claim)
        if "witness" in self.certificate:
            raise Rejected("a principled pair has no witness")
        ends, regions = self.regions()
        if ends[0] is not NOO or ends[-1] is not OO:
            raise Rejected("the pieces must cover the whole line")
        smooth = self.judge(ends, regions)
        if smooth != (verdict == "smooth"):
            raise Rejected(f"the pair is {'smooth' if smooth else 'not smooth'}, the claim is {verdict}")
        return dict(self.claim)

    def judge(self, ends: list[Term], regions: list[Region]) -> bool:
        """Whether the pair is smooth; `Rejected` unless it is smooth or every run passes."""
        smooth = True
        levels: list[Term] = []
        left = Slopes()
        for i, s in enumerate(regions):
            if s.kind == "S":
                if i and not run_passes(levels, left, Slopes(_finite(limit(s.g, s.a, 1)))):
                    raise Rejected(f"the constant pieces that end at {show(s.a)} offer no slope of T")
                levels = []
                left = Slopes() if s.b is OO else Slopes(_finite(limit(s.g, s.b, -1)))
            else:
                levels.append(s.level)
            if i + 1 == len(regions):
                continue
            c, after = ends[i + 1], regions[i + 1]
            fl, fr = _finite(limit(s.f, c, -1)), _finite(limit(after.f, c, 1))
            gl, gr = _finite(limit(s.g, c, -1)), _finite(limit(after.g, c, 1))
            fv, gv = self.value(self.forward, c), self.value(self.backward, c)
            jump = compare(fr, fl)
            if jump:
                smooth = smooth and sign(gl) in (0, jump) and sign(gr) in (0, jump)
                if not run_passes(levels, left, Slopes(jump=jump)):
                    raise Rejected(f"the constant pieces that end at {show(c)} offer no slope of T")
                levels, left = [], Slopes(jump=jump)
                continue
            if fv is not None and compare(fv, fl) != 0:
                raise Rejected(f"F has another value than its limit at {show(c)}")
            smooth = smooth and compare(gl, gr) == 0 and (gv is None or compare(gv, gl) == 0)
            if gv is not None:
                levels.append(gv)
        if levels and not run_passes(levels, left, Slopes()):
            raise Rejected("the last constant pieces offer no slope of T")
        return smooth

    # ---- witnesses

    def witness(self, w: Any) -> None:
        """Check that a witness refutes every admissible decomposition."""
        if not isinstance(w, dict) or w.get("kind") not in WITNESSES:
            raise Rejected("a witness of a known kind was expected")
        kind = w["kind"]
        _keys(w, {"kind", *WITNESSES[kind]}, "the witness")
        self.has_values()
        if (kind == "slopes") != ("pieces" in self.certificate):
            raise Rejected("pieces belong to a witness of slopes")
        if kind == "slopes":
            self.slopes()
            return
        c = read_constant(w["point"])
        if not limits.defined(c):
            raise Rejected("the point of the witness has no value")
        if kind == "isolated-forward-value":
            self.isolated(c)
            return
        side = 1
        if "side" in w:
            if w["side"] not in ("left", "right"):
                raise Rejected("a side left or right was expected")
            side = 1 if w["side"] == "right" else -1
        beside = Beside(c, side)
        if kind == "unbounded":
            if w["map"] not in ("forward", "backward"):
                raise Rejected("a map forward or backward was expected")
            t = resolve(self.forward if w["map"] == "forward" else self.backward, beside)
            if limit(t, c, side) not in (OO, NOO):
                raise Rejected(f"the {w['map']} map is not shown unbounded beside {show(c)}")
            return
        f, g = resolve(self.forward, beside), resolve(self.backward, beside)
        df = derivative(f)
        if kind == "opposite-signs":
            shown = _sign_at(mul(df, g), c) < 0
        elif kind == "forward-moves-where-backward-vanishes":
            shown = is_zero(g) and _sign_at(df, c) != 0
        elif kind == "backward-varies-on-level-set":
            shown = is_zero(df) and _sign_at(derivative(g), c) != 0
        else:
            shown = self.not_integrable(df, g, c, side, w["bound"])
        if not shown:
            raise Rejected(f"the witness of kind {kind} at {show(c)} is not confirmed")

    def has_values(self) -> None:
        """Refuse texts that are no maps: a witness is local, so values elsewhere are looked at in samples."""
        for t in (self.forward, self.backward):
            for n in (1, 10, 50, 99, 150, 201, 300, 500, 1_000, 5_000):
                for c in (num(Fraction(n, 97)), num(Fraction(-n, 97))):
                    if self.value(t, c) is None:
                        raise Rejected(f"F or B has no value at x = {show(c)}")

    def not_integrable(self, df: Term, g: Term, c: Term, side: int, bound: Any) -> bool:
        """|F'/B| is at least const/|x - c| beside c."""
        if bound is None:
            at = order(df, c)
            return at[1] is not None and not is_zero(g) and not _order_at_least_strictly(at[0], g, c)
        # |F'/B| >= C/(d L), d = |x - c|, L = 1 or |log d|, as (F' d L)^2 - (C B)^2 >= 0 between c and ``to``
        _keys(bound, {"constant", "to", "logarithm", "proof"}, "a bound")
        constant, to = rational(bound["constant"]), read_constant(bound["to"])
        if constant <= 0 or not limits.defined(to) or compare(to, c) != side:
            raise Rejected("a bound needs a positive constant and a point on the side of the witness")
        lo, hi = (c, to) if side > 0 else (to, c)
        place = OnInterval(lo, hi, self._plain_ask)
        f, g = resolve(self.forward, place), resolve(self.backward, place)
        distance = mul(num(side), sub(X, c))
        weight = power(distance, Fraction(2))
        if bound["logarithm"] is True:
            if compare(mul(num(side), sub(to, c)), num(1)) >= 0:
                raise Rejected("a logarithmic bound needs a point within 1 of the witness")
            weight = mul(weight, power(terms.call("log", distance), Fraction(2)))
        elif bound["logarithm"] is not False:
            raise Rejected("logarithm: true or false was expected")
        slope = power(derivative(f), Fraction(2))
        gap = sub(mul(slope, weight), mul(num(constant * constant), power(g, Fraction(2))))
        _nonzero(g, lo, hi)
        self.prover.prove(gap, ">=", lo, hi, bound["proof"])
        return True

    def _plain_ask(self, f: Term, relation: str, a: Term, b: Term) -> None:
        self.prover.prove(f, relation, a, b, {"by": "range"})

    def isolated(self, c: Term) -> None:
        left = _finite(limit(resolve(self.forward, Beside(c, -1)), c, -1))
        right = _finite(limit(resolve(self.forward, Beside(c, 1)), c, 1))
        v = self.value(self.forward, c)
        if v is None or compare(left, right) != 0 or compare(v, left) == 0:
            raise Rejected(f"F is not shown to have an isolated value at {show(c)}")

    def slopes(self) -> None:
        """A maximal run of constant pieces on which B is no slope of T."""
        certificate = self.certificate
        if len(_texts(certificate["breakpoints"])) == 1:
            ends, regions = [read_constant(certificate["breakpoints"][0])], list[Region]()
            if certificate["pieces"] != []:
                raise Rejected("one breakpoint leaves no piece")
        else:
            ends, regions = self.regions()
        if any(s.kind == "S" for s in regions):
            raise Rejected("a run has pieces of kind K and Z only")
        first, last = ends[0], ends[-1]
        left, at_left = self.run_end(first, -1, regions[0].f if regions else None)
        right, at_right = self.run_end(last, 1, regions[-1].f if regions else None)
        levels: list[Term] = [] if at_left is None else [at_left]
        for i, s in enumerate(regions):
            levels.append(s.level)
            if i + 1 < len(regions):
                c, after = ends[i + 1], regions[i + 1]
                if compare(_finite(limit(s.f, c, -1)), _finite(limit(after.f, c, 1))) != 0:
                    raise Rejected(f"F jumps at {show(c)}, inside a run")
                v = self.value(self.backward, c)
                levels += [] if v is None else [v]
        if regions and at_right is not None:
            levels.append(at_right)
        if run_passes(levels, left, right):
            raise Rejected("the slopes of the witness are compatible")

    def run_end(self, c: Term, side: int, inner: Term | None) -> tuple[Slopes, Term | None]:
        """(the slopes offered at an end of a run, the value of B there where F does not jump)."""
        if c in (OO, NOO):
            return Slopes(), None
        f, g = resolve(self.forward, Beside(c, side)), resolve(self.backward, Beside(c, side))
        outer = _finite(limit(f, c, side))
        if inner is None:
            other = resolve(self.forward, Beside(c, -side))
            here = _finite(limit(other, c, -side))
        else:
            here = _finite(limit(inner, c, -side))
        jump = compare(outer, here) * side
        if jump:
            if inner is None:
                raise Rejected("a run of one breakpoint has no jump")
            return Slopes(jump=jump), None
        if _is_null(derivative(f), c, side) or _is_null(g, c, side):
            raise Rejected(f"the run goes on beyond {show(c)}")
        return Slopes(_finite(limit(g, c, side))), self.value(self.backward, c)


# --------------------------------------------------------------------------- small questions


def _keys(value: Any, keys: set[str], what: str) -> None:
    if not isinstance(value, dict) or set(value) != keys:
        raise Rejected(f"{what}: an object with the fields {', '.join(sorted(keys))} was expected")


def _mentions(text: Any, name: str) -> bool:
    return isinstance(text, str) and re.search(rf"(?<![A-Za-z_0-9]){re.escape(name)}(?![A-Za-z_0-9])", text) is not None


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > MAX_PIECES + 1 or not all(isinstance(v, str) for v in value):
        raise Rejected("a list of texts was expected")
    return value


def _finite(v: Term) -> Term:
    if v in (OO, NOO):
        raise Rejected("a limit at a breakpoint is infinite")
    return v


def _sign_at(t: Term, c: Term) -> int:
    if not defined_at(t, c):
        raise Rejected(f"{t!r} has no value at {show(c)}")
    return sign(substitute(t, c))


def _samples(a: Term, b: Term) -> list[Term]:
    m = between(a, b)
    found = [m]
    for _ in range(3):
        found.append(between(a, num(found[-1])))
    found.append(between(num(m), b))
    found.append(between(num(found[-1]), b))
    return [num(v) for v in found]


def _nonzero(t: Term, a: Term, b: Term) -> None:
    """An analytic term is not identically zero: it is not 0 at some point."""
    for m in _samples(a, b):
        if defined_at(t, m) and sign(substitute(t, m)) != 0:
            return
    raise Rejected(f"{t!r} is not shown to be other than 0 between {show(a)} and {show(b)}")


def _sign_inside(t: Term, a: Term, b: Term) -> int:
    m = num(between(a, b))
    return sign(substitute(t, m)) if defined_at(t, m) else 0


def _is_null(t: Term, c: Term, side: int) -> bool:
    """Whether an analytic term vanishes beside c. Raises `Rejected` if that is not settled."""
    if is_zero(t):
        return True
    return Beside(c, side).sign(t) == 0


def _order_at_least(df: Term, c: Term, of: tuple[int, Term | None]) -> bool:
    """Whether df vanishes at c to at least the order (k, lead) of another function."""
    k, lead = of
    if lead is None:
        return False
    f = df
    for _ in range(k):
        if not defined_at(f, c):
            return False
        if sign(substitute(f, c)) != 0:
            return False
        f = derivative(f)
    return defined_at(f, c)


def _order_at_least_strictly(m: int, g: Term, c: Term) -> bool:
    """Whether g vanishes at c to an order of at most m."""
    k, lead = order(g, c)
    return lead is not None and k <= m


# --------------------------------------------------------------------------- reading files


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise Rejected("a field is given twice")
    return out


def _no_float(text: str) -> Any:
    raise Rejected(f"numbers are written as text, not {text[:30]}")


def load(data: bytes) -> dict[str, Any]:
    """The JSON object of a certificate. Raises `Rejected`."""
    if len(data) > MAX_BYTES:
        raise Rejected(f"at most {MAX_BYTES} bytes are read")
    try:
        value = json.loads(
            data.decode("ascii"), object_pairs_hook=_unique, parse_float=_no_float, parse_constant=_no_float
        )
    except (ValueError, RecursionError):
        raise Rejected("not a JSON text") from None
    if not isinstance(value, dict):
        raise Rejected("a JSON object was expected")
    return value


def verify(certificate: dict[str, Any], steps: int = MAX_STEPS) -> dict[str, Any]:
    """Check a certificate; returns its claim.

    ``steps`` bounds the number of evaluations. Raises `Rejected` with the first thing that is not
    proved. Source of the rules: docs/mathematics.md, section 3.
    """
    start_afresh(steps)
    try:
        return Audit(certificate).run()
    except (RecursionError, OverflowError, MemoryError):
        raise Rejected("the certificate is nested too deeply or its numbers are too long") from None
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, ZeroDivisionError):
        # a field of another type than expected; whatever fails here can only reject
        raise Rejected("a field of the certificate has another form than expected") from None


def start_afresh(steps: int) -> None:
    """Empty all tables and set the allowance of steps."""
    for module in (terms, forms, limits):
        module.forget()
    STEPS.left = steps


__all__ = ["Audit", "Region", "load", "start_afresh", "verify"]
