"""Which runs are meant: expressions as `optimizer=adam and val_accuracy>0.97`, columns, names and beginnings."""

from __future__ import annotations

import difflib
import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mlp.base.errors import UserError
from mlp.config.files import groups
from mlp.runs import read
from mlp.runs.table import rows

Row = dict[str, Any]
Test = Callable[[Row], bool]

#: Columns that a run has in the end, whether or not one is there.
SCORES = [f"{part}_{name}" for part in ("val", "test", "train") for name in ("accuracy", "f1", "loss")]
#: By which score `best` chooses.
SCORE = "val_accuracy"
ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
TOKEN = re.compile(
    r"\s*(?:(?P<sign><=|>=|!=|==|[=<>~])|(?P<mark>[()])|(?P<quoted>'[^']*'|\"[^\"]*\")|(?P<word>[^\s()=!<>~'\"]+))"
)
WORDS = {"true": True, "false": False, "null": None, "none": None}
EXAMPLE = 'such as "optimizer=adam and val_accuracy>0.97"'


def value(row: Row, column: str) -> Any:
    """What a row has in a column, None for nothing: columns are its own keys, then those of its configuration."""
    return row[column] if column in row else row["config"].get(column)


class Columns:
    """The columns of some rows, by their names, or by the ends of dotted ones: learning_rate of optimizer.

    Raises UserError for a name that no row has.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        own = {*read.FIXED, *SCORES}.union(*rows) - {"config"}
        keys: set[str] = set(groups()).union(*(row["config"] for row in rows))
        self.names = [*read.FIXED[:-1], *sorted(own - set(read.FIXED)), *sorted(keys - own)]
        self._ends: dict[str, list[str]] = {"lr": ["optimizer.learning_rate"]}
        for name in self.names:
            self._ends.setdefault(name.rpartition(".")[2], []).append(name)

    def __getitem__(self, name: str) -> str:
        if name in self.names:
            return name
        found = self._ends.get(name, [])
        if len(found) > 1:
            raise UserError(f"column '{name}' is in several places: {', '.join(found)}. Give one of them")
        if not found:
            raise UserError(
                f"column '{name}' is unknown{_near(name, [*self.names, *self._ends])}. --json has them all"
            )
        return found[0]


class Where:
    """An expression of comparisons, `and`, `or`, `not` and brackets: `tested(row)` says whether a row fulfils it.

    `=` and `!=` compare texts in any case and numbers as numbers, `~` finds a part of a text, `<` and `>` order
    numbers and texts; `null` is what a run does not have. Raises UserError for what cannot be read.
    """

    def __init__(self, text: str, columns: Columns) -> None:
        self._text, self._columns = text, columns
        self._tokens: list[tuple[str, str]] = []
        place = 0
        if len(text) > 2000:
            raise UserError(f"--where has {len(text):,} characters; at most 2,000 are read")
        while text[place:].strip():
            match = TOKEN.match(text, place)
            if match is None:
                raise self._wrong(f"{text[place:].strip()[:20]!r} is no part of one")
            self._tokens.append((str(match.lastgroup), match[match.lastgroup or 0]))
            place = match.end()
        try:
            self.tested = self._any()
        except RecursionError:
            raise self._wrong("too many brackets") from None
        if self._tokens:
            raise self._wrong(f"expected 'and' or 'or' before {self._tokens[0][1]!r}")

    def _wrong(self, what: str) -> UserError:
        return UserError(f"--where {self._text!r}: {what}. Write comparisons, {EXAMPLE}")

    def _next(self) -> tuple[str, str]:
        return self._tokens.pop(0) if self._tokens else ("end", "")

    def _taken(self, word: str) -> bool:
        if self._tokens and self._tokens[0][0] != "quoted" and self._tokens[0][1].lower() == word:
            self._tokens.pop(0)
            return True
        return False

    def _any(self) -> Test:
        return self._joined("or", self._all, any)

    def _all(self) -> Test:
        return self._joined("and", self._one, all)

    def _joined(self, word: str, part: Callable[[], Test], of: Callable[[Iterable[bool]], bool]) -> Test:
        tests = [part()]
        while self._taken(word):
            tests.append(part())
        return tests[0] if len(tests) == 1 else lambda row: of(test(row) for test in tests)

    def _one(self) -> Test:
        if self._taken("not"):
            inner = self._one()
            return lambda row: not inner(row)
        if self._taken("("):
            inner = self._any()
            if not self._taken(")"):
                raise self._wrong("a ')' is missing")
            return inner
        kind, name = self._next()
        if kind not in ("word", "quoted"):
            raise self._wrong(f"expected a column{f', not {name!r}' if name else ' at its end'}")
        column = self._columns[name.strip("'\"") if kind == "quoted" else name]
        kind, sign = self._next()
        if kind != "sign":
            raise self._wrong(f"expected =, !=, <, <=, >, >= or ~ after {name!r}")
        kind, word = self._next()
        if kind not in ("word", "quoted"):
            raise self._wrong(f"expected a value after {name}{sign}")
        literal = word[1:-1] if kind == "quoted" else word
        meant = literal if kind == "quoted" else _meant(literal)
        return lambda row: self._compared(value(row, column), sign, literal, meant, name)

    def _compared(self, found: Any, sign: str, literal: str, meant: Any, name: str) -> bool:
        if sign == "~":
            return found is not None and literal.casefold() in shown(found).casefold()
        if sign in ("=", "==", "!="):
            same = found == meant if _is_number(found) and _is_number(meant) else _alike(found, literal, meant)
            return same != (sign == "!=")
        if found is None:
            return False
        if _is_number(found):
            if not _is_number(meant):
                raise self._wrong(f"{name} holds numbers: compare it with one, not with {literal!r}")
            return bool(ORDER[sign](found, meant))
        return bool(ORDER[sign](shown(found), literal))


def _alike(found: Any, literal: str, meant: Any) -> bool:
    if found is None or isinstance(found, bool):
        return found is meant
    return re.sub(r"\s", "", shown(found)).casefold() == re.sub(r"\s", "", literal).casefold()


def _meant(literal: str) -> Any:
    if literal.lower() in WORDS:
        return WORDS[literal.lower()]
    try:
        return float(literal)
    except ValueError:
        return literal


def _is_number(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)


def shown(found: Any) -> str:
    """A value as text, as YAML would have it: `[128,64]`, `null`."""
    if isinstance(found, str):
        return found
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False)


def chosen(rows: Sequence[Row], where: str | None) -> list[Row]:
    """Those rows that fulfil an expression; all without one."""
    if where is None:
        return list(rows)
    tested = Where(where, Columns(rows)).tested
    return [row for row in rows if tested(row)]


def ordered(rows: Iterable[Row], column: str, reverse: bool) -> list[Row]:
    """Rows by their values in a column: numbers before texts, what has none at the end."""
    keys = [(row, value(row, column)) for row in rows]
    there = [(row, found) for row, found in keys if found is not None]
    there.sort(key=lambda pair: (0, pair[1], "") if _is_number(pair[1]) else (1, 0, shown(pair[1])), reverse=reverse)
    return [row for row, _ in there] + [row for row, found in keys if found is None]


def lookup(names: Sequence[str], directories: Sequence[Any] = (), where: str | None = None) -> list[Row]:
    """The runs that a user means, each by its path, its name, the unique beginning of its name, of its last part or
    of its id; or `last`, the newest, or `best`, that of the highest validation accuracy. Raises UserError.

    They are looked for in and below `directories`, among those that fulfil `where`.
    """
    among = cache(lambda: chosen(rows(directories), where))
    return [
        read.row(name) if (Path(name) / "config.yaml").is_file() else _named(name, among(), read.places(directories))
        for name in names
    ]


def directory(name: str) -> Path:
    """The directory of the run that a user means: the one with this path, else as `lookup` finds it."""
    return Path(name if Path(name).is_dir() else lookup([name])[0]["path"])


def _named(name: str, among: Sequence[Row], places: str) -> Row:
    if not among:
        raise UserError(f"there is no run '{name}' below {places}: give the path of one")
    if name == "last":
        return among[0]
    if name == "best":
        scored = [row for row in among if row["state"] == "completed" and math.isfinite(row.get(SCORE, math.nan))]
        if not scored:
            raise UserError(f"no completed run below {places} has a {SCORE}: give the path of a run")
        return max(scored, key=lambda row: row[SCORE])
    wanted = name.rstrip("/")
    exact = [row for row in among if wanted in (row["name"], row["path"])]
    found = exact or [row for row in among if any(part.startswith(wanted) for part in _handles(row["name"]))]
    if not found and Path(name).is_dir():
        inside = sum(1 for _ in read.find([name]))
        raise UserError(
            f"{name} is no run, but a folder with {inside} of them. Give path, name, last or best, or choose some "
            f"with --in {name} --where EXPR"
        )
    if not found:
        near = _near(name, [handle for row in among[:1000] for handle in _handles(row["name"])])
        raise UserError(f"no run below {places} is called '{name}' or begins so{near}. Give path, name, last or best")
    if len(found) > 1:
        some = ", ".join(row["name"] for row in found[:4]) + (", ..." if len(found) > 4 else "")
        raise UserError(f"'{name}' begins the names of {len(found)} runs: {some}. Give more of one")
    return found[0]


def _near(name: str, names: Sequence[str]) -> str:
    found = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean '{found[0]}'?)" if found else ""


def _handles(name: str) -> tuple[str, ...]:
    """What a name may be called by: all of it, its last part, and the id that it ends with."""
    last = name.rpartition("/")[2]
    return name, last, last.rpartition("-")[2]
