"""A search space says what it means: sweeps become distributions, conditions hold, mistakes show."""

from typing import Any

import optuna
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hydra_trials.errors import SearchError
from hydra_trials.space import Space
from hydra_trials.sweep_syntax import from_config, split_sweeps
from mlp.base.naming import by_name
from mlp.base.naming import subclasses as classes
from mlp.config.files import CONF, options
from mlp.nn import Optimizer


def only(line: str) -> Any:
    (parameter,), fixed = split_sweeps([line])
    assert fixed == []
    return parameter.distribution


@pytest.mark.parametrize(
    ("line", "distribution"),
    [
        ("a=1e-3,1e-2", CategoricalDistribution([0.001, 0.01])),
        ("a=choice([64],[128,128])", CategoricalDistribution(["[64]", "[128,128]"])),
        ("a=adam,sgd", CategoricalDistribution(["adam", "sgd"])),
        ("a=true,false", CategoricalDistribution([True, False])),
        ("a=range(1,7)", IntDistribution(1, 6)),
        ("a=range(0,10,5)", IntDistribution(0, 5, step=5)),
        ("a=interval(0.8,0.99)", FloatDistribution(0.8, 0.99)),
        ("a=interval(1,5)", FloatDistribution(1.0, 5.0)),
        ("a=int(interval(1,5))", IntDistribution(1, 5)),
        ("a=tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("a=tag(log,int(interval(16,256)))", IntDistribution(16, 256, log=True)),
    ],
)
def test_sweeps_mean_distributions(line: str, distribution: Any) -> None:
    assert only(line) == distribution


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a=tag(log,interval(0,1))", "0 < low < high"),
        ("a=interval(2,1)", "low < high"),
        ("a=tag(lgo,interval(1,2))", "did you mean 'log'"),
        ("a=adam,adam", "given twice"),
    ],
)
def test_a_sweep_without_sense_is_refused(line: str, message: str) -> None:
    with pytest.raises(SearchError, match=message):
        split_sweeps([line])


def test_what_does_not_vary_is_fixed() -> None:
    varied, fixed = split_sweeps(["optimizer=adam,sgd", "training.epochs=3", "+x=[1,2]"])
    assert [parameter.key for parameter in varied] == ["optimizer"]
    assert fixed == ["training.epochs=3", "+x=[1,2]"]


CONDITIONAL = {
    "optimizer": "choice(sgd, momentum, adam)",
    "optimizer.momentum": {"values": "choice(0.8, 0.9)", "when": {"optimizer": "momentum"}},
    "optimizer.beta1": {"values": "choice(0.85, 0.9, 0.95)", "when": {"optimizer": ["adam", "nadam"]}},
    "model.hidden_sizes": {"values": "choice(32, 64)", "length": "range(1, 3)"},
}


def grid_lines(space: Space) -> set[str]:
    return {" ".join(space.suggest(optuna.trial.FixedTrial(point))) for point in space.grid()}  # type: ignore[arg-type]


def test_a_grid_has_every_combination_that_exists_and_no_other() -> None:
    """By hand: 1 + 2 + 3 choices of optimizer and coefficient, times 2 lists of one size and 4 of two."""
    lines = grid_lines(Space(from_config(CONDITIONAL)))
    assert len(lines) == (1 + 2 + 3) * (2 + 4)
    assert "optimizer=sgd model.hidden_sizes=[32]" in lines
    assert "optimizer=momentum optimizer.momentum=0.9 model.hidden_sizes=[64,32]" in lines
    assert not any("optimizer=sgd" in line and "optimizer." in line for line in lines)


def test_a_fixed_key_leaves_the_space_and_still_decides_about_others() -> None:
    space = Space(from_config(CONDITIONAL, fixed={"optimizer"}), {"optimizer": "momentum"})
    assert grid_lines(space) == {
        f"optimizer.momentum={momentum} model.hidden_sizes=[{sizes}]"
        for momentum in (0.8, 0.9)
        for sizes in ("32", "64", "32,32", "32,64", "64,32", "64,64")
    }


def test_other_values_beside_other_choices() -> None:
    entry = [{"values": "choice(1, 2)", "when": {"o": "a"}}, {"values": "choice(3)", "when": {"o": "b"}}]
    space = Space(from_config({"o": "choice(a, b)", "rate": entry}))
    assert grid_lines(space) == {"o=a rate=1", "o=a rate=2", "o=b rate=3"}


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"a": {"value": "choice(1, 2)"}}, "did you mean 'values'"),
        ({"a": {"when": {"b": 1}}}, "values are missing"),
        ({"a": {"values": "choice(1, 2)", "when": {"b": 1}}}, "a depends on b, which must stand before it"),
        ({"a": "choice(1, 2"}, "a=choice"),
    ],
)
def test_a_mistake_in_a_file_is_explained(node: dict[str, Any], message: str) -> None:
    with pytest.raises(SearchError, match=message):
        Space(from_config(node))


def test_a_grid_of_an_interval_is_refused() -> None:
    with pytest.raises(SearchError, match="a grid cannot enumerate a=0 to 1"):
        Space(from_config({"a": "interval(0, 1)"})).grid()


def test_covering_points_show_every_choice_and_both_ends() -> None:
    node = {"o": "choice(a, b, c)", "rate": "interval(1, 2)"}
    lines = [" ".join(point) for point in Space(from_config(node)).covering_points(24)]
    assert lines == ["o=a rate=1.0", "o=b rate=2.0", "o=c rate=1.0"]


@pytest.mark.parametrize("name", options("search/space"))
def test_points_of_a_shipped_space_fit_the_optimizer_they_are_for(name: str) -> None:
    node = OmegaConf.to_container(OmegaConf.load(CONF / "search" / "space" / f"{name}.yaml")) or {}
    assert isinstance(node, dict)
    space = Space(from_config(node))  # type: ignore[arg-type]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    for _ in range(200 if len(space) else 0):
        chosen = dict(word.split("=", 1) for word in space.suggest(study.ask()))
        known = vars(by_name(Optimizer, chosen["optimizer"])())
        coefficients = {key.split(".")[1] for key in chosen if key.startswith("optimizer.")}
        assert coefficients <= set(known)
        assert ("optimizer.momentum" in chosen) == (chosen["optimizer"] in {"momentum", "nag"})
        assert ("optimizer.beta1" in chosen) == (chosen["optimizer"] in {"adam", "nadam"})
        sizes = chosen["model.hidden_sizes"].strip("[]").split(",")
        assert 1 <= len(sizes) <= 6
        assert all(int(size) <= 128 for size in sizes)


def test_the_space_of_the_assignment_has_every_optimizer() -> None:
    node = OmegaConf.load(CONF / "search" / "space" / "assignment.yaml")
    (first, *_) = from_config(OmegaConf.to_container(node))  # type: ignore[arg-type]
    assert set(first.distribution.choices) == {kind.name for kind in classes(Optimizer)}  # type: ignore[attr-defined]


def test_a_key_that_is_added_varies_under_its_own_name() -> None:
    (parameter,), _ = split_sweeps(["++training.batch_size=16,32"])
    assert parameter.key == "training.batch_size"
    assert grid_lines(Space([parameter])) == {"++training.batch_size=16", "++training.batch_size=32"}


# Texts and null


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ('a=choice("null",x)', ["null", "x"]),
        ('a=choice("1e-3","true",1e-3,true)', ["1e-3", "true", 0.001, True]),
        ("a='null',null", ["null", None]),
        ('a=choice("a b","it\'s","c,d")', ["a b", "it's", "c,d"]),
        ('a=["null"],[null]', [["null"], [None]]),
    ],
)
def test_a_trial_gets_the_very_value_that_was_written(line: str, values: list[Any]) -> None:
    (parameter,), _ = split_sweeps([line])
    overrides = [parameter.override({"a": choice}) for choice in parameter.distribution.choices]  # type: ignore[attr-defined]
    assert [given(override) for override in overrides] == values


def given(override: str) -> Any:
    """The value that Hydra gives the configuration."""
    config = OmegaConf.create({"a": 0})
    ConfigLoaderImpl._apply_overrides_to_config(OverridesParser.create().parse_overrides([override]), config)
    return OmegaConf.to_container(config)["a"]  # type: ignore[index,call-overload]


def test_a_condition_knows_a_choice_with_or_without_quotes() -> None:
    node = {
        "o": "choice(\"null\", 'sgd')",
        "rate": {"values": 1, "when": {"o": "sgd"}},
        "flag": "choice(true, false)",
    }
    node["size"] = {"values": "choice(2, 3)", "when": {"flag": True}}
    lines = grid_lines(Space(from_config(node)))
    assert lines == {
        *(f'o="null" flag={flag}' for flag in ["false"]),
        *(f'o="null" flag=true size={size}' for size in (2, 3)),
        "o=sgd rate=1 flag=false",
        *(f"o=sgd rate=1 flag=true size={size}" for size in (2, 3)),
    }


def test_null_in_a_file_is_null() -> None:
    assert grid_lines(Space(from_config({"a": None, "b": "choice(1, 2)"}))) == {"a=null b=1", "a=null b=2"}


# One key given more than once


@pytest.mark.parametrize(
    ("words", "varied", "fixed"),
    [
        ("seed=1,2 seed=3", [], ["seed=3"]),
        ("seed=3 seed=1,2", ["seed"], []),
        ("optimizer=sgd,adam optimizer=nag", [], ["optimizer=nag"]),
        ("++a.b=1,2 a.b=3", [], ["a.b=3"]),
        ("a.b=1,2 ~a.b", [], ["~a.b"]),
        ("a=1 a=2 b=1,2", ["b"], ["a=1", "a=2"]),
    ],
)
def test_the_last_of_several_words_about_a_key_counts(words: str, varied: list[str], fixed: list[str]) -> None:
    parameters, rest = split_sweeps(words.split())
    assert ([parameter.key for parameter in parameters], rest) == (varied, fixed)


def test_the_last_of_two_intervals_counts() -> None:
    (parameter,), _ = split_sweeps(["a=interval(0,1)", "a=interval(2,3)"])
    assert parameter.distribution == FloatDistribution(2.0, 3.0)
