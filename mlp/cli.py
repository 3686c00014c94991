"""The command line: graded flags become Hydra overrides, and mistakes become one clear message.

    python train.py -d mnist -o adam -lr 1e-3 optimizer.beta1=0.95

Flags and overrides mix; what is neither is refused with the nearest match. `--help` must answer quickly, so
Hydra and NumPy are imported where they are used.
"""

from __future__ import annotations

import argparse
import atexit
import difflib
import gc
import importlib.util
import itertools
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlp import blas, streams
from mlp.conf_files import groups, options

#: Flags that choose an option of a group, or set a configuration value: option strings, target, metavar, help.
GROUP_FLAGS = [
    (("-d", "--dataset"), "dataset", "NAME", "dataset"),
    (("-l", "--loss"), "loss", "NAME", "loss"),
    (("-o", "--optimizer"), "optimizer", "NAME", "optimizer"),
    (("-w_i", "-wi", "--weight_init"), "init", "NAME", "initial weights"),
]
VALUE_FLAGS = [
    (("-e", "--epochs"), "training.epochs", "N", "passes over the training data"),
    (("-b", "--batch_size"), "training.batch_size", "N", "samples per step"),
    (("-lr", "--learning_rate"), "optimizer.learning_rate", "RATE", "learning rate"),
    (("-wd", "-w_d", "--weight_decay"), "optimizer.weight_decay", "L2", "L2 coefficient, on weights only"),
    (("-nhl", "--num_layers"), "model.num_layers", "N", "hidden layers"),
    (("--momentum",), "coefficients.momentum", "MU", "momentum of momentum and nag (also: -m MU)"),
    (("-beta", "--beta"), "coefficients.beta", "BETA", "decay of rmsprop"),
    (("-beta1", "--beta1"), "coefficients.beta1", "BETA", "first decay of adam and nadam"),
    (("-beta2", "--beta2"), "coefficients.beta2", "BETA", "second decay of adam and nadam"),
    (("-eps", "--epsilon"), "coefficients.epsilon", "EPS", "epsilon of rmsprop, adam and nadam"),
    (("-s", "--seed"), "seed", "N", "seed of everything random"),
    (
        ("-msp", "--model_save_path"),
        "save.model_path",
        "FILE",
        "also copy the best model to FILE, its configuration beside it",
    ),
    (("--config_save_path",), "save.config_path", "FILE", "copy the configuration to FILE instead"),
]
#: Of the flags above and of --activation: those that inference.py reads. It accepts the others, as train.py its own.
READ_BY_INFERENCE = ("dataset", "loss", "activation")
#: What only inference.py knows.
INFERENCE_FLAGS = ("--plots", "--robustness")
#: Hydra's own switches, handed on as they are; the second entry: whether a value follows.
HYDRA_SWITCHES = {
    "--multirun": False, "--run": False, "-r": False, "--resolve": False, "--version": False, "--hydra-help": False,
    "-sc": True, "--shell-completion": True, "-c": True, "--cfg": True, "-p": True, "--package": True,
    "-cp": True, "--config-path": True, "-cn": True, "--config-name": True, "-cd": True, "--config-dir": True,
    "-i": None, "--info": None, "--experimental-rerun": True,
}  # fmt: skip
#: Of these, one at most.
COMMANDS = ("--run", "--multirun", "--cfg", "--info", "--shell-completion", "--experimental-rerun")
INFO_KINDS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")

#: Keys whose values are paths or names, which may have any character.
TEXT_KEYS = (
    *("resume", "save.model_path", "save.config_path", "dataset.path", "dataset.data_dir", "search.name"),
    *("hydra.run.dir", "hydra.sweep.dir"),
)

EXAMPLES = """\
examples:
  python train.py -d fashion_mnist -e 20 -o nadam -a tanh -sz 128 64
  python train.py optimizer=adam optimizer.beta1=0.95 model.hidden_sizes=[128,64] dataset=fashion_mnist
  python train.py -m optimizer=sgd,adam optimizer.learning_rate=1e-3,1e-2    every combination, in parallel
  python train.py -m search=tpe search.trials=100 search.name=mnist          a search; the same command continues it
  python train.py resume=outputs/2026-01-31/12-00-00-1a2b3c                  continue an interrupted run
  python train.py --cfg job                                                  show the configuration, run nothing

Values are case-insensitive. Any value of the configuration can be set as key=value; conf/ lists them with comments.
Hydra's switches work too: --multirun (-m), --cfg, --info, --config-dir, --shell-completion (-sc), --hydra-help.
"""

INFERENCE_EXAMPLES = """\
examples:
  python inference.py                                             best_model.npy and best_config.json at the root
  python inference.py -mp outputs/.../best_model.npy --plots plots
  python inference.py -mp mine.npy -d digits -a tanh              a model without a configuration
  python inference.py -mp mine.npy dataset.path=FILE.npz          a model of your own arrays

The configuration of mine.npy is mine_config.json beside it, that of best_model.npy is best_config.json. The flags of
training are accepted too, and ignored with a note.
"""


def parser(prog: str, examples: str = EXAMPLES) -> argparse.ArgumentParser:
    """The flags that all programs accept; the help of each lists those that it reads."""
    infers = prog == "inference.py"
    overrides = "[dataset.key=value ...]" if infers else "[group=option ...] [key=value ...]"
    groups_text = _groups_text(READ_BY_INFERENCE if infers else None)
    result = argparse.ArgumentParser(
        prog=prog,
        usage=f"python {prog} [flags] {overrides}",
        epilog=groups_text + "\n" + (INFERENCE_EXAMPLES if infers else examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    flags = result.add_argument_group("flags")

    def add(*names: str, dest: str, help: str, read: bool, **further: Any) -> None:
        flags.add_argument(*names, dest=dest, help=help if read else argparse.SUPPRESS, **further)

    for names, target, metavar, text in [*GROUP_FLAGS, *VALUE_FLAGS]:
        add(*names, dest=target, metavar=metavar, help=text, read=not infers or target in READ_BY_INFERENCE)
    add("-a", "--activation", dest="activation", nargs="+", action="append", metavar="NAME", read=True,
        help="hidden activation, or one per hidden layer")  # fmt: skip
    add("-sz", "--hidden_size", "--hidden_sizes", "--hidden_layers", dest="sizes", nargs="+", action="append",
        metavar="N",
        help="neurons per hidden layer: one number for all, or a list", read=not infers)  # fmt: skip
    add("-wp", "-w_p", "--wandb_project", dest="project", metavar="NAME", read=not infers,
        help="W&B project; 'disabled' switches W&B off")  # fmt: skip
    add("-we", "--wandb_entity", dest="entity", metavar="NAME", help="W&B entity (user or team)", read=not infers)
    add("--no_wandb", dest="no_wandb", action="store_true", help="switch W&B off", read=not infers)
    add("-mp", "--model_path", dest="model_path", metavar="FILE", read=infers,
        help="the model to read (default: best_model.npy at the root)")  # fmt: skip
    add("--config_path", dest="config_path", metavar="FILE", read=infers,
        help="its configuration (default: the one beside it)")  # fmt: skip
    if infers:
        flags.add_argument("--plots", metavar="DIR", help="write confusion matrices, bars and samples to DIR")
        flags.add_argument("--robustness", action="store_true",
                           help="also measure it on shifted, turned, resized, noisy and inverted images")  # fmt: skip
    add("-m", action="store_true", dest="multirun", help="run every combination of the values given "
        "as comma lists; -m followed by a number is the momentum", read=not infers)  # fmt: skip
    flags.add_argument("-h", "--help", action="store_true", help="this text")
    return result


def training_flags(flags: argparse.Namespace) -> list[str]:
    """The flags on the command line that only training reads, by their long names."""
    of_training = {target: names[-1] for names, target, _, _ in [*GROUP_FLAGS, *VALUE_FLAGS]}
    of_training |= {"sizes": "--hidden_size", "project": "--wandb_project", "entity": "--wandb_entity"}
    given = [target for target in of_training if getattr(flags, target) is not None]
    off = (flags.project or "").lower() == "disabled"  # as it is here anyway
    return [of_training[key] for key in given if key not in READ_BY_INFERENCE and not (key == "project" and off)]


def _groups_text(chosen: Sequence[str] | None = None) -> str:
    lines = ["groups and their options (conf/GROUP/OPTION.yaml):"]
    known = [*groups(), "search/space"] if chosen is None else chosen
    lines += [f"  {group:12} {', '.join(options(group))}" for group in known if options(group)]
    return "\n".join(lines) + "\n"


def parse(arguments: Sequence[str], prog: str = "train.py") -> tuple[argparse.Namespace, list[str], list[str]]:
    """Split a command line into flags, Hydra overrides and Hydra switches. Raises UserError for anything else."""
    flags = parser(prog)
    arguments, switches = _take_switches(list(arguments))
    known = [*flags._option_string_actions, *HYDRA_SWITCHES]
    for token in arguments:
        name = token.partition("=")[0]
        if token.startswith("-") and not _is_number(token) and name not in known:
            from mlp.errors import UserError

            if name in INFERENCE_FLAGS:
                raise UserError(f"{name} is a flag of inference.py, which measures a saved model")
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UserError(f"unknown flag {name}{hint} (python {prog} --help lists the flags)")
    flags._negative_number_matcher = re.compile(r"^-\.?\d.*$")  # argparse's own does not know -1e-3
    try:
        flags.exit_on_error = False
        namespace, rest = flags.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        from mlp.errors import UserError

        raise UserError(str(error)) from error
    overrides = []
    for name in ("sizes", "activation"):  # nargs="+" also swallows the overrides that follow
        given = getattr(namespace, name) or [[]]
        overrides += [word for words in given for word in words if "=" in word]
        setattr(namespace, name, [word for word in given[-1] if "=" not in word] or None)
    # In the order of the command line, since of several values the last one counts.
    overrides = sorted([*overrides, *rest], key=lambda word: -arguments[::-1].index(word))
    for word in overrides:
        if "=" not in word and not word.startswith("~"):
            from mlp.errors import UserError

            raise UserError(
                f"unexpected argument '{word}': expected a flag, group=option or key=value "
                f"(python {prog} --help lists them)"
            )
    return namespace, overrides, switches


def _take_switches(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Take Hydra's switches out, and tell `-m 0.9` (momentum) from a bare `-m` (multirun)."""
    rest: list[str] = []
    switches: list[str] = []
    while arguments:
        token = arguments.pop(0)
        name = token.partition("=")[0]
        if token.startswith("-m="):
            rest.append(f"--momentum{token[2:]}")
        elif token == "-m":
            momentum = bool(arguments) and all(map(_is_number, arguments[0].split(",")))
            (rest if momentum else switches).append("--momentum" if momentum else "--multirun")
        elif name in HYDRA_SWITCHES:
            switches.append(token)
            takes_value = HYDRA_SWITCHES[name]
            optional = takes_value is None and arguments and arguments[0] in INFO_KINDS
            if "=" not in token and arguments and (takes_value or optional):
                switches.append(arguments.pop(0))
        else:
            rest.append(token)
    return rest, switches


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def to_hydra(arguments: Sequence[str]) -> list[str]:
    """Translate a command line of train.py into Hydra's. Raises UserError."""
    from mlp.errors import UserError

    flags, given, switches = parse(arguments)
    multirun = "--multirun" in switches
    commands = [name for name in map(_switch_name, switches) if name in COMMANDS]
    if len(commands) > 1:
        raise UserError(f"{' and '.join(commands)} cannot be combined: give one of them")
    _check_searchpath(given)
    folders = config_folders(switches, given)
    overrides = []
    for _, group, _, _ in GROUP_FLAGS:
        value = getattr(flags, group)
        if value is not None:
            overrides.append(_checked(f"{group}={value}", folders))
    for _, key, _, _ in VALUE_FLAGS:
        value = getattr(flags, key)
        if value is not None:
            overrides.append(f"{key}={quoted(value) if key.startswith('save.') else value}")
    overrides += _activation(flags.activation, multirun, folders) + _sizes(flags.sizes, multirun)
    if flags.no_wandb or (flags.project or "").lower() == "disabled":
        overrides.append("tracker=none")
    elif "tracker=none" not in given:
        for key in ("project", "entity"):
            value = getattr(flags, key)
            if value is not None:
                overrides.append(f"tracker.{key}={quoted(value)}")
    for name in ("model_path", "config_path"):
        if getattr(flags, name) is not None:
            print(f"Note: --{name} is read by inference.py; training ignores it.", file=sys.stderr)
    given = [_checked(literal(word, multirun), folders) for word in given]
    # Of a key that is given twice, the last value counts.
    values = {key.lstrip("+"): value for key, _, value in (word.partition("=") for word in given)}
    resume, run_dir = values.get("resume", "null"), values.get("hydra.run.dir")
    if resume != "null":
        directory = Path(unquoted(resume))
        if not unquoted(resume):
            raise UserError("resume= needs a run directory: resume=outputs/...")
        if not (directory / "config.yaml").is_file():
            raise UserError(f"resume={directory}: no run to continue, {directory / 'config.yaml'} does not exist")
        if run_dir is not None and Path(unquoted(run_dir)).resolve() != directory.resolve():
            raise UserError(
                f"hydra.run.dir={unquoted(run_dir)} cannot be combined with resume={directory}: "
                f"a run goes on in its own directory"
            )
        given.append(f"hydra.run.dir={quoted(str(directory.resolve()))}")
        # The run has its own dataset, which need not have the keys of the default one that Hydra composes.
        given = [f"++{word}" if word.startswith(("dataset.path=", "dataset.data_dir=")) else word for word in given]
    return [*switches, *overrides, *given]


def _canonical_list(group: str, value: str, folders: Sequence[Path]) -> str:
    """`Adam, NADAM` -> `adam,nadam`, also within choice(...); other sweep functions stay as they are."""
    from mlp.config import canonical

    function = re.fullmatch(r"(choice\()(.*)(\))", value.strip())
    before, names, after = function.groups() if function else ("", value, "")
    if "(" in names:
        return value
    return before + ",".join(canonical(group, name.strip(), folders) for name in names.split(",")) + after


def _activation(words: list[str] | None, multirun: bool, folders: Sequence[Path]) -> list[str]:
    if words is None:
        return []
    text = ",".join(words)
    if len(words) == 1 and (multirun or "," not in text) and not text.startswith("["):
        return [f"activation={_canonical_list('activation', text, folders)}"]
    return [f"model.activations=[{','.join(activation_names(words))}]"]


def activation_names(words: Sequence[str]) -> list[str]:
    """The names in `relu tanh`, `relu,tanh` or `[relu,tanh]`."""
    from mlp.config import canonical

    return [canonical("activation", name) for name in re.split(r"[\s,\[\]]+", ",".join(words)) if name]


def _sizes(words: list[str] | None, multirun: bool) -> list[str]:
    """`128` stays a number, `128 64`, `128,64` and `[128,64]` become a list; `[64],[128,64]` is a sweep."""
    from mlp.errors import UserError

    if words is None:
        return []
    text = ",".join(words)
    if "(" in text or (multirun and "]," in text):
        return [f"model.hidden_sizes={text}"]
    sizes = [size for size in re.split(r"[\s,\[\]]+", text) if size]
    if not sizes and "[" not in text:
        raise UserError("hidden_size needs a number or a list, such as 128 or 128 64")
    single = len(sizes) == 1 and "[" not in text
    return [f"model.hidden_sizes={sizes[0] if single else '[' + ','.join(sizes) + ']'}"]


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
    return f"{key}={quoted(value)}"


def _checked(word: str, folders: Sequence[Path]) -> str:
    """Check the options of a `group=option` override, and spell them as their files are; other overrides pass.

    `folders` are further configuration folders that have options.
    """
    from mlp.errors import UserError

    key, _, value = word.partition("=")
    if key in groups() and (value == "null" or value.startswith("{")):
        raise UserError(f"{word}: {key} takes the name of an option: {', '.join(options(key))}")
    match = re.fullmatch(r"(\+{0,2})([a-z_]+)=((?:choice\()?[\w, -]+\)?)", word)
    if not match or match[2] not in groups():
        return word
    prefix, group, value = match.groups()
    prefix = "+" if group == "experiment" else prefix  # it is not in the defaults list, so Hydra wants a plus
    return f"{prefix}{group}={_canonical_list(group, value, folders)}"


def _switch_name(switch: str) -> str:
    """`-c` -> `--cfg`, `--cfg=job` -> `--cfg`."""
    name = switch.partition("=")[0]
    return {"-c": "--cfg", "-i": "--info", "-sc": "--shell-completion"}.get(name, name)


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
    from mlp.errors import UserError

    for entry in _searchpath_entries(given):
        if "${" not in entry and not any(folder.is_dir() for folder in _searched(entry)):
            kind = "package" if entry.startswith("pkg://") else "folder"
            raise UserError(f"hydra.searchpath: there is no {kind} {entry.partition('://')[2] or entry}")


def not_of_all(key: str, without: Sequence[str]) -> str:
    """What to say of a key that the options `without` lack, as `optimizer=sgd`, which a search tries."""
    return (
        f"{key} is no key of {' and '.join(without)}, which the search tries too. Search over the options that have "
        f"it, or tie it to them with `when` in a file of conf/search/space"
    )


def completion_line(line: str) -> str:
    """The line that bash completes, with the flags before its last word translated: Hydra knows only overrides."""
    from mlp.errors import UserError

    *words, last = line.split(" ")
    program = next((i + 1 for i, word in enumerate(words) if word.endswith(".py")), 1)
    try:
        overrides = to_hydra([word for word in words[program:] if word])
    except UserError:
        overrides = [word for word in words[program:] if "=" in word]
    return " ".join([*words[:program], *overrides, last])


def main(argv: Sequence[str] | None = None) -> float | None:
    """Run train.py. Exits with 2 after a user's mistake, 3 after divergence, 1 after other failures."""
    streams.prepare()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if {"-h", "--help"} & set(arguments):
        parser("train.py").print_help()
        return None
    blas.prepare()
    # What is imported is no garbage: not to search it during the imports and at the exit saves 30 ms.
    gc.disable()
    from mlp.launch import launch

    gc.freeze()
    gc.enable()
    atexit.register(gc.freeze)
    return launch(arguments)
