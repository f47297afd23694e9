"""A wall-clock limit that reaches into sympy: an alarm signal raising `OutOfTime` (POSIX, main thread)."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from theory.errors import OutOfTime

_REPEAT = 0.05  # the alarm fires again in case a library's bare except swallowed the first one


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise `OutOfTime` in the body after ``seconds`` (> 0); nested limits keep the earlier one.

    Outside the main thread, or where the platform has no interval timer, the body runs unlimited.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    outer_left, _ = signal.getitimer(signal.ITIMER_REAL)
    start = time.monotonic()
    mine = outer_left == 0 or seconds < outer_left
    if not mine:
        yield
        return

    active = True

    def ring(*_: Any) -> None:
        if active:
            raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3), _REPEAT)
    try:
        yield
    finally:
        active = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if outer_left:
            left = max(outer_left - (time.monotonic() - start), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, left, _REPEAT)
