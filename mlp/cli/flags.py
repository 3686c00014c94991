"""The flags of the programs, and what is no flag: overrides and Hydra's switches.

    python train.py -d mnist -o adam -lr 1e-3 optimizer.beta1=0.95

What is none of them is refused with the nearest match. `--help` must answer quickly: nothing slow is imported here.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlp.base import paths
from mlp.base.errors import UserError
from mlp.base.naming import parse_sizes
from mlp.config.files import groups, options
from mlp.config.grammar import entries

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
    (("--momentum",), "optimizer_options.momentum", "MU", "momentum of momentum and nag (also: -m MU)"),
    (("-beta", "--beta"), "optimizer_options.beta", "BETA", "decay of rmsprop"),
    (("-beta1", "--beta1"), "optimizer_options.beta1", "BETA", "first decay of adam and nadam"),
    (("-beta2", "--beta2"), "optimizer_options.beta2", "BETA", "second decay of adam and nadam"),
    (("-eps", "--epsilon"), "optimizer_options.epsilon", "EPS", "epsilon of rmsprop, adam and nadam"),
    (("--val_split",), "dataset.validation_fraction", "SHARE", "share of the training set held out for validation"),
    (("-s", "--seed"), "seed", "N", "random seed"),
    (("-msp", "--model_save_path"), "save.model_path", "FILE",
     "also save the best model to FILE, with its configuration beside it"),
    (("--config_save_path",), "save.config_path", "FILE", "save that configuration to FILE instead"),
]  # fmt: skip
ONE_VALUE_FLAGS = [*GROUP_FLAGS, *VALUE_FLAGS]
TEXT_METAVARS = ("NAME", "FILE")  # N is an integer, the others are numbers
#: Of the flags above and of --activation: those that inference.py reads. It accepts the others, as train.py its own.
READ_BY_INFERENCE = ("dataset", "loss", "activation")
#: What only inference.py knows.
INFERENCE_FLAGS = ("--plots", "--robustness")
#: Hydra's own switches, handed on as they are; the second entry: whether a value follows.
HYDRA_SWITCHES = {
    "--multirun": False, "--run": False, "-r": False, "--resolve": False, "--version": False, "--hydra-help": False,
    "-sc": True, "--shell-completion": True, "-c": True, "--cfg": True, "-p": True, "--package": True,
    "-cp": True, "--config-path": True, "-cn": True, "--config-name": True, "-cd": True, "--config-dir": True,
    "-i": None, "--info": None,
}  # fmt: skip
#: Of these, one at most.
ONE_AT_MOST = ("--run", "--multirun", "--cfg", "--info", "--shell-completion")
INFO_KINDS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")

EXAMPLES = """\
examples:
  COMMAND -d fashion_mnist -e 20 -o nadam -a tanh -sz 128 64
  COMMAND optimizer=adam optimizer.beta1=0.95 model.hidden_sizes=[128,64] dataset=fashion_mnist
  COMMAND -d csv dataset.path=FILE.csv dataset.test_fraction=0.2     your own table (also npz, folder)
  COMMAND -m optimizer=sgd,adam optimizer.learning_rate=1e-3,1e-2    every combination, in parallel
  COMMAND -m search=tpe search.trials=100 search.name=mnist          a search; the same command continues it
  COMMAND tracker=tensorboard                                        or trackio, mlflow, wandb; none switches it off
  COMMAND 'tracker=[wandb,tensorboard]' tracker.wandb.project=demo   several; each has its options under its name
  COMMAND resume=outputs/2026-01-31/12-00-00-1a2b3c                  continue an interrupted run
  COMMAND --cfg job                                                  show the configuration, run nothing

Values are case-insensitive. Any value of the configuration can be set as key=value; conf/ lists them with comments.
Hydra's switches work too: --multirun (-m), --cfg, --info, --config-dir, --shell-completion (-sc), --hydra-help.
"""

INFERENCE_EXAMPLES = """\
examples:
  COMMAND                                             best_model.npy and best_config.json at the root
  COMMAND -mp outputs/.../best_model.npy --plots plots
  COMMAND -mp mine.npy -d digits -a tanh              a model without a configuration
  COMMAND -mp mine.npy dataset.path=FILE.npz          a model of your own arrays, table or pictures
  COMMAND -mp a.npy b.npy c.npy                       an ensemble: the mean of their probabilities

The configuration of mine.npy is mine_config.json beside it, that of best_model.npy is best_config.json. The flags of
training are accepted too, and ignored with a note.
"""


def asks_for_help(arguments: Sequence[str]) -> bool:
    return bool({"-h", "--help"} & set(arguments))


def parser(
    program: str = "train",
    examples: str = EXAMPLES,
    folders: Sequence[Path] = (),
    description: str | None = None,
    files: str = "",
) -> argparse.ArgumentParser:
    """The flags that all programs accept; the help of each lists those that it reads. `folders` have options too;
    `files` can be given in the place of flags."""
    infers = program == "inference"
    command = paths.command(program)
    overrides = "[dataset.key=value ...]" if infers else "[group=option ...] [key=value ...]"
    groups_text = _groups_text(READ_BY_INFERENCE if infers else None, folders)
    result = argparse.ArgumentParser(
        prog=command,
        usage=f"{command} [flags] {overrides}{files}",
        description=description,
        epilog=f"{groups_text}\n{(INFERENCE_EXAMPLES if infers else examples).replace('COMMAND', command)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    flags = result.add_argument_group("flags")

    def add(*names: str, dest: str, help: str, read: bool, **further: Any) -> None:
        flags.add_argument(*names, dest=dest, help=help if read else argparse.SUPPRESS, **further)

    for names, target, metavar, text in ONE_VALUE_FLAGS:
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
    add("-mp", "--model_path", dest="model_path", nargs="+", action="append", metavar="FILE", read=infers,
        help="the model to read (default: best_model.npy at the root); several make an ensemble")  # fmt: skip
    add("--config_path", dest="config_path", metavar="FILE", read=infers,
        help="its configuration (default: the one beside it)")  # fmt: skip
    if infers:
        flags.add_argument(
            "--plots",
            metavar="DIR",
            help="write confusion matrices, bars, calibration, samples and the robustness to DIR",
        )
        flags.add_argument("--robustness", action="store_true",
                           help="also measure it on shifted, turned, noisy and otherwise changed images")  # fmt: skip
    add("--allow", dest="allow", action="append", metavar="MODULE", default=[], read=True,
        help="let the configuration use classes of your MODULE")  # fmt: skip
    add("-m", action="store_true", dest="multirun", help="search over every combination of comma-separated "
        "values; -m followed by a number is the momentum", read=not infers)  # fmt: skip
    flags.add_argument("-h", "--help", action="store_true", help="show this help")
    return result


def graded_namespace(argv: Sequence[str], program: str = "train") -> argparse.Namespace:
    """The flags by their long names, as the graded `NeuralNetwork` takes them; None for those that are not given.

    Raises UserError for what is no flag, or a value that is no number where one is needed.
    """
    given, _, _ = parse_flags(argv, program)
    found: dict[str, Any] = {"help": given.help, "no_wandb": given.no_wandb}
    for names, target, metavar, _ in ONE_VALUE_FLAGS:
        name, text = names[-1].lstrip("-"), getattr(given, target)
        try:
            is_text = text is None or metavar in TEXT_METAVARS
            found[name] = text if is_text else int(text) if metavar == "N" else float(text)
        except ValueError:
            kind = "an integer" if metavar == "N" else "a number"
            raise UserError(f"--{name} must be {kind}. Got {text!r}") from None
    sizes = None if given.sizes is None else parse_sizes("hidden_size", ",".join(given.sizes))
    activation = given.activation and entries(given.activation)
    return argparse.Namespace(
        **found,
        hidden_size=sizes,
        activation=activation[0] if activation and len(activation) == 1 else activation,
        wandb_project=given.project,
        wandb_entity=given.entity,
        model_path=given.model_path and (given.model_path if given.model_path[1:] else given.model_path[0]),
        config_path=given.config_path,
    )


def training_flags(flags: argparse.Namespace) -> list[str]:
    """The flags on the command line that only training reads, by their long names."""
    of_training = {target: names[-1] for names, target, _, _ in ONE_VALUE_FLAGS}
    of_training |= {"sizes": "--hidden_size", "project": "--wandb_project", "entity": "--wandb_entity"}
    given = [target for target in of_training if getattr(flags, target) is not None]
    off = (flags.project or "").lower() == "disabled"  # as it is here anyway
    return [of_training[key] for key in given if key not in READ_BY_INFERENCE and not (key == "project" and off)]


def _groups_text(chosen: Sequence[str] | None, folders: Sequence[Path]) -> str:
    lines = ["groups and their options (conf/GROUP/OPTION.yaml):"]
    known = [*groups(), "search/space"] if chosen is None else chosen
    width = max(12, *map(len, known))
    lines += [f"  {group:{width}} {', '.join(options(group, folders))}" for group in known if options(group, folders)]
    return "\n".join(lines) + "\n"


def parse_flags(arguments: Sequence[str], program: str = "train") -> tuple[argparse.Namespace, list[str], list[str]]:
    """Split a command line into flags, Hydra overrides and Hydra switches. Raises UserError for anything else."""
    flags = parser(program)
    command = paths.command(program)
    arguments, switches = _take_switches(list(arguments))
    known = [*flags._option_string_actions, *HYDRA_SWITCHES]
    for token in arguments:
        name = token.partition("=")[0]
        if token.startswith("-") and not _is_float(token) and name not in known:
            if name in INFERENCE_FLAGS:
                raise UserError(f"{name} is a flag of {paths.command('inference')}, which evaluates a saved model")
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UserError(f"unknown flag {name}{hint} ({command} --help lists the flags)")
    flags._negative_number_matcher = re.compile(r"^-\.?\d.*$")  # argparse's own does not know -1e-3
    try:
        flags.exit_on_error = False
        namespace, rest = flags.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise UserError(str(error)) from error
    overrides = []
    if namespace.model_path:  # nargs="+" also swallows the overrides that follow
        first, *others = namespace.model_path[-1]
        overrides += [word for word in others if "=" in word and not Path(word).exists()]
        namespace.model_path = [first, *(word for word in others if word not in overrides)]
    for name in ("sizes", "activation"):
        given = getattr(namespace, name) or [[]]
        overrides += [word for words in given for word in words if "=" in word]
        setattr(namespace, name, [word for word in given[-1] if "=" not in word] or None)
    # In the order of the command line, since of several values the last one counts.
    places = {argument: place for place, argument in enumerate(arguments)}  # one behind a flag's = has none
    overrides = sorted([*overrides, *rest], key=lambda word: places.get(word, -1))
    for word in overrides:
        if ("=" not in word and not word.startswith("~")) or word.lstrip("+~").startswith("="):
            raise UserError(
                f"unexpected argument '{word}': expected a flag, group=option or key=value "
                f"({command} --help lists them)"
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
            momentum = bool(arguments) and all(map(_is_float, arguments[0].split(",")))
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


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
