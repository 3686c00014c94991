"""A model file that wants to run code, or to take all memory, is refused."""

import builtins
import io
import os
import pickle
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from test_model_file import npy, refused, same, two_layers

from mlp.model_file import ModelFileError, load_weights, save_weights


@pytest.fixture
def weights():
    return two_layers()


class Calls:
    """Pickles as the call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize(
    ("function", "argument", "name"),
    [
        (os.system, "touch {}", r"(posix|nt)\.system"),
        (builtins.eval, "open({!r}, 'w').close()", r"\.eval"),
        (builtins.exec, "open({!r}, 'w').close()", r"\.exec"),
        (subprocess.getoutput, "touch {}", r"(subprocess|commands)\.getoutput"),
        (Path.touch, None, r"(getattr|pathlib)"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_pickle_that_calls_a_function_is_refused_by_name_and_calls_nothing(
    tmp_path, weights, function, argument, name, protocol
):
    canary = tmp_path / "canary"
    call = Calls(function, argument.format(str(canary)) if isinstance(argument, str) else canary)
    content = pickle.dumps(np.array({**weights, "extra": call}, dtype=object), protocol)
    refused(tmp_path, npy(content), rf"refused to load: the file wants to use .*{name}")
    refused(tmp_path, pickle.dumps(call, 4), "refused to load")
    assert not canary.exists()
    pickle.loads(content)  # the canary sings where pickle is trusted, so the test can fail
    assert canary.exists()


@pytest.mark.parametrize(
    ("program", "match"),
    [
        (b"\x80\x04cmlp.model_file.reading\nio\n.", r"refused to load: .*mlp\.model_file\.reading\.io"),
        (b"\x80\x04cnumpy\nload\n.", r"refused to load: .*numpy\.load"),
        (b"\x80\x04cnumpy._core.multiarray\n_reconstruct.__self__\n.", "refused to load"),
        (b"\x80\x04\x8c\x05numpy\x8c\x09ndarray.T\x93.", "refused to load"),
        (b"\x80\x02cnumpy\nndarray\n(J\xff\xff\xff\x7ftR.", "damaged"),  # numpy.ndarray(2**31 - 1)
        (b"\x80\x02ccollections\nOrderedDict\n)\x81N}\x8c\x01aK\x01s\x86b.", "NEWOBJ"),  # attributes set
        (b"\x80\x02\x82\x01.", "EXT1"),  # the copyreg extension registry
        (b"\x80\x02Ppersistent\n.", "PERSID"),
        (b"\x80\x02Nr\xff\xff\xff\xff.", "no weights found"),  # a memo as a list would allocate 64 GB
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.", "latin1"),
        (b"\x80\x02cnumpy\ndtype\nX\x04\x00\x00\x00O,f8\x85R.", "expected numbers"),
        (b"\x80\x02(((((", "damaged"),
        (b"\x80\x05\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "damaged"),  # a string of 2**63 bytes
    ],
    ids=range(13),
)
def test_handmade_pickles_are_refused(tmp_path, program, match):
    refused(tmp_path, npy(program), match)
    refused(tmp_path, program, match)


def test_a_pickle_cannot_change_what_the_next_file_meets(tmp_path, weights):
    # BUILD with a slot state calls setattr on the object that find_class gave.
    refused(tmp_path, npy(b"\x80\x02cnumpy\ndtype\nN}X\x08\x00\x00\x00__call__K\x01s\x86b."), "damaged")
    save_weights(tmp_path / "m.npy", weights)
    same(load_weights(tmp_path / "m.npy"), weights)


@pytest.mark.parametrize("kind", ["f8", "O"])
def test_an_array_that_claims_ten_terabytes_in_its_pickle_is_refused(tmp_path, kind):
    shape = b"\x8a\x06\x00\x00\x00\x00\x00\x01\x85"  # (2**40,)
    content = b"]" if kind == "O" else b"C\x00"
    dtype = b"cnumpy\ndtype\nX\x02\x00\x00\x00" + kind.ljust(2, "8").encode() + b"\x85R"
    program = b"\x80\x03cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    program += b"(K\x01" + shape + dtype + b"\x89" + content + b"tb."
    messages = {"f8": "shape {} and type float64 needs 8,796,093,022,208 bytes, 0 are there", "O": "{} objects with"}
    refused(tmp_path, npy(program), messages[kind].format(r"\(1099511627776,\)"))


@pytest.mark.parametrize("shape", ["(1250000000000,)", "(2000000, 625000)"])
def test_a_header_that_claims_ten_terabytes_is_refused(tmp_path, shape):
    data = npy(b"\0" * 800, shape).replace(b"'|O'", b"'f8'")
    refused(tmp_path, data, "needs 10,000,000,000,000 bytes, 800 are there")
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.writestr("W0.npy", data)
    with pytest.raises(ModelFileError, match="10,000,000,000,000 bytes"):
        load_weights(tmp_path / "m.npz")


def test_lists_that_unfold_without_end_are_refused(tmp_path):
    bomb: list[object] = []
    for _ in range(60):
        bomb = [bomb] * 10
    circular: list[object] = []
    circular.append(circular)
    wide: list[object] = []
    for _ in range(9):
        wide = [wide] * 50
    for hostile in (bomb, circular, wide, {"weights": bomb}):
        refused(tmp_path, pickle.dumps(hostile), "circular|nested too deeply|too many objects")


def test_an_archive_that_unpacks_to_gigabytes_is_refused_unread(tmp_path):
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("W0.npy", "w") as member,
    ):
        for _ in range(65):
            member.write(bytes(2**24))
    refused(tmp_path, buffer.getvalue(), "bytes when unpacked are too many")


def test_a_huge_file_is_refused_unread(tmp_path):
    with open(tmp_path / "m.npy", "wb") as file:
        file.truncate(2**31)  # sparse: takes no space
    with pytest.raises(ModelFileError, match="2,147,483,648 bytes are too many"):
        load_weights(tmp_path / "m.npy")
