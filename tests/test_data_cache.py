"""Decoded data is kept where all processes share it, and trouble with the cache is survived."""

import hashlib
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlp.base.paths import cache_directory
from mlp.data import MNIST
from mlp.data.cache import cached, content_sha256

CONTENT = np.arange(12, dtype=np.uint8).reshape(3, 4)


class Decoder:
    """Counts how often it is needed."""

    calls = 0

    def __call__(self) -> np.ndarray:
        self.calls += 1
        return CONTENT


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLP_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def is_mapped(array: np.ndarray) -> bool:
    return isinstance(array, np.memmap) or (isinstance(array.base, np.ndarray) and is_mapped(array.base))


def test_decoded_once_then_mapped_read_only(cache: Path) -> None:
    decoder = Decoder()
    for _ in range(3):
        array = cached("numbers", (3, 4), decoder)
        np.testing.assert_array_equal(array, CONTENT)
        assert is_mapped(array)
        assert not array.flags.writeable
    assert decoder.calls == 1
    assert [path.name for path in cache.iterdir()] == ["numbers.npy"]


def test_images_of_mnist_are_mapped(cache: Path) -> None:
    test = MNIST().test()
    assert is_mapped(test.x)
    assert any("2646ac647ad5339dbf082846283269ea" in path.name for path in cache.iterdir())


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"no header",
        lambda _: b"\x93NUMPY\x01\x00\x76\x00{'descr': (((",
        lambda whole: whole[:-1],
        lambda whole: whole + b"\0",
        lambda whole: whole.replace(b"descr", b"d\0scr"),
        lambda whole: whole.replace(b"\x05\x06\x07", b"\x05\x05\x07"),
        lambda whole: whole[:-1] + b"?",
        np.zeros((3, 4), np.uint8),
        np.zeros((3, 5), np.uint8),
        np.zeros((3, 4), np.float32),
        np.zeros(12, np.uint8),
        np.zeros((3, 4), object),
    ],
)
def test_damaged_cache_file_is_rebuilt_silently(
    cache: Path, damage: Callable[[bytes], bytes] | np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    path = cache / "numbers.npy"
    cached("numbers", (3, 4), Decoder())
    whole = path.read_bytes()
    if isinstance(damage, np.ndarray):
        np.save(path, damage)
    else:
        path.write_bytes(damage(whole))
    decoder = Decoder()
    np.testing.assert_array_equal(cached("numbers", (3, 4), decoder), CONTENT)
    assert decoder.calls == 1
    assert path.read_bytes() == whole
    assert not caplog.records


def test_a_file_that_changes_after_it_was_opened_is_checked_anew(cache: Path) -> None:
    cached("numbers", (3, 4), Decoder())
    content = (cache / "numbers.npy").read_bytes()
    (cache / "numbers.npy").write_bytes(content.replace(b"\x05\x06\x07", b"\x05\x05\x07"))
    np.testing.assert_array_equal(cached("numbers", (3, 4), Decoder()), CONTENT)


@pytest.mark.usefixtures("cache")
def test_checksum_of_a_cached_array_is_that_of_its_bytes_in_every_view() -> None:
    array = cached("numbers", (3, 4), Decoder())
    for view in (array, array.reshape(2, 6), array[:2], array[::-1], array[:, :2], array.view(np.int16), array.T):
        assert content_sha256(view) == hashlib.sha256(view.tobytes()).hexdigest()


def test_any_length_is_accepted_where_the_shape_leaves_it_open(cache: Path) -> None:
    decoder = Decoder()
    for _ in range(2):
        assert cached("numbers", (None, 4), decoder).shape == (3, 4)
    assert decoder.calls == 1
    assert cache.is_dir()


@pytest.mark.parametrize("unusable", ["a regular file", "no home"])
def test_unusable_cache_directory_costs_a_warning_and_nothing_else(
    unusable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    where = str(tmp_path / "file") if unusable == "a regular file" else "~nobody-of-this-name/cache"
    monkeypatch.setenv("MLP_CACHE_DIR", where)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(cached("numbers", (3, 4), Decoder()), CONTENT)
    (record,) = caplog.records
    assert "MLP_CACHE_DIR" in record.getMessage()


@pytest.mark.skipif(sys.platform == "win32", reason="the limit is one of POSIX")
def test_full_disk_costs_a_warning_and_leaves_no_rest(tmp_path: Path) -> None:
    """The limit on the size of a file makes the write fail half way, as a full disk does."""
    script = (
        "import resource, numpy as np; from mlp.data import MNIST; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
        "print(np.bincount(MNIST().test().labels)[0])"
    )
    done = run(script, tmp_path / "cache")
    assert (done.stdout, done.returncode) == ("980\n", 0)
    assert "cache cannot be used" in done.stderr
    # The labels fit, the images do not.
    assert [path.name.split("-")[2] for path in (tmp_path / "cache").iterdir()] == ["labels"]


def environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "MLP_CACHE_DIR": str(cache)}


def run(script: str, cache: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], env=environment(cache), capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_processes_that_decode_at_once_do_no_harm(tmp_path: Path) -> None:
    script = (
        "import hashlib, numpy as np; from mlp.data import MNIST; "
        "train, _ = MNIST().split(np.random.default_rng(0)); "
        "print(hashlib.md5(train.x).hexdigest(), train.labels.sum())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env=environment(tmp_path / "cache"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    answers = {process.communicate(timeout=300) for process in processes}
    assert len(answers) == 1
    ((_, errors),) = answers
    assert errors == ""
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == 4 * [".npy"]
    (file,) = (tmp_path / "cache").glob("mnist-train-images*")
    images = file.read_bytes()[-60_000 * 784 - 32 : -32]  # the checksum follows
    assert {answer[0].split()[0] for answer in answers} == {hashlib.md5(images).hexdigest()}


def test_warm_start_imports_neither_scikit_learn_nor_keras(tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np; from mlp.data import MNIST, Digits; "
        "[kind().split(np.random.default_rng(0)) for kind in (MNIST, Digits)]; "
        "print([name for name in ('sklearn', 'keras', 'scipy') if name in sys.modules])"
    )
    assert run(script, tmp_path).stdout == "['sklearn', 'scipy']\n"
    assert run(script, tmp_path).stdout == "[]\n"


def test_cache_directory_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MLP_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_directory() == tmp_path / ".cache" / "numpy-mlp"
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_directory() == Path("/xdg/numpy-mlp")
    monkeypatch.setenv("MLP_CACHE_DIR", "~/own")
    assert cache_directory() == tmp_path / "own"
