"""Texts in the grammar of Hydra's overrides."""

import re
from collections.abc import Sequence


def quoted(value: str) -> str:
    """`value` as a text in Hydra's override grammar: a backslash only counts before a quote."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def unquoted(value: str) -> str:
    """The text that a value of Hydra's override grammar stands for, if it is in quotes; else as it is."""
    mark, inner = value[:1], value[1:-1]
    ends_early = re.search(rf"(?<!\\)(\\\\)*{re.escape(mark)}", inner)  # at a mark that no backslash escapes
    if len(value) < 2 or mark not in ("'", '"') or value[-1] != mark or ends_early:
        return value
    return re.sub(rf"(\\+)(?={mark}|$)", lambda slashes: "\\" * (len(slashes[1]) // 2), inner)


def last_value(overrides: Sequence[str], key: str) -> str | None:
    """What the overrides give a key, of several the last one; None where none does."""
    words = (word.lstrip("+").partition("=") for word in reversed(overrides))
    return next((value for name, sign, value in words if name == key and sign), None)


def entries(words: Sequence[str]) -> list[str]:
    """The entries of a list as people write it: `128 64`, `128,64`, `[128, 64]`."""
    return [entry for entry in re.split(r"[\s,\[\]]+", ",".join(words)) if entry]
