"""From configuration to objects: what may be built, and the checks that come before any work."""

import collections.abc
import importlib
import inspect
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

from mlp.base.errors import UserError, shortened, unknown
from mlp.config.user_classes import is_allowed
from mlp.config.values import used

#: Where this package has the classes that a configuration may name.
OPTIONS = ("mlp.nn", "mlp.data", "mlp.training", "mlp.tracking", "mlp.model_file")
PLAIN_TYPES = {int: "an integer", float: "a number", bool: "true or false", str: "a text", type(None): "null"}


def locate(target: str) -> Any:
    """The class that a `_target_` names, of this package or of a module that the user has allowed: a configuration is
    data, not a program."""
    module, _, name = str(target).rpartition(".")
    ours = module.startswith(OPTIONS)
    if not ours and not is_allowed(str(target)):
        how = f" (--allow {module})" if re.fullmatch(r"[\w.]{1,100}", module) else ""
        raise UserError(
            f"_target_ must be a class of the package mlp ({', '.join(OPTIONS)}), or of a module that the command "
            f"line allows{how}. Got {shortened(repr(target))}"
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError):  # the last two: what is no name of a module
        raise UserError(f"_target_ {target!r} does not exist") from None
    if not inspect.isclass(found) or (ours and not found.__module__.startswith(OPTIONS)):
        raise UserError(f"_target_ must be a class{' of the package mlp' if ours else ''}. Got {target!r}")
    home = found.__module__
    if not home.startswith("mlp.") and not is_allowed(f"{home}."):  # such as a Popen that the module has imported
        raise UserError(f"_target_ {target!r} is a class of {home}, which is not allowed (--allow {home})")
    return found


def build(node: Mapping[str, Any], path: str, kind: Any = object, **further: Any) -> Any:
    """Instantiate the class that `node["_target_"]` names with the node's other keys, and nested nodes likewise.

    `path` is where the node stands in the configuration, for messages; `kind` is what the class must derive from;
    `further` are arguments that come from the program. Unknown keys, wrong types and values out of range raise
    UserError.
    """
    if "_target_" not in node:
        raise UserError(f"{path} has no _target_: it must be an option of conf/{path}")
    cls = locate(node["_target_"])
    if not issubclass(cls, kind) or inspect.isabstract(cls):
        names = " or ".join(each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,)))
        what = "an abstract class" if inspect.isabstract(cls) else f"no {names}"
        raise UserError(f"{path}._target_ {node['_target_']} is {what}")
    return construct(cls, {key: value for key, value in node.items() if key != "_target_"}, path, **further)


def construct(cls: Any, arguments: Mapping[str, Any], path: str, **further: Any) -> Any:
    """`build` for a class that the program names."""
    check_arguments(cls, arguments, path)
    hints = _hints(cls)
    arguments = {k: _build_nested(v, f"{path}.{k}", _classes_of(hints.get(k))) for k, v in arguments.items()}
    try:
        return cls(**arguments, **further)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    except (UserError, OSError, MemoryError):  # which have messages of their own
        raise
    except Exception as error:
        raise UserError(f"{path}: {cls.__name__} failed to start. {type(error).__name__}: {error}") from error


def _build_nested(value: Any, path: str, kinds: tuple[type, ...]) -> Any:
    """Build what is an object; one of this package must be of the `kinds` that the argument takes."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            return build(value, path, kinds if str(value["_target_"]).startswith("mlp.") else object)
        return {key: _build_nested(v, f"{path}.{key}", kinds) for key, v in value.items()}
    return used(value)


def _classes_of(hint: Any) -> tuple[type, ...]:
    """The classes that a type hint takes objects of: (Callback,) of Mapping[str, Callback] | None."""
    if arguments := typing.get_args(hint):
        return tuple(each for argument in arguments for each in _classes_of(argument))
    return (hint,) if inspect.isclass(hint) and hint.__module__ not in ("builtins", "types") else ()


def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(inspect.getattr_static(cls, "__init__", object.__init__))


def check_arguments(cls: type, arguments: Mapping[str, Any], path: str) -> None:
    """Check names and types of constructor arguments against the signature of `cls`."""
    parameters = [name for name in inspect.signature(cls).parameters if name != "self"]
    hints = _hints(cls)
    for name, value in arguments.items():
        if name not in parameters:
            raise UserError(unknown("key", f"{path}.{name}", [f"{path}.{p}" for p in parameters]))
        check_type(f"{path}.{name}", value, hints.get(name, Any))


def check_type(path: str, value: Any, hint: Any) -> None:
    """Raise UserError unless `value`, as it comes from YAML, fits the type `hint`."""
    if not _is_of_type(value, hint):
        raise UserError(f"{path} must be {type_in_words(hint)}. Got {shortened(repr(value))}")


def _is_of_type(value: Any, hint: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_is_of_type(value, option) for option in arguments)
    if origin is typing.Literal:
        return value in arguments
    if origin in (collections.abc.Sequence, list, tuple):
        return isinstance(value, list | tuple) and all(_is_of_type(v, arguments[0]) for v in value)
    if origin in (collections.abc.Mapping, dict) or hint in (dict, Mapping):
        return isinstance(value, Mapping)
    if hint in PLAIN_TYPES:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number if hint is float else isinstance(value, hint) and (hint is not int or is_number)
    return True  # Any, or an object that a nested _target_ builds


def type_in_words(hint: Any) -> str:
    """A type hint in words.

    >>> type_in_words(int | None)
    'an integer or null'
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_in_words(option) for option in arguments)
    if origin is typing.Literal:
        return " or ".join(map(repr, arguments))
    if origin in (collections.abc.Sequence, list, tuple):
        return f"a list (each entry {type_in_words(arguments[0])})"
    if origin in (collections.abc.Mapping, dict) or hint in (dict, Mapping):
        return "a mapping"
    return PLAIN_TYPES.get(hint, getattr(hint, "__name__", str(hint)))
