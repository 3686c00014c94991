"""A short campaign of hostile files, and all that ever failed."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import once

from attack import campaign, readers
from attack.limits import in_child
from attack.readers import KINDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CORPUS = sorted(path for path in (Path(__file__).parent / "corpus").glob("*/*"))
FIRST = 7_000_000  # of the numbers of cases


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    campaign.prepare()
    made = once(tmp_path_factory, "scene", readers.make_scene)
    before = os.environ.get("MLP_CACHE_DIR")
    os.environ["MLP_CACHE_DIR"] = str(tmp_path_factory.mktemp("cache"))
    yield made
    os.environ.pop("MLP_CACHE_DIR") if before is None else os.environ.update(MLP_CACHE_DIR=before)


def assert_harmless(record: campaign.Record) -> None:
    assert record.tried
    assert not record.faults, "\n".join(f"{record.name} {number}: {how}" for number, how in record.faults[:5])


@pytest.mark.parametrize("seed", range(3))
def test_pickles(seed: int, tmp_path: Path) -> None:
    assert_harmless(campaign.attack_pickles(FIRST + seed, 5_000, tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_files_with_changes(kind: str, scene: Path, tmp_path: Path) -> None:
    count = 5 if KINDS[kind].writes else 40
    assert_harmless(campaign.attack_files(kind, range(FIRST, FIRST + count), scene, tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_files_without_changes_are_read(kind: str, scene: Path, tmp_path: Path) -> None:
    """Else nothing above would mean anything."""
    record = campaign.replay(kind, (scene / KINDS[kind].path).read_bytes(), scene, tmp_path)
    assert (record.accepted, record.faults) == (1, [])


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_failed_once(path: Path, scene: Path, tmp_path: Path) -> None:
    assert_harmless(campaign.replay(path.parent.name, path.read_bytes(), scene, tmp_path))


@pytest.mark.usefixtures("scene")
def test_command_lines(tmp_path: Path) -> None:
    assert_harmless(campaign.attack_lines(FIRST, 40, tmp_path))


@pytest.mark.usefixtures("scene")
def test_run_directories(tmp_path: Path) -> None:
    assert_harmless(campaign.attack_directories(FIRST, 15, tmp_path))


def _overflow() -> None:
    import ctypes

    ctypes.string_at(1)


def _compute() -> None:
    while True:
        pass


@pytest.mark.parametrize(
    ("function", "signals", "code"),
    [
        (lambda: None, (0,), 0),
        (_overflow, (11,), 0),
        (_compute, (24, 9), 0),  # SIGXCPU
        (lambda: bytearray(2**31), (0,), 1),
        (lambda: exit(3), (0,), 3),
    ],
)
def test_a_child_is_judged_as_it_ends(function: Callable[[], object], signals: tuple[int, ...], code: int) -> None:
    outcome = in_child(function, seconds=1)
    assert outcome.signal in signals
    assert outcome.exit_code == code
    assert ("MemoryError" in outcome.output) == (code == 1)


def test_a_reader_that_is_hurt_is_seen() -> None:
    """The campaign itself: of these cases the bad ones are its faults, by their numbers."""

    def case(number: int) -> Callable[[], object]:
        bad = {3: _overflow, 5: lambda: 1 / 0, 6: lambda: bytearray(2**32), 7: lambda: exit(1)}
        return bad.get(number, lambda: None)

    record = campaign.attack("made", range(10), case, 4)
    assert [number for number, _ in record.faults] == [3, 5, 6, 7]
    assert (record.tried, record.accepted) == (10, 6)
