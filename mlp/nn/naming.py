"""Finding a class by the name a person types: `ReLU`, `leaky-relu`, `mse`, `Nesterov`."""

import difflib
import inspect
from collections.abc import Iterable
from typing import Any


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


def squash(name: str) -> str:
    """`Fashion-MNIST`, `fashion_mnist` and `fashionmnist` are one name.

    >>> squash("Fashion-MNIST")
    'fashionmnist'
    """
    return name.strip().lower().replace("_", "").replace("-", "").replace(" ", "")


def options(base: Any) -> list[Any]:
    """All concrete subclasses of `base`, in the order in which they were defined."""
    found = []
    for cls in base.__subclasses__():
        if not inspect.isabstract(cls):
            found.append(cls)
        found.extend(options(cls))
    return found


def by_name(base: Any, name: str) -> Any:
    """Return the subclass of `base` whose `name` or one of whose `aliases` is `name`, in any spelling.

    Raises ValueError naming the nearest match and all that is allowed.
    """
    classes = options(base)
    for cls in classes:
        if squash(str(name)) in map(squash, (cls.name, *cls.aliases)):
            return cls
    raise ValueError(unknown(base.__name__.lower(), str(name), [cls.name for cls in classes]))
