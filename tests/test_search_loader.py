"""The loader of a search composes what Hydra's own does, to the last flag, and reads no file twice."""

import pickle
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import Container, OmegaConf

from hydra_trials.compat import VERSION_BASE, CachingConfigLoader, register_resolver
from mlp.config.files import CONF, groups, options

OPTIONS = [
    *([f"{'+' if group == 'experiment' else ''}{group}={option}"] for group in groups() for option in options(group)),
    *([f"+experiment=transfer/{path.stem}"] for path in sorted((CONF / "experiment/transfer").glob("*.yaml"))),
    *([f"hydra/job_logging={path.stem}"] for path in sorted((CONF / "hydra/job_logging").glob("*.yaml"))),
]
FURTHER = [
    [],
    ["optimizer=sgd", "activation=tanh", "optimizer.learning_rate=0.3", "model.hidden_sizes=[1,2]", "+x=1", "~save"],
    ["hydra/job_logging=trial", "hydra.sweep.subdir=3", "hydra.job.num=3", "hydra/launcher=basic"],
    ["+experiment=best_mnist", "augment=none", "augment.shift=0", "optimizer=nag"],
    ["search=tpe", "search/space=assignment", "search.trials=3"],
    ["~search", "+optimizer@other=sgd"],
    ["optimizer=nowhere"],
    ["optimizer.nothing=1"],
    ["+optimizer=sgd"],
]


@pytest.fixture(scope="module")
def loader() -> Iterator[ConfigLoaderImpl]:
    register_resolver("run_id", lambda: "000000", replace=True)
    with hydra.initialize_config_dir(**VERSION_BASE, config_dir=str(CONF)):
        yield GlobalHydra.instance().config_loader()  # type: ignore[misc]


@pytest.fixture(scope="module")
def kept(loader: ConfigLoaderImpl) -> CachingConfigLoader:
    """One loader for all tests, so that each finds what the others left in its memory."""
    return CachingConfigLoader.of(loader)


def composed(loader: ConfigLoaderImpl, overrides: list[str]) -> Any:
    try:
        return described(loader.load_configuration("config", list(overrides), RunMode.RUN))
    except Exception as error:
        return type(error), str(error)


def described(node: Any) -> Any:
    """Everything that OmegaConf knows of a node, and of those below it in their order."""
    about = node._metadata
    flags = {name: value for name, value in (about.flags or {}).items() if value is not None}
    own = (type(node), about.ref_type, about.object_type, about.optional, about.key, flags)
    content = node.__dict__.get("_content")
    if not isinstance(node, Container) or not isinstance(content, dict | list):
        return own, node._value()
    below = list(content.items() if isinstance(content, dict) else enumerate(content))
    assert all(child._get_parent() is node for _, child in below)
    return own, [(key, described(child)) for key, child in below]


@pytest.mark.parametrize(
    "overrides",
    [
        *(pytest.param(words, marks=[pytest.mark.slow] if place % 4 else []) for place, words in enumerate(OPTIONS)),
        *FURTHER,
    ],
    ids=lambda words: " ".join(words) or "none",
)
def test_it_composes_the_same_the_first_time_and_the_second(
    loader: ConfigLoaderImpl, kept: CachingConfigLoader, overrides: list[str]
) -> None:
    expected = composed(loader, overrides)
    assert composed(kept, overrides) == expected
    assert composed(kept, overrides) == expected


def test_what_is_done_to_a_configuration_does_not_reach_the_next(
    loader: ConfigLoaderImpl, kept: CachingConfigLoader
) -> None:
    def spoil(node: Any) -> None:
        content = node.__dict__.get("_content")
        if isinstance(node, Container) and isinstance(content, dict | list):
            node._metadata.flags = {"readonly": True}
            for child in content.values() if isinstance(content, dict) else content:
                spoil(child)
            content.clear()
        else:
            node.__dict__["_val"] = "spoilt"

    expected = composed(loader, ["search=tpe"])
    for _ in range(2):
        spoil(kept.load_configuration("config", ["search=tpe"], RunMode.RUN))
        assert composed(kept, ["search=tpe"]) == expected


def test_a_copy_for_another_machine_composes_the_same_and_carries_no_memory(
    loader: ConfigLoaderImpl, kept: CachingConfigLoader
) -> None:
    expected = composed(kept, ["optimizer=sgd"])
    content = pickle.dumps(kept)
    assert len(content) < len(pickle.dumps(loader)) + 1_000
    assert composed(pickle.loads(content), ["optimizer=sgd"]) == expected


def test_a_folder_that_the_user_adds_is_searched(
    loader: ConfigLoaderImpl, kept: CachingConfigLoader, tmp_path: Path
) -> None:
    for place, rate in (("a", 0.5), ("b", 0.25)):
        (tmp_path / place / "optimizer").mkdir(parents=True)
        (tmp_path / place / "optimizer/mine.yaml").write_text(f"defaults: [sgd, _self_]\nlearning_rate: {rate}\n")
        words = [f"hydra.searchpath=[{tmp_path / place}]", "optimizer=mine"]
        assert composed(kept, words) == composed(loader, words)
        config = kept.load_configuration("config", words, RunMode.RUN)
        assert config.optimizer.learning_rate == rate


def test_no_file_is_read_twice(loader: ConfigLoaderImpl, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    usual = OmegaConf.load

    def load(file: Any) -> Any:
        read.append(file.name)
        return usual(file)

    monkeypatch.setattr(OmegaConf, "load", load)
    once = CachingConfigLoader.of(loader)
    for overrides in chain(([f"seed={seed}"] for seed in range(3)), [["optimizer=sgd"], ["optimizer=sgd", "seed=9"]]):
        once.load_configuration("config", overrides, RunMode.RUN)
    assert len(read) == len(set(read)) > 10
    assert any(name.endswith("sgd.yaml") for name in read)
