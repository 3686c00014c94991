"""Pictures in folders of classes are decoded once, made alike only when asked to, and a mistake has a file name."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mlp.data.folder
from mlp.base.errors import UserError
from mlp.data.folder import ImageFolder


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLP_CACHE_DIR", str(tmp_path / "cache"))


def picture(path: Path, seed: int, mode: str = "L", size: tuple[int, int] = (5, 4)) -> np.ndarray:
    """Write a picture of random bytes, `size` as width and height; return its array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size[::-1] if mode == "L" else (*size[::-1], len(mode))
    array = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    Image.fromarray(array).save(path)
    return array


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """pictures/CLASS/i.png: two classes of five."""
    for i in range(10):
        picture(tmp_path / "pictures" / ("dog", "cat")[i % 2] / f"{i}.png", i)
    return tmp_path / "pictures"


@pytest.fixture
def divided(tmp_path: Path, folder: Path) -> Path:
    """The same as pictures/train/CLASS/i.png, and one dog in pictures/test/."""
    (tmp_path / "new").mkdir()
    shutil.move(folder, tmp_path / "new" / "train")
    shutil.move(tmp_path / "new", folder)
    picture(folder / "test" / "dog" / "a.PNG", 99)
    return folder


def test_one_level_is_divided_by_a_share_of_each_class(folder: Path) -> None:
    dataset = ImageFolder(path=str(folder), test_fraction=0.2)
    assert (dataset.class_names, dataset.image_shape, dataset.divisor) == (("cat", "dog"), (4, 5), 255.0)
    x, y = dataset.load("test")
    assert (x.shape, x.dtype, sorted(y.tolist())) == ((2, 20), np.uint8, [0, 1])
    everything = [*zip(*dataset.load("train"), strict=True), *zip(x, y, strict=True)]
    expected = {
        np.random.default_rng(i).integers(0, 256, (4, 5), np.uint8).tobytes(): (1, 0)[i % 2] for i in range(10)
    }
    assert {row.tobytes(): int(label) for row, label in everything} == expected


def test_train_and_test_are_read_where_they_are(divided: Path) -> None:
    dataset = ImageFolder(path=str(divided))
    (x, y), (train, _) = dataset.load("test"), dataset.load("train")
    assert (len(train), y.tolist()) == (10, [1])
    np.testing.assert_array_equal(x.reshape(4, 5), np.random.default_rng(99).integers(0, 256, (4, 5), np.uint8))


def test_colours_are_kept_unless_all_are_grey(folder: Path) -> None:
    array = picture(folder / "dog" / "red.png", 5, "RGB")
    dataset = ImageFolder(path=str(folder), test_fraction=0.2)
    assert dataset.image_shape == (4, 5, 3)
    rows = np.concatenate([dataset.load(part)[0] for part in ("train", "test")])
    assert array.tobytes() in {row.tobytes() for row in rows}
    assert ImageFolder(path=str(folder), test_fraction=0.2, channels=1).image_shape == (4, 5)
    assert ImageFolder(path=str(folder), test_fraction=0.2, channels=3).image_shape == (4, 5, 3)


def test_other_sizes_are_refused_or_made_alike(folder: Path) -> None:
    picture(folder / "dog" / "z.png", 5, size=(7, 9))
    with pytest.raises(UserError) as error:
        ImageFolder(path=str(folder), test_fraction=0.2)
    assert "0.png is 4 x 5 pixels, " not in str(error.value)  # that of the first class comes first
    assert "1.png is 4 x 5 pixels, " in str(error.value)
    assert "z.png 9 x 7: dataset.image_size=4 makes all alike" in str(error.value)
    assert ImageFolder(path=str(folder), test_fraction=0.2, image_size=6).image_shape == (6, 6)
    assert ImageFolder(path=str(folder), test_fraction=0.2, image_size=[2, 3]).image_shape == (2, 3)


def test_pictures_are_turned_as_the_camera_says(folder: Path) -> None:
    shutil.rmtree(folder / "cat")
    (folder / "dog").rename(folder / "up")
    exif = Image.Exif()
    exif[274] = 6  # lies on its side
    for path in sorted((folder / "up").iterdir()):
        with Image.open(path) as image:
            (folder / "side").mkdir(exist_ok=True)
            image.transpose(Image.Transpose.ROTATE_90).save(folder / "side" / path.name, exif=exif)
    dataset = ImageFolder(path=str(folder), test_fraction=0.2)
    x, y = dataset.load("train")
    assert {row.tobytes() for row in x[y == 0]} | {row.tobytes() for row in x[y == 1]} <= {
        np.random.default_rng(i).integers(0, 256, (4, 5), np.uint8).tobytes() for i in range(0, 10, 2)
    }


def test_pictures_are_decoded_once_and_changed_ones_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    decode = mlp.data.folder._decode
    monkeypatch.setattr(mlp.data.folder, "_decode", lambda *words: calls.append(1) or decode(*words))
    first = ImageFolder(path=str(folder), test_fraction=0.2)
    again = ImageFolder(path=str(folder), test_fraction=0.2)
    np.testing.assert_array_equal(first.load("train")[0], again.load("train")[0])
    assert len(calls) == 1
    picture(folder / "dog" / "more.png", 7)
    assert len(ImageFolder(path=str(folder), test_fraction=0.2).load("train")[0]) == 9
    assert len(calls) == 2


def test_files_that_are_no_pictures_are_noted(folder: Path) -> None:
    for name in ("dog/notes.txt", "list.csv", "dog/.DS_Store", ".git/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    (note,) = ImageFolder(path=str(folder), test_fraction=0.2).notes()
    assert note.startswith("2 files are not read, such as ")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:50])


#: Pillow would start Ghostscript on it, whatever the name of the file.
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\nshowpage\n"


def transparent(path: Path) -> None:
    Image.fromarray(np.full((4, 5, 4), 128, np.uint8)).save(path)


def opaque(path: Path) -> None:
    Image.fromarray(np.full((4, 5, 4), 255, np.uint8)).save(path)


def test_an_alpha_channel_that_hides_nothing_is_left_out(folder: Path) -> None:
    opaque(folder / "cat" / "1.png")
    assert ImageFolder(path=str(folder), test_fraction=0.2).image_shape == (4, 5, 3)


def many_scans(path: Path) -> None:
    """A JPEG whose last scan is there a hundred times more: each takes a pass over all pixels."""
    Image.new("RGB", (64, 64), "red").save(path, progressive=True)
    data = path.read_bytes()
    last = data[data.rindex(b"\xff\xda") : -2]
    path.write_bytes(data[:-2] + last * 100 + data[-2:])


MISTAKES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no folder": (shutil.rmtree, {}, "pictures does not exist, or is not a folder"),
    "no test part": (lambda _: None, {"test_fraction": None}, "give train/ and test/, or hold out a share"),
    "no classes in train": (lambda f: (f / "dog").rename(f / "train"), {"test_fraction": None}, "/CLASS/*.png are"),
    "no classes": (lambda f: [shutil.rmtree(f / c) for c in ("dog", "cat")], {}, "has no folders of classes"),
    "one class": (lambda f: shutil.rmtree(f / "cat"), {}, "has only the class dog"),
    "empty class": (lambda f: (f / "emu").mkdir(), {}, "emu has no pictures (.png, .jpg"),
    "deeper": (lambda f: picture(f / "dog" / "big" / "1.png", 1), {}, "dog/big is a folder in that of a class"),
    "cut short": (lambda f: truncate(f / "cat" / "3.png"), {}, "cat/3.png is not a readable picture: "),
    "empty": (lambda f: (f / "cat" / "3.png").write_bytes(b""), {}, "cat/3.png is not a readable picture"),
    "text": (lambda f: (f / "cat" / "3.png").write_text("cat"), {}, "3.png is not a readable picture: it is none"),
    "a broken link": (lambda f: (f / "cat" / "9a.png").symlink_to(f / "none"), {}, "9a.png"),
    "transparent": (lambda f: transparent(f / "cat" / "3.png"), {}, "cat/3.png is transparent in places"),
    "a transparent grey": (
        lambda f: Image.new("L", (5, 4), 7).save(f / "cat" / "3.png", transparency=7), {},
        "cat/3.png is transparent in places",
    ),
    "16 bits": (
        lambda f: Image.fromarray(np.full((4, 5), 999, np.uint16)).save(f / "cat" / "3.png"), {},
        "cat/3.png has more than 8 bits for a colour",
    ),
    "several": (
        lambda f: Image.new("L", (5, 4)).save(
            f / "cat" / "3.gif", save_all=True, append_images=[Image.new("L", (5, 4), 9)]
        ), {}, "cat/3.gif has several pictures",
    ),
    "a program": (lambda f: (f / "cat" / "3.png").write_bytes(EPS), {}, "cat/3.png is not a readable picture"),
    "an endless comment": (lambda f: (f / "cat" / "3.pgm").write_bytes(b"P5 #" + b"x" * 1000), {}, "no size at its"),
    "a pipe": (lambda f: os.mkfifo(f / "cat" / "3.gif"), {}, "cat/3.gif is not a readable picture: a device or"),
    "many pixels": (lambda f: Image.new("1", (9500, 9500)).save(f / "cat" / "3.png"), {}, "90,250,000 pixels"),
    "many scans": (lambda f: many_scans(f / "cat" / "3.jpg"), {}, "a JPEG of 110 scans; at most 50 are read"),
    "names": (lambda _: None, {"class_names": ["a", "b"]}, "class_names must be the labels in the desired order"),
}  # fmt: skip


@pytest.mark.parametrize(("mistake", "options", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistake_is_named(folder: Path, mistake: Any, options: dict[str, Any], message: str) -> None:
    mistake(folder)
    with pytest.raises(UserError) as error:
        ImageFolder(path=str(folder), **{"test_fraction": 0.2, **options})
    assert message in str(error.value)


def test_pictures_of_many_pixels_in_few_bytes_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (500, 500)).save(folder / "cat" / "3.png")
    monkeypatch.setattr("mlp.data.folder.FREE_PIXELS", 10_000)
    with pytest.raises(
        UserError, match=r"cat/3\.png: up to here the pictures have 250,\d\d\d pixels in \d{1,4} bytes"
    ):
        ImageFolder(path=str(folder), test_fraction=0.2, image_size=4)
    photograph = np.random.default_rng(0).integers(0, 255, (500, 500), np.uint8)
    Image.fromarray(photograph).save(folder / "cat" / "3.png")
    assert ImageFolder(path=str(folder), test_fraction=0.2, image_size=4).image_shape == (4, 4)


def test_mistakes_of_two_parts_are_named(divided: Path) -> None:
    with pytest.raises(UserError, match=r"has a test part, train/ and test/: leave out dataset\.test_fraction=0\.2"):
        ImageFolder(path=str(divided), test_fraction=0.2)
    picture(divided / "test" / "emu" / "a.png", 3)
    with pytest.raises(UserError, match=r"pictures/test has classes that .*pictures/train lacks: emu"):
        ImageFolder(path=str(divided))
    shutil.rmtree(divided / "test")
    with pytest.raises(UserError, match=r"pictures/test does not exist"):
        ImageFolder(path=str(divided))
    with pytest.raises(ValueError, match=r"image_size must be one number or two, >= 1. Got 0"):
        ImageFolder(path=str(divided), image_size=0)
