"""COCO, ImageNet and FashionIQ in the files that they are published as, in a folder of the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoenergy.data.shards import PICTURE_SUFFIXES
from isoenergy.errors import InputError
from isoenergy.files import read_json
from isoenergy.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

COCO_CAPTIONS = "annotations/captions_train2017.json"
COCO_PICTURES = "train2017"
CLASS_INDEX = "imagenet_class_index.json"
CATEGORIES = ("dress", "shirt", "toptee")

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


LAYOUTS: Registry[Callable[[Path, str], Listing]] = Registry("layout of a data set")
# A file or folder that each layout has, by which it is missed.
LANDMARKS = {
    "coco": (COCO_CAPTIONS,),
    "imagenet": (CLASS_INDEX, f"../{CLASS_INDEX}"),
    "fashioniq": tuple(f"{folder}cap.{CATEGORIES[0]}.train.json" for folder in ("captions/", "")),
}


@LAYOUTS.register("coco")
def read_coco(folder: Path, dataset: str) -> Listing:
    """COCO 2017 train: a row for every caption, pictures in the order of the file (SPEC 1.3).

    Raises
    ------
    InputError
        If ``annotations/captions_train2017.json`` is missing or broken.
    """
    import pandas as pd

    path = folder / COCO_CAPTIONS
    told = read_json(path)
    with _as_published(path):
        captions: dict[int, list[str]] = {}
        for row in told["annotations"]:
            captions.setdefault(int(row["image_id"]), []).append(_text(row["caption"]))
        rows = [
            (f"{COCO_PICTURES}/{_text(picture['file_name'])}", caption)
            for picture in told["images"]
            for caption in captions.get(int(picture["id"]), ())
        ]
    table = pd.DataFrame(rows, columns=["image", "caption"])
    return Listing(_numbered(table, dataset))


@LAYOUTS.register("imagenet")
def read_imagenet(folder: Path, dataset: str) -> Listing:
    """ImageNet, a folder per class; names are those of Keras, prompts CLIP's 80 (SPEC 1.4).

    The names are read from ``imagenet_class_index.json``, in the folder or beside it; a class's
    number is its place among the sorted folder names of the whole data set.

    Raises
    ------
    InputError
        If the index is missing, or a folder is none of its classes.
    """
    import pandas as pd

    path = next(
        (p for p in (folder / CLASS_INDEX, folder.parent / CLASS_INDEX) if p.is_file()), None
    )
    if path is None:
        raise InputError(
            f"neither {folder} nor the folder above it has {CLASS_INDEX}, which names the classes; "
            "it comes with Keras"
        )
    told = read_json(path)
    with _as_published(path):
        entries = [told[str(number)] for number in range(len(told))]
        folders = [_text(entry[0]) for entry in entries]
        names = [_text(entry[1]).replace("_", " ").strip().lower() for entry in entries]
    if folders != sorted(set(folders)):
        raise InputError(f"{path}: the classes' folder names are not in order, each once")
    rows = []
    for own in sorted(path for path in folder.iterdir() if path.is_dir()):
        if own.name not in folders:
            raise InputError(f"{own} is no class of {path}; a folder per class is needed")
        label = folders.index(own.name)
        rows += [
            (f"{own.name}/{file.name}", label)
            for file in sorted(own.iterdir())
            if file.suffix.lower() in PICTURE_SUFFIXES
        ]
    if not rows:
        raise InputError(f"{folder} has no folders of pictures such as {folders[0]}")
    table = pd.DataFrame(rows, columns=["image", "label"])
    classes = {"names": names, "templates": list(TEMPLATES)}
    return Listing(_numbered(table, dataset), classes)


@LAYOUTS.register("fashioniq")
def read_fashioniq(folder: Path, dataset: str) -> Listing:
    """FashionIQ, split train, all categories pooled: a row for every caption (SPEC 1.5).

    Captions are ``captions/cap.{dress,shirt,toptee}.train.json`` (or lie in the folder itself),
    pictures ``images/ASIN.jpg`` or another suffix.

    Raises
    ------
    InputError
        If a file of captions is missing or broken.
    """
    import pandas as pd

    where = folder / "captions" if (folder / "captions").is_dir() else folder
    suffixes = {
        path.stem: path.suffix
        for path in sorted((folder / "images").glob("*"))
        if path.suffix.lower() in PICTURE_SUFFIXES
    }
    rows = []
    triplet = 0
    for category in CATEGORIES:
        path = where / f"cap.{category}.train.json"
        told = read_json(path)
        with _as_published(path):
            for entry in told:
                target, source = (
                    f"images/{name}{suffixes.get(name, '.jpg')}"
                    for name in (_text(entry["target"]), _text(entry["candidate"]))
                )
                rows += [
                    (target, source, _text(caption), triplet, category)
                    for caption in entry["captions"]
                ]
                triplet += 1
    columns = ["image", "source", "caption", "triplet", "category"]
    return Listing(_numbered(pd.DataFrame(rows, columns=columns), dataset))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _numbered(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    table.insert(0, "id", [f"{dataset}-{i:08d}" for i in range(len(table))])
    return table


@contextmanager
def _as_published(path: Path) -> Iterator[None]:
    """Turn what goes wrong in reading JSON of another form into one sentence."""
    try:
        yield
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise InputError(
            f"{path} is not of the form that is published ({type(error).__name__}: {error})"
        ) from None
