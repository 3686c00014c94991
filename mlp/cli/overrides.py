"""A command line in Hydra's words: flags become overrides, and names and paths are spelled as Hydra wants them."""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlp.base.errors import UserError
from mlp.base.files import check_directory
from mlp.cli.flags import GROUP_FLAGS, ONE_AT_MOST, VALUE_FLAGS, parse_flags
from mlp.config.files import canonical, groups, options, read_option, renamed
from mlp.config.grammar import entries, last_value, quoted, unquoted
from mlp.config.user_classes import allow

#: Keys whose values are paths or names, which may have any character.
TEXT_KEYS = (
    *(
        "resume",
        "save.model_path",
        "save.config_path",
        "search.name",
        "hydra.run.dir",
        "hydra.sweep.dir",
        "init.path",
    ),
    *("dataset.path", "dataset.test_path", "dataset.data_dir", "dataset.label_column"),
)
#: Groups of which a list may be chosen: the option that takes several, and where it has them.
LISTS = {"tracker": ("several", "tracker"), "augment": ("compose", "augment.steps")}

SHORT_SWITCHES = {"-c": "--cfg", "-i": "--info", "-p": "--package", "-r": "--run", "-sc": "--shell-completion"}
#: Values that cannot name an option: what Hydra takes for a number, a mapping, a list without a name.
NO_NAME = r"|null|true|false|\{.*|\[[^a-z]*\]|[+-]?(\d|\.|inf\b|nan\b)[\w.+-]*|(int|float|bool|str|json_str)\(.*"
#: Words that mean something else than a text.
HYDRA_WORDS = ("null", "true", "false", "nan", "inf")


def to_hydra(arguments: Sequence[str]) -> list[str]:
    """Translate a command line of train.py into Hydra's. Raises UserError."""
    flags, given, switches = parse_flags(arguments)
    allow(flags.allow)
    multirun = "--multirun" in switches
    commands = [name for name in map(_switch_name, switches) if name in ONE_AT_MOST]
    if len(commands) > 1:
        raise UserError(f"{' and '.join(commands)} cannot be combined: give one of them")
    for name in map(_switch_name, switches):
        if name in ("--resolve", "--package") and "--cfg" not in commands:
            raise UserError(f"{name} changes what --cfg shows: give it with --cfg job")
    _check_searchpath(given)
    folders = config_folders(switches, given)
    overrides = []
    for _, group, _, _ in GROUP_FLAGS:
        value = getattr(flags, group)
        if value is not None:
            overrides.append(_checked_option(f"{group}={value}", folders))
    for _, key, _, _ in VALUE_FLAGS:
        value = getattr(flags, key)
        if value is not None:
            overrides.append(f"{key}={quoted(value) if key.startswith('save.') else value}")
    overrides += _activation_overrides(flags.activation, multirun, folders) + _size_overrides(flags.sizes, multirun)
    overrides += _tracking(flags, given, folders)
    for name in ("model_path", "config_path"):
        if getattr(flags, name) is not None:
            print(f"Note: --{name} is read by inference.py; training ignores it.", file=sys.stderr)
    given = [_checked_option(literal(_renamed(word), multirun), folders) for word in given]
    for group in LISTS:
        given = _expanded_list(given, group, folders)
    # Of a key that is given twice, the last value counts.
    values = {key.lstrip("+"): value for key, _, value in (word.partition("=") for word in given)}
    for word in overrides:
        key, _, value = word.partition("=")
        if values.setdefault(key, value) != value:
            print(f"Note: {key}={values[key]} replaces {word}, which a flag gives.", file=sys.stderr)
    single_run = not commands and "hydra.mode" not in values and not _is_search(values.get("experiment"), folders)
    if single_run and (idle := [key for key in values if key.partition(".")[0] == "search"]):
        print(f"Note: ignored without -m: {', '.join(idle)}.", file=sys.stderr)
    single = [key for key in values if key.partition(".")[0] == "activation"]
    if single and values.get("model.activations", "null") != "null":
        raise UserError(
            f"model.activations names the activation of each layer, so {single[0]} would be ignored: give one of them"
        )
    return [*switches, *overrides, *_resumed(given, values)]


def _tracking(flags: argparse.Namespace, given: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """What --no_wandb, -wp and -we mean for the trackers that `given` chooses."""
    if flags.no_wandb or (flags.project or "").lower() == "disabled":
        return ["tracker=none"]
    chosen = last_value(given, "tracker") or "wandb"
    names = [canonical("tracker", name, folders) for name in re.findall(r"[\w-]+", chosen)]
    below = chosen.startswith("[") and len(names) > 1
    overrides = []
    for key in ("project", "entity"):
        if (value := getattr(flags, key)) is None:
            continue
        having = [name for name in names if key in read_option("tracker", name, folders)]
        if not having:
            print(f"Note: --wandb_{key} is ignored: tracker={chosen} has no {key}.", file=sys.stderr)
        overrides += [f"tracker.{name}.{key}={quoted(value)}" for name in having if below]
        overrides += [f"tracker.{key}={quoted(value)}"] if having and not below else []
    return overrides


def _expanded_list(given: list[str], group: str, folders: Sequence[Path]) -> list[str]:
    """`tracker=[wandb,tensorboard]` as Hydra composes it: each option of a list in its place, by its own name."""
    last = max((i for i, word in enumerate(given) if word.startswith(f"{group}=")), default=0)
    match = re.fullmatch(rf"{group}=\[([\w\s,-]*)\]", given[last]) if given else None
    if match is None:
        return given
    option, place = LISTS[group]
    names = [canonical(group, name, folders) for name in re.findall(r"[\w-]+", match[1])]
    if len(set(names)) < len(names) or not names or {"none", option} & set(names):
        possible = [name for name in options(group, folders) if name not in ("none", option)]
        raise UserError(f"{match[0]}: name each option once, of {', '.join(possible)}; or give {group}=none")
    several = [f"{group}={option}", *(f"+{group}@{place}.{name}={name}" for name in names)]
    return [*given[:last], *(several if names[1:] else [f"{group}={names[0]}"]), *given[last + 1 :]]


def _renamed(word: str) -> str:
    """An override with the name that its key has now."""
    prefix, key, rest = re.fullmatch(r"([+~]*)([^=]*)(.*)", word, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{prefix}{renamed(key)}{rest}"


def _resumed(given: list[str], values: Mapping[str, str]) -> list[str]:
    """The overrides `given`, with the directory of the run that is resumed. Raises UserError where there is none."""
    resume, run_dir = values.get("resume", "null"), values.get("hydra.run.dir")
    if resume == "null":
        return given
    directory = Path(unquoted(resume))
    if not unquoted(resume):
        raise UserError("resume= needs a run directory: resume=outputs/...")
    if not directory.exists():  # a name, as `mlp runs` knows it
        from mlp.runs import select

        try:
            directory = select.directory(unquoted(resume))
        except UserError as error:
            raise UserError(f"resume={directory}: no run to continue, {error}") from None
        given = [f"resume={quoted(str(directory))}" if word == f"resume={resume}" else word for word in given]
    if not (directory / "config.yaml").is_file():
        raise UserError(f"resume={directory}: no run to continue, {directory / 'config.yaml'} does not exist")
    check_directory(directory)
    if run_dir is not None and Path(unquoted(run_dir)).resolve() != directory.resolve():
        raise UserError(
            f"hydra.run.dir={unquoted(run_dir)} cannot be combined with resume={directory}: "
            f"a run goes on in its own directory"
        )
    # The run has its own dataset, which need not have the keys of the default one that Hydra composes.
    given = [f"++{word}" if re.match(r"dataset\.(path|test_path|data_dir)=", word) else word for word in given]
    return [*given, f"hydra.run.dir={quoted(str(directory.resolve()))}"]


def _canonical_list(group: str, value: str, folders: Sequence[Path]) -> str:
    """`Adam, NADAM` -> `adam,nadam`, also within choice(...); other sweep functions stay as they are."""
    function = re.fullmatch(r"(choice\()(.*)(\))", value.strip())
    before, names, after = function.groups() if function else ("", value, "")
    if "(" in names:
        return value
    return before + ",".join(canonical(group, name.strip(), folders) for name in names.split(",")) + after


def _activation_overrides(words: list[str] | None, multirun: bool, folders: Sequence[Path]) -> list[str]:
    if words is None:
        return []
    text = ",".join(words)
    if len(words) == 1 and (multirun or "," not in text) and not text.startswith("["):
        return [_checked_option(f"activation={text}", folders)]
    return [f"model.activations=[{','.join(activation_names(words, folders))}]"]


def activation_names(words: Sequence[str], folders: Sequence[Path] = ()) -> list[str]:
    """The names in `relu tanh`, `relu,tanh` or `[relu,tanh]`."""
    return [canonical("activation", name, folders) for name in entries(words)]


def _size_overrides(words: list[str] | None, multirun: bool) -> list[str]:
    """`128` stays a number, `128 64`, `128,64` and `[128,64]` become a list; `[64],[128,64]` is a sweep."""
    if words is None:
        return []
    text = ",".join(words)
    if "(" in text or (multirun and "]," in text):
        return [f"model.hidden_sizes={text}"]
    sizes = entries(words)
    if not sizes and "[" not in text:
        raise UserError("hidden_size needs a number or a list, such as 128 or 128 64")
    single = len(sizes) == 1 and "[" not in text
    return [f"model.hidden_sizes={sizes[0] if single else '[' + ','.join(sizes) + ']'}"]


def literal(word: str, multirun: bool = False) -> str:
    """`key=value` where the value is a path or a name: taken as it is, whatever characters it has.

    What is in quotes, `null`, an interpolation, and in a `multirun` a sweep of what can vary, stay Hydra's.
    """
    key, _, value = word.partition("=")
    if key.lstrip("+") not in TEXT_KEYS or value in ("", "null") or "${" in value or unquoted(value) != value:
        return word
    varies = multirun and key not in ("search.name", "hydra.sweep.dir")
    if varies and ("," in value or re.match(r"[a-z]+\(", value)):
        return word
    if re.fullmatch(r"[A-Za-z_/][\w./-]*", value, re.ASCII) and value.lower() not in HYDRA_WORDS:
        return word
    return f"{key}={quoted(value)}"


def _checked_option(word: str, folders: Sequence[Path]) -> str:
    """Check the options of a `group=option` override, and spell them as their files are; other overrides pass.

    `folders` are further configuration folders that have options.
    """
    prefix, group, value = re.fullmatch(r"([+~]*)([^=]*)=?(.*)", word, re.DOTALL).groups()  # type: ignore[union-attr]
    if group not in groups():
        return word
    if prefix == "~" and group not in ("experiment", "search"):
        raise UserError(f"{word}: {group} cannot be left out. Its options: {', '.join(options(group, folders))}")
    if re.fullmatch(NO_NAME, value, re.DOTALL) or (value.startswith("[") and group not in LISTS):
        raise UserError(f"{word}: {group} takes the name of an option: {', '.join(options(group, folders))}")
    if prefix == "~" or not re.fullmatch(r"(choice\()?[^][{}()'\"$/=]+\)?", value):
        return word
    if group == "dataset" and (ending := Path(value).suffix) in (".npz", ".csv"):
        raise UserError(f"{word}: for a file of yours give -d {ending[1:]} {shlex.quote(f'dataset.path={value}')}")
    prefix = "+" if group == "experiment" else prefix  # it is not in the defaults list, so Hydra wants a plus
    return f"{prefix}{group}={_canonical_list(group, value, folders)}"


def _is_search(experiment: str | None, folders: Sequence[Path]) -> bool:
    """Whether an experiment is a search, without -m."""
    if experiment is None or experiment not in options("experiment", folders):
        return False
    return (read_option("experiment", experiment, folders).get("hydra") or {}).get("mode") == "MULTIRUN"


def _switch_name(switch: str) -> str:
    """`-c` -> `--cfg`, `--cfg=job` -> `--cfg`."""
    name = switch.partition("=")[0]
    return SHORT_SWITCHES.get(name, name)


def config_folders(switches: Sequence[str], given: Sequence[str] = ()) -> list[Path]:
    """The folders of --config-dir, --config-path and hydra.searchpath."""
    words = [part for switch in switches for part in switch.split("=", 1)]
    names = ("--config-dir", "-cd", "--config-path", "-cp")
    folders = [Path(value) for name, value in itertools.pairwise(words) if name in names]
    return [*folders, *(folder for entry in _searchpath_entries(given) for folder in _searched(entry))]


def _searchpath_entries(given: Sequence[str]) -> list[str]:
    """The entries of hydra.searchpath; what is wrong with it Hydra will say."""
    words = [word for word in given if word.lstrip("+").startswith("hydra.searchpath=[")]
    if not words:
        return []
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return [str(entry) for entry in OverridesParser.create().parse_override(words[-1]).value()]  # type: ignore[union-attr]
    except HydraException:
        return []


def _searched(entry: str) -> list[Path]:
    """The folders of an entry of hydra.searchpath: `file://FOLDER`, `pkg://PACKAGE`, or a folder."""
    kind, _, place = entry.rpartition("://")
    if kind == "pkg":
        try:
            package = importlib.util.find_spec(place)
        except (ImportError, ValueError):  # there is no such package
            return []
        return [Path(folder) for folder in (package and package.submodule_search_locations) or []]
    return [Path(place)]


def _check_searchpath(given: Sequence[str]) -> None:
    """Hydra would go on without a folder that is not there."""
    for entry in _searchpath_entries(given):
        if "${" not in entry and not any(folder.is_dir() for folder in _searched(entry)):
            kind = "package" if entry.startswith("pkg://") else "folder"
            raise UserError(f"hydra.searchpath: there is no {kind} {entry.partition('://')[2] or entry}")


def completion_line(line: str) -> str:
    """The line that bash completes, with the flags before its last word translated: Hydra knows only overrides."""
    *words, last = line.split(" ")
    program = next((i + 1 for i, word in enumerate(words) if word.endswith(".py")), 1)
    try:
        overrides = to_hydra([word for word in words[program:] if word])
    except UserError:
        overrides = [word for word in words[program:] if "=" in word]
    return " ".join([*words[:program], *overrides, last])
