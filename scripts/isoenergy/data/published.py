"""COCO, ImageNet and FashionIQ in the files that they are published as."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoenergy.data.normal import SUFFIXES
from isoenergy.data.unpacked import Unpacked
from isoenergy.errors import InputError
from isoenergy.files import visible
from isoenergy.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

CLASS_INDEX = "imagenet_class_index.json"
# What a folder in a layout of the user's own has, see folder.py.
TABLES = ("pairs.parquet", "pairs.csv")
CATEGORIES = ("dress", "shirt", "toptee")
_AGAIN = "copy or download it again"

# The 80 prompts of CLIP (Radford et al. 2021), with "a" and with "the": what shows the class, ...
_OF = (
    "a bad photo of",
    "a sculpture of",
    "a low resolution photo of",
    "a rendering of",
    "graffiti of",
    "a cropped photo of",
    "a tattoo of",
    "a bright photo of",
    "a dark photo of",
    "a drawing of",
    "a close-up photo of",
    "a black and white photo of",
    "a painting of",
    "a pixelated photo of",
    "a jpeg corrupted photo of",
    "a blurry photo of",
    "a photo of",
    "a good photo of",
    "a doodle of",
    "a sketch of",
    "a rendition of",
    "art of",
    "itap of",
)
# ... what it is like, what it is made as, and four alone.
_LIKE = ("hard to see", "clean", "dirty", "cool", "large", "nice", "weird", "small")
_AS = ("embroidered", "plastic", "origami", "toy", "cartoon", "plushie")
_ALONE = ("a photo of many {}.", "a photo of my {}.", "a photo of one {}.", "itap of my {}.")
TEMPLATES = (
    *(f"{what} {article} {{}}." for what in _OF for article in ("a", "the")),
    *(f"a photo of {article} {like} {{}}." for like in _LIKE for article in ("a", "the")),
    *(f"{article} {made} {{}}." for made in _AS for article in ("a", "the")),
    *(f"{article} {{}} in a video game." for article in ("a", "the")),
    *_ALONE,
)


@dataclass(frozen=True)
class Listing:
    """What a data set says, before a picture is opened.

    Attributes
    ----------
    table : DataFrame
        The columns of a pairs table but ``status``; pictures are paths inside the folder.
    classes : dict of str to list of str or None
        ``names`` and ``templates`` of labelled classes.
    """

    table: pd.DataFrame
    classes: dict[str, list[str]] | None = None


# Each takes the files, the name of the data set, and which part of it is read.
LAYOUTS: Registry[Callable[[Unpacked, str, str | None], Listing]] = Registry("layout of a data set")


def landmark(source: str, split: str | None) -> str | None:
    """A file that a data set has as it is published, by which it is missed; None for others.

    Parameters
    ----------
    source : str
        A layout, or another source of data sets.
    split : str or None
    """
    return {
        "coco": f"annotations/captions_{split}2017.json",
        "imagenet": CLASS_INDEX,
        "fashioniq": caption_file(CATEGORIES[0], split),
    }.get(source)


def caption_file(category: str, split: str | None) -> str:
    """Where FashionIQ has the relative captions of a category."""
    return f"cap.{category}.{split}.json"


def is_published(files: Unpacked, source: str, split: str | None) -> bool:
    """Whether files have what a data set is published as, as far as one landmark tells.

    Raises
    ------
    InputError
        If an archive is broken.
    """
    name = landmark(source, split)
    if source == "imagenet":
        return bool(_class_index(files))
    return name is not None and any(files.has(f"{where}{name}") for where in ("", "captions/"))


def listing_files(folder: str | Path, source: str, split: str | None) -> list[Path]:
    """What says which pictures and texts a data set in a folder has, so that a change is noticed.

    Tables, annotations and classes, and zip archives; not pictures that lie there as files.

    Parameters
    ----------
    folder : path
        It need not be there.
    source : str
    split : str or None
    """
    folder = Path(folder)
    captions = [caption_file(name, split) for name in CATEGORIES] if source == "fashioniq" else []
    names = [*TABLES, "classes.json", landmark(source, split), *captions]
    names += [f"captions/{name}" for name in captions]
    paths = {folder / name for name in names if name} | set(visible(folder.glob("*.zip")))
    if source == "imagenet":
        paths.add(_class_index(Unpacked(folder)) or folder / CLASS_INDEX)
    return sorted(path for path in paths if path.is_file())


@LAYOUTS.register("coco")
def read_coco(files: Unpacked, dataset: str, split: str | None) -> Listing:
    """COCO 2017: a row for every caption, pictures in the order of the file (SPEC 1.3).

    Raises
    ------
    InputError
        If ``annotations/captions_SPLIT2017.json`` is missing or broken.
    """
    import pandas as pd

    path = landmark("coco", split)
    told = files.read_json(path)
    with _as_published(path):
        captions: dict[int, list[str]] = {}
        for row in _list(told["annotations"]):
            captions.setdefault(int(row["image_id"]), []).append(_text(row["caption"]))
        rows = [
            (f"{split}2017/{_text(picture['file_name'])}", caption)
            for picture in _list(told["images"])
            for caption in captions.get(int(picture["id"]), ())
        ]
    if not rows:
        raise InputError(f"{path} of {files} has no picture with a caption; {_AGAIN}")
    table = pd.DataFrame(rows, columns=["image", "caption"])
    return Listing(_numbered(table, dataset))


@LAYOUTS.register("imagenet")
def read_imagenet(files: Unpacked, dataset: str, split: str | None = None) -> Listing:
    """ImageNet, a folder per class; names are those of Keras, prompts CLIP's 80 (SPEC 1.4).

    The names are read from ``imagenet_class_index.json``, in the folder or beside it; a class's
    number is its place among the sorted folder names of the whole data set.

    Raises
    ------
    InputError
        If the index is missing, or a folder is none of its classes.
    """
    import pandas as pd

    folder = files.folders[0]
    path = _class_index(files)
    if path is None:
        raise InputError(
            f"neither {folder} nor the folder above it has {CLASS_INDEX}, which names the classes; "
            "it comes with Keras"
        )
    told = Unpacked(path.parent).read_json(path.name)
    with _as_published(path):
        entries = [told[str(number)] for number in range(len(told))]
        folders = [_text(entry[0]) for entry in entries]
        names = [_text(entry[1]).replace("_", " ").strip().lower() for entry in entries]
    if folders != sorted(set(folders)):
        raise InputError(f"{path}: the classes' folder names are not in order, each once")
    rows = []
    for own in visible(path for path in folder.iterdir() if path.is_dir()):
        if own.name not in folders:
            raise InputError(f"{own} is no class of {path}; a folder per class is needed")
        label = folders.index(own.name)
        rows += [
            (f"{own.name}/{file.name}", label)
            for file in visible(own.iterdir())
            if file.suffix.lower() in SUFFIXES
        ]
    if not rows:
        raise InputError(f"{folder} has no folders of pictures such as {folders[0]}")
    table = pd.DataFrame(rows, columns=["image", "label"])
    classes = {"names": names, "templates": list(TEMPLATES)}
    return Listing(_numbered(table, dataset), classes)


def lacks_index(folder: str | Path, source: str) -> bool:
    """Whether a folder is of ImageNet's pictures alone, without the names of the classes."""
    tables = any((Path(folder) / name).is_file() for name in TABLES)
    return source == "imagenet" and not tables and _class_index(Unpacked(folder)) is None


def _class_index(files: Unpacked) -> Path | None:
    places = [files.folders[0], files.folders[0].parent, *files.folders[1:]]
    return next((p / CLASS_INDEX for p in places if (p / CLASS_INDEX).is_file()), None)


@LAYOUTS.register("fashioniq")
def read_fashioniq(files: Unpacked, dataset: str, split: str | None) -> Listing:
    """FashionIQ, all categories pooled: a row for every caption (SPEC 1.5).

    Captions are read as :func:`read_edits` does, pictures are ``images/ASIN.jpg`` or another
    suffix.

    Raises
    ------
    InputError
        If a file of captions is missing or broken.
    """
    suffixes = {
        path.stem: path.suffix
        for folder in files.folders
        for path in visible((folder / "images").glob("*"))
        if path.suffix.lower() in SUFFIXES
    }
    table = read_edits(files, dataset, split)
    for side in ("image", "source"):
        table[side] = [f"images/{name}{suffixes.get(name, '.jpg')}" for name in table[side]]
    return Listing(table)


def read_edits(files: Unpacked, dataset: str, split: str | None) -> pd.DataFrame:
    """The relative captions of FashionIQ, a row each; pictures are numbers of goods (ASIN).

    Read from ``captions/cap.{dress,shirt,toptee}.SPLIT.json``, or without ``captions/``.

    Returns
    -------
    DataFrame
        ``id``, ``image`` (the target), ``source``, ``caption``, ``triplet``, ``category``.

    Raises
    ------
    InputError
        If a file is missing or broken.
    """
    import pandas as pd

    rows = []
    triplet = 0
    for category in CATEGORIES:
        name = caption_file(category, split)
        path = f"captions/{name}" if files.has(f"captions/{name}") else name
        told = files.read_json(path)
        with _as_published(path):
            for entry in _list(told):
                target, source = (_good(entry[key]) for key in ("target", "candidate"))
                rows += [
                    (target, source, _text(caption), triplet, category)
                    for caption in _list(entry["captions"])
                ]
                triplet += 1
    if not rows:
        raise InputError(f"the caption files of {files} have no captions; {_AGAIN}")
    columns = ["image", "source", "caption", "triplet", "category"]
    return _numbered(pd.DataFrame(rows, columns=columns), dataset)


def _good(value: Any) -> str:
    """The number of a good, which becomes part of the name of a file."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", _text(value)):
        raise ValueError(f"{value[:80]!r} is no number of a good")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{str(value)[:80]!r} is no text")
    value.encode("utf-8")  # JSON can spell halves of characters, which no file can hold
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{str(value)[:80]!r} is no list")
    return value


def _numbered(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    table.insert(0, "id", [f"{dataset}-{i:08d}" for i in range(len(table))])
    return table


@contextmanager
def _as_published(path: str | Path) -> Iterator[None]:
    """Turn what goes wrong in reading JSON of another form into one sentence."""
    try:
        yield
    except (KeyError, TypeError, IndexError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path} is not of the form that is published ({type(error).__name__}: {error}); "
            f"{_AGAIN}"
        ) from None
