"""The user's own pictures, in a folder for each class."""

from __future__ import annotations

import hashlib
import io
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from mlp.base.errors import UserError
from mlp.base.files import read_bytes
from mlp.data.cache import cached
from mlp.data.user_data import OwnData

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # of Pillow's, for some of which it starts programs
MOST_PIXELS = 50_000_000  # of a picture; WebP needs 16 bytes for each
MOST_SCANS = 50  # of a JPEG; encoders write about ten, and each may pass over all pixels
#: Pixels of all pictures that are read whatever they are, and for each byte beyond: a photograph has about four.
FREE_PIXELS, PIXELS_PER_BYTE = 2**30, 100
GREY = ("1", "L", "LA")  # Pillow's modes
#: How a PGM or PPM file begins: comments without end would be read byte by byte.
NETPBM = re.compile(rb"P[1-6](\s|#[^\r\n]{0,200}[\r\n]){1,20}\d")


class ImageFolder(OwnData):
    """Pictures PATH/train/CLASS/* and PATH/test/CLASS/*, or PATH/CLASS/* with `test_fraction`.

    Pillow decodes them. They are turned as the camera says, resized to `image_size` (N or height, width), and made
    grey (`channels` 1) or coloured (3); without `channels` they are coloured unless all are grey. Pixels are divided
    by 255. Without `image_size` all must have the same size.
    """

    name = "folder"
    needs = "a folder: dataset.path=FOLDER, with train/CLASS/*.png and test/CLASS/*.png"
    divisor = 255.0

    def __init__(
        self,
        validation_fraction: float = 0.1,
        path: str | None = None,
        test_fraction: float | None = None,
        image_size: int | Sequence[int] | None = None,
        channels: Literal[1, 3] | None = None,
        class_names: Sequence[str | int] | None = None,
    ) -> None:
        super().__init__(validation_fraction, path, test_fraction, class_names)
        size = [image_size] * 2 if isinstance(image_size, int) else image_size
        if size is not None and (len(size) != 2 or min(size) < 1):
            raise ValueError(f"image_size must be one number or two, >= 1. Got {image_size}")
        self._unread: list[str] = []
        of = [self._path / part for part in ("train", "test")]
        if not (is_divided := any(folder.is_dir() for folder in of)):
            of = [self._path]
        parts = [self._pictures(folder) for folder in of]
        self._check_test_part(is_divided, "train/ and test/")
        classes = [np.array([label for label, _ in part]) for part in parts]
        files = [file.path for part in parts for _, file in part]
        try:
            stats = [file.stat() for part in parts for _, file in part]
        except OSError as error:
            raise self._error(f"cannot be read: {error}") from error
        states = [(file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns) for file in stats]
        what = repr((size and tuple(size), channels, self._path.absolute(), files, states))
        name = f"folder-1-{hashlib.sha256(what.encode()).hexdigest()}"
        x = cached(name, (len(files), None, None, None), lambda: _decode(files, size, channels))
        self.image_shape = x.shape[1:3] if x.shape[3] == 1 else x.shape[1:]
        rows = np.split(x.reshape(len(x), -1), [len(parts[0])]) if is_divided else [x.reshape(len(x), -1)]
        self._keep(list(zip(rows, classes, strict=True)), str(of[0]), str(of[-1]))

    def notes(self) -> list[str]:
        unread = [f"{len(self._unread)} files are not read, such as {self._unread[0]}"] if self._unread else []
        return super().notes() + unread

    def _pictures(self, folder: Path) -> list[tuple[str, os.DirEntry[str]]]:
        """The class and the file of all pictures of a part, sorted. Raises UserError for a class without any."""
        if not folder.is_dir():
            raise UserError(f"{folder} does not exist, or is not a folder")
        found: list[tuple[str, os.DirEntry[str]]] = []
        try:
            for place in _entries(folder):
                if not place.is_dir():
                    self._unread.append(place.path)
                    continue
                inside = _entries(place.path)
                files = [file for file in inside if os.path.splitext(file.name)[1].lower() in SUFFIXES]
                if deeper := [file.path for file in inside if file.is_dir()]:
                    raise UserError(f"{deeper[0]} is a folder in that of a class: {folder}/CLASS/* are the pictures")
                if not files:
                    raise UserError(f"{place.path} has no pictures ({', '.join(SUFFIXES)})")
                found += [(place.name, file) for file in files]
                self._unread += {file.path for file in inside} - {file.path for file in files}
        except OSError as error:
            raise UserError(f"{folder} cannot be read: {error}") from error
        if not found:
            raise UserError(f"{folder} has no folders of classes: {folder}/CLASS/*.png are the pictures")
        return found


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """What is in a folder, by name, without what is hidden. Not as paths: a search reads it for every trial."""
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if not entry.name.startswith((".", "__"))), key=lambda e: e.name)


def _decode(files: Sequence[str], size: Sequence[int] | None, channels: int | None) -> np.ndarray:
    """The pictures as (n, height, width, 1 or 3) uint8. Raises UserError, which names the file that is at fault."""
    found, pixels, size_of_all = {"L"}, 0, 0
    for file in files:
        with _opened(file) as image:
            found.add("L" if image.mode in GREY else "RGB")
            pixels += image.width * image.height
        size_of_all += os.path.getsize(file)
        if pixels > FREE_PIXELS + PIXELS_PER_BYTE * size_of_all:
            raise UserError(
                f"{file}: up to here the pictures have {pixels:,} pixels in {size_of_all:,} bytes, to take long; "
                f"of photographs, about 4 for each byte, any number is read"
            )
    first = _read(files[0], mode := {1: "L", 3: "RGB", None: max(found)}[channels], size)
    pictures = np.empty((len(files), *first.shape), np.uint8)
    for picture, file in zip(pictures, files, strict=True):
        read = _read(file, mode, size)
        if read.shape != first.shape:
            one, other = (" x ".join(map(str, shape[:2])) for shape in (first.shape, read.shape))
            raise UserError(
                f"{files[0]} is {one} pixels, {file} {other}: dataset.image_size={first.shape[0]} makes all alike"
            )
        picture[...] = read
    return pictures.reshape(*pictures.shape[:3], -1)


def _read(file: str, mode: str, size: Sequence[int] | None) -> np.ndarray:
    """A picture in one of Pillow's modes, (height, width) or (height, width, 3)."""
    from PIL import Image, ImageOps

    with _opened(file) as image:
        if image.mode.startswith(("I", "F")):
            raise UserError(f"{file} has more than 8 bits for a colour: convert it")
        if getattr(image, "is_animated", False):
            raise UserError(f"{file} has several pictures: keep one")
        ImageOps.exif_transpose(image, in_place=True)
        has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
        whole = image if image.mode in ("RGBA", "LA") or not has_alpha else image.convert("RGBA")
        if has_alpha and np.asarray(whole.getchannel("A")).min() < 255:
            raise UserError(f"{file} is transparent in places: put it on a background")
        image = image.convert(mode)
        return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR) if size else image)


@contextmanager
def _opened(file: str) -> Iterator[Image.Image]:
    from PIL import Image, UnidentifiedImageError

    wrong = f"{file} is not a readable picture"
    try:
        data = read_bytes(file)
        if data[:1] == b"P" and not NETPBM.match(data):
            raise UserError("a PGM or PPM file that has no size at its beginning")
        if data[:2] == b"\xff\xd8" and (scans := data.count(b"\xff\xda")) > MOST_SCANS:
            raise UserError(f"a JPEG of {scans:,} scans; at most {MOST_SCANS} are read")
    except UserError as error:
        raise UserError(f"{wrong}: {error}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is damaged and can be read
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if (pixels := image.width * image.height) > MOST_PIXELS:
                    raise UserError(f"{wrong}: {pixels:,} pixels are too many; at most {MOST_PIXELS:,} are read")
                yield image
    except (UserError, MemoryError):
        raise
    except UnidentifiedImageError as error:  # which names an object of Python
        raise UserError(f"{wrong}: it is none of {', '.join(FORMATS)}") from error
    except Exception as error:  # a damaged file can fail anywhere in Pillow
        raise UserError(f"{wrong}: {error}") from error
