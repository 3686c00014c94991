"""The layouts in which people save a network -> one: {"W0": (in, out), "b0": (out,), "W1": ...}.

Every array in the file has a path, for example ("state_dict", "layers", "0", "weight") or ("weights", "W0")
or, in a list of (W, b) pairs, ("0", "W0"). Its words say whether it is a weight or a bias; the words that
remain say of which layer. So one rule reads all layouts, wrappers included, and the shapes check the result.
"""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mlp.base.arrays import AnyArray
from mlp.model_file.pickles import ModelFileError

Weights = dict[str, AnyArray]
PathAndArray = tuple[tuple[str, ...], AnyArray]  # an array and its path

EXPECTED = "Expected {'W0': (in, out), 'b0': (out,), 'W1': ...}"

_WEIGHT = {"w", "weight", "weights", "kernel", "kernels", "coef", "coefs"}
_BIAS = {"b", "bias", "biases", "intercept", "intercepts"}
_FIRST, _LAST = {"in", "input"}, {"out", "output"}
_PLACE = {
    *("layer", "layers", "l", "fc", "linear", "lin", "dense", "affine", "hidden", "h", "seq", "sequential"),
    *("net", "network", "nn", "mlp", "model", "module", "best", "state", "dict"),
    *("param", "params", "parameter", "parameters"),
}
# Arrays of the training, not of the network.
_TRAINING = {
    *("initial", "grad", "grads", "gradient", "gradients", "d", "m", "v", "s", "velocity", "velocities"),
    *("momentum", "moment", "moments", "cache", "optimizer", "optimiser", "opt"),
    *("history", "metrics", "config", "class", "sample"),
}
_NORMALISATION = {"gamma", "running", "bn", "batchnorm", "norm", "mean", "std"}
# A small file can unfold without end: lists within lists, shared or circular.
_MAX_DEPTH, _MAX_NODES = 10, 1_000_000


def normalise(raw: object) -> Weights:
    """The layers in `raw`, of whatever layout, as {"W0": (in, out), "b0": (out,), "W1": ...}, in new arrays.

    `raw` is what a model file holds: a dictionary, a list, or the object array that np.load returns for them.
    Weights stored as (out, in) are transposed; where the shapes fit both ways (all weights square), (in, out)
    is assumed. A network without any bias gets zeros. Raises ModelFileError, saying what was found.
    """
    arrays = [(path, array) for path, array in _arrays(raw) if array.ndim and array.dtype.kind not in "SU"]
    try:
        layers = _layers(arrays) or _layers_by_shape(arrays)
    except ModelFileError:
        if not (layers := _layers_by_shape(arrays)):
            raise
    if not layers:
        raise ModelFileError(f"no weights found. Found {_listing(raw, arrays)}. {EXPECTED}")
    without = [name for name, _, b in layers if b is None]
    if 0 < len(without) < len(layers):
        found = _listing(raw, arrays)
        raise ModelFileError(f"no bias found for {_join(without)}. Found {found}. {EXPECTED}")
    for i, (name, W, b) in enumerate(layers):
        _check(name, f"W{i}", W, two_dimensional=True)
        if b is not None:
            _check(f"the bias of {name}", f"b{i}", b, two_dimensional=False)
    _refuse_normalisation(arrays, {length for _, W, _ in layers for length in W.shape})
    pairs = [(W, b) for _, W, b in layers]
    flipped = [(W.T, b) for W, b in pairs]
    if not _fits(pairs) and not _fits(flipped):
        biases = ["" if b is None else f" with bias {b.shape}" for _, _, b in layers]
        shapes = [f"{name} {W.shape}{bias}" for (name, W, _), bias in zip(layers, biases, strict=True)]
        raise ModelFileError(
            f"the shapes chain neither as (in, out) nor as (out, in). Found {_join(shapes)}. {EXPECTED}"
        )
    weights: Weights = {}
    for i, (W, b) in enumerate(pairs if _fits(pairs) else flipped):
        weights[f"W{i}"] = _own(W)
        weights[f"b{i}"] = np.zeros(W.shape[1], weights[f"W{i}"].dtype) if b is None else _own(b.reshape(-1))
    return weights


def layer_sizes(weights: Weights) -> list[int]:
    """Inputs, hidden units, outputs of a normalised network, for example [784, 128, 64, 10]."""
    return [weights["W0"].shape[0]] + [weights[f"W{i}"].shape[1] for i in range(len(weights) // 2)]


def _arrays(node: object) -> Iterator[PathAndArray]:
    """Every array in `node` with its path; everything else in it is metadata."""
    nodes = itertools.count()

    def walk(node: object, path: tuple[str, ...], alternating: bool) -> Iterator[PathAndArray]:
        if next(nodes) > _MAX_NODES or len(path) > _MAX_DEPTH:
            raise ModelFileError(f"nested too deeply or too many objects. {EXPECTED}")
        if isinstance(node, np.ndarray) and node.dtype == object:
            content = node.tolist()
            yield from walk(content, (*path, "") if node.ndim == 0 else path, alternating)
        elif isinstance(node, np.ndarray):
            yield path, node
        elif isinstance(node, Mapping):
            named = [(str(key), child) for key, child in node.items() if _is_key(key)]
            if named and all(re.fullmatch(r"arr_\d{1,9}", key) for key, _ in named):  # np.savez without names
                named = _named([child for _, child in sorted(named, key=lambda item: int(item[0][4:]))], True)
            separate = any(_BIAS & set(_words([key])) for key, _ in named)
            for key, child in named:
                yield from walk(child, (*path, key), not separate)
        elif isinstance(node, list | tuple):
            for key, child in _named(node, alternating):
                yield from walk(child, (*path, key), True)

    return walk(node, (), True)


def _named(items: list[Any] | tuple[Any, ...], alternating: bool) -> list[tuple[str, Any]]:
    """Names for the items of a list: [W, b, W, b ...] (a pair is the shortest of these), or just numbers."""
    pairs = list(zip(items[::2], items[1::2], strict=False))
    if alternating and pairs and len(items) % 2 == 0 and all(_is_pair(W, b) for W, b in pairs):
        return [item for i, (W, b) in enumerate(pairs) for item in ((f"W{i}", W), (f"b{i}", b))]
    return [(str(i), item) for i, item in enumerate(items)]


def _is_pair(W: object, b: object) -> bool:
    if not (isinstance(W, np.ndarray) and isinstance(b, np.ndarray)):
        return False
    return W.ndim == 2 and (b.ndim == 1 or (b.ndim == 2 and 1 in b.shape)) and b.size in W.shape


def _is_key(key: object) -> bool:
    """Whether `key` can name an array: Python refuses to print an integer of thousands of digits."""
    return isinstance(key, str) or (isinstance(key, int | np.integer) and abs(int(key)) < 2**31)


def _words(path: tuple[str, ...] | list[str]) -> list[str]:
    """('layer_0_W',) -> ['layer', '0', 'w']; ('fc1', 'weight') -> ['fc', '1', 'weight']."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_]+", ".".join(path)[:1000])
    return [word.lower() for word in words]


def _layers(arrays: list[PathAndArray]) -> list[tuple[str, AnyArray, AnyArray | None]]:
    """(name, W, b or None) of every layer, first layer first."""
    found: dict[tuple[str, ...], dict[str, tuple[str, AnyArray]]] = {}
    for path, array in arrays:
        name, words = _name(path), _words(path)
        kinds = [word for word in words if word in _WEIGHT | _BIAS]
        if not kinds or (_TRAINING | _NORMALISATION) & set(words):
            continue
        layer = tuple(word for word in words if word not in _WEIGHT | _BIAS)
        known = _PLACE | _FIRST | _LAST
        if strange := [word for word in layer if not word.isdecimal() and word not in known]:
            raise ModelFileError(f"cannot tell what {name} is (because of '{strange[0][:60]}'). {EXPECTED}")
        kind = "W" if kinds[-1] in _WEIGHT else "b"
        parts = found.setdefault(layer, {})
        if kind in parts:
            raise ModelFileError(f"{parts[kind][0]} and {name} look like the same array. {EXPECTED}")
        parts[kind] = (name, array)

    layers = []
    for layer in sorted(found, key=_position):
        parts = found[layer]
        if "W" not in parts:
            raise ModelFileError(f"no weight found that belongs to the bias {parts['b'][0]}. {EXPECTED}")
        layers.append((*parts["W"], parts["b"][1] if "b" in parts else None))
    return layers


def _layers_by_shape(arrays: list[PathAndArray]) -> list[tuple[str, AnyArray, AnyArray | None]]:
    """The layers where names do not tell: as many matrices as vectors, each in the order of the layers, as in
    [coefs, intercepts] or wh, bh, wo, bo. Empty where an array is called anything else, or shapes do not chain."""
    first = {"W": "wc", "b": "bi"}  # weights, coefs, kernels; biases, intercepts; or numbers only
    matrices = [(_name(path), array) for path, array in arrays if array.ndim == 2 and 1 not in array.shape[:1]]
    vectors = [(_name(path), array) for path, array in arrays if array.ndim == 1 or array.shape[:1] == (1,)]
    if len(matrices) != len(vectors) or len(matrices) + len(vectors) != len(arrays):
        return []
    for kind, its in (("W", matrices), ("b", vectors)):
        if any(not re.fullmatch(rf"[\d.]+|[{first[kind]}][\w.]*", name, re.I | re.A) for name, _ in its):
            return []
    pairs = [(W, b) for (_, W), (_, b) in zip(matrices, vectors, strict=True)]
    if not _fits([(W, b.reshape(-1)) for W, b in pairs]):
        return []
    return [(name, W, b) for (name, _), (W, b) in zip(matrices, pairs, strict=True)]


def _refuse_normalisation(arrays: list[PathAndArray], widths: set[int]) -> None:
    """A scale or a mean for every unit or input is part of the network: without it the outputs are wrong."""
    for path, array in arrays:
        words = set(_words(path))
        if words & _NORMALISATION and not words & _TRAINING and array.size in widths:
            raise ModelFileError(
                f"{_name(path)} {array.shape} looks like a normalisation of inputs or layers, which a plain "
                "network does not have; fold it into the weights and save again"
            )


def _position(layer: tuple[str, ...]) -> tuple[int, list[int]]:
    """Input layers first, output layers last, by number between; the order of the file decides the rest."""
    rank = 0 if _FIRST & set(layer) else 2 if _LAST & set(layer) else 1
    return rank, [int(word) for word in layer if word.isdecimal()]


def _check(name: str, ours: str, array: AnyArray, *, two_dimensional: bool) -> None:
    if array.dtype.kind not in "biuf":
        raise ModelFileError(f"{ours} ({name}) must hold real numbers. Got {array.dtype}")
    if array.size == 0 or array.ndim > 2 or (two_dimensional and array.ndim != 2):
        raise ModelFileError(
            f"{ours} ({name}) must be a {'matrix' if two_dimensional else 'vector'}. Got {array.shape}"
        )
    if not two_dimensional and array.ndim == 2 and 1 not in array.shape:
        raise ModelFileError(f"{ours} ({name}) must be a vector: (n,), (1, n) or (n, 1). Got {array.shape}")
    if bad := int(array.size - np.isfinite(array).sum()):
        raise ModelFileError(f"{ours} ({name}) holds {bad} values that are NaN or infinite")


def _fits(pairs: list[tuple[AnyArray, AnyArray | None]]) -> bool:
    """Whether the weights, taken as (in, out), chain and agree with their biases."""
    chained = all(W.shape[1] == after.shape[0] for (W, _), (after, _) in itertools.pairwise(pairs))
    return chained and all(b is None or b.size == W.shape[1] for W, b in pairs)


def _own(array: AnyArray) -> AnyArray:
    """A C-contiguous copy in float32 (also for float16) or float64 (also for integers and long doubles)."""
    single = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    return np.array(array, dtype=np.float32 if single else np.float64, order="C", copy=True)


def _name(path: tuple[str, ...]) -> str:
    return ".".join(part[:60] for part in path if part) or "the array"


def _listing(raw: object, arrays: list[PathAndArray]) -> str:
    """What is in the file, short enough for a message."""
    named = [f"{_name(path)} {array.shape}" for path, array in arrays]
    if not named:
        while isinstance(raw, np.ndarray) and raw.dtype == object and raw.ndim == 0:
            raw = raw.item()
        keys = [str(key)[:60] for key in raw if _is_key(key)] if isinstance(raw, Mapping) else []
        named = keys or [f"only {type(raw).__name__}"]
    return _join(named)


def _join(parts: list[str]) -> str:
    return ", ".join(parts[:12]) + (" ..." if len(parts) > 12 else "")
