"""Every flag of the graded interface sets what its name says, in every spelling and at every place of the line."""

import itertools
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from hydra_trials.compat import VERSION_BASE
from mlp.base.errors import UserError
from mlp.cli.flags import parser
from mlp.cli.overrides import to_hydra

CONF = Path(__file__).resolve().parent.parent / "conf"


def test_no_override_is_lost_between_repeated_flags_and_the_last_of_each_counts() -> None:
    words = to_hydra(["-sz", "8", "seed=1", "-sz", "16", "32", "loss=mse", "-e", "1", "seed=2"])
    assert [word for word in words if word.startswith(("seed=", "loss="))] == [
        "seed=1", "loss=mean_squared_error", "seed=2"]  # fmt: skip
    assert "model.hidden_sizes=[16,32]" in words
    assert [word for word in to_hydra(["seed=3", "-sz", "8", "seed=1"]) if "seed" in word] == ["seed=3", "seed=1"]


@pytest.fixture(autouse=True, scope="module")
def default() -> Iterator[Any]:
    """The configuration without any override."""
    with hydra.initialize_config_dir(**VERSION_BASE, config_dir=str(CONF)):
        yield hydra.compose("config")


def translated(line: str) -> list[str]:
    return to_hydra(shlex.split(line))


def composed(line: str) -> Any:
    """The configuration that Hydra composes from a command line without switches."""
    return hydra.compose("config", overrides=translated(line))


def points(overrides: Sequence[str]) -> list[dict[str, Any]]:
    """What Hydra's grammar reads in overrides, {key: value} for every combination of swept values."""
    choices = []
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.get_key_element()
        swept = override.sweep_string_iterator() if override.is_sweep_override() else [None]
        values = [override.value() if text is None else one(f"{key}={text}") for text in swept]
        choices.append([(key, value) for value in values])
    return [dict(point) for point in itertools.product(*choices)]


def one(override: str) -> Any:
    ((value,),) = (point.values() for point in points([override]))
    return value


def settings(line: str) -> dict[str, Any]:
    """The one point of a command line without sweeps."""
    (point,) = points(translated(line))
    return point


def refusal(line: str) -> str:
    with pytest.raises(UserError) as caught:
        translated(line)
    return str(caught.value)


# The table of the flags: what each one sets, and to what.
TABLE = [
    ("-d --dataset", "fashion_mnist", "dataset._target_", "mlp.data.FashionMNIST"),
    ("-e --epochs", "3", "training.epochs", 3),
    ("-b --batch_size", "32", "training.batch_size", 32),
    ("--val_split", "0.2", "dataset.validation_fraction", 0.2),
    ("-l --loss", "mean_squared_error", "loss._target_", "mlp.nn.MeanSquaredError"),
    ("-o --optimizer", "rmsprop", "optimizer._target_", "mlp.nn.RMSprop"),
    ("-lr --learning_rate", "3e-4", "optimizer.learning_rate", 0.0003),
    ("-wd -w_d --weight_decay", "0.0005", "optimizer.weight_decay", 0.0005),
    ("-nhl --num_layers", "4", "model.num_layers", 4),
    ("-sz --hidden_size --hidden_sizes --hidden_layers", "96", "model.hidden_sizes", 96),
    ("-a --activation", "tanh", "activation._target_", "mlp.nn.Tanh"),
    ("-w_i -wi --weight_init", "random", "init._target_", "mlp.nn.Random"),
    ("-m --momentum", "0.8", "optimizer_options.momentum", 0.8),
    ("-beta --beta", "0.95", "optimizer_options.beta", 0.95),
    ("-beta1 --beta1", "0.85", "optimizer_options.beta1", 0.85),
    ("-beta2 --beta2", "0.98", "optimizer_options.beta2", 0.98),
    ("-eps --epsilon", "1e-6", "optimizer_options.epsilon", 1e-6),
    ("-wp -w_p --wandb_project", "demo", "tracker.project", "demo"),
    ("-we --wandb_entity", "me", "tracker.entity", "me"),
    ("-msp --model_save_path", "out/model.npy", "save.model_path", "out/model.npy"),
    ("--config_save_path", "out/config.json", "save.config_path", "out/config.json"),
    ("-s --seed", "7", "seed", 7),
]
SET = [(flag, given, key, expected) for flags, given, key, expected in TABLE for flag in flags.split()]


@pytest.mark.parametrize(("flag", "given", "key", "expected"), SET, ids=[row[0] for row in SET])
def test_flag_sets_its_value_and_nothing_else(
    flag: str, given: str, key: str, expected: object, default: Any
) -> None:
    changed = composed(f"{flag} {given}")
    assert OmegaConf.select(changed, key) == expected != OmegaConf.select(default, key)
    group = key.partition(".")[0]
    assert {k: v for k, v in changed.items() if k != group} == {k: v for k, v in default.items() if k != group}
    assert translated(f"{flag}={given}") == translated(f"{flag} {given}")


def test_table_of_this_test_has_every_flag_of_the_parser() -> None:
    tested = {row[0] for row in SET}
    # These set nothing of the configuration.
    others = {"--allow", "-mp", "--model_path", "--config_path", "--no_wandb", "-h", "--help"}
    assert set(parser("train")._option_string_actions) == tested | others


SPELLINGS = [
    ("-d", "dataset=mnist", "mnist MNIST Mnist"),
    ("-d", "dataset=fashion_mnist", "fashion_mnist fashion-mnist fashionmnist Fashion-MNIST FASHION_MNIST"),
    ("-d", "dataset=cifar10", "cifar10 CIFAR10 cifar-10"),
    ("-l", "loss=cross_entropy", "cross_entropy crossentropy CrossEntropy cross-entropy"),
    ("-l", "loss=mean_squared_error", "mean_squared_error mse MSE Mean_Squared_Error"),
    ("-o", "optimizer=nag", "nag NAG nesterov Nesterov"),
    ("-o", "optimizer=rmsprop", "rmsprop RMSProp RMSprop"),
    ("-o", "optimizer=sgd", "sgd SGD"),
    ("-a", "activation=relu", "relu ReLU RELU"),
    ("-a", "activation=leaky_relu", "leaky_relu LeakyReLU leaky-relu"),
    ("-w_i", "init=xavier", "xavier Xavier XAVIER"),
    ("-w_i", "init=zeros", "zeros zero Zero"),
]


@pytest.mark.parametrize(("flag", "meaning", "spellings"), SPELLINGS)
def test_spellings_and_aliases_serve_flag_and_override(flag: str, meaning: str, spellings: str) -> None:
    group = meaning.partition("=")[0]
    for spelling in spellings.split():
        assert translated(f"{flag} {spelling}") == translated(f"{group}={spelling}") == [meaning]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("128", 128),
        ("128 64", [128, 64]),
        ("128 64 32", [128, 64, 32]),
        ("128,64", [128, 64]),
        ("[128,64]", [128, 64]),
        ("[128, 64]", [128, 64]),
        ("'[128, 64]'", [128, 64]),
        ("'128 64'", [128, 64]),
        ("128, 64", [128, 64]),
        ("[128]", [128]),
        ("[]", []),
    ],
)
def test_sizes_are_one_number_or_a_list(given: str, expected: object) -> None:
    assert settings(f"-sz {given}") == {"model.hidden_sizes": expected}
    others = {"optimizer": "sgd", "training.epochs": 3, "training.batch_size": 32}
    assert settings(f"-e 3 -sz {given} optimizer=sgd -b 32") == {"model.hidden_sizes": expected} | others


@pytest.mark.parametrize("given", ["relu tanh", "ReLU Tanh", "relu,tanh", "[relu,tanh]", "[relu, tanh]"])
def test_several_activations_are_one_per_layer(given: str) -> None:
    expected = {"model.activations": ["relu", "tanh"], "optimizer": "sgd"}
    assert settings(f"-a {given} optimizer=sgd") == expected


@pytest.mark.parametrize(
    ("line", "multirun", "momenta"),
    [
        ("-m 0.9", False, [0.9]),
        ("-m .9", False, [0.9]),
        ("-m 9e-1", False, [0.9]),
        ("-m -0.5", False, [-0.5]),  # refused later, by the optimizer
        ("-m 0", False, [0]),
        ("-m -m 0.9", True, [0.9]),
        ("-m 0.9 -m", True, [0.9]),
        ("-m -m 0.8,0.9", True, [0.8, 0.9]),
        ("--multirun -m 0.8,0.9", True, [0.8, 0.9]),
        ("-m --momentum 0.8,0.9", True, [0.8, 0.9]),
        ("-m", True, [None]),
        ("-m seed=3", True, [None]),
        ("-o sgd -m", True, [None]),
        ("-m -beta1 0.9", True, [None]),
    ],
)
def test_m_with_a_number_is_momentum_and_alone_is_multirun(line: str, multirun: bool, momenta: list[object]) -> None:
    overrides = translated(line)
    if multirun:
        assert overrides.pop(0) == "--multirun"
    assert "--multirun" not in overrides
    assert [point.get("optimizer_options.momentum") for point in points(overrides)] == momenta


@pytest.mark.parametrize(
    ("line", "key", "values"),
    [
        ("-m -beta1 0.8,0.9", "optimizer_options.beta1", [0.8, 0.9]),
        ("-m -lr 1e-3,1e-4", "optimizer.learning_rate", [1e-3, 1e-4]),
        ("-m -lr 'choice(0.1, 0.2)'", "optimizer.learning_rate", [0.1, 0.2]),
        ("-m -s 'range(1,4)'", "seed", [1, 2, 3]),
        ("-m -o Adam,NESTEROV", "optimizer", ["adam", "nag"]),
        ("-m optimizer=Adam,nesterov", "optimizer", ["adam", "nag"]),
        ("-m optimizer=choice(adam,nag)", "optimizer", ["adam", "nag"]),
        ("-m -d digits,fashion-mnist", "dataset", ["digits", "fashion_mnist"]),
        ("-m -a ReLU,tanh", "activation", ["relu", "tanh"]),
        ("-m -a relu tanh", "model.activations", [["relu", "tanh"]]),
        ("-m -sz [64],[128,64]", "model.hidden_sizes", [[64], [128, 64]]),
        ("-m -sz [64] [128,64]", "model.hidden_sizes", [[64], [128, 64]]),
        ("-m -sz 'choice([64],[128,64])'", "model.hidden_sizes", [[64], [128, 64]]),
        ("-m -sz 128", "model.hidden_sizes", [128]),
        ("-m -sz 128 64", "model.hidden_sizes", [[128, 64]]),
        ("-m -w_i Xavier,zero", "init", ["xavier", "zeros"]),
    ],
)
def test_flags_take_sweeps_in_a_multirun(line: str, key: str, values: list[object]) -> None:
    switch, *overrides = translated(line)
    assert switch == "--multirun"
    assert points(overrides) == [{key: value} for value in values]


def test_two_swept_flags_give_every_combination() -> None:
    _, *overrides = translated("-m -o adam,nadam -lr 1e-3,1e-4")
    found = [tuple(point.values()) for point in points(overrides)]
    assert found == [("adam", 1e-3), ("adam", 1e-4), ("nadam", 1e-3), ("nadam", 1e-4)]


@pytest.mark.parametrize("form", ["-lr {}", "-lr={}", "--learning_rate {}", "--learning_rate={}"])
def test_numbers_arrive_as_numbers_also_negative_ones(form: str) -> None:
    for given in ("-1", "-.5", "-1e-3", "-1E-3", "1e-3", "+0.5", "5"):
        assert settings(form.format(given)) == {"optimizer.learning_rate": float(given)}


NAMES = ["demo", "my project", "it's", 'the "best"', "a,b", "a=b", "[x]", "{x}", "50% (new)", "a\\b", "naïve ✓", "$x",
         "x'y\"z\\", "a:b", "6401", "1e3", "true", "null"]  # fmt: skip


@pytest.mark.parametrize(
    ("flag", "key", "names"),
    [
        ("-wp", "tracker.project", NAMES),
        ("-we", "tracker.entity", ["my team", "7"]),
        ("-msp", "save.model_path", ["my models/best,1.npy", "7"]),
        ("--config_save_path", "save.config_path", ["it's.json", "7"]),
    ],
)
def test_texts_arrive_as_they_were_typed(flag: str, key: str, names: list[str]) -> None:
    for name in names:
        assert points(to_hydra([flag, name])) == [{key: name}]


@pytest.mark.parametrize(
    ("line", "key", "expected"),
    [
        ("-lr 0.1 optimizer.learning_rate=0.2", "optimizer.learning_rate", 0.2),
        ("optimizer.learning_rate=0.2 -lr 0.1", "optimizer.learning_rate", 0.2),
        ("-e 3 training.epochs=4", "training.epochs", 4),
        ("-o adam optimizer=sgd", "optimizer._target_", "mlp.nn.SGD"),
        ("optimizer=sgd -o adam", "optimizer._target_", "mlp.nn.SGD"),
        ("-wp a tracker.project=b", "tracker.project", "b"),
        ("-sz 128 model.hidden_sizes=[1,2]", "model.hidden_sizes", [1, 2]),
        ("optimizer.beta1=0.95 -d mnist -o adam", "optimizer.beta1", 0.95),
        ("-e 3 -e 4", "training.epochs", 4),
    ],
)
def test_explicit_override_wins_over_a_flag_and_the_last_flag_over_earlier_ones(
    line: str, key: str, expected: object
) -> None:
    assert OmegaConf.select(composed(line), key) == expected


SWITCHES = """
--cfg job; --cfg=job; -c job; -c all; --info; -i; --info defaults-tree; --config-dir DIR; --config-dir=DIR; -cd DIR
--config-path DIR; -cp DIR; --config-name NAME; -cn NAME; -sc install=bash; --shell-completion query=bash
--hydra-help; --version; --run; -r; --multirun; -c job --resolve; --cfg job -p optimizer; -c job --package optimizer
"""


@pytest.mark.parametrize("line", re.split(r"; |\n", SWITCHES.strip()))
def test_switches_of_hydra_pass_through_beside_flags_and_overrides(line: str) -> None:
    assert translated(line) == line.split()
    switches, overrides = line.split(), ["training.epochs=3", "seed=1"]
    assert translated(f"{line} -e 3 seed=1") == [*switches, *overrides]
    assert translated(f"-e 3 seed=1 {line}") == [*switches, *overrides]


MISTYPED = """
-lrr:-lr  -lr1e-3:-lr  -beta3:-beta  -nhll:-nhl  -sca:-sc  --learning-rate:--learning_rate  --epoch:--epochs
--no-wandb:--no_wandb  --batchsize:--batch_size  --config_dir:--config-dir  --optimiser:--optimizer
--num_layer:--num_layers  --hidden:--hidden_size  --multi-run:--multirun  --seeds:--seed
"""


@pytest.mark.parametrize(("given", "nearest"), [pair.split(":") for pair in MISTYPED.split()])
def test_unknown_flag_is_refused_with_the_nearest_match(given: str, nearest: str) -> None:
    message = refusal(f"-e 3 {given} 0.1")
    assert re.search(rf"unknown flag {given}; did you mean {nearest}\w*\?", message)
    assert "--help" in message


def test_flag_without_its_value_is_refused_by_name() -> None:
    assert [flag for flag, *_ in SET if flag != "-m" and flag not in refusal(flag)] == []


@pytest.mark.parametrize("word", ["mnist", "extra words", "-5", "0.9"])
def test_word_that_is_neither_flag_nor_override_is_refused(word: str) -> None:
    assert word in refusal(f"-e 3 {shlex.quote(word)}")


def test_paths_that_only_inference_reads_are_noted_and_change_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert translated("-mp model.npy --config_path config.json -e 3") == ["training.epochs=3"]
    notes = capsys.readouterr().err
    assert "--model_path is read by inference.py" in notes
    assert "--config_path is read by inference.py" in notes


@pytest.mark.parametrize("flag", ["--plots=x", "--robustness"])
def test_a_flag_that_only_inference_knows_is_refused_with_its_program(flag: str) -> None:
    assert "is a flag of python inference.py" in refusal(f"-e 3 {flag}")


def test_both_programs_take_the_same_flags() -> None:
    train, infer = (set(parser(prog)._option_string_actions) for prog in ("train", "inference"))
    assert infer - train == {"--plots", "--robustness"}
    assert not train - infer


def test_what_is_replaced_or_ignored_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert settings("-o adam optimizer=sgd -e 3 training.epochs=3")["optimizer"] == "sgd"
    assert capsys.readouterr().err == "Note: optimizer=sgd replaces optimizer=adam, which a flag gives.\n"
    for words, note in (("", "Note: ignored without -m: search.trials.\n"), ("-m", ""), ("+experiment=transfer", "")):
        to_hydra([*words.split(), "search.trials=3"])
        assert capsys.readouterr().err == note


@pytest.mark.parametrize(
    ("line", "ignored"),
    [
        ("-a leaky_relu tanh activation.negative_slope=0.3", "activation.negative_slope"),
        ("activation=elu model.activations=[relu,tanh]", "activation"),
        ("-a elu model.activations=[relu,tanh]", "activation"),
    ],
)
def test_an_activation_beside_those_of_each_layer_is_refused(line: str, ignored: str) -> None:
    assert f"so {ignored} would be ignored" in refusal(line)
    translated("-a elu model.activations=null")
