"""Every layout in which people save a network gives the same network; the unclear ones are refused."""

import itertools
import pickle

import numpy as np
import pytest

from mlp.base.errors import UserError
from mlp.model_file import ModelFileError, load_weights, normalise


def network(sizes, seed=11):
    rng = np.random.default_rng(seed)
    Ws = [rng.normal(size=shape) for shape in itertools.pairwise(sizes)]
    return Ws, [rng.normal(size=n) for n in sizes[1:]]


def forward(Ws, bs, X):
    """The reference: the layers as they were before anyone saved them, with tanh between them."""
    for i, (W, b) in enumerate(zip(Ws, bs, strict=True)):
        X = (np.tanh(X) if i else X) @ W + b
    return X


def computes_the_same(weights, Ws, bs):
    n = len(Ws)
    assert list(weights) == [f"{kind}{i}" for i in range(n) for kind in "Wb"]
    X = np.random.default_rng(0).normal(size=(7, len(Ws[0])))
    loaded = [weights[f"W{i}"] for i in range(n)], [weights[f"b{i}"] for i in range(n)]
    np.testing.assert_array_equal(forward(*loaded, X), forward(Ws, bs, X))
    for array in weights.values():
        assert array.flags.c_contiguous
        assert array.flags.owndata


def keyed(weight, bias):
    return lambda Ws, bs: {
        name.format(i, i + 1, 2 * i): array
        for i, pair in enumerate(zip(Ws, bs, strict=True))
        for name, array in zip((weight, bias), pair, strict=True)
    }


def objects(items):
    """np.array(items, dtype=object) that never looks inside the items."""
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def pairs(Ws, bs):
    return list(zip(Ws, bs, strict=True))


def flat(Ws, bs):
    return [array for pair in pairs(Ws, bs) for array in pair]


def dicts(Ws, bs):
    return [{"W": W, "b": b} for W, b in pairs(Ws, bs)]


ours = keyed("W{0}", "b{0}")

LAYOUTS = {
    "ours": ours,
    "W1, b1, ...": keyed("W{1}", "b{1}"),
    "w_1": keyed("w_{1}", "b_{1}"),
    "W_0": keyed("W_{0}", "b_{0}"),
    "layer_0_W": keyed("layer_{0}_W", "layer_{0}_b"),
    "layer1_weights": keyed("layer{1}_weights", "layer{1}_biases"),
    "layers.0.weight": keyed("layers.{0}.weight", "layers.{0}.bias"),
    "fc1.weight": keyed("fc{1}.weight", "fc{1}.bias"),
    "weights_0": keyed("weights_0{0}", "biases_0{0}"),
    "camel case": keyed("hiddenLayerWeights{0}", "hiddenLayerBias{0}"),
    "gaps in the numbering": keyed("W{2}", "b{2}"),
    "keys in any order": lambda Ws, bs: dict(reversed(ours(Ws, bs).items())),
    "weights first, biases last": lambda Ws, bs: dict(sorted(ours(Ws, bs).items())),
    "hidden and output": lambda Ws, bs: {
        "output_W": Ws[-1],
        "output_b": bs[-1],
        **keyed("hidden_{0}_W", "hidden_{0}_b")(Ws[:-1], bs[:-1]),
    },
    "integer keys, pairs": lambda Ws, bs: dict(enumerate(pairs(Ws, bs))),
    "integer keys, dictionaries": lambda Ws, bs: dict(enumerate(dicts(Ws, bs), start=1)),
    "NumPy integers as keys": lambda Ws, bs: dict(zip(np.arange(9), pairs(Ws, bs), strict=False)),
    "named layers, dictionaries": lambda Ws, bs: {f"layer{i}": d for i, d in enumerate(dicts(Ws, bs))},
    "list of dictionaries": dicts,
    "list of dictionaries, long names": lambda Ws, bs: [{"bias": b, "weights": W} for W, b in pairs(Ws, bs)],
    "list of dictionaries between others": lambda Ws, bs: [
        layer for d in dicts(Ws, bs) for layer in ({"type": "dense", **d}, {"type": "relu"})
    ],
    "list of pairs": pairs,
    "tuple of lists": lambda Ws, bs: tuple([W, b] for W, b in pairs(Ws, bs)),
    "flat list": flat,
    "object array of dictionaries": lambda Ws, bs: objects(dicts(Ws, bs)),
    "object array, one row per layer": lambda Ws, bs: objects(flat(Ws, bs)).reshape(-1, 2),
    "object array, flat": lambda Ws, bs: objects(flat(Ws, bs)),
    "weights and biases": lambda Ws, bs: {"weights": Ws, "biases": bs},
    "W and b": lambda Ws, bs: {"b": tuple(bs), "W": tuple(Ws)},
    "object arrays of weights and of biases": lambda Ws, bs: {"weights": objects(Ws), "biases": objects(bs)},
    "dictionaries of weights and of biases": lambda Ws, bs: {
        "W": dict(enumerate(Ws)),
        "b": {f"b{i}": b for i, b in enumerate(bs)},
    },
    "coefs_ and intercepts_": lambda Ws, bs: {"coefs_": Ws, "intercepts_": bs},
    "config and weights": lambda Ws, bs: {"config": {"hidden_size": [5, 4]}, "weights": ours(Ws, bs)},
    "config and a list": lambda Ws, bs: {"activation": "relu", "weights": pairs(Ws, bs)},
    "params": lambda Ws, bs: {"params": ours(Ws, bs)},
    "state_dict": lambda Ws, bs: {"epoch": 3, "state_dict": keyed("net.{2}.weight", "net.{2}.bias")(Ws, bs)},
    "model within a checkpoint": lambda Ws, bs: {
        "model": {"layers": dicts(Ws, bs)},
        "optimizer": {"m": ours(Ws, bs)},
    },
    "metadata beside": lambda Ws, bs: {
        **ours(Ws, bs),
        "dataset": "mnist",
        "val_f1": 0.9,
        "num_layers": 2,
        "layer_sizes": [6, 5, 4, 3],
        "date": None,
        "weight_decay": np.array(0.1),
        "weight_init": np.array("xavier"),
        "batch_size": np.int64(64),
        "history": {"loss": [1.0, 0.5], "W": np.eye(2)},
        "confusion_matrix": np.eye(10),
        "mean_losses": np.ones(99),
        **{f"layer_{i}_initial_W": W * 0 for i, W in enumerate(Ws)},
        "dW0": Ws[0],
        "grad_b1": bs[1],
        "velocity": flat(Ws, bs),
    },
}


SHAPES = [(-1,), (1, -1), (-1, 1)]  # of a bias


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_give_the_same_network_whatever_the_shape_of_the_biases(tmp_path, layout):
    Ws, bs = network([6, 5, 4, 3])
    for stored, shape in itertools.product((Ws, [W.T for W in Ws]), SHAPES):
        raw = LAYOUTS[layout](stored, [b.reshape(shape) for b in bs])
        wrapped = objects([raw]).reshape(())  # as np.load returns it, without .item()
        np.save(tmp_path / "m.npy", wrapped, allow_pickle=True)
        for weights in (normalise(raw), normalise(wrapped), load_weights(tmp_path / "m.npy")):
            computes_the_same(weights, Ws, bs)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_networks_of_any_size_come_back_from_any_layout(layout):
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sizes = [int(n) for n in rng.integers(1, 9, size=rng.integers(4, 9))]
        sizes[0] = 20 + seed  # wider than the rest, as images are: nothing is ambiguous
        Ws, bs = network(sizes, seed)
        shape, flipped = SHAPES[rng.integers(3)], bool(rng.integers(2))
        raw = LAYOUTS[layout]([W.T if flipped else W for W in Ws], [b.reshape(shape) for b in bs])
        try:
            computes_the_same(normalise(raw), Ws, bs)
        except ModelFileError as error:
            raise AssertionError(f"sizes {sizes}, flipped {flipped}, biases {shape}") from error


def test_more_than_ten_layers_are_ordered_by_number():
    Ws, bs = network([*range(20, 6, -1)])
    computes_the_same(normalise(dict(sorted(ours(Ws, bs).items()))), Ws, bs)


def test_one_layer_is_a_network():
    Ws, bs = network([6, 3])
    for raw in ({"W": Ws[0], "b": bs[0]}, (Ws[0].T, bs[0]), {"weights": Ws[0].T, "bias": bs[0]}):
        computes_the_same(normalise(raw), Ws, bs)


def test_two_layers_with_one_output_are_not_taken_for_a_pair():
    Ws, bs = network([6, 4, 1])
    computes_the_same(normalise({"weights": Ws, "biases": bs}), Ws, bs)
    computes_the_same(normalise({"W": [W.T for W in Ws], "b": bs}), Ws, bs)


def test_square_weights_are_taken_as_in_out():
    Ws, bs = network([4, 4, 4])
    computes_the_same(normalise(ours(Ws, bs)), Ws, bs)


def test_a_network_without_any_bias_gets_zeros():
    Ws, _ = network([6, 5, 3])
    computes_the_same(normalise({"W0": Ws[0].T, "W1": Ws[1].T}), Ws, [np.zeros(5), np.zeros(3)])


def test_the_result_shares_no_memory_with_what_was_given():
    Ws, bs = network([6, 5, 3])
    raw = ours(Ws, bs)
    result = normalise(raw)
    computes_the_same(normalise(result), Ws, bs)
    assert not any(np.shares_memory(a, b) for a in result.values() for b in raw.values())


W, b = np.ones((6, 5)), np.ones(5)

REFUSED = {
    "nothing": ({}, r"no weights found\. Found only dict"),
    "no array": ({"dataset": "mnist", 7: 1.0}, r"no weights found\. Found dataset, 7\. Expected \{'W0'"),
    "unknown names": ({"alpha": W, "omega": b}, r"no weights found\. Found alpha \(6, 5\), omega \(5,\)"),
    "a bare matrix": (W, r"no weights found\. Found the array \(6, 5\)"),
    "a number": (3.5, "no weights found. Found only float"),
    "a bias is missing": ({"W0": W, "b0": b, "W1": W.T}, r"no bias found for W1\. Found W0 \(6, 5\), b0"),
    "a weight is missing": ({"W0": W, "b0": b, "b1": b}, "no weight found that belongs to the bias b1"),
    "shapes that do not chain": (
        {"W0": W, "b0": b, "W1": np.ones((4, 3)), "b1": np.ones(3)},
        r"the shapes chain neither.*W0 \(6, 5\) with bias \(5,\), W1 \(4, 3\)",
    ),
    "a bias that fits no side": ({"W0": W, "b0": np.ones(4)}, r"chain neither.*with bias \(4,\)"),
    "a layer lost from the middle": ({"W0": W, "b0": b, "W2": W, "b2": b}, "chain neither"),
    "a weight that is no matrix": ({"W0": np.ones(30), "b0": b}, r"W0 \(W0\) must be a matrix. Got \(30,\)"),
    "a convolution": ({"W0": np.ones((3, 3, 1, 5)), "b0": b}, r"must be a matrix. Got \(3, 3, 1, 5\)"),
    "a bias that is a matrix": ({"W0": np.ones((6, 4)), "b0": np.ones((2, 2))}, r"b0 \(the bias of W0\) must be"),
    "no units": ({"W0": np.ones((6, 0)), "b0": np.ones(0)}, r"must be a matrix. Got \(6, 0\)"),
    "keys that no one can print": ({10**5000: W, (1, 2): b, "²": W, "arr_" + "9" * 5000: 1}, "no weights found"),
    "a layer with an odd number": ({"W²": W, "b²": b}, "cannot tell what W² is"),
    "NaN": ({"w1": W * np.nan, "b1": b}, r"W0 \(w1\) holds 30 values that are NaN or infinite"),
    "infinity": ({"W0": W, "b0": np.array([1, 2, np.inf, 4, -np.inf])}, r"b0 .* holds 2 values that are NaN"),
    "complex numbers": ({"W0": W * 1j, "b0": b}, r"W0 \(W0\) must hold real numbers. Got complex128"),
    "two networks": ({"model": {"W0": W, "b0": b}, "teacher": {"W0": W, "b0": b}}, "cannot tell what teacher.W0 is"),
    "the same layer twice": ({"W0": W, "w_0": W, "b0": b}, "W0 and w_0 look like the same array"),
    "batch normalisation": (
        {"W0": W, "b0": b, "gamma_0": b, "running_mean_0": b},
        r"gamma_0 \(5,\) looks like a normalisation .* fold it into the weights",
    ),
    "normalised inputs": ({"W0": W, "b0": b, "X_mean": np.ones(6)}, r"X_mean \(6,\) looks like a normalisation"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_told_apart_is_refused_with_what_was_found(case):
    raw, match = REFUSED[case]
    with pytest.raises(UserError, match=match) as caught:
        normalise(raw)
    assert len(str(caught.value)) < 500


def test_a_message_stays_short_however_many_arrays_there_are():
    with pytest.raises(ModelFileError) as caught:
        normalise({f"{'x' * 300}{i}": W for i in range(1000)})
    assert len(str(caught.value)) < 1200


def test_a_message_about_a_file_begins_with_its_name(tmp_path):
    (tmp_path / "m.npy").write_bytes(pickle.dumps({"W0": W * np.nan}))
    with pytest.raises(ModelFileError, match=rf"^{tmp_path}/m\.npy: W0 \(W0\) holds 30"):
        load_weights(tmp_path / "m.npy")


@pytest.mark.parametrize(
    "content",
    [
        lambda W, b: np.array([W, b], dtype=object),  # scikit-learn's [coefs_, intercepts_]
        lambda W, b: {"wh": W[0], "bh": b[0], "wo": W[1], "bo": b[1]},
        lambda W, b: {
            "weights_input_hidden": W[0],
            "bias_hidden": b[0],
            "weights_hidden_output": W[1],
            "bias_output": b[1],
        },
        lambda W, b: {"coefs": W, "intercepts": b},
    ],
)
def test_layers_are_told_by_their_shapes_where_names_do_not(content) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    W, b = [rng.normal(size=(6, 5)), rng.normal(size=(5, 3))], [rng.normal(size=5), rng.normal(size=(1, 3))]
    found = normalise(content(W, b))
    np.testing.assert_array_equal(found["W0"], W[0])
    np.testing.assert_array_equal(found["W1"], W[1])
    np.testing.assert_array_equal(found["b0"], b[0])
    np.testing.assert_array_equal(found["b1"], b[1].reshape(-1))


def test_shapes_do_not_decide_where_names_say_something_else() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ModelFileError):
        normalise({"pca": rng.normal(size=(6, 5)), "bo": rng.normal(size=5)})
    with pytest.raises(ModelFileError):
        normalise({"wh": rng.normal(size=(6, 5)), "bh": rng.normal(size=5), "scale": rng.normal(size=6)})
