import pytest

from isoenergy.data import scenes as drawing
from isoenergy.data.scenes import SceneSet, write_scenes
from isoenergy.errors import InputError
from isoenergy.files import read_json, write_json


@pytest.fixture(scope="module")
def draw_data(tmp_path_factory):
    """A small data set of each kind, by its number of rows; classes with three templates."""

    def draw(rows, shard_rows, captions):
        folder = tmp_path_factory.mktemp("data")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(drawing, "SHARD_ROWS", shard_rows)
            for kind, n in rows.items():
                scenes = SceneSet("s", kind, 0.25, "plain", captions=captions)
                pairs, images = folder / kind / "pairs.parquet", folder / kind / "images"
                write_scenes(scenes, n, 3, pairs, images)
        told = read_json(folder / "classes/images/classes.json")
        few = {**told, "templates": told["templates"][7:10]}
        write_json(folder / "classes/images/classes.json", few)
        return folder

    return draw


@pytest.fixture
def snapshot():
    """Content and time of every file of a folder."""

    def take(folder):
        return {
            str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return take


@pytest.fixture
def sentence():
    """The one sentence with which a call refuses its input."""

    def of(function, *arguments):
        with pytest.raises(InputError) as told:
            function(*arguments)
        assert "\n" not in str(told.value)
        return str(told.value)

    return of
