"""What is not public in Hydra and Optuna, and all that is used of it. Optuna is imported where it is needed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hydra._internal import defaults_list as hydra_defaults
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra.core import utils
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import InputDefault, ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus, run_job
from hydra.plugins.config_source import ConfigResult
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict

from hydra_trials.passwords import hide_passwords

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial


# Hydra 1.4 and OmegaConf 2.4 warn of what 1.3 and 2.3 need.
VERSION_BASE: dict[str, Any] = {} if hasattr(ConfigLoaderImpl, "parse_overrides") else {"version_base": "1.3"}
register_resolver: Any = OmegaConf.register_new_resolver if VERSION_BASE else OmegaConf.register_resolver

_interpolation_map: Any = getattr(hydra_defaults, "_create_interpolation_map", None)  # Hydra 1.4 has none


def _needed_interpolation_map(
    overrides: hydra_defaults.Overrides, defaults_list: list[InputDefault], self_added: bool
) -> DictConfig:
    """What `${...}` in a defaults list may name. Hydra makes it for every file, which takes half of a composition."""
    if any(default.is_interpolation() for default in defaults_list):
        return _interpolation_map(overrides, defaults_list, self_added)  # type: ignore[no-any-return]
    return OmegaConf.create()


if _interpolation_map is not None:
    hydra_defaults._create_interpolation_map = _needed_interpolation_map


class CachingConfigLoader(ConfigLoaderImpl):
    """Hydra's loader with a memory, since trials differ in a few options and values, and share two dozen files.

    A file is read and parsed once. A top-level node of the configuration is merged once for each list of files that
    it is made of (`optimizer` for each option, `hydra` once), since no file's merge depends on another node.
    """

    repository_type: type[CachingConfigRepository] = CachingConfigRepository

    def __init__(self, config_search_path: ConfigSearchPath) -> None:
        super().__init__(config_search_path)
        self._repositories: dict[tuple[Any, ...], CachingConfigRepository] = {}
        self._files: dict[tuple[Any, ...], ConfigResult] = {}
        self._nodes: dict[tuple[Any, ...], Any] = {}

    def __getstate__(self) -> dict[str, Any]:  # for another machine, without its memory
        return {**vars(self), "_repositories": {}, "_files": {}, "_nodes": {}}

    @classmethod
    def of(cls, loader: ConfigLoader) -> CachingConfigLoader:
        """A loader that gives the same as `loader`, which it may be."""
        return loader if isinstance(loader, cls) else cls(loader.get_search_path())

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """The configuration of a job, which Hydra and programs write into its directory: without passwords. That of
        Hydra 1.4 refuses jobs whose sweeper is not the same in `master_config`, where a search completes it."""
        words: Any = OmegaConf.to_container(master_config.hydra.overrides.hydra)
        job = self.load_configuration(master_config.hydra.job.config_name, words + sweep_overrides, RunMode.RUN)
        OmegaConf.copy_cache(from_config=master_config, to_config=job)
        hide_passwords(job)
        return job

    def _parse_overrides_and_create_caching_repo(
        self, config_name: str | None, overrides: list[str], parsed: list[Override] | None = None
    ) -> tuple[list[Override], CachingConfigRepository]:
        if parsed is None:
            if hasattr(self, "parse_overrides"):  # Hydra 1.4, which has aliases for options
                parsed = self.parse_overrides(config_name, overrides)
            else:
                parsed = OverridesParser.create().parse_overrides(overrides)
        paths = (str(override.input_line) for override in parsed if override.key_or_group == "hydra.searchpath")
        key = (config_name, *paths)
        if key not in self._repositories:
            repository = self.repository_type(self.repository)
            self._process_config_searchpath(config_name, parsed, repository)
            self._repositories[key] = repository  # not one whose search path is refused: Hydra asks again
        return parsed, self._repositories[key]

    def _load_single_config(self, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        result = copy.copy(self._file(default, repo))
        result.config = copy.deepcopy(result.config)
        return result

    def _file(self, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        key = (id(repo), default.config_path, default.package, default.primary)
        if key not in self._files:
            self._files[key] = super()._load_single_config(default, repo)
        return self._files[key]

    def _compose_config_from_defaults_list(
        self, defaults: Sequence[ResultDefault], repo: IConfigRepository
    ) -> DictConfig:
        files: dict[Any, list[ResultDefault]] = {}  # of each top-level node, in order
        for default in defaults:
            for name in self._file(default, repo).config:
                files.setdefault(name, []).append(default)
        composed = OmegaConf.create()
        with flag_override(composed, "no_deepcopy_set_nodes", True):
            for name, its in files.items():
                key = (id(repo), name, *((file.config_path, file.package, file.primary) for file in its))
                if key not in self._nodes:
                    self._nodes[key] = super()._compose_config_from_defaults_list(its, repo)._get_node(name)
                composed[name] = copy.deepcopy(self._nodes[key])
        return composed


def with_loader(context: HydraContext, loader: ConfigLoader) -> HydraContext:
    """The context of a search. Where the program says what Hydra 1.4 may call, the log of a trial is added."""
    allowed = getattr(context, "execution_whitelist", None)
    more = {"execution_whitelist": (*allowed, "hydra_trials.files.LogFile")} if isinstance(allowed, tuple) else {}
    return replace(context, config_loader=loader, **more)  # type: ignore[arg-type]


def configure_log(context: HydraContext, config: DictConfig) -> None:
    """Let Hydra log as the configuration says."""
    allowed = getattr(context, "execution_whitelist", None)
    more = {} if allowed is None else {"execution_whitelist": allowed}
    utils.configure_log(config.hydra.hydra_logging, config.hydra.verbose, **more)


def run_task(
    context: HydraContext, task: TaskFunction, config: DictConfig, overrides: Sequence[str], number: int
) -> JobReturn:
    """Compose job `number` of a multirun and run it, as Hydra's launchers do."""
    job = context.config_loader.load_sweep_config(config, list(overrides))
    with open_dict(job):
        job.hydra.job.id, job.hydra.job.num = str(number), number
        job.hydra.sweep.dir = config.hydra.sweep.dir
    return run_job(
        task_function=task, config=job, hydra_context=context, job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )  # fmt: skip


def returned(result: JobReturn) -> Any:
    """What a job returned; raises what it raised. `result.return_value` would also print that."""
    if result.status == JobStatus.FAILED:
        raise result._return_value
    return result._return_value


def storage_of(study: optuna.Study) -> BaseStorage:
    """The record that a study is in."""
    return study._storage


def url_of(storage: BaseStorage) -> str | None:
    """The database of a record, which Optuna wraps; None: it is a journal."""
    url: str | None = getattr(getattr(storage, "_backend", storage), "url", None)
    return url


def is_running(trial: optuna.Trial) -> bool:
    """Whether the record still has a trial as running."""
    from optuna.trial import TrialState

    return trial.storage.get_trial(trial._trial_id).state == TrialState.RUNNING


def fail_trial(study: optuna.Study, trial: FrozenTrial, **attributes: Any) -> None:
    """Close a trial that waits or runs elsewhere, which `study.tell` cannot. One that is closed stays as it is."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    storage = study._storage
    with suppress(UpdateFinishedTrialError):
        for name, value in attributes.items():
            storage.set_trial_user_attr(trial._trial_id, name, value)
        storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)


def changes_state(log: dict[str, Any]) -> bool:
    """Whether a line of Optuna's journal begins or ends a trial."""
    from optuna.storages.journal._storage import JournalOperation

    return bool(log["op_code"] == JournalOperation.SET_TRIAL_STATE_VALUES)


def database(*arguments: Any, **options: Any) -> BaseStorage:
    """Optuna's storage in a database, which reads a trial that waits only once: all of it is known, and Optuna's own
    reads what has not ended again and again. Arguments and errors are those of `RDBStorage`.
    """
    from optuna.storages import RDBStorage
    from optuna.storages._rdb.models import TrialModel
    from optuna.storages._rdb.storage import _create_scoped_session
    from optuna.trial import TrialState

    class Database(RDBStorage):
        def _get_trials(
            self, study_id: int, states: Any, included_trial_ids: set[int], trial_id_greater_than: int
        ) -> list[FrozenTrial]:
            unfinished, latest = included_trial_ids, trial_id_greater_than  # which the reader knows
            if states is None and unfinished:
                with _create_scoped_session(self.scoped_session) as session:
                    trials = session.query(TrialModel.trial_id).filter(TrialModel.study_id == study_id)
                    waiting = trials.filter(TrialModel.state == TrialState.WAITING)
                    begun = trials.filter(TrialModel.trial_id >= min(unfinished))
                    begun = begun.filter(TrialModel.state != TrialState.WAITING)
                    changed = {number for (number,) in begun if number in unfinished or number > latest}
                    if waiting.count() > len(unfinished - changed):  # there are new ones
                        changed |= {number for (number,) in waiting} - unfinished
                if not changed:
                    return []
                included_trial_ids, trial_id_greater_than = changed, 2**31 - 1  # and none beyond
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)

    return Database(*arguments, **options)
