"""The documentation: links lead somewhere, pages are found, commands are valid, and examples print what they say."""

import doctest
import importlib
import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from mlp.cli.overrides import to_hydra
from mlp.config.compose import compose
from mlp.nn import optimizers

PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("examples/*/*.md"), *ROOT.glob("benchmarks/*.md")]
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
#: What stands for something of the reader's, or is more than one command.
PLACEHOLDER = re.compile(r"\.\.\.|FILE|NEW|NAME|FOLDER|pictures|\.csv|--config-dir|--allow|--cfg|resume=|[|<>]")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text_of(page), flags=re.DOTALL)
    links = [link.partition("#")[0] for link in LINK.findall(prose) if not re.match(r"\w+:", link)]
    assert [link for link in links if link and not (page.parent / link).exists()] == []


def test_every_file_that_the_architecture_names_is_there() -> None:
    names = re.findall(r"`([\w/]+\.(?:py|js|j2|yaml))`", text_of(ROOT / "docs" / "architecture.md"))
    assert len(names) > 30
    assert [
        name for name in names if "NAME" not in name and not [*(ROOT / "mlp").rglob(name), *ROOT.glob(name)]
    ] == []


def test_every_page_is_in_the_navigation() -> None:
    config = yaml.safe_load(re.sub(r"!!python\S*", "", (ROOT / "mkdocs.yml").read_text()))

    def leaves(node: object) -> list[str]:
        if isinstance(node, str):
            return [node]
        return [leaf for child in (node.values() if isinstance(node, dict) else node) for leaf in leaves(child)]  # type: ignore[attr-defined]

    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert set(leaves(config["nav"])) == pages


def commands() -> list[str]:
    lines = []
    for page in PAGES:
        for block in re.findall(r"```\w*\n(.*?)```", text_of(page).replace("\\\n", " "), re.DOTALL):
            lines += re.findall(r"^(?:python|mlp) train(?:\.py)?\b.*", block, re.MULTILINE)
    return sorted({line for line in lines if not PLACEHOLDER.search(line)})


@pytest.mark.parametrize("command", commands())
def test_every_command_is_valid(command: str) -> None:
    words = shlex.split(command, comments=True)[2:]
    overrides = [word for word in to_hydra(words) if not word.startswith("-")]
    if "-m" not in words and "--multirun" not in words:
        compose(overrides)


def test_the_optimizer_of_the_readme_is_complete() -> None:
    code, option = re.findall(
        r"```(?:python|yaml)\n(class .*?|_target_: .*?)```", text_of(ROOT / "README.md"), re.DOTALL
    )
    options = yaml.safe_load(option)
    names = dict(vars(optimizers))
    exec(code, names)
    package, _, name = options.pop("_target_").rpartition(".")
    assert package == optimizers.__package__  # as tests/test_config_files.py wants it
    arguments = inspect.signature(names[name]).parameters
    assert options == {key: one.default for key, one in arguments.items()}


EXAMPLES = [path.relative_to(ROOT) for path in sorted((ROOT / "mlp").rglob("*.py")) if ">>>" in text_of(path)]


@pytest.mark.parametrize("path", EXAMPLES, ids=str)
def test_every_example_of_a_docstring_prints_what_it_says(path: Path) -> None:
    failed, tried = doctest.testmod(importlib.import_module(".".join(path.with_suffix("").parts)))
    assert tried
    assert not failed


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs mkdocs: make docs")
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    flags = (tmp_path / "site" / "reference" / "flags" / "index.html").read_text()
    assert "--learning_rate" in flags
    assert "conf/" not in (tmp_path / "site" / "index.html").read_text()
