"""Changes to the bytes of a file, and to the values in it, so that what unpacks and parses it sees them too."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import yaml

ODD: list[Any] = [
    None, True, False, -1, 0, 1, 2, 1.5, 1e308, float("nan"), float("inf"), 2**63, 10**400, "", "x", "1", "null",
    "é\x1b[31m", [], {}, [[]], [None], {"": {}}, {"a": {"b": [1]}}, ["x", 1, None], "9" * 5000, "a" * 10**5,
    "<script>alert(1)</script>", "../../../../etc/passwd", "/dev/zero", "${oc.env:HOME}", "os.system", "2026-13-01",
]  # fmt: skip
ARRAYS: list[Any] = [
    np.array("x"), np.array(["a", "b"]), np.zeros(0), np.zeros((0, 3)), np.zeros((2, 0)), np.array(np.nan),
    np.full((3, 2), np.nan), np.full(4, np.inf), np.array(2**63 - 1), np.array([-1]), np.arange(10.0), np.array(True),
    np.zeros((1, 1, 1, 1)), np.zeros(3, np.complex64), np.zeros(3, "M8[s]"), np.zeros(2, "f4,i4"), np.zeros(2, "S3"),
    np.array([{"a": 1}], dtype=object), np.array(1.5), np.zeros((64, 64), np.uint8), np.float16(1e-7) * np.ones(9),
]  # fmt: skip


def of_bytes(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, left out, doubled or put in; or the file cut off, or nothing of it left."""
    if rng.random() < 0.03:
        return rng.choice(
            (b"", b"\0" * 100, data[: len(data) // 2], data * 2, b"\xff\xfe" + data, b"\xef\xbb\xbf" + data)
        )
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        place = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0:
                changed[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                del changed[place : place + rng.choice((1, 4, 50))]
            case 2:
                changed[place:place] = changed[place : place + rng.choice((1, 8, 200))]
            case 3:
                changed[place : place + 4] = rng.choice(
                    (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b'":{[')
                )
            case 4:
                changed[place : place + 1] = rng.choice(
                    (b"\n", b'"', b"'", b"-", b"9999999999", b"{", b"[", b"&a *a", b"\0")
                )
    return bytes(changed)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """All places of a nested value: what holds it, and under which key."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item)


def of_values(value: Any, rng: random.Random) -> Any:
    """One or two values of nested data replaced, left out, renamed, or put in too deep."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.02:
        return rng.choice(ODD)
    for _ in range(rng.choice((1, 1, 2))):
        holder, key = rng.choice(list(_places(value)) or [(value, 0)])
        match rng.randrange(6):
            case 0 if isinstance(holder, dict):
                holder.pop(key, None)
            case 1 if isinstance(holder, dict) and key in holder:
                holder[rng.choice(("x", "", "_target_", str(key) * 2))] = holder.pop(key)
            case 2:
                deep: Any = 1
                for _ in range(rng.choice((30, 300))):
                    deep = [deep] if rng.random() < 0.5 else {"a": deep}
                _put(holder, key, deep)
            case _:
                _put(holder, key, rng.choice(ODD))
    return value


def _put(holder: Any, key: Any, value: Any) -> None:
    if isinstance(holder, dict) or key < len(holder):
        holder[key] = value


def of_json(data: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.02:
        return b"[" * 100_000 + b"1" + b"]" * 100_000
    return json.dumps(of_values(json.loads(data), rng)).encode()


def of_json_lines(data: bytes, rng: random.Random) -> bytes:
    """A line of a journal changed, doubled, moved or left out."""
    lines = data.splitlines()
    place = rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            lines.insert(rng.randrange(len(lines)), lines[place])
        case 1:
            del lines[place]
        case _:
            lines[place] = json.dumps(of_values(json.loads(lines[place]), rng), separators=(",", ":")).encode()
    return b"\n".join(lines) + b"\n"


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
)


def of_yaml(data: bytes, rng: random.Random) -> bytes:
    text = data.decode()
    match rng.randrange(12):
        case 0:
            return (BOMB + text).encode()
        case 1:
            return (text + text.splitlines()[rng.randrange(text.count("\n"))] + "\n").encode()
        case 2:
            return (
                text + rng.choice(("x: !!python/object/apply:os.system ['true']\n", "<<: *x\n", "? [a]\n: b\n"))
            ).encode()
        case 3:
            return text.encode(rng.choice(("utf-16", "utf-32", "utf-8-sig")))
    changed = of_values(yaml.safe_load(text), rng)
    try:
        return yaml.safe_dump(changed, allow_unicode=rng.random() < 0.5).encode(errors="replace")
    except RecursionError:  # of the writer, on values within values
        return f"{text}deep: {'[' * 1000}{']' * 1000}\n".encode()


def of_csv(data: bytes, rng: random.Random) -> bytes:
    rows = list(csv.reader(io.StringIO(data.decode())))
    for _ in range(rng.choice((1, 1, 3))):
        row = rng.choice(rows)
        if row:
            row[rng.randrange(len(row))] = str(rng.choice(ODD))
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode(errors="replace")


def of_npz(data: bytes, rng: random.Random) -> bytes:
    """A member of an archive replaced, renamed, doubled or left out, or its bytes changed under a right checksum."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    match rng.randrange(6):
        case 0:
            del members[name]
        case 1:
            members[f"{name}x"] = members.pop(name)
        case 2:
            members[name] = of_bytes(members[name], rng)
        case _:
            buffer = io.BytesIO()
            np.save(buffer, rng.choice(ARRAYS))
            members[name] = buffer.getvalue()
    written = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(written, "w", method) as archive:
        for member, its in members.items():
            archive.writestr(member, its)
    return written.getvalue()


def of_gzip(data: bytes, rng: random.Random) -> bytes:
    return gzip.compress(of_bytes(gzip.decompress(data), rng), compresslevel=1)


Mutation = Callable[[bytes, random.Random], bytes]


def either(inner: Mutation, share: float = 0.35) -> Mutation:
    """Changes to the values, or in some cases to the bytes."""
    return lambda data, rng: (of_bytes if rng.random() < share else inner)(data, rng)
