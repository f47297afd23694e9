"""Quantized networks to deploy: hard weights, packed files, and checkpoints that are whole or refused.

`harden` makes a plain network of a training one: each weight is s q with q the level that the latent
weight stands for. `save_packed` writes its weights as codes of ceil(log2 K) bits for K levels, with
levels and scales; `load_packed` puts them into a plain network, bit for bit.

A packed file is an .npz archive without pickled objects. Its member ``header`` is JSON: format and
version, name, shape and dtype of each tensor, the levels, names that share one tensor, activation
quantizers, and a SHA-256 digest of all that and of the other members.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import json
import math
import pickle
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from theory.errors import InputError
from theory.exact import to_float
from theory.files import read_bytes, write_bytes
from verify.prepared import from_json, to_json
from verify.quantizers import Chosen, PairQuantizer, check_tensor, evaluate, quantize_inputs, scaled

_FORMAT, _VERSION = "proxpair packed network", 1
_EXTRA = nn.modules.module._EXTRA_STATE_KEY_SUFFIX
_CHECKPOINT = "proxpair checkpoint, version 1"
_DTYPES = {
    str(d).removeprefix("torch."): d
    for d in (
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128),
        *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool),
    )
}
_BESIDES = 2**26  # bytes that a packed file may hold besides 8 times the network: the header, with pairs as JSON
# what damaged archives make zipfile, numpy and torch raise (RuntimeError: an encrypted member, or torch's reader)
_BROKEN = (
    *(OSError, EOFError, ValueError, LookupError, AttributeError, TypeError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, pickle.UnpicklingError),
)


class _TooLarge(Exception):
    """A packed file that would unpack to more than is allowed."""


# --------------------------------------------------------------------------- hard weights


@dataclass(frozen=True, eq=False)
class Codes:
    """A hard weight: w = s q[code], computed in float32 (float64 for float64) and rounded to ``dtype``.

    ``packed``: the codes, 0, ..., K - 1 in increasing order of the K ``levels``, as one stream of
    ``bits`` bits each, low bit first, in bytes filled from the high bit (`numpy.packbits`).
    """

    packed: np.ndarray
    levels: tuple[float, ...]
    shape: tuple[int, ...]
    dtype: torch.dtype
    scale: Tensor | None
    group: int | None

    @property
    def bits(self) -> int:
        """Bits of a code, ceil(log2 K)."""
        return (len(self.levels) - 1).bit_length()

    def weight(self) -> Tensor:
        """The weight, on the CPU. Raises `InputError` where the codes do not fit the shape or the levels."""
        n = math.prod(self.shape)
        if len(self.levels) < 2 or not all(a <= b for a, b in pairwise(self.levels)):
            raise InputError("two or more increasing levels were expected")
        if self.packed.shape != ((n * self.bits + 7) // 8,):
            raise InputError(f"{n} codes of {self.bits} bits were expected")
        codes = torch.from_numpy(unpack(self.packed, self.bits, n))
        if n and int(codes.max()) >= len(self.levels):
            raise InputError(f"codes below {len(self.levels)} were expected")
        values = _table(self.levels, self.dtype)[codes].reshape(self.shape)
        return scaled(values, self.scale, self.group).to(self.dtype)


def pack(codes: np.ndarray, bits: int) -> np.ndarray:
    """The bytes of integer codes 0 <= c < 2^bits, as in `Codes`."""
    stream = (codes.reshape(-1, 1) >> np.arange(bits)) & 1
    return np.packbits(stream.astype(np.uint8).ravel())


def unpack(packed: np.ndarray, bits: int, n: int) -> np.ndarray:
    """The n codes, int64, of the bytes of `pack`."""
    stream = np.unpackbits(packed, count=n * bits).reshape(n, bits)
    return (stream.astype(np.int64) << np.arange(bits)).sum(axis=1)


def _table(levels: tuple[float, ...], dtype: torch.dtype) -> Tensor:
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    return torch.tensor(levels, dtype=torch.float64).to(wide)


def _codes(name: str, quantizer: PairQuantizer, u: Tensor) -> Codes:
    """The hard weight of latent weights u. Raises `InputError` for NaN among them, and where they have no values."""
    if u.is_meta:
        raise InputError(f"{name}: latent weights with values were expected, not on the meta device")
    levels = tuple(to_float(q) for q in quantizer.prepared.levels)
    table = _table(levels, u.dtype)
    values = evaluate(quantizer.chosen.hard, u.detach().to(table.dtype)).cpu()
    codes = torch.searchsorted(table, values.reshape(-1)).clamp_(max=len(levels) - 1)
    if not torch.equal(table[codes], values.reshape(-1)):
        nan = bool(torch.isnan(u).any())
        raise InputError(
            f"{name}: {'latent weights that are not NaN' if nan else 'hard values among the levels'} were expected"
        )
    scale = None if quantizer.scale is None else quantizer.scale.detach().cpu().clone()
    bits = (len(levels) - 1).bit_length()
    return Codes(pack(codes.numpy(), bits), levels, tuple(u.shape), u.dtype, scale, quantizer.group)


class FixedQuantizer(nn.Module):
    """x -> s F(x) without a gradient: the values of the `PairQuantizer` that it replaces."""

    scale: Tensor | None

    def __init__(self, chosen: Chosen, scale: Tensor | None, group: int | None) -> None:
        super().__init__()
        self.chosen, self.group = chosen, group
        _ = chosen.forward  # made here: a compiler cannot trace its making
        self.register_buffer("scale", None if scale is None else scale.detach().clone())

    def extra_repr(self) -> str:
        return self.chosen.prepared.name

    def forward(self, x: Tensor) -> Tensor:
        """s F(x), of x's shape and dtype. Raises `InputError` for other dtypes than `PairQuantizer`."""
        check_tensor(x)
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            wide = x if x.dtype == torch.float64 else x.float()
            return scaled(evaluate(self.chosen.forward, wide), self.scale, self.group).to(x.dtype)


def _quantized(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, PairQuantizer, Tensor]]:
    """Name, owner, attribute, quantizer and latent weights of every quantized weight, shared ones at each place.

    Raises `InputError` where a layer has further parametrizations.
    """
    for name, module in model.named_modules():
        lists = getattr(module, "parametrizations", None)
        if not isinstance(lists, nn.ModuleDict) or not any(isinstance(m, PairQuantizer) for m in lists.modules()):
            continue
        for attribute, found in lists.items():
            full = f"{name}.{attribute}" if name else attribute
            parts = list(cast(nn.ModuleList, found))
            if len(parts) != 1 or not isinstance(parts[0], PairQuantizer):
                raise InputError(f"{full} has a parametrization besides a quantizer; remove it first")
            yield full, module, attribute, parts[0], cast(Tensor, found.original)


def harden(model: nn.Module) -> nn.Module:
    """A copy without latent weights: w = s q, q the level of u, as a plain parameter; the network is not changed.

    Where F is a staircase its outputs are those of the training network, bit for bit; else those of
    the training network inside `hardened`. That is said of outputs without gradients (under
    `torch.no_grad`): a product with a weight that needs a gradient may be summed in another order,
    and hard weights need none. Activation quantizers become `FixedQuantizer`; weights that were
    shared still are. `save_packed` finds the codes in the attribute ``hard_weights`` of each layer.

    Raises `InputError` for a network without quantizers, latent weights that are NaN, and a layer
    with another parametrization besides.
    """
    if isinstance(model, PairQuantizer):
        return FixedQuantizer(model.chosen, model.scale, model.group)
    codes = {name: _codes(name, q, u) for name, _, _, q, u in _quantized(model)}
    done = copy.deepcopy(model)
    found = list(_quantized(done))
    if not found and not any(isinstance(m, PairQuantizer) for m in done.modules()):
        raise InputError("harden: a network with quantizers was expected")
    made: dict[int, nn.Parameter] = {}
    for name, _, _, _, u in found:
        if id(u) not in made:
            made[id(u)] = nn.Parameter(codes[name].weight().to(u.device), requires_grad=False)
    for name, module, attribute, _, u in found:
        if hasattr(module, "parametrizations"):
            # not torch's removal: it deletes the property from the class, which the original shares
            module.__class__ = parametrize.type_before_parametrizations(module)
            del module.parametrizations
        module.register_parameter(attribute, made[id(u)])
        _record(module, attribute, codes[name])
    fixed: dict[int, FixedQuantizer] = {}
    for parent in list(done.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, PairQuantizer):
                new = fixed.setdefault(id(child), FixedQuantizer(child.chosen, child.scale, child.group))
                setattr(parent, name, new.train(child.training))
    return done


def _records(module: nn.Module) -> dict[str, Codes]:
    """The codes of a hard layer's weights, by attribute."""
    return cast(dict[str, Codes], getattr(module, "hard_weights", {}))


def _record(module: nn.Module, attribute: str, codes: Codes) -> None:
    cast(Any, module).hard_weights = {**_records(module), attribute: codes}


@contextlib.contextmanager
def hardened(model: nn.Module) -> Iterator[nn.Module]:
    """Inside, a training network computes with its hard weights s q; latent weights and gradients stay as they are.

    q is the level nearest to F(u), of two the larger; a network without quantizers is left as it is.
    """
    quantizers = {id(q): q for _, _, _, q, _ in _quantized(model)}.values()
    for q in quantizers:
        q.chosen.build(hard=True)
    before = [q.hard for q in quantizers]
    try:
        for q in quantizers:
            q.hard = True
        yield model
    finally:
        for q, was in zip(quantizers, before, strict=True):
            q.hard = was


# --------------------------------------------------------------------------- packed files


def _plain(t: Tensor) -> np.ndarray:
    """A tensor as an array: bfloat16, which numpy does not have, as the int16 of the same bits."""
    t = t.detach().cpu().contiguous()
    return (t.view(torch.int16) if t.dtype == torch.bfloat16 else t).numpy()


def _tensor(array: np.ndarray, dtype: torch.dtype) -> Tensor:
    t = torch.from_numpy(np.array(array))
    return t.view(torch.bfloat16) if dtype == torch.bfloat16 else t


def _name_of(t: Tensor, what: str) -> str:
    """The name of a tensor's type. Raises `InputError` for a tensor that cannot be packed."""
    name = str(t.dtype).removeprefix("torch.")
    if name not in _DTYPES:
        raise InputError(f"{what}: tensors of type {name} cannot be packed")
    if t.layout is not torch.strided:
        raise InputError(f"{what}: only dense tensors can be packed")
    return name


def _has_values(t: Tensor) -> bool:
    return not (nn.parameter.is_lazy(t) or t.is_meta)


def _digest(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    total = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        a = arrays[name]
        total.update(f"{name} {a.dtype.str} {a.shape}".encode())
        total.update(np.ascontiguousarray(a).tobytes())
    return total.hexdigest()


def save_packed(model: nn.Module, path: str | Path, *, compress: bool = False) -> Path:
    """Write a network with hard weights (a training network is hardened first) as one packed file, atomically.

    ``compress``: deflate the archive; it hardly helps codes. Raises `InputError` for what `harden`
    refuses, weights that were changed after it, state that is no dense tensor with values, what
    modules store of their own (``get_extra_state``), and a path that cannot be written.
    """
    if any(isinstance(m, PairQuantizer) for m in model.modules()):
        model = harden(model)
    records = {f"{n}.{a}" if n else a: c for n, m in model.named_modules() for a, c in _records(m).items()}
    named = model.named_modules(remove_duplicate=False)
    activations = {n: m for n, m in named if n and isinstance(m, FixedQuantizer)}
    if not records and not activations:
        raise InputError("save_packed: a network of harden, or one with quantizers, was expected")
    header: dict[str, Any] = {"format": _FORMAT, "version": _VERSION, "quantized": [], "plain": [], "aliases": {}}
    arrays: dict[str, np.ndarray] = {}
    first: dict[int, str] = {}
    for name, t in model.state_dict(keep_vars=True).items():
        if not isinstance(t, Tensor) or not _has_values(t):
            raise InputError(f"save_packed: {name} is no tensor with values, and only those are packed")
        if name.rpartition(".")[2] == _EXTRA:
            raise InputError(f"save_packed: {name} is what a module stores of its own, and only tensors are packed")
        if id(t) in first:
            header["aliases"][name] = first[id(t)]
            continue
        first[id(t)] = name
        entry = {"name": name, "shape": list(t.shape), "dtype": _name_of(t, name)}
        codes = records.get(name)
        if codes is None:
            arrays[f"plain{len(header['plain'])}"] = _plain(t)
            header["plain"].append(entry)
            continue
        if t.dtype != codes.dtype or not torch.equal(t.detach().cpu(), codes.weight()):
            raise InputError(f"save_packed: {name} was changed after the network was hardened")
        number = len(header["quantized"])
        scale = codes.scale
        arrays[f"codes{number}"] = codes.packed
        if scale is not None:
            arrays[f"scale{number}"] = _plain(scale)
        kind = None if scale is None else _name_of(scale, name)
        header["quantized"].append({**entry, "levels": list(codes.levels), "scale": kind, "group": codes.group})
    header["activations"] = [
        {"name": n, "pair": to_json(m.chosen.prepared), "scaled": m.scale is not None, "group": m.group}
        for n, m in activations.items()
    ]
    header["sha256"] = _digest(header, arrays)
    members = {"header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8), **arrays}
    whole = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(whole, **cast(Any, members))
    return write_bytes(path, whole.getvalue())


def _read(path: str | Path, limit: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a packed file of at most ``limit`` bytes when unpacked, its digest checked."""
    data = read_bytes(path, "a packed network")
    broken = f"{path}: a packed network was expected, and the file is truncated, damaged or of another kind"
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as members:
            size = sum(m.file_size for m in members.infolist())
        if size > limit:
            raise _TooLarge
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays.pop("header").tobytes())
    except _TooLarge:
        raise InputError(f"{path}: unpacked it is larger than any file for this network") from None
    except _BROKEN:
        raise InputError(broken) from None
    if not all(isinstance(a, np.ndarray) for a in arrays.values()):
        raise InputError(broken)
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise InputError(broken)
    if header.get("version") != _VERSION:
        raise InputError(
            f"{path}: version {_VERSION} of the format was expected, not {str(header.get('version'))[:20]}"
        )
    if header.pop("sha256", None) != _digest(header, arrays):
        raise InputError(f"{path}: its checksum does not fit its contents; the file is damaged")
    return header, arrays


@dataclass(frozen=True, eq=False)
class _Content:
    """A packed file, read: values by name, codes by name, names that share a tensor, activation quantizers."""

    values: dict[str, Tensor]
    codes: dict[str, Codes]
    aliases: dict[str, str]
    activations: dict[str, FixedQuantizer]


def _content(path: str | Path, limit: int) -> _Content:
    header, arrays = _read(path, limit)
    values: dict[str, Tensor] = {}
    codes: dict[str, Codes] = {}
    activations = {}
    try:
        for i, e in enumerate(header["plain"]):
            values[e["name"]] = _tensor(arrays[f"plain{i}"], _DTYPES[e["dtype"]])
        for i, e in enumerate(header["quantized"]):
            scale = None if e["scale"] is None else _tensor(arrays[f"scale{i}"], _DTYPES[e["scale"]])
            levels = tuple(map(float, e["levels"]))
            found = Codes(arrays[f"codes{i}"], levels, tuple(e["shape"]), _DTYPES[e["dtype"]], scale, e["group"])
            codes[e["name"]], values[e["name"]] = found, found.weight()
        aliases = dict(header["aliases"])
        values.update({name: values[first] for name, first in aliases.items()})
        for e in header["activations"]:
            scale = values[f"{e['name']}.scale"] if e["scaled"] else None
            activations[e["name"]] = FixedQuantizer(Chosen(from_json(e["pair"]), None, None, ()), scale, e["group"])
        if not all(isinstance(name, str) for name in (*values, *activations)):
            raise InputError("names were expected to be text")
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError, MemoryError) as error:
        why = str(error) if isinstance(error, InputError) else "a part of it is not what it should be"
        raise InputError(f"{path}: a packed network was expected: {why}") from None
    return _Content(values, codes, aliases, activations)


def _slots(path: str | Path, found: _Content, into: nn.Module) -> dict[str, Tensor]:
    """The tensors of ``into`` by name, without activation quantizers'. Raises `InputError` where they do not fit."""
    modules = dict(into.named_modules(remove_duplicate=False))
    if any(True for _ in _quantized(into)):
        raise InputError(f"{path}: a network without latent weights was expected to load into")
    for name in found.activations:
        parent, _, child = name.rpartition(".")
        there = modules.get(name)
        known = isinstance(there, PairQuantizer | FixedQuantizer)
        if parent not in modules or not (known or (there is None and child == "input_quantizer")):
            raise InputError(f"{path}: {name} is a quantizer there, and the network has none at that place")
    slots = {}
    inside = tuple(f"{name}." for name in found.activations)
    for name, t in into.state_dict(keep_vars=True).items():
        if name.startswith(inside):
            continue
        if not isinstance(t, Tensor) or not _has_values(t):
            raise InputError(f"{path}: {name} of the network is no tensor with values")
        slots[name] = t
    wanted = {n: v for n, v in found.values.items() if not n.startswith(inside)}
    for name in wanted:
        if name not in slots:
            raise InputError(f"{path}: it holds {name}, which the network does not have")
    sources: dict[int, str] = {}
    for name, t in slots.items():
        value = wanted.get(name)
        if value is None:
            raise InputError(f"{path}: it lacks {name} of the network")
        if value.shape != t.shape or value.dtype != t.dtype:
            there, here = (f"{tuple(x.shape)} {str(x.dtype).removeprefix('torch.')}" for x in (value, t))
            raise InputError(f"{path}: {name} is {there} there and {here} in the network")
        if sources.setdefault(id(t), found.aliases.get(name, name)) != found.aliases.get(name, name):
            raise InputError(f"{path}: {name} is shared in the network and not in the file")
    return slots


def load_packed(path: str | Path, into: nn.Module) -> nn.Module:
    """Put a packed file into a plain network of the same architecture; returns it. Bit for bit the hardened network.

    ``into`` has plain weights and no latent ones, of the same names, shapes and dtypes; those that
    become hard no longer require a gradient. Its activation quantizers are replaced by the file's,
    and put before a layer where they are missing.

    Raises `InputError` for a file that is truncated, damaged, of another kind or version, and for
    one that does not fit; the network is unchanged then.
    """
    state = [t for t in into.state_dict().values() if isinstance(t, Tensor) and _has_values(t)]
    found = _content(path, _BESIDES + 8 * sum(t.numel() * t.element_size() for t in state))
    slots = _slots(path, found, into)
    with torch.no_grad():
        for name, slot in slots.items():
            slot.copy_(found.values[name])
    modules = dict(into.named_modules(remove_duplicate=False))
    for module in modules.values():
        if _records(module):
            cast(Any, module).hard_weights = {}  # of what was loaded before
    for name in found.values:
        codes = found.codes.get(found.aliases.get(name, name))
        if codes is not None:
            owner, _, attribute = name.rpartition(".")
            _record(modules[owner], attribute, codes)
            slots[name].requires_grad_(False)
    device = next((t.device for t in slots.values()), torch.device("cpu"))
    for name, quantizer in found.activations.items():
        owner, _, child = name.rpartition(".")
        new = quantizer.to(device).train(modules[owner].training)
        if name in modules:
            setattr(modules[owner], child, new)
        else:
            quantize_inputs(modules[owner], new)
    return into


# --------------------------------------------------------------------------- checkpoints


def _storable(value: Any, where: str) -> None:
    """Raise `InputError` for what a loader that unpickles no objects would refuse."""
    # exact types: numpy's float64 is a float, and no plain data to that loader
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return
    if isinstance(value, Tensor) and not nn.parameter.is_lazy(value):
        return
    if type(value) in (dict, OrderedDict):
        for k, v in value.items():
            _storable(k, where)
            _storable(v, f"{where}[{str(k)[:40]!r}]")
    elif type(value) in (list, tuple, torch.Size):
        for i, v in enumerate(value):
            _storable(v, f"{where}[{i}]")
    else:
        raise InputError(
            f"save_checkpoint: {where} is a {type(value).__name__}, and only tensors and plain data are saved"
        )


def save_checkpoint(path: str | Path, **parts: Any) -> Path:
    """Write state_dicts and plain data under their names, atomically.

    For instance ``save_checkpoint(path, model=model.state_dict(), optimizer=optimizer.state_dict(), step=7)``.
    Raises `InputError` for a part that `load_checkpoint` would refuse, and a path that cannot be written.
    """
    for name, part in parts.items():
        _storable(part, name)
    whole = io.BytesIO()
    torch.save({"format": _CHECKPOINT, "parts": parts}, whole)
    return write_bytes(path, whole.getvalue())


def load_checkpoint(path: str | Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The parts of a file of `save_checkpoint`, tensors on ``device``; no code in the file is run.

    Raises `InputError` for a file that is truncated, damaged or of another kind, and for a device
    that is not there.
    """
    data = read_bytes(path, "a checkpoint")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError):  # AssertionError: torch was built without it
        raise InputError(f"device: a device of this machine was expected, not {device!s:.40}") from None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:  # torch does not look at the checksums that it writes
            stored = all(m.compress_type == zipfile.ZIP_STORED for m in archive.infolist())  # as torch writes
            whole = stored and archive.testzip() is None
        found = torch.load(io.BytesIO(data), map_location=device, weights_only=True) if whole else None
    except _BROKEN:
        found = None
    if not isinstance(found, dict) or found.get("format") != _CHECKPOINT or not isinstance(found.get("parts"), dict):
        raise InputError(f"{path}: a checkpoint was expected, and the file is truncated, damaged or of another kind")
    return cast(dict[str, Any], found["parts"])


__all__ = [
    "Codes",
    "FixedQuantizer",
    "harden",
    "hardened",
    "load_checkpoint",
    "load_packed",
    "pack",
    "save_checkpoint",
    "save_packed",
    "unpack",
]
