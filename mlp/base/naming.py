"""What a person types: the name of a class (`ReLU`, `leaky-relu`, `mse`, `Nesterov`), and the sizes of layers."""

import difflib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar


def unknown(kind: str, given: str, allowed: Iterable[str]) -> str:
    """Say that `given` is no known `kind`, name the nearest match and everything that is allowed.

    Of keys the last parts are compared, as a long group that they share would make any two of them alike.

    >>> unknown("optimizer", "adm", ["adam", "sgd"])
    "optimizer 'adm' is unknown; did you mean 'adam'? Allowed: adam, sgd"
    >>> unknown("key", "optimizer.mu", ["optimizer.beta1", "optimizer.nu"])
    "key 'optimizer.mu' is unknown. Allowed: optimizer.beta1, optimizer.nu"
    """
    options = sorted(allowed)
    near = difflib.get_close_matches(_last_part(given), map(_last_part, options), n=1)
    likely = [option for option in options if _last_part(option) in near]
    meant = difflib.get_close_matches(given, likely, n=1, cutoff=0)
    hint = f"; did you mean '{meant[0]}'?" if meant else "."
    return f"{kind} '{given}' is unknown{hint} Allowed: {', '.join(options) or 'none'}"


def _last_part(name: str) -> str:
    return name.rpartition(".")[2].lower()


def normalize_name(name: str) -> str:
    """`Fashion-MNIST`, `fashion_mnist` and `fashionmnist` are one name.

    >>> normalize_name("Fashion-MNIST")
    'fashionmnist'
    """
    return name.strip().lower().replace("_", "").replace("-", "").replace(" ", "")


def snake_case(name: str) -> str:
    """`SignSGD` is sign_sgd: a capital begins a word after a small letter, and before one."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def flat(config: Mapping[Any, Any], separator: str = ".", prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a nested configuration, by dotted names.

    >>> dict(flat({"a": {"b": 1, "c": {}}}))
    {'a.b': 1, 'a.c': {}}
    """
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, separator, f"{prefix}{name}{separator}")
        else:
            yield f"{prefix}{name}", value


class Named:
    """Has a name, by which it is chosen: that of its class in snake_case, unless it says another one."""

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    needs_more: ClassVar[bool] = False  # than its name: it is chosen by its file in conf/ only

    def __init_subclass__(cls, **further: Any) -> None:
        super().__init_subclass__(**further)
        cls.name = vars(cls).get("name", snake_case(cls.__name__))
        cls.aliases = vars(cls).get("aliases", ())


def subclasses(base: Any) -> list[Any]:
    """All concrete subclasses of `base` that a name is enough for, in the order in which they were defined."""
    found = []
    for cls in base.__subclasses__():
        if not inspect.isabstract(cls) and not getattr(cls, "needs_more", False):
            found.append(cls)
        found.extend(subclasses(cls))
    return found


def find_named(base: Any, name: str) -> Any:
    """The subclass of `base` whose `name` or one of whose `aliases` is `name` in any spelling, or None."""
    for cls in subclasses(base):
        if normalize_name(str(name)) in map(normalize_name, (cls.name, *cls.aliases)):
            return cls
    return None


def by_name(base: Any, name: str) -> Any:
    """As `find_named`. Raises ValueError naming the nearest match and all that is allowed."""
    if (cls := find_named(base, name)) is None:
        raise ValueError(unknown(base.__name__.lower(), str(name), [cls.name for cls in subclasses(base)]))
    return cls


def parse_sizes(name: str, value: Any) -> list[int]:
    """The sizes that somebody wrote: 128, "128", [128, 64], "128 64", "[128, 64]" or ["128,64"].

    `name` is what the message of a ValueError calls them.

    >>> parse_sizes("hidden_size", ["128,64", 32])
    [128, 64, 32]
    """
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        value = value.tolist()
    if isinstance(value, str):
        words = re.findall(r"[^\s,()\[\]]+", value)
        if value.strip() and all(re.fullmatch(r"[+-]?\d+", word) for word in words):
            return [int(word) for word in words]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if value % 1 == 0:  # 128.0 too: it may come from JSON
            return [int(value)]
    elif isinstance(value, list | tuple):
        try:
            return [size for item in value for size in parse_sizes(name, item)]
        except ValueError:
            pass
    raise ValueError(f"{name} must be an integer or a list of integers. Got {value!r}")
