"""Pickles for the reader of model files: what people save, the same with changed bytes, and programs of the opcodes
and names that it knows."""

from __future__ import annotations

import pickle
import pickletools
import random
import struct
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np

from mlp.model_file import ModelFileError
from mlp.model_file.pickles import loads

RECONSTRUCT = b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
FLOAT = b"cnumpy\ndtype\nX\x02\x00\x00\x00f8\x85R"


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def content(size: int) -> bytes:
    return b"B" + struct.pack("<I", size) + bytes(size)


def array(shape: bytes, dtype: bytes = FLOAT, data: bytes = content(8)) -> bytes:
    return RECONSTRUCT + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb"


def int8(value: int) -> bytes:
    dtype = b"cnumpy\ndtype\n" + text("i1") + b"\x85R"
    return b"cnumpy._core.multiarray\nscalar\n" + dtype + b"B\x01\x00\x00\x00" + bytes([value]) + b"\x86R"


@cache
def samples() -> list[bytes]:
    """What people save: dictionaries and lists of arrays of many kinds, in every protocol."""
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "W0": rng.normal(size=(3, 4)), "b0": np.zeros(4, np.float32), "b1": np.arange(2), "flag": np.bool_(True),
        "W1": np.asfortranarray(rng.normal(size=(4, 2))), "big": np.arange(3, dtype=">i4"), "half": np.float16(1),
        "names": np.array(["a", "bé"]), "score": np.float64(0.5), "empty": np.zeros((0, 3)), "i": np.ones(2) * 1j,
    }  # fmt: skip
    kinds = [
        arrays,
        OrderedDict(arrays),
        list(arrays.values()),
        np.array(arrays, dtype=object),
        {"deep": [{"er": arrays}]},
    ]
    return [pickle.dumps(kind, protocol) for kind in kinds for protocol in range(6)]


def mutated(rng: random.Random) -> bytes:
    """One of the `samples` with a few changes: bytes, parts left out and doubled, other opcodes."""
    data = bytearray(rng.choice(samples()))
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[place] = rng.randrange(256)
            case 1:
                del data[place : place + rng.randint(1, 8)]
            case 2:
                data[place:place] = data[place : place + rng.randint(1, 40)]
            case 3:
                data[place] = ord(rng.choice(pickletools.opcodes).code)
    return bytes(data)


PARTS = [
    RECONSTRUCT, FLOAT, content(8), content(64), text("f8"), text("i1"), text("latin1"), int8(16), b"K\x01",
    *(bytes([code]) for code in b"])}(t\x85\x86\x87Rbsuae012N"), b"K\x02",
    b"\x88", b"\x89", b"q\x01", b"h\x01", b"q\x02", b"h\x02", b"\x94", b"ccollections\nOrderedDict\n",
    b"cnumpy._core.numeric\n_frombuffer\n", b"cnumpy._core.multiarray\nscalar\n", b"c_codecs\nencode\n",
]  # fmt: skip


def words(rng: random.Random) -> bytes:
    """Opcodes and permitted names in any order."""
    return b"\x80\x05" + b"".join(rng.choices(PARTS, k=rng.randint(1, 25))) + b"."


SIZES = (0, 1, 2, 3, 8, 16, 255, 256, 65535, 2**31 - 1)


def sentence(rng: random.Random) -> bytes:
    """A value by the grammar of pickles, each of its parts of a kind that may be wrong."""
    return b"\x80\x04" + _value(rng, 4) + b"."


def _value(rng: random.Random, depth: int) -> bytes:
    leaves = [_number, _text, _content, lambda rng: rng.choice((b"N", b"\x88", b"\x89", b"]", b")", b"}", b"h\x01"))]
    if depth == 0:
        return rng.choice(leaves)(rng)

    def value(rng: random.Random) -> bytes:
        return _value(rng, depth - 1)

    def several(rng: random.Random, most: int = 4) -> bytes:
        return b"".join(value(rng) for _ in range(rng.randint(0, most)))

    def shape(rng: random.Random) -> bytes:
        return b"(" + b"".join(rng.choice((_number, value))(rng) for _ in range(rng.randint(0, 4))) + b"t"

    def dtype(rng: random.Random) -> bytes:
        code = text(
            rng.choice(("f8", "f4", "i1", "i8", "u1", "O8", "O", "U3", "S0", "V8", "M8", "b1", "?", "f9", ""))
        )
        made = b"cnumpy\ndtype\n" + rng.choice((code, value(rng))) + rng.choice((b"\x89\x88\x87R", b"\x85R"))
        state = b"(K\x03" + text(rng.choice("<>|=")) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        return made + rng.choice((b"", state, b"(" + several(rng) + b"tb"))

    def state(rng: random.Random) -> bytes:
        data = rng.choice((_content, _content, value, lambda rng: b"](" + several(rng) + b"e"))(rng)
        kind = rng.choice((dtype, dtype, value))(rng)
        return b"(K\x01" + shape(rng) + kind + rng.choice((b"\x88", b"\x89", value(rng))) + data + b"t"

    def reconstructed(rng: random.Random) -> bytes:
        return RECONSTRUCT + rng.choice((b"", b"q\x01")) + (state(rng) + b"b") * rng.choice((1, 1, 1, 2))

    def frombuffer(rng: random.Random) -> bytes:
        order = rng.choice((text("C"), text("F"), b"N" + shape(rng), value(rng)))
        return b"cnumpy._core.numeric\n_frombuffer\n(" + _content(rng) + dtype(rng) + shape(rng) + order + b"tR"

    def scalar(rng: random.Random) -> bytes:
        return b"cnumpy._core.multiarray\nscalar\n" + dtype(rng) + rng.choice((_content, value))(rng) + b"\x86R"

    def container(rng: random.Random) -> bytes:
        kind = rng.choice((b"}(%su", b"](%se", b"(%st", b"(%sd", b"(%sl", b"ccollections\nOrderedDict\n)R(%su"))
        return rng.choice((b"", b"\x94", b"q\x01")).join((kind % several(rng, 6), b""))

    def encoded(rng: random.Random) -> bytes:
        return b"c_codecs\nencode\n" + _text(rng) + rng.choice((text("latin1"), text("rot13"), value(rng))) + b"\x86R"

    made = (reconstructed, reconstructed, frombuffer, scalar, container, container, encoded, dtype, *leaves)
    return rng.choice(made)(rng)


def _number(rng: random.Random) -> bytes:
    n = rng.choice(SIZES)
    return rng.choice(
        (b"K" + bytes([n % 256]), b"J" + struct.pack("<i", n), b"J" + struct.pack("<i", -n), int8(n % 256),
         b"\x8a\x08" + struct.pack("<q", n * 2**32), b"\x88", b"G" + struct.pack(">d", n), b"I%d\n" % n)
    )  # fmt: skip


def _text(rng: random.Random) -> bytes:
    return text(rng.choice(("W0", "b0", "f8", "latin1", "", "é", "model", "\ud7ff")))


def _content(rng: random.Random) -> bytes:
    return rng.choice(
        (content(rng.choice(SIZES[:7])), text("\x00\xff" * 4), b"\x96" + struct.pack("<Q", 8) + bytes(8))
    )


def cases(seed: int) -> Iterator[bytes]:
    """Hostile pickles without end."""
    rng = random.Random(seed)
    while True:
        yield rng.choice((mutated, words, sentence, sentence))(rng)


#: What `read` makes one message of: the errors of a damaged pickle.
DAMAGED = (ModelFileError, ValueError, TypeError, KeyError, OverflowError)


def attempt(data: bytes) -> None:
    """Read a pickle; anything but a value or a damaged pickle is raised."""
    with suppress(*DAMAGED):
        loads(data)
