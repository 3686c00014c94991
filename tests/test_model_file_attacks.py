"""Model files made to do harm end in one message: no foreign memory, no hang, no more memory than they are large."""

import io
import pickle
import random
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attack.pickles import FLOAT, array, attempt, content, int8, mutated, samples, sentence, text, words

from mlp.base.errors import UserError
from mlp.data.npz import read_npz
from mlp.model_file import ModelFileError, load_weights
from mlp.model_file.pickles import loads

HOSTILE = {
    "sizes that wrap": (array(int8(16) + int8(16) + b"\x86"), r"shape \(int8, int8\) cannot be"),
    "a size that is no integer": (array(b"\x88\x85"), r"shape \(bool,\) cannot be"),
    "a negative size": (array(b"J\xff\xff\xff\xff\x85"), r"shape \(-1,\) cannot be"),
    "content given twice": (array(b"K\x01\x85") + b"(K\x01K\x01\x85" + FLOAT + b"\x89" + content(8) + b"tb", "twice"),
    "a type changed twice": (
        FLOAT + b"q\x01(K\x03" + text("<") + b"tb0h\x01(K\x03" + text(">") + b"tb",
        "a state of something",
    ),
    "a type that is a structure": (b"cnumpy\ndtype\n]\x85R", "dtype of something unexpected"),
    "a shape of a million digits": (array(b"\x8b\x40\x42\x0f\x00" + b"\x01" * 1_000_000 + b"\x85"), "1024 bits"),
    "a key that takes for ever to hash": (b"}N" + b"2\x86" * 60 + b"Ns", "keys that are neither"),
    "more bytes than the file": (
        content(4096) + b"q\x010" + b"](" + array(b"M\x00\x02\x85", data=b"h\x01") * 40 + b"e",
        "more bytes than the file has",
    ),
    "itself": (b"]q\x01h\x01a", "circular"),
    "objects counted wrongly": (array(b"K\x05\x85", dtype=FLOAT.replace(b"f8", b"O8"), data=b"]"), "another number"),
    "a function": (b"cnumpy\nndarray\n", "a function or a type|A function or a type"),
    "a name of the system": (b"cos\nsystem\n" + text("true") + b"\x85R", r"wants to use os\.system"),
    "a name by its registry": (b"\x82\x01", "EXT1"),
    "a class": (b"ccollections\nOrderedDict\n)\x81", "NEWOBJ"),
    "an object from elsewhere": (b"N\x51", "BINPERSID"),
    "a buffer from elsewhere": (b"\x97", "NEXT_BUFFER"),
    "a method of an array": (b"cnumpy\nndarray.dump\n", r"wants to use numpy\.ndarray\.dump"),
    "nothing on the stack": (b"0", "pop from empty list"),
    "a list without a beginning": (b"t", "pop from empty list"),
    "texts as a function": (text("a") + b")R", "calls what is no function"),
    "a value that is not there": (b"h\x05", r"\(no 5\)$"),
    "what a message would quote": (b"S" + b"a" * 1_000_000 + b"\n", r"^.{,400}$"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickle_is_one_message(name: str) -> None:
    program, message = HOSTILE[name]
    with pytest.raises(ModelFileError, match=message):
        loads(b"\x80\x04" + program + b".")


def test_texts_are_bounded_before_they_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loads(pickle.dumps({"W0": "x" * 10_000}, 0)) == {"W0": "x" * 10_000}
    monkeypatch.setattr("mlp.model_file.pickles.MAX_TEXT", 10_000)
    many = "x" * 1_000
    for value in ("x" * 10_100, "\U0001f600" * 2_600, [many[i:] + many for i in range(6)]):
        for protocol in (0, 2, 4):
            with pytest.raises(ModelFileError, match="more than 10,000 bytes of text"):
                loads(pickle.dumps(value, protocol))
    monkeypatch.setattr("pickletools.genops", lambda file: file.readline())
    with pytest.raises(ModelFileError, match="more than 10,000 bytes of text"):
        loads(b"V" + b"x" * 20_000 + b"\n.")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_are_unpacked_only_as_numpy_packs_them(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "m.npz", "w", method) as archive:
        archive.writestr("W0.npy", bytes(1_000_000))
    with pytest.raises(ModelFileError, match="packed in a way that"):
        load_weights(tmp_path / "m.npz")


def test_two_arrays_of_one_name_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        for name in ("x", "x.npy"):
            archive.writestr(name, b"")
    for work in (lambda: load_weights(tmp_path / "data.npz"), lambda: read_npz(tmp_path / "data.npz", "x")):
        with pytest.raises(UserError, match="two arrays inside have the same name"):
            work()


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': f(3)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (3,)}" + " " * 20_000,
        "{'descr': '<f8', 'fortran_order': 0, 'shape': (3L,)}",
        "-" * 9_000 + "1",
        "[1]",
    ],
    ids=lambda header: header[-20:],
)
@pytest.mark.filterwarnings("error")
def test_a_header_that_is_none_is_told_in_our_words(header: str, tmp_path: Path) -> None:
    """NumPy's texts name syntax trees, and advise to trust the file."""
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(24)
    (tmp_path / "model.npy").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        archive.writestr("x.npy", data)
    for work in (lambda: load_weights(tmp_path / "model.npy"), lambda: read_npz(tmp_path / "data.npz", "x")):
        with pytest.raises(UserError, match=r"damaged or incomplete \(the header of an array cannot be read\)$"):
            work()


def test_an_archive_that_lies_about_its_size_is_not_unpacked_further(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("W0.npy", bytes(50_000_000))
    lying = buffer.getvalue().replace(struct.pack("<I", 50_000_000), struct.pack("<I", 1_000))
    (tmp_path / "m.npz").write_bytes(lying)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelFileError):
        load_weights(tmp_path / "m.npz")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # kB


@pytest.mark.parametrize("data", samples())
def test_what_pickle_reads_is_read_alike(data: bytes) -> None:
    assert_alike(loads(data), pickle.loads(data))


def assert_alike(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_alike(ours[key], theirs[key])
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_alike(one, other)
    elif isinstance(theirs, np.ndarray) and theirs.dtype == object:
        assert ours.shape == theirs.shape
        assert_alike(ours.tolist(), theirs.tolist())
    else:
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype.newbyteorder("=")


def test_arrays_have_memory_of_their_own() -> None:
    data = pickle.dumps([np.arange(5.0), np.ones((2, 2), order="F")], 5)
    for one in loads(data):
        assert one.flags.writeable
        one[...] = 7
    np.testing.assert_array_equal(loads(data)[0], np.arange(5.0))


@pytest.mark.filterwarnings("ignore:invalid")  # escape sequences in texts of protocol 0
@pytest.mark.parametrize("make", [mutated, words, sentence])
def test_hostile_pickles_are_read_or_refused(make: Callable[[random.Random], bytes]) -> None:
    rng = random.Random(0)
    for _ in range(2000):
        attempt(make(rng))
