"""Passwords of databases: known to the process that connects, and to nothing that is written down or shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

SECRET = re.compile(r"pass|pwd|secret|token", re.IGNORECASE)  # in a query: a name, or a connection string as value
# Also what somebody who forgot the scheme has given as storage. Schemes are bounded: each letter of a long text may
# begin one.
URL = re.compile(
    r"[A-Za-z][\w+.-]{0,63}://(?:[^'\"\\]|\\.)*|(?:(?<=storage=)|(?<=storage=['\"]))[^'\"]*@[^'\"]*", re.DOTALL
)
HIDDEN = "://hidden"


def without_password(text: str) -> str:
    """`text`, such as a word of the command line, as it may be written down and shown: a URL in it, which goes to the
    end of the text or to a quotation mark, loses its password; all but its scheme where nobody can say what of it is
    the password. So a message that goes on after a URL has it in quotation marks."""
    return URL.sub(lambda match: _without_password(match[0]), text)


def _without_password(url: str) -> str:
    if "@" not in url and "?" not in url:  # without SQLAlchemy, whose import takes a while
        return url
    parsed, (scheme, there, _) = _parsed(url), url.partition("://")
    hidden = scheme + HIDDEN if there else "hidden"
    if parsed is None:
        return hidden if "@" in url or SECRET.search(url) else url
    secrets = _secret_names(parsed)
    if parsed.password is None and not secrets:
        return url
    if "@" in f"{parsed.host}{parsed.database}":
        return hidden
    shown: str = parsed._replace(password=None).difference_update_query(secrets).render_as_string()
    return shown


def _parsed(url: str) -> Any:
    """The URL as SQLAlchemy reads it; None where it does not."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        return None


def _secret_names(parsed: Any) -> list[str]:
    def is_secret(text: str) -> bool:
        return bool(SECRET.search(text)) or without_password(text) != text

    return [name for name, value in parsed.query.items() if is_secret(f"{name}={value}")]


def hidden_in(reason: str, url: str) -> str:
    """What a database says of `url`, without its password."""
    parsed, shown = _parsed(url), without_password(url)
    if shown.endswith(HIDDEN):
        return "it cannot be read; write @, / and : of the password as %40, %2F and %3A"
    reason = without_password(reason.replace(url, shown))
    if parsed is not None:
        values = [parsed.password, *(parsed.query[name] for name in _secret_names(parsed))]
        for secret in (part for value in values for part in ([value] if isinstance(value, str) else value or ())):
            reason = reason.replace(secret, "***") if secret else reason
    return reason


def hidden_in_message(text: str, words: Sequence[str]) -> str:
    """A message, which may quote the words of the command line, without their passwords."""
    for word in words:
        text = text.replace(word, without_password(word))
    return without_password(text)


def hide_passwords(config: DictConfig) -> None:
    """Take passwords out of a composed configuration: out of the setting `storage`, unless that is an interpolation,
    and out of the words of the command line, which Hydra keeps there."""
    node = OmegaConf.select(config, "hydra.sweeper.node")
    settings = None if node is None else OmegaConf.select(config, node)
    storage = settings._get_node("storage") if isinstance(settings, DictConfig) else None
    if storage is not None and not storage._is_interpolation() and isinstance(storage._value(), str):
        OmegaConf.update(config, f"{node}.storage", without_password(storage._value()))
    for words in config.hydra.overrides.values():
        for place, word in enumerate(OmegaConf.to_container(words)):  # type: ignore[arg-type] # interpolations as such
            words[place] = hidden_word(str(word))
    job = config.hydra.job
    named = job._get_node("override_dirname")
    derived = named is not None and named._value() == "${hydra_override_dirname:}"  # from the words, in Hydra 1.4
    if named is not None and not derived and isinstance(job.override_dirname, str):
        job.override_dirname = without_password(job.override_dirname)


def hidden_word(word: str) -> str:
    """An override without passwords, which can still be parsed."""
    if without_password(word) == word:
        return word
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException:
        return without_password(word)
    if override.is_sweep_override() or override.is_delete():
        return without_password(word)
    return without_password(f"{word.partition('=')[0]}={_in_grammar(override.value())}")


def _in_grammar(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_in_grammar(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_in_grammar, value)) + "]"
    if isinstance(value, str):
        return QuotedString(without_password(value), Quote.single).with_quotes()
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def hidden_everywhere(value: Any) -> Any:
    """Plain data with all texts without passwords."""
    if isinstance(value, dict):
        return {key: hidden_everywhere(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hidden_everywhere(item) for item in value]
    return without_password(value) if isinstance(value, str) else value
