"""Arb balls of python-flint, or a clear sentence where it is not installed.

What needs no enclosure works without python-flint: exact arithmetic on rationals, piecewise-linear
maps, lowered maps and all training with them. A first enclosure then says what is missing, instead
of an import that fails on a machine that only trains.
"""

from __future__ import annotations

from typing import Any

from theory.errors import InputError

try:
    from flint import acb, arb, ctx, fmpq

    ENCLOSES = True
except ImportError:
    ENCLOSES = False

    class _Absent:
        """Stands for a type of python-flint: constants can be written down, using one raises."""

        def __init__(self, *_: Any) -> None:
            pass

        def __neg__(self) -> _Absent:
            return self

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return _missing()

        def __hash__(self) -> int:
            return _missing()

    def _missing(*_: Any) -> Any:
        raise InputError("this needs rigorous enclosures, that is python-flint: pip install python-flint")

    for _name in (
        *("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "rpow", "abs", "float", "int"),
        *("lt", "le", "gt", "ge", "eq", "ne", "bool", "contains"),
    ):
        setattr(_Absent, f"__{_name}__", _missing)

    class _Context:
        prec = 53

    acb = arb = fmpq = _Absent  # type: ignore[assignment, misc]
    ctx = _Context()  # type: ignore[assignment]

__all__ = ["ENCLOSES", "acb", "arb", "ctx", "fmpq"]
