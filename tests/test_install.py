"""The wheel works without the repository: its configuration, its programs and their messages."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

BUILD = "from setuptools import build_meta; print(build_meta.build_{kind}({folder!r}))"


def build(kind: str, folder: Path, source: Path) -> Path:
    """Build from a copy: setuptools leaves a build/ folder."""
    code = BUILD.format(kind=kind, folder=str(folder))
    answer = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=source, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return folder / answer.stdout.splitlines()[-1]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git knows or does not ignore."""
    folder = tmp_path_factory.mktemp("source")
    archive = folder.with_suffix(".tar")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode:
        pytest.skip("the tests run outside of a git repository")
    with tarfile.open(archive, "w") as tar:
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).exists() and not name.startswith(("data/", "docs/", "tests/", "models/")):
                tar.add(ROOT / name, name)
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Path:
    """A folder with the content of the wheel, as site-packages has it."""
    wheel = build("wheel", tmp_path_factory.mktemp("dist"), source)
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


@pytest.fixture
def mlp(site: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Run `python -m mlp` of the wheel in an empty folder."""

    def run(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "PYTHONPATH": str(site),
            "WANDB_MODE": "offline",
        }
        command = [sys.executable, "-m", "mlp", *words]
        answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert answer.returncode == code, answer.stdout + answer.stderr
        return answer

    return run


def test_wheel_has_every_source_and_option(site: Path) -> None:
    folders = ("mlp", "hydra_trials", "hydra_plugins")
    kinds = (".py", ".yaml", ".j2", ".css", ".js", ".typed")
    for folder in folders:
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in kinds:
                assert (site / path.relative_to(ROOT)).is_file(), path
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert (site / "mlp" / path.relative_to(ROOT)).read_bytes() == path.read_bytes()


def test_archive_of_the_sources_has_every_file(source: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path, source)) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    ignored = {name for name in files if name.startswith((".ci/", "build/", "numpy_mlp.egg-info/"))}
    assert files - ignored <= names
    assert "mlp/conf/config.yaml" in names  # behind the link


def test_wheel_trains_and_measures_in_an_empty_folder(mlp, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    trained = mlp("train", "-d", "digits", "-e", "2", "--no_wandb", "-msp", "best_model.npy", "plots=false")
    assert "Test accuracy" in trained.stdout
    assert mlp("runs", "list").stdout.endswith("\n1 run: 1 completed\n")
    measured = mlp("inference")  # the model of this folder, and the dataset that its configuration names
    assert "best_model.npy on the test set of digits" in measured.stdout
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix in (".npy", ".json")) == [
        "best_config.json",
        "best_model.npy",
    ]


@pytest.mark.slow
def test_wheel_searches_and_prints_commands_of_its_own_program(mlp) -> None:  # type: ignore[no-untyped-def]
    mlp("train", "-m", "-d", "digits", "-e", "1", "--no_wandb", "seed=1,2", "search.name=s")
    found = mlp("search", "show", "multirun_outputs/s")
    assert "2 done" in found.stdout
    best = mlp("search", "best", "multirun_outputs/s")
    assert "python -m mlp train " in best.stdout
    assert "python train.py" not in best.stdout


def test_wheel_without_data_says_how_to_get_them(mlp) -> None:  # type: ignore[no-untyped-def]
    listed = mlp("data", "list").stdout
    assert "mnist          not on this machine" in listed
    refused = mlp("data", "import", ".", code=2).stderr
    assert refused == (
        "Error: . holds no dataset that is known\n"
        "mnist: does not hold train-images-idx3-ubyte[.gz]\n"
        "fashion_mnist: does not hold train-images-idx3-ubyte[.gz]\n"
        "cifar10: does not hold data_batch_1\n"
    )
    assert mlp("data", "import", "nowhere", code=2).stderr == "Error: nowhere does not exist\n"
    without_model = mlp("inference", code=2).stderr
    assert "no best_model.npy in " in without_model
    assert "python -m mlp train -msp best_model.npy" in without_model


def test_bash_completes_commands_and_the_options_of_training(site: Path, tmp_path: Path) -> None:
    program = tmp_path / "mlp"
    start = f"import sys; sys.path.insert(0, {str(site)!r}); from mlp.cli.main import main; main()"
    program.write_text(f"#!{sys.executable}\n{start}\n")
    program.chmod(0o755)
    script = """
eval "$(mlp -sc install=bash)"
ask() {
    COMP_LINE="$1"; COMP_POINT=${#1}; COMP_WORDS=($1); COMP_CWORD=$2
    hydra_bash_completion
    echo "${COMPREPLY[@]}"
}
ask "mlp tr" 1
ask "mlp train optimizer=na" 2
"""
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
    answer = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert answer.stdout.splitlines() == ["train", "optimizer=nadam optimizer=nag"], answer.stderr


def test_unknown_command_names_the_nearest(mlp) -> None:  # type: ignore[no-untyped-def]
    assert "did you mean 'train'" in mlp("trian", code=2).stderr
    assert "inference" in mlp("--help").stdout
