"""Profiles: rates chosen, runs kept and resumed, tables against scipy, and every refusal with earlier results kept."""

from __future__ import annotations

import csv
import json
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import proxpair
from theory.errors import InputError
from verify import campaign, experiments
from verify.campaign import Place, chosen, run_profile, tabulate
from verify.experiments import PROFILES, Experiment
from verify.study import Outcome

METHODS = ("FP", "BC", "BNN+", "BNN++")
FIRST = Experiment("first", "digits", "mlp", 8, "weights", "scratch", 1, 64, (2.0, 8.0), 0.05, methods=METHODS)
TUNED = replace(FIRST, name="tuned", start="first", methods=("FP", "BC"), seeds=5)


@pytest.fixture(autouse=True)
def _profile(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    monkeypatch.setitem(PROFILES, "small", (FIRST, TUNED))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "small", (FIRST, TUNED))
        yield run(out)


def run(out: Path, jobs: int = 1, *names: str, **options: Any) -> Path:
    return run_profile(Place(out, "small", 3, "cpu", jobs=jobs), chosen("small", names), **options)


def files(folder: Path) -> dict[str, bytes]:
    """All files but the timings."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: data for name, data in found.items() if not name.endswith("timings.json")}


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


# --------------------------------------------------------------------------- what is written


def test_rates_are_chosen_on_the_validation_split_by_networks_of_another_seed(whole: Path) -> None:
    runs = rows(whole, "runs")
    tune, final = ([r for r in runs if r["stage"] == stage] for stage in ("tune", "final"))
    assert len(tune) == 2 * (4 + 2)
    assert len(final) == 5 * (4 + 2)
    assert {r["seed"] for r in tune} == {"1000003"}
    assert {r["seed"] for r in final} == set("34567")
    assert all(math.isnan(float(r["test"])) for r in tune)  # test images are not looked at
    for e, name in {(r["experiment"], r["method"]) for r in final}:
        tried = {float(r["rate"]): float(r["valid"]) for r in tune if (r["experiment"], r["method"]) == (e, name)}
        best = min(rate for rate in tried if tried[rate] == max(tried.values()))
        assert {float(r["rate"]) for r in final if (r["experiment"], r["method"]) == (e, name)} == {best}


def test_of_two_rates_with_one_accuracy_the_smaller_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    valid = {("FP", 2.0): 0.5, ("FP", 8.0): 0.5, ("BC", 2.0): math.nan, ("BC", 8.0): 0.1, ("BNN+", 2.0): math.nan}
    jobs: Any = [SimpleNamespace(run=SimpleNamespace(method=name, rate=rate)) for name, rate in reversed(valid)]
    monkeypatch.setattr(campaign, "outcome_of", lambda job: Outcome(valid=valid[job.run.method, job.run.rate]))
    plan: Any = SimpleNamespace(rates={})
    campaign._Plan.choose(plan, FIRST, jobs)
    assert plan.rates == {("first", "FP"): 2.0, ("first", "BC"): 8.0, ("first", "BNN+"): 2.0}


def test_networks_that_go_on_start_from_full_precision_of_their_own_seed(whole: Path) -> None:
    first = {(r["method"], r["seed"]): r for r in rows(whole, "curves") if r["experiment"] == "first"}
    tuned = {(r["method"], r["seed"]): r for r in rows(whole, "curves") if r["experiment"] == "tuned"}
    for seed in "34567":
        assert float(tuned["FP", seed]["loss"]) < 0.95 * float(first["FP", seed]["loss"])
    assert len(list((whole / "parts").glob("*.pt"))) == 2 + 5
    plan = campaign._Plan(Place(whole.parents[1], "small", 3, "cpu"), (FIRST, TUNED))
    plan.rates = {(e.name, name): 8.0 for e in (FIRST, TUNED) for name in e.methods}
    kept = {job.run.seed: str(job.weights) for job in plan.final(FIRST) if job.run.method == "FP"}
    assert len(set(kept.values())) == 5
    assert all(job.start == kept[job.run.seed] for job in plan.final(TUNED))


def test_the_summary_and_the_tests_are_those_of_scipy(whole: Path) -> None:
    final = [r for r in rows(whole, "runs") if r["stage"] == "final" and r["experiment"] == "first"]
    scores = {name: np.array([float(r["test"]) for r in final if r["method"] == name]) for name in METHODS}
    for row in rows(whole, "summary"):
        if row["experiment"] == "first":
            x = scores[row["method"]]
            low, high = stats.t.interval(0.95, 4, x.mean(), stats.sem(x))
            found = [float(row[k]) for k in ("test_mean", "test_sd", "test_low", "test_high")]
            assert found == pytest.approx([x.mean(), x.std(ddof=1), low, high])
    pairs = [r for r in rows(whole, "paired") if r["experiment"] == "first"]
    plan = [r for r in pairs if r["planned"] == "1"]
    assert [(r["first"], r["second"]) for r in plan] == [
        *(("BC", "FP"), ("BNN+", "FP"), ("BNN++", "FP")),
        *(("BNN+", "BC"), ("BNN++", "BC"), ("BNN++", "BNN+")),
    ]
    assert len(pairs) == 6  # nothing is left to compare
    expected = []
    for r in plan:
        t, p = stats.ttest_rel(scores[r["first"]], scores[r["second"]])
        assert [float(r["t"]), float(r["p"])] == pytest.approx([t, p])
        expected.append(p)
    order = np.argsort(expected)
    adjusted = np.maximum.accumulate([min(1.0, (6 - k) * expected[i]) for k, i in enumerate(order)])
    assert [float(plan[i]["p_holm"]) for i in order] == pytest.approx(list(adjusted))
    for r in plan:
        real = float(r["p_holm"]) <= 0.05
        sign = "better" if float(r["mean"]) > 0 else "worse"
        assert r["answer"] == (sign if real else "not significant")


def test_tables_follow_from_the_runs_alone(whole: Path, tmp_path: Path) -> None:
    for name in ("runs.csv", "study.json"):
        shutil.copy(whole / name, tmp_path / name)
    summary, pairs = tabulate(tmp_path)
    for made, header, name in ((summary, campaign.SUMMARY, "summary"), (pairs, campaign.PAIRED, "paired")):
        assert campaign.csv_text(header, made) == (whole / f"{name}.csv").read_text()
    text = (tmp_path / "runs.csv").read_text()
    for broken in (text.replace("experiment,", "x,", 1), text[:-40], "", text.replace("BNN++", "unheard")):
        (tmp_path / "runs.csv").write_text(broken)
        with pytest.raises(InputError, match=r"expected"):
            tabulate(tmp_path)
    (tmp_path / "runs.csv").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        tabulate(tmp_path)


def test_the_study_says_what_was_run(whole: Path) -> None:
    said = json.loads((whole / "study.json").read_text())
    assert said["data"]["first"]["images"] == [1077, 270, 450]
    assert len(said["data"]["first"]["sha256"]) == 64
    assert said["methods"]["BNN+"]["verdict"] == "unprincipled"
    assert "B(-1/2)" in said["methods"]["BNN+"]["witness"] or "constant" in said["methods"]["BNN+"]["witness"]
    assert said["experiments"][0]["rates"] == [2.0, 8.0]
    assert set(said["versions"]) == {"proxpair", "torch", "numpy"}


def test_the_ledger_of_every_method_that_has_one_closes(whole: Path) -> None:
    account = rows(whole, "ledger")
    assert {r["method"] for r in account} == set(METHODS)
    assert max(float(r["closure_error"]) for r in account) < 1e-6
    assert all(float(r["min_D"]) > -1e-5 for r in account)


# --------------------------------------------------------------------------- resumed


def test_interrupted_at_ten_random_moments_and_resumed_gives_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    chance, interrupted = random.Random(5), 0

    def interrupt(_: int, frame: FrameType | None) -> None:
        # Raised inside a callback of the collector or a weak reference, it would be swallowed: only in our own code.
        if frame is None or Path(frame.f_code.co_filename).parent.name != "verify":
            signal.setitimer(signal.ITIMER_REAL, 0.0005)
            return
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(10):
            signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.02, 0.15))
            try:
                run(tmp_path)
            except KeyboardInterrupt:
                interrupted += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                torch.set_grad_enabled(True)  # an interrupt may come while no_grad is entered
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interrupted >= 5
    assert files(run(tmp_path)) == files(whole)


def test_workers_give_the_same_bytes_and_one_that_dies_loses_nothing(whole: Path, tmp_path: Path) -> None:
    """In a process of its own: warnings of a killed pool stay there."""
    script = (
        "import sys, pathlib\n"
        "sys.path[:0] = sys.argv[2:]\n"
        "import test_campaign as t\n"
        "t.PROFILES['small'] = (t.FIRST, t.TUNED)\n"
        "try:\n"
        "    t.run(pathlib.Path(sys.argv[1]), 2)\n"
        "except t.InputError as error:\n"
        "    print(error)\n"
    )
    here = str(Path(__file__).parent)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script, str(tmp_path), here]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    parts = tmp_path / "networks" / "small" / "parts"
    killer = threading.Thread(target=_kill_a_worker, args=(process, parts))
    killer.start()
    said, _ = process.communicate(timeout=100)
    killer.join()
    assert "a worker process died; what was finished is kept" in said
    kept = set(parts.glob("*.json"))
    assert len(kept) >= 2
    assert files(run(tmp_path)) == files(whole)


def test_processes_of_torchrun_train_each_network_together(tmp_path: Path) -> None:
    """Without batch normalisation they take the steps of one process, up to the order of sums."""
    vit = replace(FIRST, name="vit", model="vit", width=16, rates=(2.0,), methods=("FP", "BC"), seeds=1)
    script = tmp_path / "run.py"
    script.write_text(
        "import pathlib, sys\n"
        "from dataclasses import replace\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_campaign as t\n"
        "vit = replace(t.FIRST, name='vit', model='vit', width=16, rates=(2.0,), methods=('FP', 'BC'), seeds=1)\n"
        "t.PROFILES['small'] = (vit,)\n"
        "t.run(pathlib.Path(sys.argv[1]))\n"
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, str(tmp_path / "two")], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "small", (vit,))
        alone = run(tmp_path / "one")
    two = tmp_path / "two" / "networks" / "small"
    assert "2 processes" in json.loads((two / "study.json").read_text())["device"]
    for ours, theirs in zip(rows(alone, "curves"), rows(two, "curves"), strict=True):
        assert float(ours["loss"]) == pytest.approx(float(theirs["loss"]), rel=1e-3)
    assert len(files(two)) == len(files(alone))


def _kill_a_worker(process: subprocess.Popen[str], parts: Path) -> None:
    """Once something is finished, kill one process of the pool."""
    while process.poll() is None and len(list(parts.glob("*.json"))) < 3:
        time.sleep(0.01)
    for entry in Path("/proc").iterdir():
        try:
            text = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            parent = (entry / "stat").read_text().rsplit(")", 1)[1].split()[1] if text else ""
        except OSError:
            continue
        if parent == str(process.pid) and b"popen_loky" in text:
            os.kill(int(entry.name), signal.SIGKILL)
            return


def test_a_disk_that_fills_is_one_sentence_and_keeps_what_is_there(tmp_path: Path) -> None:
    done = run(tmp_path, 1, "first")
    before = files(done)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
    try:
        with pytest.raises(InputError, match="cannot be written"):
            run(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    after = files(done)
    assert {name: after[name] for name in before} == before
    assert not [name for name in after if "/." in name or name.startswith(".")]


def test_a_damaged_outcome_is_refused_and_named(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "networks" / "small"
    shutil.copytree(whole, out)
    part = next(p for p in sorted((out / "parts").glob("*.json")) if p.name != "timings.json")
    text = part.read_text()
    for broken in (text[:-30], text.replace("0.", "1.", 1), "{}", "[]", ""):
        part.write_text(broken)
        with pytest.raises(InputError, match=rf"{part.name} is corrupted"):
            run(tmp_path)
    part.unlink()
    assert files(run(tmp_path)) == files(whole)


def test_another_code_or_declaration_is_another_run(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path / "networks" / "small")
    found: list[Any] = []
    monkeypatch.setattr(campaign, "compute", lambda job: found.append(job) or 0.0)
    run(tmp_path)
    assert not found  # all of it was there
    monkeypatch.setitem(PROFILES, "small", (replace(FIRST, rest=0.06),))
    with pytest.raises(InputError, match="cannot be read"):
        run(tmp_path)
    assert len(found) == 8


# --------------------------------------------------------------------------- refusals and the command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--profile", "tiny"], "unknown profile 'tiny', expected one of"),
        (["--profile", "quick", "--experiment", "x"], "unknown experiment 'x' of quick"),
        (["nobody", "--profile", "quick"], "unknown method 'nobody'"),
        (["--profile", "quick", "--epochs", "3"], "--epochs does not go with --profile"),
        (["--profile", "quick", "--pair", "BC"], "--pair does not go with --profile"),
        (["--experiment", "digits-mlp"], "--experiment needs --profile"),
        (["--data-dir", "x"], "--data-dir needs --profile"),
        (["--profile", "quick", "--jobs", "0"], "--jobs expects a number from 1 to 256"),
        (["--profile", "quick", "--seed", "-1"], "--seed expects"),
        (["--profile", "quick", "--device", "tpu"], "--device expects auto, cpu or cuda"),
        (["--profile", "full", "--experiment", "cifar-mlp"], "cifar10 needs --data-dir"),
        (["--profile", "full", "--experiment", "cifar-mlp", "--data-dir", "/nowhere"], "/nowhere"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = proxpair.main(["train", *arguments, "--out", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert code == 2
    assert said in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_the_command_twice_gives_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        arguments = ["train", "FP", "BC", "--profile", "small", "--experiment", "tuned", "--seed", "3"]
        assert proxpair.main([*arguments, "--out", str(tmp_path / name)]) == 0
        assert "tuned" in capsys.readouterr().out
    folders = [tmp_path / name / "networks" / "small" for name in ("a", "b")]
    assert files(folders[0]) == files(folders[1])
    assert {r["experiment"] for r in rows(folders[0], "runs")} == {"first", "tuned"}
    assert {r["method"] for r in rows(folders[0], "runs") if r["experiment"] == "first"} == {"FP"}


def test_a_network_that_failed_counts_as_failed_and_not_as_a_score() -> None:
    def row(name: str, seed: int, test: float, failed: str = "") -> list[Any]:
        head = ["e", name, "final", 2.0, seed, 0.5, test, test, 1.0, 10, 100, 400, 5, 0.0, 0.0, failed]
        assert len(head) == len(campaign.RUNS)
        return head

    runs = [row("FP", s, 0.9 + s / 100) for s in range(5)]
    runs += [row("BC", s, 0.8 + s / 200) for s in range(4)] + [row("BC", 4, math.nan, "epoch 1: not finite")]
    study = {"methods": {name: {"verdict": "smooth", "origin": ""} for name in ("FP", "BC")}}
    summary, pairs = campaign._tables(runs, study)
    cells = [dict(zip(campaign.SUMMARY, r, strict=True)) for r in summary]
    assert [(c["n"], c["failed"]) for c in cells] == [(5, 0), (4, 1)]
    assert cells[1]["full_below_p"] > 0.95  # FP is above
    assert cells[1]["memory_ratio"] == 4
    assert cells[1]["flips_per_weight"] == 0.5
    found = dict(zip(campaign.PAIRED, pairs[0], strict=True))
    assert (found["n"], found["answer"]) == (4, "worse")
    assert Outcome().failed == ""
    assert experiments.method("bc").name == "BC"
