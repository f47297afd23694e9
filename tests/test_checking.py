"""The object behind `check`: its fields, its texts read back, its time, and the limits underneath."""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
import sympy as sp
from shared import Catalogued

from theory import checking
from theory.catalogue import CATALOGUE
from theory.checking import SCHEMA, Check, check, lost, refused
from theory.deadline import DeadlinePassed, Lost, guarded, limit, patience
from theory.errors import InputError, OutOfTime
from theory.exact import X, rational_between
from theory.maps import PiecewiseMap
from theory.parser import parse
from theory.version import VERSION

KEYS = {
    "schema",
    "version",
    "verdict",
    "reason",
    "literal_criterion",
    "convex_regularizer",
    "notes",
    "transform",
    "prox",
    "regularizer",
    "implicit",
    "witness",
    "repairs",
    "repairs_unfinished",
    "freedoms",
    "constants",
    "corollaries",
    "steps",
}
REPAIR_KEYS = {"name", "keeps", "forward", "backward", "transform", "prox", "regularizer", "implicit", "verdict"}
CLIPPED = "Piecewise((1, Abs(x) <= 1), (0, True))"
PAIRS = {
    "tan": ("x", "1 + x**2"),
    "log": ("x", "exp(x)"),
    "quotient": ("exp(x)", "exp(2*x)"),
    "two roots": ("x", "cosh(x)"),
    "artanh": ("sinh(x)", "cosh(x)**3"),
    "half a tan": ("Piecewise((x, x < 1), (2*x - 1, True))", "1 + x**2"),
    "root": ("x/sqrt(1 + x**2)", "1"),
    "cube root": ("sign(x)*Abs(x)**(1/3)", "1"),
    "softsign": ("x/(1 + Abs(x))", "1"),
    "one point": ("3", "1"),
    "frozen": ("sign(x)", "0"),
    "dead middle": ("sign(x)*Max(Abs(x) - 1, 0)", "Piecewise((1, Abs(x) >= 1), (1/2, True))"),
    "no closed form": ("x", "1/(1 + x**2)"),
    "decreasing": ("-x", "-1"),
    "steps": ("clip(round(x), -2, 2)", "1"),
    "isolated value": ("Piecewise((5, x == 1), (x, True))", "1"),
    "wrong sign": ("x", "-1"),
    "moves where B is 0": ("x", CLIPPED),
    "cube root of its own": ("sign(x)*Abs(x)**(1/3)", "Piecewise((Abs(x)**(-2/3)/3, True))"),
    "bell": ("sign(x)", "exp(-x**2)"),
    "windowed": ("sign(sin(x))", "1"),
}


def pair_of(name: str) -> tuple[str, str, dict[str, Any]]:
    """(F, B, parameters) of an entry or of one of the pairs above."""
    if name in PAIRS:
        return (*PAIRS[name], {})
    return CATALOGUE[name].forward, CATALOGUE[name].backward, dict(CATALOGUE[name].params)


def checked(forward: str, backward: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    key = (forward, backward, tuple((params or {}).items()))
    if key not in _CHECKED:
        _CHECKED[key] = check(forward, backward, params=params)
    return _CHECKED[key].as_dict()


_CHECKED: dict[Any, Check] = {}
Answer = tuple[str, dict[str, Any]]


def object_in(row: dict[str, Any]) -> dict[str, Any]:
    """The object of `check` in the row of an entry, where repairs have their distance too."""
    repairs = [{k: v for k, v in r.items() if k != "distance"} for r in row["repairs"]]
    return {**{k: v for k, v in row.items() if k in KEYS}, "repairs": repairs}


@pytest.fixture(params=[*CATALOGUE, *PAIRS])
def answer(request: pytest.FixtureRequest, catalogued: Catalogued) -> Answer:
    """A name and the object of `check` for its pair; that of an entry is in its row."""
    name: str = request.param
    return name, checked(*pair_of(name)) if name in PAIRS else object_in(catalogued(name)[0])


@pytest.mark.parametrize("name", ["BC", "BNN", "BNN+", "BNN++", "ApproxSign", "HWGQ-log", "BiPer", "PACT"])
def test_the_row_of_an_entry_holds_this_object(name: str, catalogued: Catalogued) -> None:
    fresh, held = check(*pair_of(name)[:2], params=pair_of(name)[2]).as_dict(), object_in(catalogued(name)[0])
    for d in (fresh, held):
        d["repairs"] = sorted(d["repairs"], key=lambda r: str(r["name"]))
    assert fresh == held


def test_the_object_keeps_its_contract(answer: Answer) -> None:
    _, d = answer
    assert set(d) == KEYS
    assert json.loads(json.dumps(d, allow_nan=False)) == d
    assert (d["schema"], d["version"]) == (SCHEMA, VERSION)
    assert d["reason"]
    assert "\n" not in d["reason"]
    assert d["literal_criterion"] in (True, False, None)
    if d["verdict"] in ("smooth", "lipschitz"):
        assert set(d["regularizer"]) == {"largest", "smallest"}
        assert d["witness"] is None
        assert d["repairs"] == []
        for field in ("transform", "prox"):
            assert isinstance(d[field], str) != (field in d["implicit"])
        assert isinstance(d["regularizer"]["largest"], str) != ("regularizer" in d["implicit"])
    else:
        assert d["transform"] is d["prox"] is d["regularizer"] is None
    if d["verdict"] == "unprincipled":
        assert set(d["witness"]) == {"kind", "points", "sentence"}
        assert d["witness"]["sentence"] == d["reason"]
        for point in d["witness"]["points"]:
            assert parse(point).constant is not None
    if d["verdict"] == "undecided":
        assert d["witness"] is None


def test_texts_are_read_back_as_the_pair(answer: Answer) -> None:
    """F = T o P and B between the slopes of T, from the texts alone."""
    name, d = answer
    pair = pair_of(name)
    values = {k: parse(str(v)).constant for k, v in pair[2].items()}
    for r in (d["regularizer"] or {}).values():
        assert r is None or not parse(r, allow_infinity=True).windowed
    if d["prox"] is None or d["transform"] is None:
        return
    agree(parse(pair[0], values), parse(pair[1], values), parse(d["transform"]), parse(d["prox"]))


def agree(f: PiecewiseMap, b: PiecewiseMap, t: PiecewiseMap, p: PiecewiseMap) -> None:
    """F = T o P, and B a slope of T, at points of every piece to 1e-30."""
    fine = p.refine([*f.breaks, *b.breaks])
    slope = t.derivative()
    for lo, hi in fine.ends:
        x = rational_between(lo, hi)
        for at in (x, rational_between(lo, x), rational_between(x, hi)):
            near(t(p(at)), f(at))
            k = slope.piece_at(p(at))
            if k is not None:
                near(slope.exprs[k].subs(X, p(at)), b(at))
    for x in fine.breaks:
        if p(x) is not None and f(x) is not None:
            near(t(p(x)), f(x))


def near(a: Any, b: Any) -> None:
    assert abs(sp.N(a - b, 40)) < sp.Rational(1, 10**30), (a, b)


def test_a_wrong_text_would_be_seen() -> None:
    f, b, t = parse("tanh(x)"), parse("1"), parse("x")
    agree(f, b, t, parse("tanh(x)"))
    with pytest.raises(AssertionError):
        agree(f, b, t, parse("tanh(2*x)"))
    with pytest.raises(AssertionError):
        agree(f, parse("2"), t, parse("tanh(x)"))


def test_repairs_give_the_verdict_they_state(answer: Answer) -> None:
    for repair in answer[1]["repairs"]:
        assert set(repair) == REPAIR_KEYS
        again = check(repair["forward"], repair["backward"], with_theory=False)
        assert again.grade == repair["verdict"]
        assert again.verdict.principled
        assert repair["keeps"] in ("forward", "backward", "levels")
        if repair["transform"] is not None and repair["prox"] is not None:
            agree(
                parse(repair["forward"]),
                parse(repair["backward"]),
                parse(repair["transform"]),
                parse(repair["prox"]),
            )
        for r in repair["regularizer"].values():
            assert r is None or parse(r, allow_infinity=True)


def test_bnn_plus_is_repaired_to_bnn_plus_plus() -> None:
    # that with F = sign and B = 5 is no entry, although its forward map is BC's
    assert {r["name"] for r in checked(*pair_of("BNN+"))["repairs"]} == {"BNN++", "BC", "flatten the backward map"}
    assert {r["keeps"] for r in checked("sign(x)", "exp(-x**2)")["repairs"]} >= {"backward", "forward"}


def test_the_cases_of_the_contract() -> None:
    bnn = checked("sign(x)", CLIPPED)
    assert (bnn["verdict"], bnn["literal_criterion"]) == ("lipschitz", False)
    assert bnn["transform"] == "clip(x, -1, 1)"
    assert parse(bnn["regularizer"]["largest"], allow_infinity=True).agrees(
        parse("Piecewise((oo, Abs(x) < 1), (0, True))", allow_infinity=True)
    )
    assert check("tanh(x)", "1").verdict.convex is True
    assert check("tanh(2*x)", "1").verdict.convex is False


# ---- what is taken


@pytest.mark.parametrize("beta", [2, sp.Integer(2), Fraction(2), "2", "4/2", "0.5*4", sp.sqrt(4)])
def test_parameters_of_every_exact_kind(beta: Any) -> None:
    assert check("tanh(beta*x)", "1", params={"beta": beta}).as_dict()["prox"] == "tanh(2*x)"


def test_numbers_of_numpy_are_integers_too() -> None:
    numpy = pytest.importorskip("numpy")
    assert check("beta*x", "1", params={"beta": numpy.int64(3)}).as_dict()["prox"] == "3*x"


@pytest.mark.parametrize(
    ("beta", "sentence"),
    [
        (2.0, "not a float"),
        (sp.Float(2), "not a float"),
        (True, "an exact finite constant"),
        (None, "an exact finite constant"),
        (2j, "an exact finite constant"),
        (sp.oo, "an exact finite constant"),
        (sp.nan, "an exact"),
        (sp.I, "an exact real constant"),
        (sp.Symbol("y"), "an exact finite constant"),
        (sp.gamma(sp.Rational(1, 3)), "an exact real constant"),
        (sp.sqrt(2.0), "not a float"),
        ([2], "an exact finite constant"),
        ("x", "a constant was expected"),
        ("nan", "a finite real number"),
        ("", "nothing was given"),
    ],
)
def test_parameters_that_are_refused(beta: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=f"parameter beta.*{sentence}"):
        check("tanh(beta*x)", "1", params={"beta": beta})


@pytest.mark.parametrize("name", ["x", "pi", "sign", "lambda", "", "a b"])
def test_parameter_names_that_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="parameter"):
        check("x", "1", params={name: 1})


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "3", None, True])
def test_timeouts_that_are_refused(timeout: Any) -> None:
    with pytest.raises(InputError, match="a timeout is a positive finite number of seconds"):
        check("x", "1", timeout=timeout)


def test_maps_are_taken_as_they_are() -> None:
    result = check(PiecewiseMap.build([0], [-1, 1], [1]), PiecewiseMap.of(1))
    assert result.grade == "smooth"
    assert parse(result.as_dict()["prox"])(0) == 1


@pytest.mark.parametrize("given", [1, None, b"x", X, ["x"]])
def test_other_things_are_refused(given: Any) -> None:
    with pytest.raises(InputError, match="forward: an expression in x as text, or a map, was expected"):
        check(given, "1")
    with pytest.raises(InputError, match="backward: an expression in x as text, or a map, was expected"):
        check("x", given)


def test_the_faulty_expression_is_named() -> None:
    with pytest.raises(InputError, match=r"^forward: "):
        check("1/0", "1")
    with pytest.raises(InputError, match=r"^backward: "):
        check("1", "1/0")


def test_other_threads_may_check() -> None:
    found: list[Check] = []
    thread = threading.Thread(target=lambda: found.append(check("x", "-1")))
    thread.start()
    thread.join()
    assert found[0].grade == "unprincipled"
    assert found[0].as_dict()["repairs"]


# ---- time

HARD = {
    "tower": "+".join(f"tanh({k}*x + 1/{k})" for k in range(1, 200)),
    "composed": "tanh(" * 40 + "x" + ")" * 40,
    "product": "*".join(f"sin({k}*x)" for k in range(1, 20)),
    "poles": "+".join(f"1/(x - {k}/7)" for k in range(1, 30)),
    "high degree": "*".join(["(x**64 + x + 1)"] * 40),
    "big numbers": "exp(x*1e300)*tanh(1e-300*x)",
    "huge constants": "clip(x, -exp(exp(exp(5))), exp(exp(exp(5))))",
    "too many steps": "round(1000*tanh(x))",
    "exp of exp": "exp(exp(exp(exp(x))))",
}


@pytest.mark.parametrize("timeout", [0.05, 0.6])
@pytest.mark.parametrize("name", HARD)
def test_the_answer_comes_in_time(name: str, timeout: float) -> None:
    for forward, backward in ((HARD[name], "1"), ("sign(x)", HARD[name])):
        start = time.monotonic()
        d = check(forward, backward, timeout=timeout).as_dict()
        assert time.monotonic() - start < timeout + 1
        assert d["verdict"] in ("smooth", "lipschitz", "unprincipled", "undecided")
        assert len(d["reason"]) < 600
        assert set(d) == KEYS


def test_a_verdict_survives_when_its_texts_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(*_: object) -> dict[str, Any]:
        while True:
            time.sleep(0.01)

    monkeypatch.setattr(checking, "written", stuck)
    smooth = check("tanh(x)", "1", timeout=1.0).as_dict()
    assert smooth["verdict"] == "smooth"
    assert smooth["prox"] is None
    assert smooth["regularizer"] == {"largest": None, "smallest": None}
    assert set(smooth["implicit"]) == {"transform", "prox", "regularizer"}
    wrong = check("x", "-1", timeout=1.0).as_dict()
    assert wrong["verdict"] == "unprincipled"
    assert wrong["witness"]["points"] == []
    assert set(smooth) == set(wrong) == KEYS


@pytest.mark.parametrize(
    ("raised", "verdict"),
    [(OutOfTime, None), (RecursionError, "undecided"), (MemoryError, "undecided"), (OverflowError, "undecided")],
)
def test_what_breaks_off_is_undecided(monkeypatch: pytest.MonkeyPatch, raised: type, verdict: str | None) -> None:
    def broken(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(checking, "decide", broken)
    if verdict is None:  # an inner limit that nobody caught is a defect, and must not pass for an answer
        with pytest.raises(raised):
            check("x", "1")
    else:
        assert check("x", "1").grade == verdict


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ZeroDivisionError, ValueError])
def test_nothing_else_is_swallowed(monkeypatch: pytest.MonkeyPatch, raised: type) -> None:
    def broken(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(checking, "decide", broken)
    with pytest.raises(raised):
        check("x", "1")


def test_answers_without_a_computation() -> None:
    assert lost(Lost(overran=True), 3).as_dict()["reason"] == "not settled within 3 s"
    assert "outgrew" in lost(Lost(overran=False), 3).as_dict()["reason"]
    assert set(refused("no").as_dict()) == KEYS
    assert refused("no").as_dict()["verdict"] == "error"


# ---- limit


def spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@pytest.fixture(autouse=True)
def _no_alarm_is_left() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_limit_rings() -> None:
    start = time.monotonic()
    with pytest.raises(OutOfTime), limit(0.05):
        spin(5)
    with pytest.raises(DeadlinePassed), limit(0.05, final=True):
        spin(5)
    assert time.monotonic() - start < 1


def test_a_body_in_time_is_left_alone() -> None:
    with limit(5):
        pass
    with pytest.raises(KeyError), limit(5):
        raise KeyError


@pytest.mark.parametrize(("outer", "inner"), [(0.05, 5.0), (5.0, 0.05)])
def test_the_earlier_limit_rings(outer: float, inner: float) -> None:
    start = time.monotonic()
    with pytest.raises(OutOfTime), limit(outer), limit(inner):
        spin(5)
    assert time.monotonic() - start < 1


def ring_often() -> None:
    while True:
        with pytest.raises(OutOfTime), limit(0.02):
            spin(5)


def test_the_outer_limit_goes_on_after_an_inner_one() -> None:
    start = time.monotonic()
    with pytest.raises(DeadlinePassed), limit(0.2, final=True):
        ring_often()
    assert 0.19 < time.monotonic() - start < 1


def try_something_else() -> None:
    try:
        with limit(5):
            spin(5)
    except OutOfTime:
        spin(5)


def test_a_final_limit_is_not_taken_for_an_inner_one() -> None:
    start = time.monotonic()
    with pytest.raises(DeadlinePassed), limit(0.05, final=True):
        try_something_else()
    assert time.monotonic() - start < 1


def swallow(until: float) -> None:
    for _ in range(20):
        try:
            spin(5)
        except BaseException:
            if time.monotonic() > until:
                raise


def test_a_bare_except_does_not_stop_the_clock() -> None:
    start = time.monotonic()
    with pytest.raises(OutOfTime), limit(0.05):
        swallow(start + 0.12)
    assert time.monotonic() - start < 1


def test_many_limits_end_on_the_edge_and_leave_nothing_behind() -> None:
    """The alarm may ring while the limit is being left: then it is either heard or gone, never late."""
    kept: list[BaseException] = []  # a kept traceback keeps every frame alive
    before = signal.getsignal(signal.SIGALRM)
    for k in range(1000):
        try:
            with limit(0.002, final=True):
                spin(0.0019 + 0.0000002 * k)
        except DeadlinePassed as error:
            kept.append(error)
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        assert signal.getsignal(signal.SIGALRM) is before
    assert 0 < len(kept) < 1000
    spin(0.1)


def test_an_alarm_in_the_middle_of_arming_is_heard_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take the processor away between arming the timer and entering the body."""
    arm = limit._set

    def slow(self: limit, seconds: float, again: float = 0.0) -> None:
        arm(self, seconds, again)
        spin(0.05)

    before = signal.getsignal(signal.SIGALRM)
    monkeypatch.setattr(limit, "_set", slow)
    with pytest.raises(DeadlinePassed), limit(0.01, final=True):
        spin(5)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_many_limits_of_work_leave_nothing_behind() -> None:
    """The clock of a process's work ticks every few milliseconds."""
    kept = []
    before = signal.getsignal(signal.SIGPROF)
    for k in range(60):
        try:
            with limit(0.01):
                spin(0.0003 * k)
        except OutOfTime as error:
            kept.append(error)
        assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
        assert signal.getsignal(signal.SIGPROF) is before
    assert 0 < len(kept) < 60
    spin(0.1)


def test_inner_limits_count_work_and_final_ones_the_wall() -> None:
    with limit(0.05):
        time.sleep(0.2)  # no work is done meanwhile
    with pytest.raises(DeadlinePassed), limit(0.05, final=True):
        time.sleep(5)
    with pytest.raises(DeadlinePassed), limit(0.05, final=True), limit(5):
        spin(5)
    with pytest.raises(OutOfTime), limit(5, final=True), limit(0.05):
        spin(5)


def test_patience_stretches_inner_limits_only() -> None:
    with patience(50):
        with limit(0.005):
            spin(0.05)
        with pytest.raises(DeadlinePassed), limit(0.02, final=True):
            spin(5)
    with pytest.raises(OutOfTime), limit(0.005):
        spin(5)


class Slow:
    def __del__(self) -> None:
        spin(0.03)


def finalize() -> None:
    for _ in range(60):
        Slow()
        spin(0.005)


def collect() -> None:
    for _ in range(60):
        gc.collect(0)  # the youngest objects only: a whole collection takes as long as the heap is large
        spin(0.005)


def test_an_alarm_in_a_finalizer_is_heard_after_it() -> None:
    """An exception raised there would be printed and lost; warnings are errors here, so it would be seen."""

    def collected(*_: object) -> None:
        spin(0.015)

    gc.callbacks.append(collected)
    try:
        for body in (finalize, collect):
            with pytest.raises(OutOfTime), limit(0.05):
                body()
    finally:
        gc.callbacks.remove(collected)


def test_handlers_of_others_are_put_back() -> None:
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    try:
        with pytest.raises(OutOfTime), limit(0.02):
            spin(5)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with limit(5):
            pass
        spin(0.1)
        assert heard == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_other_threads_run_without_limit() -> None:
    ended = []

    def work() -> None:
        with limit(0.01):
            spin(0.05)
        ended.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [1]


# ---- children


def double(job: Any) -> Any:
    if job == "hang":
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
        time.sleep(60)
    if job == "abort":
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "exit":
        os._exit(3)
    if job == "refuse":
        raise InputError("refused")
    return job * 2


def test_answers_come_in_order() -> None:
    assert list(guarded(double, list(range(40)), 5, workers=3)) == [2 * k for k in range(40)]
    assert list(guarded(double, [], 5)) == []
    assert list(guarded(double, [1], 5, workers=8)) == [2]


def test_lost_jobs_do_not_stop_the_others() -> None:
    start = time.monotonic()
    jobs = [1, "hang", 2, "abort", 3, "exit", 4, "hang", 5]
    answers = list(guarded(double, jobs, 0.3, workers=2))
    assert answers == [2, Lost(True), 4, Lost(False), 6, Lost(False), 8, Lost(True), 10]
    assert time.monotonic() - start < 4


def test_an_exception_is_raised_in_the_parent() -> None:
    answers = guarded(double, [1, "refuse", 2], 5)
    assert next(answers) == 2
    with pytest.raises(InputError, match="refused"):
        next(answers)


def test_no_child_is_left() -> None:
    import multiprocessing

    answers = guarded(double, [1, "hang", 2], 60, workers=2)
    assert next(answers) == 2
    assert multiprocessing.active_children()
    answers.close()
    assert not multiprocessing.active_children()


def test_without_fork_the_work_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiprocessing.get_all_start_methods", lambda: ["spawn"])
    assert list(guarded(lambda _: os.getpid(), [1, 2], 5)) == [os.getpid()] * 2


@pytest.mark.parametrize(
    ("forward", "backward"),
    [("x**(-2)", "0.1"), ("1/x", "1"), ("0.1/x + x/x", "Abs(x/2)"), ("log(Abs(x))", "1"), ("sign(x)/x", "exp(-x**2)")],
)
def test_repairs_of_unbounded_maps_are_readable(forward: str, backward: str) -> None:
    d = checked(forward, backward)
    assert d["verdict"] == "unprincipled"
    for repair in d["repairs"]:
        assert check(repair["forward"], repair["backward"]).grade == repair["verdict"]
