"""A model file comes back as it was written, and reading one never runs code, whatever is in it."""

import io
import os
import pickle
import struct
import zipfile
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import joblib
import numpy as np
import pytest

from mlp.base.errors import UserError
from mlp.model_file import ModelFileError, Pretrained, layer_sizes, load_weights, save_weights
from mlp.nn import MLP, BatchNorm


def two_layers():
    rng = np.random.default_rng(5)
    return {"W0": rng.normal(size=(4, 3)), "b0": rng.normal(size=3), "W1": rng.normal(size=(3, 2)), "b1": np.ones(2)}


@pytest.fixture
def weights():
    return two_layers()


def same(loaded, expected):
    assert list(loaded) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert type(loaded[name]) is np.ndarray
        assert loaded[name].flags.c_contiguous
        assert loaded[name].flags.owndata
        assert loaded[name].flags.writeable


def npy(content: bytes, shape="()") -> bytes:
    """An object .npy file around a handmade pickle."""
    header = f"{{'descr': '|O', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def refused(tmp_path, data: bytes, match: str) -> ModelFileError:
    path = tmp_path / "hostile.npy"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=match) as caught:
        load_weights(path)
    assert str(path) in str(caught.value)
    return caught.value


def test_what_was_saved_is_loaded_and_numpy_itself_reads_it(tmp_path, weights):
    save_weights(tmp_path / "best_model.npy", weights)
    same(load_weights(tmp_path / "best_model.npy"), weights)
    raw = np.load(tmp_path / "best_model.npy", allow_pickle=True)
    assert raw.shape == ()
    assert raw.dtype == object
    same(raw.item(), weights)
    assert os.listdir(tmp_path) == ["best_model.npy"]


def test_layer_sizes_go_from_inputs_to_outputs(weights):
    assert layer_sizes(weights) == [4, 3, 2]


def test_views_into_one_flat_vector_are_saved_as_their_own_values(tmp_path):
    theta = np.arange(9.0)
    save_weights(tmp_path / "m.npy", {"W0": theta[:6].reshape(2, 3), "b0": theta[6:]})
    same(load_weights(tmp_path / "m.npy"), {"W0": np.array([[0.0, 1, 2], [3, 4, 5]]), "b0": np.array([6.0, 7, 8])})


def test_a_failed_save_leaves_the_old_file_as_it_was(tmp_path, weights):
    save_weights(tmp_path / "m.npy", weights)
    with pytest.raises(AttributeError):
        save_weights(tmp_path / "m.npy", {"W0": lambda: None})
    same(load_weights(tmp_path / "m.npy"), weights)
    assert os.listdir(tmp_path) == ["m.npy"]


def test_a_failure_to_write_stays_an_os_error(tmp_path, weights):
    with pytest.raises(FileNotFoundError):
        save_weights(tmp_path / "missing" / "m.npy", weights)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("old", [False, True], ids=["numpy 2", "numpy 1"])
def test_every_pickle_protocol_and_both_module_spellings_are_read(tmp_path, weights, protocol, old):
    weights["W1"] = np.asfortranarray(weights["W1"])
    extras = {"f1": np.float32(0.5), "name": np.str_("é"), "shuffled": np.bool_(True), "epochs": [1, None, 2.5]}
    content = pickle.dumps(np.array(OrderedDict(weights | extras), dtype=object), protocol)
    if old and protocol < 4:
        content = content.replace(b"numpy._core.", b"numpy.core.")
    elif old:
        content = content.replace(b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray")
        content = content.replace(b"\x13numpy._core.numeric", b"\x12numpy.core.numeric")
        content = content[:2] + content[11:] if content[2:3] == b"\x95" else content  # its length changed
    (tmp_path / "m.npy").write_bytes(npy(content))
    assert (b"numpy.core" in content) == old
    same(load_weights(tmp_path / "m.npy"), weights)


def test_plain_npz_files_are_read_with_names_and_without(tmp_path, weights):
    np.savez_compressed(tmp_path / "named.npz", **weights, epochs=5, losses=np.zeros(0), dataset="mnist")
    np.savez(tmp_path / "positional.npz", *weights.values())
    same(load_weights(tmp_path / "named.npz"), weights)
    same(load_weights(tmp_path / "positional.npz"), weights)


def test_a_bare_pickle_is_read_as_numpy_would_read_it(tmp_path, weights):
    (tmp_path / "m.npy").write_bytes(pickle.dumps(weights))
    same(load_weights(tmp_path / "m.npy"), weights)


@pytest.mark.parametrize(
    ("stored", "loaded"),
    [("f2", "f4"), ("f4", "f4"), (">f4", "f4"), ("f8", "f8"), (">f8", "f8"), ("g", "f8"), ("i4", "f8"), ("u1", "f8")],
)
def test_every_numeric_type_comes_back_as_a_native_float(tmp_path, stored, loaded):
    W, b = np.array([[1, 2, 3], [4, 5, 6]], stored), np.array([7, 8, 9], stored)
    np.save(tmp_path / "m.npy", {"W0": W, "b0": b}, allow_pickle=True)
    np.savez(tmp_path / "m.npz", W0=np.asfortranarray(W), b0=b)
    for name in ("m.npy", "m.npz"):
        result = load_weights(tmp_path / name)
        same(result, {"W0": np.array([[1.0, 2, 3], [4, 5, 6]]), "b0": np.array([7.0, 8, 9])})
        assert {array.dtype for array in result.values()} == {np.dtype(loaded)}


def test_what_an_npz_has_beside_the_weights_is_left_out(tmp_path, weights):
    np.savez(tmp_path / "m.npz", **weights, cli_args=np.array(Namespace(epochs=3), dtype=object), val_acc=0.9)
    same(load_weights(tmp_path / "m.npz"), weights)
    np.savez(tmp_path / "wrapped.npz", weights=np.array(weights, dtype=object))
    same(load_weights(tmp_path / "wrapped.npz"), weights)
    np.savez(tmp_path / "alone.npz", cli_args=np.array(Namespace(epochs=3), dtype=object))
    with pytest.raises(ModelFileError, match=r"refused to load: .*argparse\.Namespace"):
        load_weights(tmp_path / "alone.npz")


@pytest.mark.parametrize("name", ["m.npy", "m.npz"])
def test_a_file_cut_off_anywhere_is_refused(tmp_path, weights, name):
    if name == "m.npy":
        save_weights(tmp_path / name, weights)
    else:
        np.savez(tmp_path / name, **weights)
    whole = (tmp_path / name).read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            load_weights(tmp_path / name)


def test_a_flipped_byte_never_raises_anything_but_a_model_file_error(tmp_path, weights):
    save_weights(tmp_path / "m.npy", weights)
    whole = (tmp_path / "m.npy").read_bytes()
    rng = np.random.default_rng(0)
    errors = 0
    for _ in range(500):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] = rng.integers(256)
        (tmp_path / "m.npy").write_bytes(damaged)
        try:
            load_weights(tmp_path / "m.npy")
        except ModelFileError:
            errors += 1
    assert errors > 50


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "an empty file"),
        (b"W0 = [[1, 2]]\n", "a text file; expected .npy or .npz"),
        (b"\x00\x01\x02" * 50, "a file of an unknown kind; expected .npy or .npz"),
        (b"\x93NUMPY\x09\x00", "npy format 9.0 is not supported"),
        (npy(b"").replace(b"'|O'", b"[('x', 'f8')]"), "array of .* inside; expected plain numbers"),
        (npy(b"", "(-1,)").replace(b"'|O'", b"'f8'"), "cannot be"),
    ],
    ids=["empty", "text", "unknown", "version", "structured", "negative"],
)
def test_what_is_no_model_is_named(tmp_path, data, match):
    refused(tmp_path, data, match)


def test_what_is_no_readable_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, match in {"missing.npy": "No such file", "": "a directory", "pipe": "a pipe", "a\0b": "null"}.items():
        with pytest.raises(UserError, match=match):
            load_weights(f"{tmp_path}/{name}")


def test_a_file_that_may_not_be_read_is_named(tmp_path, weights):
    save_weights(tmp_path / "m.npy", weights)
    (tmp_path / "m.npy").chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read everything
    try:
        with pytest.raises(UserError, match="cannot be read: Permission denied"):
            load_weights(tmp_path / "m.npy")
    finally:
        os.seteuid(user)


def test_files_of_other_libraries_are_called_by_their_names(tmp_path: Path) -> None:
    def archive(*names: str) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as written:
            for name in names:
                written.writestr(name, pickle.dumps({}))
        return file.getvalue()

    def dumped(**how: int) -> bytes:
        joblib.dump({"W0": np.ones((3, 2)), "b0": np.ones(2)}, tmp_path / "dumped", **how)
        return (tmp_path / "dumped").read_bytes()

    early = b"".join(pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {}))
    for library, content in (
        ("torch.save", archive("archive/data.pkl", "archive/data/0")),
        ("torch.save", early),
        ("joblib.dump", dumped()),
        ("joblib.dump", dumped(compress=3)),
        ("Keras", archive("config.json", "model.weights.h5")),
        ("Keras", b"\x89HDF\r\n\x1a\n" + bytes(64)),
        ("safetensors", (2).to_bytes(8, "little") + b"{}" + bytes(8)),
    ):
        (tmp_path / "model").write_bytes(content)
        with pytest.raises(ModelFileError, match=rf"a file of {library}.*np\.save"):
            load_weights(tmp_path / "model")


def test_a_saved_model_is_where_fine_tuning_starts(tmp_path, weights):
    save_weights(tmp_path / "m.npy", weights)
    init = Pretrained(str(tmp_path / "m.npy"))
    same(MLP(4, 2, [3], init=init, dtype="float64").get_weights(), weights)
    with pytest.raises(UserError, match=r"m\.npy has weights 4-3-2, and the network is 4-5-2"):
        MLP(4, 2, [5], init=init)
    with pytest.raises(UserError, match="needs normalization=none"):
        MLP(4, 2, [3], init=init, normalization=BatchNorm())
    with pytest.raises(ValueError, match=r"path must name a saved model"):
        Pretrained()
