"""The values of a configuration. Texts that came from the environment are used, and never written down."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.resolvers import oc

from hydra_trials.compat import register_resolver
from mlp.config.expansion_limits import bounded

#: The variables that were read, while somebody wants to know.
_variables_read: ContextVar[list[str] | None] = ContextVar("read", default=None)


class FromEnvironment(str):
    """A text that `${oc.env:NAME}` had a part in. `interpolation` is what stands in the configuration, which messages
    show and files keep in its place."""

    interpolation: str

    def __new__(cls, text: str, interpolation: str) -> FromEnvironment:
        made = super().__new__(cls, text)
        made.interpolation = interpolation
        return made

    def __repr__(self) -> str:
        return repr(self.interpolation)

    def __reduce__(self) -> tuple[Any, ...]:
        return FromEnvironment, (str(self), self.interpolation)


def resolved_values(config: DictConfig) -> dict[str, Any]:
    """The configuration as a plain dictionary, interpolations resolved.

    Texts from the environment are `FromEnvironment`. The numbers that `oc.decode` makes of them are plain numbers:
    without them a run could not be repeated.
    """
    written = OmegaConf.to_container(config, resolve=False)
    register_resolver("oc.env", _oc_env, replace=True)
    with bounded():
        return _values(config, OmegaConf.to_container(config, resolve=True), written)  # type: ignore[no-any-return]


def recorded(value: Any) -> Any:
    """Values as they may be written down."""
    if isinstance(value, dict):
        return {key: recorded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [recorded(item) for item in value]
    return value.interpolation if isinstance(value, FromEnvironment) else value


def without_environment(text: str, value: Any) -> str:
    """A message with the interpolations in place of the texts from the environment that the configuration holds."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            text = without_environment(text, item)
    return text.replace(value, value.interpolation) if isinstance(value, FromEnvironment) and value else text


def used(value: Any) -> Any:
    """A value, or a list of them, as an object gets it: texts that are nothing but texts."""
    if isinstance(value, list):
        return [used(item) for item in value]
    return str(value) if isinstance(value, FromEnvironment) else value


def _oc_env(key: str, *default: Any) -> Any:
    """OmegaConf's own resolver, which tells of what it reads."""
    if (read := _variables_read.get()) is not None:
        read.append(key)
    return oc.env(key, *default)


def _values(node: Any, resolved: Any, written: Any) -> Any:
    if isinstance(written, dict):
        return {key: _marked_value(node, key, resolved[key], written[key]) for key in written}
    return [_marked_value(node, i, resolved[i], written[i]) for i in range(len(written))]


def _marked_value(node: Any, key: Any, resolved: Any, written: Any) -> Any:
    if isinstance(written, dict | list):
        child = node[key]
        return _values(child, resolved, written) if isinstance(child, DictConfig | ListConfig) else resolved
    if not isinstance(written, str) or "${" not in written or not OmegaConf.is_interpolation(node, key):
        return resolved
    token = _variables_read.set([])
    try:
        node[key]
        return _marked(resolved, written) if _variables_read.get() else resolved
    finally:
        _variables_read.reset(token)


def _marked(value: Any, interpolation: str) -> Any:
    if isinstance(value, dict):
        return {key: _marked(item, interpolation) for key, item in value.items()}
    if isinstance(value, list):
        return [_marked(item, interpolation) for item in value]
    return FromEnvironment(value, interpolation) if isinstance(value, str) else value
