"""Exact maps as plain JSON trees and back, without a parser: for machines that train and decide nothing.

A number is a string ("-1/3", "oo"), x is "x", anything else is [head, argument, ...] with a head out
of a fixed list. Reading makes the expression that was written, argument for argument, so a map read
back is lowered to the same bits.
"""

from __future__ import annotations

import re
from typing import Any

import sympy as sp

from theory.errors import InputError
from theory.exact import X, sigmoid
from theory.maps import PiecewiseMap

Tree = Any  # str or a list whose first member is a str

_HEADS = {
    "add": sp.Add,
    "mul": sp.Mul,
    "pow": sp.Pow,
    "exp": sp.exp,
    "log": sp.log,
    "tanh": sp.tanh,
    "sinh": sp.sinh,
    "cosh": sp.cosh,
    "tan": sp.tan,
    "atan": sp.atan,
    "sin": sp.sin,
    "cos": sp.cos,
    "erf": sp.erf,
    "abs": sp.Abs,
    "sigmoid": sigmoid,
}
_ATOMS = {"x": X, "oo": sp.oo, "-oo": -sp.oo, "pi": sp.pi, "e": sp.E, "undefined": sp.nan}
_NUMBER = re.compile(r"-?[0-9]{1,2000}(/[1-9][0-9]{0,1999})?")
_DEEPEST = 200


def tree_of(e: Any) -> Tree:
    """The tree of an exact expression in x. Raises `InputError` for a head that is not in the list."""
    if e.is_Rational:
        return f"{e.p}/{e.q}" if e.q != 1 else str(e.p)
    for name, atom in _ATOMS.items():
        if e is atom or e == atom:
            return name
    for name, head in _HEADS.items():
        if e.func == head:
            return [name, *(tree_of(a) for a in e.args)]
    raise InputError(f"an expression with {e.func.__name__} cannot be written as a tree")


def expression_of(tree: Any, depth: int = 0) -> Any:
    """The expression of a tree. Raises `InputError` for anything that `tree_of` does not write."""
    if isinstance(tree, str):
        if tree in _ATOMS:
            return _ATOMS[tree]
        if _NUMBER.fullmatch(tree):
            top, _, below = tree.partition("/")
            return sp.Rational(int(top), int(below or 1))
    elif isinstance(tree, list) and len(tree) > 1 and isinstance(tree[0], str) and depth < _DEEPEST:
        head = _HEADS.get(tree[0])
        if head is not None:
            try:
                arguments = [expression_of(a, depth + 1) for a in tree[1:]]
                # (x + 1)/4 would come back as x/4 + 1/4
                return head(*arguments, evaluate=False) if head in (sp.Add, sp.Mul) else head(*arguments)
            except (TypeError, ValueError):
                pass  # a wrong number of arguments
    raise InputError(f"a tree of an exact expression was expected, not {str(tree)[:60]}")


def map_tree(m: PiecewiseMap) -> dict[str, list[Tree]]:
    """Breakpoints, expressions and values of a map as trees (a value that does not exist is None)."""
    if m.windowed:
        raise InputError("a map with infinitely many breakpoints cannot be written as a tree")
    return {
        "breaks": [tree_of(b) for b in m.breaks],
        "exprs": [tree_of(e) for e in m.exprs],
        "values": [None if v is None else tree_of(v) for v in m.values],
    }


def map_of(tree: Any) -> PiecewiseMap:
    """The map that `map_tree` wrote. Raises `InputError` for anything else."""
    if not isinstance(tree, dict) or set(tree) != {"breaks", "exprs", "values"}:
        raise InputError("a map was expected: an object with breaks, exprs and values")
    if not all(isinstance(part, list) for part in tree.values()):
        raise InputError("a map was expected: breaks, exprs and values are lists")
    return PiecewiseMap(
        tuple(expression_of(b) for b in tree["breaks"]),
        tuple(expression_of(e) for e in tree["exprs"]),
        tuple(None if v is None else expression_of(v) for v in tree["values"]),
    )


__all__ = ["Tree", "expression_of", "map_of", "map_tree", "tree_of"]
