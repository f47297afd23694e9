"""Time limits: an alarm signal that reaches into sympy, and child processes for what it cannot reach.

`limit` raises in the running computation (POSIX, main thread): a final one after wall-clock seconds, an
inner one, behind which another method is tried, after seconds of this process's own work, so that a busy
machine does not change what is found. A signal is only noticed between two
steps of the interpreter: one long step inside a C library (a large factorisation) outlives it, and an
abort inside that library takes the process along. The command line therefore answers through `guarded`,
which works in forked children that can be killed. The Python interface does not fork.
"""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from theory.errors import OutOfTime

_REPEAT = 0.05  # the alarm fires again in case a library's bare except swallowed the first one
_SOON = 2e-3  # seconds until it rings again where it could not be heard
_LONGEST = 1e6  # seconds; a longer limit is the same as this one
_EARLY = 1e-3  # seconds by which a timer may ring before the monotonic clock agrees
GRACE = 0.25  # seconds that a child may overrun before it is killed


class DeadlinePassed(BaseException):
    """A final limit passed. Unlike `OutOfTime`, no inner limit catches it and tries something else."""


_stretch = 1.0
PATIENCE = 4.0
"""What a busy machine may cost before a row of a table says less."""


class patience:
    """Context manager: inner limits take ``factor`` times as long, for work that must not depend on the machine."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __enter__(self) -> None:
        global _stretch
        self.before, _stretch = _stretch, self.factor

    def __exit__(self, *_: object) -> None:
        global _stretch
        _stretch = self.before


def stretched(seconds: float) -> float:
    """Seconds of work as the surrounding `patience` stretches them."""
    return seconds * _stretch


class limit:
    """Context manager: raise `OutOfTime` in the body after ``seconds`` (> 0) of work, times the `patience`.

    ``final``: raise `DeadlinePassed` after ``seconds`` on the wall. Nested limits of a kind keep the
    earlier one. Outside the main thread, or where the platform has no interval timer, the body runs
    unlimited.
    """

    def __init__(self, seconds: float, *, final: bool = False) -> None:
        self.seconds = min(max(seconds if final else stretched(seconds), _EARLY), _LONGEST)
        self.raised = DeadlinePassed if final else OutOfTime
        self.final = final
        self.armed = False

    def _clock(self) -> float:
        return time.monotonic() if self.final else time.process_time()

    def _set(self, seconds: float, again: float = 0.0) -> None:
        signal.setitimer(signal.ITIMER_REAL if self.final else signal.ITIMER_PROF, seconds, again)

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
            return
        self.outer_left, _ = signal.getitimer(signal.ITIMER_REAL if self.final else signal.ITIMER_PROF)
        if 0 < self.outer_left <= self.seconds:
            return
        self.start = self._clock()
        self.sign = signal.SIGALRM if self.final else signal.SIGPROF
        self.before = signal.signal(self.sign, self._ring)
        self.armed = True
        self._set(self.seconds, _REPEAT)

    def __exit__(self, *_: object) -> None:
        if not self.armed:
            return
        self.armed = False
        self._set(0)
        signal.signal(self.sign, self.before)
        if self.outer_left:
            self._set(max(self.outer_left - (self._clock() - self.start), _EARLY), _REPEAT)

    def _ring(self, _: int, frame: Any) -> None:
        if not self.armed or self._clock() < self.start + self.seconds - _EARLY:
            return
        if _is_edge(frame):
            return  # entering and leaving is done whole, or an alarm would be left armed; it rings again
        if _is_lost(frame):
            self._set(_SOON, _REPEAT)
            return
        raise self.raised


_EDGES = (limit.__enter__.__code__, limit.__exit__.__code__)


def _is_edge(frame: Any) -> bool:
    """Whether this frame, or one that it returns to, is entering or leaving a limit."""
    while frame is not None:
        if frame.f_code in _EDGES:
            return True
        frame = frame.f_back
    return False


def _is_lost(frame: Any) -> bool:
    """Whether an exception raised in this frame would only be printed: finalizers and callbacks of the collector."""
    callbacks = {getattr(c, "__code__", None) for c in gc.callbacks}
    while frame is not None:
        code = frame.f_code
        if code in callbacks or code.co_name == "__del__" or frame.f_globals.get("__name__") == "weakref":
            return True
        frame = frame.f_back
    return False


@dataclass(frozen=True)
class Lost:
    """A job without an answer: its child was killed for overrunning, or died by itself."""

    overran: bool


@dataclass
class _Child:
    process: Any
    pipe: Any
    job: int = -1
    until: float = 0.0


def _serve(work: Callable[[Any], Any], pipe: Any) -> None:
    """The child's life: answer jobs until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it and ends its children
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            answer = (True, work(job))
        except Exception as error:  # not handled here: it travels to the parent, which raises it
            answer = (False, error)
        pipe.send(answer)


def guarded(work: Callable[[Any], Any], jobs: Sequence[Any], seconds: float, workers: int = 1) -> Iterator[Any]:
    """work(job) for each job, in order; `Lost` for one that took ``seconds`` + `GRACE` or killed its process.

    An exception of ``work`` is raised here. Where the platform cannot fork, the jobs run in this process.
    """
    import multiprocessing
    from multiprocessing.connection import wait

    if "fork" not in multiprocessing.get_all_start_methods():
        yield from map(work, jobs)
        return
    context = multiprocessing.get_context("fork")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()  # a child must not write the parent's pending text again

    def start() -> _Child:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(work, theirs), daemon=True)
        process.start()
        theirs.close()
        return _Child(process, ours)

    def stop(child: _Child) -> None:
        child.process.kill()
        child.process.join()
        child.pipe.close()

    waiting = iter(range(len(jobs)))
    answers: dict[int, Any] = {}
    busy: list[_Child] = []
    due = 0

    def give(child: _Child) -> None:
        child.job = next(waiting, -1)
        if child.job < 0:
            stop(child)
            return
        child.until = time.monotonic() + min(seconds, _LONGEST) + GRACE
        busy.append(child)
        with suppress(BrokenPipeError):  # it died before the first job: seen when its answer is read
            child.pipe.send(jobs[child.job])

    try:
        for _ in range(min(workers, len(jobs))):
            give(start())
        while due < len(jobs):
            left = min(c.until for c in busy) - time.monotonic()
            ready = wait([c.pipe for c in busy], max(left, 0))
            for child in list(busy):
                lost = None
                if child.pipe in ready:
                    try:
                        answers[child.job] = child.pipe.recv()
                    except (EOFError, ConnectionResetError):
                        lost = Lost(overran=False)
                elif time.monotonic() >= child.until:
                    lost = Lost(overran=True)
                else:
                    continue
                busy.remove(child)
                if lost is None:
                    give(child)
                else:
                    answers[child.job] = (True, lost)
                    stop(child)
                    give(start())
            while due in answers:
                fine, answer = answers.pop(due)
                due += 1
                if not fine:
                    raise answer
                yield answer
    finally:
        for child in busy:
            stop(child)


__all__ = ["GRACE", "PATIENCE", "DeadlinePassed", "Lost", "guarded", "limit", "patience", "stretched"]
