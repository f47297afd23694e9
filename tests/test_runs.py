"""The grid: shards, checkpoints, kill and resume, backends, and every refusal with earlier results untouched."""

from __future__ import annotations

import importlib.util
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import proxpair
from theory.errors import InputError
from theory.files import write_together
from verify import converge, runs
from verify.runs import Backend, Shard, compute, cut, marks, pair_spec
from verify.shards import alone, clear_temporaries, digest, load, save

PAIRS = tuple(pair_spec(p) for p in ("BC", "FP", "x/2 ; 1"))
WHOLE = Shard(PAIRS, ("plane", "quadratic", "modulus", "spectrum"), ("sqrt", "half"), tuple(range(5)), 20)
COMMAND = ["converge", "BC", "MD-tanh", "--problem", "plane", "--problem", "spectrum", "--problem", "quadratic"]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def result(out: Path) -> dict[str, bytes]:
    """The tables of an experiment."""
    return {name: data for name, data in tree(out).items() if name.endswith(".csv")}


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence with which a command is refused."""
    assert proxpair.main(arguments) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("proxpair: ")
    return said


# --------------------------------------------------------------------------- shards


@pytest.mark.parametrize("most", [1, 4, 7, 12, 40, 1024])
def test_the_shards_are_the_grid_each_run_once(most: int) -> None:
    shards = cut(WHOLE, most)
    seen = [
        (p, q, k, s)
        for shard in shards
        for p in shard.problems
        for q in shard.pairs
        for k in shard.schedules
        for s in shard.seeds
    ]
    assert len(seen) == len(set(seen)) == WHOLE.runs
    assert all(shard.runs <= max(most, len(shard.schedules)) for shard in shards)
    assert all(len({converge.problem(n).dimension for n in shard.problems}) == 1 for shard in shards)


def test_how_a_grid_is_cut_changes_no_result_beyond_rounding(tmp_path: Path) -> None:
    todo = converge.plan(("BC", "FP"), ("plane", "quadratic"), 40, seeds=5)
    whole = converge.cells(todo, [compute(s) for s in todo.shards])
    fine = cut(todo.shards[0], 3)
    assert len(fine) > 1
    small = {(q, n, s): compute(f) for f in fine for q in f.pairs for n in f.problems for s in f.seeds}
    for cell in whole:
        if cell.of.name not in todo.shards[0].problems:
            continue
        for k, seed in enumerate(cell.seeds):
            piece = next(f for f in fine if seed in f.seeds and cell.spec in f.pairs and cell.of.name in f.problems)
            found = small[cell.spec, cell.of.name, seed]["best"]
            shape = (len(piece.pairs), len(piece.problems), len(piece.schedules), len(piece.seeds))
            at = (piece.pairs.index(cell.spec), piece.problems.index(cell.of.name), 0, piece.seeds.index(seed))
            own = found.reshape(-1, *shape)[:, *at]
            np.testing.assert_allclose(cell.found["best"][:, k], own, rtol=1e-12, atol=1e-12)


def test_the_key_tells_apart_whatever_changes_a_number() -> None:
    base = Shard(PAIRS, ("plane",), ("sqrt",), (0, 1), 20)
    others = [
        Shard(PAIRS[:2], ("plane",), ("sqrt",), (0, 1), 20),
        Shard((*PAIRS[:2], pair_spec("x/2 ; 1/2")), ("plane",), ("sqrt",), (0, 1), 20),
        Shard(PAIRS, ("quadratic",), ("sqrt",), (0, 1), 20),
        Shard(PAIRS, ("plane",), ("half",), (0, 1), 20),
        Shard(PAIRS, ("plane",), ("sqrt",), (0, 2), 20),
        Shard(PAIRS, ("plane",), ("sqrt",), (0, 1), 21),
        Shard(PAIRS, ("plane",), ("sqrt",), (0, 1), 20, True),
        Shard(PAIRS, ("plane",), ("sqrt",), (0, 1), 20, False, "sqrt(t)"),
        Shard(PAIRS, ("plane",), ("sqrt",), (0, 1), 20, False, "", 5),
    ]
    assert len({base.key, *(o.key for o in others)}) == len(others) + 1
    # a schedule is what its formula says
    assert Shard(PAIRS, ("plane",), ("1/L",), (0,), 20).key == Shard(PAIRS, ("plane",), ("constant",), (0,), 20).key


def test_marks() -> None:
    assert marks(1) == [1]
    assert marks(7) == [1, 2, 3, 4, 5, 6, 7]
    for steps in (20, 21, 150, 1000, 10**6):
        found = marks(steps)
        assert found == sorted(set(found))
        assert (found[0], found[-1]) == (1, steps)
        assert len(found) <= runs.MARKS + 1


@pytest.mark.parametrize("text", ["", " ; 1", "x ;", "x ; 1 ; 1", "Nope", "x + ; 1", "__import__('os') ; 1"])
def test_what_is_no_pair_is_one_sentence(text: str) -> None:
    with pytest.raises(InputError):
        pair_spec(text)


# --------------------------------------------------------------------------- checkpoints


def test_checkpoints_give_back_the_same_bits(tmp_path: Path) -> None:
    arrays = {"a": np.array([[0.1, -0.0], [np.inf, np.nan]]), "empty": np.zeros((0, 3)), "scalar": np.array(5e-324)}
    path = save(tmp_path / "one.part", "key", arrays)
    found = load(path, "key")
    assert {k: (a.shape, a.tobytes()) for k, a in found.items()} == {
        k: (a.shape, a.tobytes()) for k, a in arrays.items()
    }


def test_every_changed_byte_of_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    path = save(tmp_path / "one.part", "key", {"a": np.arange(3.0)})
    whole = path.read_bytes()
    for k in range(len(whole)):
        path.write_bytes(whole[:k] + bytes([whole[k] ^ 1]) + whole[k + 1 :])
        with pytest.raises(InputError, match=r"corrupted|no checkpoint|of other runs"):
            load(path, "key")
    for k in range(0, len(whole), 7):
        path.write_bytes(whole[:k])
        with pytest.raises(InputError, match=r"corrupted|no checkpoint"):
            load(path, "key")


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"not json",
        b"\xff\xfe",
        b'{"format": 1}',
        b'{"format": "proxpair checkpoint 1"}',
        b'{"format": "proxpair checkpoint 1", "key": "key", "sha256": "", "arrays": [["a", [-1]]]}',
        b'{"format": "proxpair checkpoint 1", "key": "key", "sha256": "", "arrays": [["a", [1e999]]]}',
        b"[" * 90_000,
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "one.part"
    path.write_bytes(header + b"\n" + bytes(8))
    with pytest.raises(InputError, match=r"one\.part is (no checkpoint|corrupted)"):
        load(path, "key")


def test_two_names_that_change_places_are_noticed(tmp_path: Path) -> None:
    path = save(tmp_path / "one.part", "key", {"best": np.arange(3.0), "mean": np.ones(3)})
    path.write_bytes(path.read_bytes().replace(b"best", b"xxxx").replace(b"mean", b"best").replace(b"xxxx", b"mean"))
    with pytest.raises(InputError, match="corrupted"):
        load(path, "key")


def test_one_process_at_a_time_writes_to_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["converge", "BC", "--problem", "plane", "--steps", "5", "--out", str(tmp_path)]
    with alone(tmp_path / "convergence"):
        assert "another process is writing there" in refused(given, capsys)
    assert proxpair.main(given) == 0


def test_ledgers_of_an_earlier_grid_go_with_its_tables(tmp_path: Path) -> None:
    for pair in ("BC", "FP"):
        assert proxpair.main(["converge", pair, "--problem", "plane", "--steps", "5", "--out", str(tmp_path)]) == 0
    assert [p.name for p in (tmp_path / "convergence").glob("ledger_*")] == ["ledger_plane_FP.csv"]


def test_a_digest_sees_names_shapes_and_bits() -> None:
    base = {"a": np.zeros(2), "b": [1, 2]}
    others = [
        {"a": np.zeros((2, 1)), "b": [1, 2]},
        {"a": np.array([0.0, -0.0]), "b": [1, 2]},
        {"a": np.zeros(2), "b": [12]},
        {"c": np.zeros(2), "b": [1, 2]},
    ]
    assert len({digest(base), *map(digest, others)}) == 5


def test_half_written_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    for name in (".runs.csv.abcd1234", ".0123.part.zz_9zzzz", ".hidden", "runs.csv", ".runs.csv.ab"):
        (tmp_path / name).write_text("x")
    clear_temporaries(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {".hidden", "runs.csv", ".runs.csv.ab"}
    clear_temporaries(tmp_path / "absent")


# --------------------------------------------------------------------------- kill and resume


def run_command(out: Path, *more: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "proxpair", *COMMAND, "--steps", "600", "--seeds", "4", "--out", str(out), *more]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def test_killed_at_random_moments_and_resumed_gives_the_same_bytes(tmp_path: Path) -> None:
    undisturbed, disturbed = tmp_path / "a", tmp_path / "b"
    start = time.monotonic()
    assert run_command(undisturbed).wait() == 0
    whole = time.monotonic() - start
    rng = random.Random(7)
    killed = 0
    for _ in range(3):
        process = run_command(disturbed)
        time.sleep(rng.uniform(0.3, 0.95) * whole)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed
    assert run_command(disturbed).wait() == 0
    assert tree(disturbed) == tree(undisturbed)


def test_what_has_a_checkpoint_is_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = cut(Shard(PAIRS, ("plane", "quadratic"), ("sqrt",), (0,), 10))
    first = runs.execute(shards, tmp_path)
    next(iter(sorted(tmp_path.iterdir()))).unlink()
    computed = []
    honest = runs.compute
    monkeypatch.setattr(runs, "compute", lambda shard, progress: computed.append(shard) or honest(shard, progress))
    told: list[int] = []
    again = runs.execute(shards, tmp_path, progress=told.append)
    assert len(computed) == 1
    assert sum(told) == sum(s.runs * s.steps for s in shards)
    assert all(digest(a) == digest(b) for a, b in zip(first, again, strict=True))


def test_checkpoints_of_another_grid_go_when_its_tables_do(tmp_path: Path) -> None:
    for pair, stray in (("BC", "note.part"), ("FP", "0123.part")):
        assert proxpair.main(["converge", pair, "--problem", "plane", "--steps", "5", "--out", str(tmp_path)]) == 0
        (tmp_path / "convergence" / "checkpoints" / stray).write_text("somebody's")
    found = sorted(p.name for p in (tmp_path / "convergence" / "checkpoints").iterdir())
    assert len(found) == 3
    assert {"note.part", "0123.part"} < set(found)


# --------------------------------------------------------------------------- refusals


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished")
    assert proxpair.main(["converge", "BC", "--problem", "plane", "--steps", "30", "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--problem", "rosenbrock"], "unknown problem 'rosenbrock', expected one of: quadratic"),
        (["--schedule", "nonsense"], "schedule 'nonsense' (not one of sqrt, constant"),
        (["--schedule", "-1/L"], "values must be positive and finite, but at t = 1 it is -"),
        (["--schedule", "1/L - t/100"], "values must be positive and finite, but at t = "),
        (["--schedule", "0"], "values must be positive and finite, but at t = 1 it is 0"),
        (["--schedule", "c/t"], "numbers were expected, but c has no value"),
        (["--schedule", "G/t"], "has G, but the gradients of plane are unbounded"),
        (["--pair", "sign(x) 1"], "unknown quantizer"),
        (["--pair", "sign(x) ; eval(1)"], "B: "),
        (["--pair", "sign(x) ;"], "FORWARD ; BACKWARD"),
        (["Nope"], "unknown quantizer 'Nope'"),
        (["--steps", "0"], "number of steps must be between 1"),
        (["--seeds", "0"], "number of seeds must be between 1"),
        (["--seeds", "100000", "--schedule", "sqrt", "--schedule", "half", "--schedule", "1/t"], "at most 200000 runs"),
        (["--seed", "-1"], "not negative"),
        (["--gradient", "noisy"], "exact or stochastic"),
        (["--backend", "spark"], "unknown backend 'spark', expected one of: loky, dask, ray"),
        (["--scheduler", "tcp://127.0.0.1:1"], "needs --backend dask or ray"),
        (["--jobs", "0"], "number of jobs"),
        (["--sharpness", "1 + t"], "--sharpness needs a transform T, and BC is run without one or by T = id"),
        (["--sharpness", "-t"], "--sharpness '-t': values must be positive"),
        (["--exact", "--seeds", "2"], "--seeds does not go with --exact"),
        (["--exact", "--gradient", "stochastic"], "does not go with --exact"),
        (["--exact", "--seeds", "0"], "--seeds does not go with --exact"),
        (["--exact", "--jobs", "-4"], "--jobs does not go with --exact"),
        (["--exact", "--backend", "spark"], "--backend does not go with --exact"),
        (["--pair", "BiPer"], "BiPer cannot be run: a map with infinitely many breakpoints"),
        (["--pair", "2*x ; 1", "--schedule", "100", "--steps", "2000"], "diverged"),
    ],
)
def test_bad_input_is_one_sentence_and_touches_nothing(
    arguments: list[str], words: str, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(finished)
    given = ["converge", "BC", "--problem", "plane", *arguments, "--out", str(finished)]
    assert words in refused(given, capsys)
    assert tree(finished) == before


@pytest.mark.parametrize("damage", ["cut", "byte", "foreign", "text", "empty"])
def test_a_corrupted_or_foreign_checkpoint_is_refused(
    damage: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    (path,) = (out / "convergence" / "checkpoints").iterdir()
    whole = path.read_bytes()
    if damage == "foreign":
        other = tmp_path / "other"
        assert proxpair.main(["converge", "FP", "--problem", "plane", "--steps", "30", "--out", str(other)]) == 0
        (foreign,) = (other / "convergence" / "checkpoints").iterdir()
        shutil.copy(foreign, path)
    else:
        kept = {"cut": whole[:-3], "byte": whole[:-9] + b"\x00" + whole[-8:], "text": b"hello\n", "empty": b""}
        path.write_bytes(kept[damage])
    before = tree(out)
    said = refused(["converge", "BC", "--problem", "plane", "--steps", "30", "--out", str(out)], capsys)
    assert path.name in said
    assert re.search(r"is corrupted|is no checkpoint|of other runs than those asked for", said)
    assert "remove it to compute it again, or choose another --out" in said
    assert tree(out) == before
    path.unlink()
    assert proxpair.main(["converge", "BC", "--problem", "plane", "--steps", "30", "--out", str(out)]) == 0
    assert tree(out) == tree(finished)


def test_a_full_disk_leaves_earlier_results_untouched(tmp_path: Path, finished: Path) -> None:
    """A limit on the size of files stands for the disk: writing fails in the middle of the tables."""
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    before = tree(out)
    command = f"ulimit -f 4; trap '' XFSZ; {sys.executable} -m proxpair converge FP --problem plane --out {out}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "cannot be written" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert tree(out) == before


def test_files_written_together_are_all_new_or_all_old(tmp_path: Path) -> None:
    write_together({tmp_path / "a": b"1", tmp_path / "b": b"1"})
    (tmp_path / "wall").write_text("a file, no folder")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"folder: cannot be written \(a folder has that name\)"):
        write_together({tmp_path / "a": b"2", tmp_path / "folder": b"2"})
    (tmp_path / "folder").rmdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_together({tmp_path / "a": b"2", tmp_path / "b": b"2", tmp_path / "wall" / "c": b"2"})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.name != "wall"} == {"a": b"1", "b": b"1"}


# --------------------------------------------------------------------------- backends


def test_two_processes_give_the_same_bytes(tmp_path: Path) -> None:
    shared = [*COMMAND, "--steps", "40"]
    assert proxpair.main([*shared, "--out", str(tmp_path / "a")]) == 0
    assert proxpair.main([*shared, "--jobs", "2", "--out", str(tmp_path / "b")]) == 0
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.fixture
def scheduler() -> Iterator[str]:
    """The address of a dask cluster of one process on the loopback interface."""
    from distributed import LocalCluster

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own: ports, sockets left to the garbage collector
        with LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, processes=True
        ) as cluster:
            yield str(cluster.scheduler_address)


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_gives_the_same_bytes(tmp_path: Path, scheduler: str) -> None:
    shared = [*COMMAND, "--steps", "40"]
    assert proxpair.main([*shared, "--out", str(tmp_path / "a")]) == 0
    given = [*shared, "--backend", "dask", "--scheduler", scheduler, "--out", str(tmp_path / "b")]
    assert proxpair.main(given) == 0
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.mark.filterwarnings("ignore")
def test_ray_runs_the_grid_where_it_is_installed_and_is_named_where_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*COMMAND, "--steps", "40", "--backend", "ray", "--out", str(tmp_path / "b")]
    if importlib.util.find_spec("ray") is None:
        assert 'the backend ray is not installed: pip install "proxpair[cluster]"' in refused(given, capsys)
        return
    assert proxpair.main([*COMMAND, "--steps", "40", "--out", str(tmp_path / "a")]) == 0
    assert proxpair.main(given) == 0
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_does_not_answer_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "PATIENCE", 1)
    given = [*COMMAND, "--backend", "dask", "--scheduler", "tcp://127.0.0.1:9", "--out", str(tmp_path)]
    assert "no dask scheduler answers at tcp://127.0.0.1:9" in refused(given, capsys)


def test_backends_are_checked() -> None:
    with pytest.raises(InputError, match="unknown backend"):
        Backend("spark")
    with pytest.raises(InputError, match="jobs"):
        Backend("loky", 0)


def test_no_table_holds_nan_or_infinity(finished: Path) -> None:
    cells = {
        cell for data in result(finished).values() for row in data.decode().splitlines() for cell in row.split(",")
    }
    assert cells
    assert not cells & {"nan", "inf", "-inf"}
