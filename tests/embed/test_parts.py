import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from isoenergy.data.shards import index_pictures, list_shards, read_pictures, write_shard
from isoenergy.embed.embed import embed_dataset, embed_range
from isoenergy.embed.encoder import DualEncoder
from isoenergy.embed.join import join_ranges
from isoenergy.embed.parts import Embedding, embed_parts, split_parts
from isoenergy.embed.store import open_store
from isoenergy.errors import InputError
from isoenergy.files import read_json, read_parquet, write_parquet
from isoenergy.measure.accounting import count_rows

HOW = Embedding(5, "float32", "float32", short_texts=False, part=4, workers=0)
ROWS = {"pairs": 60, "classes": 22, "edits": 40}


@pytest.fixture(scope="module")
def data(draw_data):
    """A small data set of each kind, in shards that are not parts."""
    return draw_data(ROWS, shard_rows=9, captions=3)


def inputs(data, kind):
    return data / kind / "pairs.parquet", data / kind / "images"


def embed(data, kind, spec, folder, how=HOW):
    store = folder / "store.json"
    embed_dataset(*inputs(data, kind), store, folder / "work", "few", kind, spec, how)
    return folder


def files(folder):
    """Content of every file."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def embedded(monkeypatch):
    """How many pictures are embedded by each call."""
    counts = []
    real = DualEncoder.embed_pixels

    def embed_pixels(encoder, pixels):
        counts.append(len(pixels))
        return real(encoder, pixels)

    monkeypatch.setattr(DualEncoder, "embed_pixels", embed_pixels)
    return counts


@pytest.mark.parametrize("kind", ROWS)
def test_ranges_and_one_job_give_the_same_bytes(data, tiny_encoders, tmp_path, kind):
    spec = tiny_encoders["clip"]
    whole = embed(data, kind, spec, tmp_path / "whole")
    pairs, images = inputs(data, kind)
    index_pictures(images, tmp_path / "index.parquet")
    ranges = []
    # Two parts each; the last but one is behind the end, and the last takes all that follows.
    plan = [(0, 2), (2, 1), (3, None), (90, 2), (92, None)]
    for number, (first, parts) in reversed(list(enumerate(plan))):
        folder, work = tmp_path / f"ranges/{number}", tmp_path / f"ranges/{number}.work"
        index = tmp_path / "index.parquet"
        embed_range(pairs, images, index, folder, work, "few", kind, spec, HOW, first, parts)
        assert not work.exists()
        ranges.append(folder)
    store = tmp_path / "joined/store.json"
    join_ranges(pairs, images, ranges[::-1], store, "few", kind, spec.model)
    assert files(tmp_path / "joined") == files(whole)
    assert len(list((whole / "img_emb").iterdir())) > 4


def test_the_store_lists_its_parts(data, tiny_encoders, tmp_path):
    told = read_json(embed(data, "pairs", tiny_encoders["clip"], tmp_path / "s") / "store.json")
    assert told["parts"] == [{"number": number, "rows": 12} for number in range(5)]
    assert told["rows"] == 60
    names = [path.name for path in sorted((tmp_path / "s/text_emb").iterdir())]
    assert names == [f"text_emb_{number:04d}.npy" for number in range(5)]


def test_rows_of_one_picture_are_of_one_part_wherever_they_stand():
    table = pd.DataFrame({"image": list("abcabcddae")})
    assert split_parts(table, 2).tolist() == [0, 0, 1, 0, 0, 1, 1, 1, 0, 2]


def test_each_picture_is_embedded_once_and_row_i_is_one_pair(
    data, tiny_encoders, tmp_path, embedded
):
    pairs, images = inputs(data, "pairs")
    table = read_parquet(pairs).sample(frac=1, random_state=1)
    (tmp_path / "mixed/pairs").mkdir(parents=True)
    write_parquet(tmp_path / "mixed/pairs/pairs.parquet", table)
    (tmp_path / "mixed/pairs/images").symlink_to(images)
    spec = tiny_encoders["clip"]
    mixed = open_store(embed(tmp_path / "mixed", "pairs", spec, tmp_path / "a"))
    assert sum(embedded) == 20
    plain = open_store(embed(data, "pairs", spec, tmp_path / "b"))
    place = {row: i for i, row in enumerate(plain.metadata()["id"])}
    order = [place[row] for row in mixed.metadata()["id"]]
    assert sorted(order) == list(range(60)) != order
    np.testing.assert_allclose(mixed.image[:], plain.image[:][order], atol=1e-5)
    np.testing.assert_allclose(mixed.text[:], plain.text[:][order], atol=1e-5)


def test_only_parts_that_are_not_there_are_embedded(data, tiny_encoders, tmp_path, embedded):
    spec = tiny_encoders["clip"]
    whole = files(embed(data, "pairs", spec, tmp_path / "whole"))
    made = embed_parts(*inputs(data, "pairs"), tmp_path / "s/work", "pairs", spec, HOW, "x")
    for number in (1, 3):
        (made / f"part_{number:04d}.json").unlink()
    (made / "img_emb_0001.npy").write_bytes(b"half of it")
    embedded.clear()
    assert files(embed(data, "pairs", spec, tmp_path / "s")) == whole
    assert sum(embedded) == 2 * 4


@pytest.mark.parametrize(
    "change", ["batch_size", "part", "dtype", "model", "text", "pictures", "workers"]
)
def test_parts_of_another_making_are_not_kept(
    data, tiny_encoders, tmp_path, embedded, change, monkeypatch
):
    spec, how, where = tiny_encoders["clip"], HOW, tmp_path / "data"
    pairs, images = where / "pairs/pairs.parquet", where / "pairs/images"
    table = read_parquet(inputs(data, "pairs")[0])
    write_parquet(pairs, table)
    for shard in list_shards(inputs(data, "pairs")[1]):
        images.mkdir(exist_ok=True)
        (images / shard.name).write_bytes(shard.read_bytes())
    embed_parts(pairs, images, tmp_path / "s/work", "pairs", spec, how, "x")
    if change in ("batch_size", "part"):
        how = replace(how, **{change: 3})
    elif change == "dtype":
        how = replace(how, dtype="float16")
    elif change == "workers":
        how = replace(how, workers=3)  # not even started where nothing is left to do
    elif change == "model":
        spec = replace(spec, lower_case=True)
    elif change == "text":
        write_parquet(pairs, table.assign(caption="another"))
    else:
        os.utime(images / "00000.tar", ns=(1, 1))
    embedded.clear()
    embed(where, "pairs", spec, tmp_path / "s", how)
    assert sum(embedded) == (0 if change == "workers" else 20)


def test_killed_half_way_a_job_goes_on_to_the_same_bytes_and_leaves_no_worker(
    data, tiny_encoders, tmp_path, root, embedded
):
    spec = tiny_encoders["clip"]
    whole = files(embed(data, "pairs", spec, tmp_path / "whole"))
    pairs, images = inputs(data, "pairs")
    (tmp_path / "slow.py").write_text(
        "import sys, time\n"
        f"sys.path[:0] = [{str(root / 'scripts')!r}]\n"
        "from isoenergy.embed import encoder\n"
        "real = encoder.DualEncoder.embed_pixels\n"
        "def slow(self, pixels):\n"
        "    time.sleep(0.4)\n"
        "    return real(self, pixels)\n"
        "encoder.DualEncoder.embed_pixels = slow\n"
        f"sys.argv[0] = {str(root / 'scripts/embed/embed_dataset.py')!r}\n"
        "exec(compile(open(sys.argv[0]).read(), sys.argv[0], 'exec'), {**globals(), "
        "'__file__': sys.argv[0]})\n"
    )
    how = replace(HOW, workers=2)
    words = ["--pairs", pairs, "--images", images, "--store", tmp_path / "s/store.json"]
    words += ["--work", tmp_path / "s/work", "--dataset", "few", "--kind", "pairs"]
    words += ["--encoder", json.dumps(asdict(spec)), "--embedding", json.dumps(asdict(how))]
    job = subprocess.Popen(
        [sys.executable, tmp_path / "slow.py", *map(str, words)],
        # As here: other threads round differently.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        deadline = time.monotonic() + 120
        while len(list((tmp_path / "s").glob("work/*/part_*.json"))) < 2:
            assert job.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        workers = children(job.pid)
    finally:
        job.send_signal(signal.SIGKILL)
        job.wait()
    kept = len(list((tmp_path / "s").glob("work/*/part_*.json")))
    assert 2 <= kept < 5
    assert not (tmp_path / "s/store.json").exists()
    assert len(workers) >= 2
    deadline = time.monotonic() + 30
    while any(map(alive, workers)):
        assert time.monotonic() < deadline, "workers outlive the job"
        time.sleep(0.1)
    embedded.clear()
    assert files(embed(data, "pairs", spec, tmp_path / "s")) == whole
    assert sum(embedded) == 20 - 4 * kept


def children(process):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = path.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == process:
            found.append(int(path.parent.name))
    return found


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_picture_that_cannot_be_embedded_is_told_and_every_row_is_accounted_for(
    data, tiny_encoders, tmp_path
):
    pairs, images = inputs(data, "pairs")
    spoilt = tmp_path / "data/pairs/images"
    wide = io.BytesIO()
    Image.new("RGB", (3000, 3)).save(wide, "PNG")
    # A whole part of three (rows 12 to 23) cannot be read, of others one row of pictures each.
    lost = {"00000004": b"", "00000005": b"GIF89a", "00000006": b"x" * 99}
    lost |= {"00000007": b"\x89PNG\r\n", "00000001": wide.getvalue()}
    for shard in list_shards(images):
        one = tmp_path / "one" / shard.stem
        one.mkdir(parents=True)
        (one / shard.name).symlink_to(shard)
        content = [
            (key, lost.get(key, picture))
            for key, picture in read_pictures(one)
            if key != "00000009"
        ]
        write_shard(spoilt / shard.name, content, ".png")
    table = read_parquet(pairs)
    table.loc[0, "status"] = "HTTP 404"
    write_parquet(tmp_path / "data/pairs/pairs.parquet", table)
    folder = embed(tmp_path / "data", "pairs", tiny_encoders["clip"], tmp_path / "s")
    told = read_json(folder / "store.json")
    gone = table["image"].isin([*lost, "00000009"])
    assert sorted(told["dropped"]) == sorted(table["id"][gone & (table["status"] == "ok")])
    assert {reason.split(" (")[0] for reason in told["dropped"].values()} == {
        "picture cannot be decoded",
        "not in the shards",
        "picture is too oblong",
    }
    assert [part["rows"] for part in told["parts"]] == [8, 0, 9, 12, 12]
    store = open_store(folder)
    assert len(store) == 41
    assert (
        store.metadata()["id"].tolist() == table["id"][~gone & (table["status"] == "ok")].tolist()
    )
    count_rows(
        tmp_path / "data/pairs/pairs.parquet",
        "pairs",
        None,
        {"Tiny": folder / "store.json"},
        None,
        tmp_path / "metrics",
    )
    assert read_json(tmp_path / "metrics/usable.json")["value"] == 59
    assert read_json(tmp_path / "metrics/Tiny/embedded.json")["value"] == 41
    # Six pictures of three rows each.
    assert read_json(tmp_path / "metrics/Tiny/dropped.json")["protocols"] == {
        "all reasons": 18,
        "picture cannot be decoded": 12,
        "not in the shards": 3,
        "picture is too oblong": 3,
    }


def test_a_missing_range_or_parts_by_other_encoders_are_refused(data, tiny_encoders, tmp_path):
    pairs, images = inputs(data, "pairs")
    made = [
        embed_parts(pairs, images, tmp_path / name, "pairs", spec, HOW, "x", first, parts)
        for name, spec, first, parts in (
            ("a", tiny_encoders["clip"], 0, 2),
            ("b", tiny_encoders["clip"], 2, None),
            ("c", replace(tiny_encoders["clip"], lower_case=True), 2, None),
        )
    ]
    store = tmp_path / "s/store.json"
    with pytest.raises(InputError, match=r"has 60 rows .* tell of 24 embedded and 0 left out"):
        join_ranges(pairs, images, made[:1], store, "few", "pairs", "Tiny")
    with pytest.raises(InputError, match=r"made by encoders that differ; delete"):
        join_ranges(pairs, images, [made[0], made[2]], store, "few", "pairs", "Tiny")
    table = read_parquet(made[1] / "metadata_0003.parquet")
    write_parquet(made[1] / "metadata_0003.parquet", table[::-1])
    with pytest.raises(
        InputError, match=r"metadata_0003\.parquet holds other rows .*; delete .* and run"
    ):
        join_ranges(pairs, images, made[:2], store, "few", "pairs", "Tiny")
    assert not store.exists()


SPOILT = {
    "part_0001.json": lambda path: path.write_text(path.read_text()[:40]),
    "part_0002.json": lambda path: path.write_text("[]"),
    "img_emb_0001.npy": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "text_emb_0002.npy": lambda path: np.save(path, np.zeros((3, 8), np.float32)),
    "metadata_0001.parquet": lambda path: path.write_bytes(b""),
    "metadata_0002.parquet": lambda path: path.unlink(),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_broken_part_is_embedded_again_and_told(
    data, tiny_encoders, tmp_path, embedded, caplog, name
):
    pairs, images = inputs(data, "pairs")
    asked = (pairs, images, tmp_path / "w", "pairs", tiny_encoders["clip"], HOW, "x")
    folder = embed_parts(*asked)
    whole = files(folder)
    SPOILT[name](folder / name)
    with pytest.raises(InputError, match=rf"; delete {folder} and run again$"):
        join_ranges(pairs, images, [folder], tmp_path / "s/store.json", "few", "pairs", "Tiny")
    embedded.clear()
    embed_parts(*asked)
    assert sum(embedded) == 4
    [line] = [line for line in caplog.messages if "again" in line]
    assert line.startswith(f"part_{name.partition('_000')[2][0].zfill(4)} is embedded again: ")
    assert files(folder) == whole


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_half_precision_is_within_the_cosine_that_is_checked(data, tiny_encoders, tmp_path, family):
    stores = [
        open_store(embed(data, "edits", tiny_encoders[family], tmp_path / precision, how))
        for precision in ("float32", "float16")
        for how in [replace(HOW, precision=precision)]
    ]
    for side in ("image", "text", "source"):
        single, half = (getattr(store, side)[:] for store in stores)
        assert (single * half).sum(axis=1).min() >= 0.9999
        assert (single != half).any()
    assert stores[1].description["precision"] == "float16"


@pytest.mark.parametrize("method", ["pixels", "texts"])
def test_a_precision_that_is_not_good_enough_is_refused(
    data, tiny_encoders, tmp_path, monkeypatch, method
):
    real = getattr(DualEncoder, f"embed_{method}")

    def worse(encoder, given, **options):
        vectors = real(encoder, given, **options)
        if encoder.precision == "float16":  # an angle of 0.02 from the right one
            vectors[-1] += 0.02 * np.roll(vectors[-1], 1)
            vectors[-1] /= np.linalg.norm(vectors[-1])
        return vectors

    monkeypatch.setattr(DualEncoder, f"embed_{method}", worse)
    how = replace(HOW, precision="float16")
    told = r"computed in float16 has cosine 0\.999\d+ .* below 0\.9999; set embed\.precision"
    with pytest.raises(InputError, match=told):
        embed(data, "pairs", tiny_encoders["clip"], tmp_path / "s", how)
