"""Pickles of dictionaries, lists and arrays, read by a small machine of our own.

Neither pickle's nor NumPy's object building takes part: both trust what a file says of itself, and can be made to run
code, to read foreign memory or never to end. This machine reads the opcodes that such pickles consist of (those of
Python 2 and 3, NumPy 1 and 2, protocols 0 to 5), builds plain values, and copies the bytes of arrays. What it does
not know is refused. Memory and time grow with the size of the file, not with what it declares.
"""

from __future__ import annotations

import io
import pickletools
import re
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlp.base.arrays import as_text, check_shape, check_size
from mlp.base.errors import UserError, damaged


class ModelFileError(UserError):
    """The file is no model that can be understood; the message says what was found and what is expected."""


MAX_OPCODES, MAX_DEPTH, MAX_BITS = 2_000_000, 100, 1024
#: Bytes of all texts in memory, and of a line: in protocols 0 to 2 arrays are texts, which exist four times at once.
MAX_TEXT = 2**26
EMPTY_TEXT = sys.getsizeof("\U0001f600")  # which only the number of opcodes bounds

#: What a file may call, NumPy 1 and 2 alike, and whatever else stands for one of them.
ALLOWED = {
    "numpy._core.multiarray._reconstruct": "array",
    "numpy._core.multiarray.scalar": "scalar",
    "numpy._core.numeric._frombuffer": "frombuffer",
    "numpy.dtype": "dtype",
    "numpy.ndarray": "ndarray",  # only ever an argument of the first
    "_codecs.encode": "encode",
    "collections.OrderedDict": "dict",
    **dict.fromkeys(("__builtin__.bytes", "builtins.bytes"), "bytes"),  # of nothing, in old protocols
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, type] = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": list}
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_UNFINISHED = object()


@dataclass
class _Global:
    name: str


@dataclass
class _DType:
    dtype: np.dtype[Any]
    built: bool = False


@dataclass
class _Array:
    """An array whose content comes later."""

    state: tuple[Any, ...] | None = None


def loads(data: bytes) -> Any:
    """What a pickle holds: dictionaries, lists, tuples, texts, numbers, NumPy's arrays and scalars, each array with
    memory of its own. Raises ModelFileError."""
    try:
        return _Machine(data).run()
    except ModelFileError:
        raise
    except UserError as error:  # that of an array's size
        raise ModelFileError(str(error)) from error
    except Exception as error:  # values that are missing, or none that an operation takes
        raise ModelFileError(damaged(error)) from error


def refuse(what: str) -> ModelFileError:
    return ModelFileError(f"refused to load: {what}")


def _too_much_text() -> ModelFileError:
    return ModelFileError(
        f"more than {MAX_TEXT:,} bytes of text. Arrays of that size are saved by np.save of Python 3, as bytes"
    )


class _Lines(io.BytesIO):
    """The bytes of a pickle, whose lines are bounded."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(MAX_TEXT + 1)
        if len(line) > MAX_TEXT:
            raise _too_much_text()
        return line


class _Machine:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._stack: list[Any] = []  # since the last mark
        self._outer: list[list[Any]] = []  # what came before each of the marks
        self._memo: dict[int, Any] = {}
        self._bytes_left = len(data)  # of arrays: each must have its content in the file
        self._text_left = MAX_TEXT

    def run(self) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(_Lines(self._data))):
            if count > MAX_OPCODES:
                raise ModelFileError(f"more than {MAX_OPCODES:,} opcodes; a model has a few hundred")
            if opcode.name == "STOP":
                return self._finished(self._stack.pop(), 0, {})
            self._step(opcode.name, argument)
        raise EOFError("a pickle without an end")

    def _step(self, name: str, argument: Any) -> None:
        push, pop = self._stack.append, self._stack.pop
        match name:
            case _ if name in _VALUES:
                if type(argument) is str:
                    self._text_left -= max(0, sys.getsizeof(argument) - EMPTY_TEXT)
                    if self._text_left < 0:
                        raise _too_much_text()
                push(_value(argument))
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self._outer.append(self._stack)
                self._stack = []
            case "POP" if self._stack:
                pop()
            case "POP" | "POP_MARK":
                self._items()
            case "DUP":
                push(self._stack[-1])
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self._memo[argument] = self._stack[-1]
            case "MEMOIZE":
                self._memo[len(self._memo)] = self._stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                push(self._memo[argument])
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                push(tuple([pop() for _ in range(int(name[-1]))][::-1]))
            case "TUPLE" | "LIST" | "FROZENSET":
                items = self._items()
                self._stack.append(tuple(items) if name == "TUPLE" else items)
            case "DICT":
                items = self._items()
                self._stack.append(_set_items({}, items))
            case "APPEND" | "APPENDS" | "ADDITEMS":
                items = [pop()] if name == "APPEND" else self._items()
                list.extend(self._stack[-1], items)
            case "SETITEM" | "SETITEMS":
                items = [pop(), pop()][::-1] if name == "SETITEM" else self._items()
                _set_items(self._stack[-1], items)
            case "GLOBAL" | "INST":
                push(_global(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                attribute, module = pop(), pop()
                push(_global(module, attribute))
            case "REDUCE":
                arguments, function = pop(), pop()
                push(self._call(function, arguments))
            case "BUILD":
                state = pop()
                self._build(self._stack[-1], state)
            case _ if name in _CONSTANTS:
                push(_CONSTANTS[name])
            case _ if name in _EMPTY:
                push(_EMPTY[name]())
            case _:  # persistent ids, EXT registrations, classes, buffers from outside
                raise refuse(f"the pickle uses {name}, which no array needs")

    def _items(self) -> list[Any]:
        """The values since the last mark, taken from the stack."""
        items, self._stack = self._stack, self._outer.pop()
        return items

    # Calls

    def _call(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, _Global) or type(arguments) is not tuple:
            raise refuse("the pickle calls what is no function of NumPy's arrays")
        match function.name, arguments:
            case "array", (_Global("ndarray"), *_):
                return _Array()
            case "dtype", (str(code), *_):
                return _DType(_dtype(code))
            case "scalar", (_DType() as kind, bytes() | str() as content, *_):
                return self._plain(kind.dtype, (), content, "C")[()]
            case "frombuffer", (bytes() | bytearray() as content, _DType() as kind, tuple(shape), order):
                return self._plain(kind.dtype, shape, bytes(content), "F" if order == "F" else "C")
            case "frombuffer", (bytes() | bytearray() as content, _DType() as kind, tuple(shape), _, tuple(axes)):
                array = self._plain(kind.dtype, shape, bytes(content), "C")
                if not all(type(axis) is int for axis in axes) or sorted(axes) != list(range(array.ndim)):
                    raise ModelFileError(f"an array of {array.ndim} axes with wrong axes inside")
                return array.transpose(axes)
            case "encode", (str(text), str(encoding), *_):
                if encoding != "latin1":
                    raise refuse(f"_codecs.encode with {encoding[:40]!r}; arrays use latin1")
                return text.encode("latin1")
            case "bytes", ():
                return b""
            case "dict", ():
                return {}
            case "dict", (list(pairs),):
                return _set_items({}, [item for key, value in pairs for item in (key, value)])
        raise TypeError(f"{function.name} of something unexpected")

    def _build(self, target: Any, state: Any) -> None:
        if isinstance(target, _Array) and type(state) is tuple and len(state) == 5:
            if target.state is not None:
                raise refuse("an array is given its content twice")
            target.state = state
        elif isinstance(target, _DType) and type(state) is tuple and len(state) > 1 and not target.built:
            target.built = True
            if state[1] in ("<", ">"):
                target.dtype = target.dtype.newbyteorder(state[1])
        elif type(target) is not dict:  # attributes of an OrderedDict mean nothing
            raise TypeError("a state of something that has none")

    # Arrays

    def _plain(self, dtype: np.dtype[Any], shape: tuple[Any, ...], content: Any, order: str) -> np.ndarray[Any, Any]:
        size = check_shape(shape)
        content = content.encode("latin1") if isinstance(content, str) else content  # of Python 2
        if type(content) is not bytes or dtype.hasobject or not dtype.itemsize:
            raise ModelFileError(f"an array of type {dtype} without numbers inside")
        check_size(shape, dtype, len(content))
        self._take(size * dtype.itemsize)
        plain = np.frombuffer(content, dtype, count=size)
        return np.array(plain.reshape(shape, order="F" if order == "F" else "C"), dtype.newbyteorder("="))

    def _take(self, needed: int) -> None:
        self._bytes_left -= needed
        if self._bytes_left < 0:
            raise ModelFileError("its arrays need more bytes than the file has")

    def _finished(self, value: Any, depth: int, done: dict[int, Any]) -> Any:
        """`value` with all arrays in place of what stands for them. Shared values stay shared."""
        if depth > MAX_DEPTH:
            raise ModelFileError("nested too deeply")
        if isinstance(value, _Global | _DType):
            raise ModelFileError("no weights found. A function or a type of NumPy in place of a value")
        if type(value) not in (list, tuple, dict, _Array):
            return value
        if id(value) in done:
            if done[id(value)] is _UNFINISHED:
                raise ModelFileError("circular: a value that contains itself")
            return done[id(value)]
        done[id(value)] = _UNFINISHED
        if isinstance(value, _Array):
            made: Any = self._array(value, depth, done)
        elif isinstance(value, dict):
            made = {key: self._finished(item, depth + 1, done) for key, item in value.items()}
        else:
            made = type(value)(self._finished(item, depth + 1, done) for item in value)
        done[id(value)] = made
        return made

    def _array(self, pending: _Array, depth: int, done: dict[int, Any]) -> np.ndarray[Any, Any]:
        if pending.state is None:
            raise ModelFileError("damaged or incomplete (an array without content)")
        _, shape, kind, fortran, content = pending.state
        if type(shape) is not tuple or not isinstance(kind, _DType):
            raise TypeError("an array without a shape or a type")
        if kind.dtype.kind != "O":
            return self._plain(kind.dtype, shape, content, "F" if fortran is True or fortran == 1 else "C")
        if type(content) is not list or check_shape(shape) != len(content):
            raise ModelFileError(f"an array of {as_text(shape)} objects with another number of them")
        self._take(len(content))
        made = np.empty(len(content), dtype=object)
        for place, item in enumerate(content):
            made[place] = self._finished(item, depth + 1, done)
        return made.reshape(shape, order="F" if fortran is True or fortran == 1 else "C")


def _value(argument: Any) -> Any:
    if type(argument) is int and argument.bit_length() > MAX_BITS:
        raise ModelFileError(f"an integer of more than {MAX_BITS} bits inside")
    return bytes(argument) if type(argument) is bytearray else argument


def _set_items(target: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    for key, item in zip(items[::2], items[1::2], strict=True):
        if type(key) not in (str, int, float, bool, type(None)):
            if type(key) is bytes:  # a text of Python 2
                key = key.decode("latin1")
            elif isinstance(key, np.generic) and key.dtype.kind in "biuU":
                key = key.item()
            else:
                raise ModelFileError("a dictionary with keys that are neither texts nor numbers inside")
        dict.__setitem__(target, key, item)
    return target


def _global(module: Any, name: Any) -> _Global:
    if type(module) is not str or type(name) is not str:
        raise TypeError("the name of a function is no text")
    known = ALLOWED.get(f"{module.replace('numpy.core.', 'numpy._core.')}.{name}")
    if known is None:
        raise refuse(
            f"the file wants to use {module[:80]}.{name[:80]}, and only arrays, dictionaries, lists, strings and "
            "numbers are read. Nothing of it has been run"
        )
    return _Global(known)


def _dtype(code: str) -> np.dtype[Any]:
    if not re.fullmatch(r"[biufc?SUO]\d{0,6}", code, re.ASCII):
        raise ModelFileError(f"an array of type {code[:40]!r} inside; expected numbers")
    try:
        return np.dtype(code)
    except TypeError:
        raise ModelFileError(f"an array of type {code!r} inside; expected numbers") from None
