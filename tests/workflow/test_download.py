import hashlib
import io
import json
import re
import shutil
import sys
import zipfile
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import yaml

from isoenergy.data.pairs import read_pairs
from isoenergy.data.shards import decode_picture, read_pictures


@pytest.fixture
def server(root):
    sys.path.insert(0, str(root / "tests/data"))
    from hostile import Server, pictures

    server = Server(pictures(40))
    yield server
    server.close()


def _changed(root, folder, server, **changes):
    """config/ci.yaml with downloads from the server, whose files are of no published digest."""
    config = yaml.safe_load((root / "config/ci.yaml").read_text())
    config["download"] |= {"server": server.address, "private_addresses": True, "retries": 0}
    for key, value in changes.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    (folder / "changed.yaml").write_text(yaml.safe_dump(config))
    return str(folder / "changed.yaml")


def _config(root, folder, **download):
    config = yaml.safe_load((root / "config/ci.yaml").read_text())
    config["rows"]["laion"] = 45
    config["download"] |= download
    config["datasets"] |= {"train": "laion", "transfer": []}
    (folder / "laion.yaml").write_text(yaml.safe_dump(config))
    return str(folder / "laion.yaml")


def test_a_list_of_links_becomes_a_data_set(root, workflow, tmp_path, server, fetcher):
    paths = [f"/ok/good{i}" for i in range(40)] + [f"/404/good{i}" for i in range(5)]
    table = pd.DataFrame({"URL": [server.address + path for path in paths], "TEXT": paths})
    table.to_parquet(tmp_path / "metadata.parquet")
    config = _config(
        root,
        tmp_path,
        lists={"laion": str(tmp_path / "metadata.parquet")},
        range=20,
        python=fetcher,
        private_addresses=True,
        retries=0,
    )
    data = workflow.folder / "results/ci/data/laion"
    done = workflow.run("results/ci/data/laion/pairs.parquet", "--configfile", config)
    assert done.returncode == 0, done.stderr[-4000:]
    told = pd.read_parquet(data / "pairs.parquet")
    assert told["caption"].tolist() == paths
    assert told["status"].tolist() == ["ok"] * 40 + ["HTTP 404"] * 5
    assert [path.name for path in sorted((data / "images").glob("*.tar"))] == [
        f"{part:05d}.tar" for part in range(3)
    ]
    assert not list(data.glob("ranges/*.tar"))
    usable = read_pairs(data / "pairs.parquet", "pairs")
    seen = {
        key: np.asarray(decode_picture(content)) for key, content in read_pictures(data / "images")
    }
    assert len(seen) == 40
    wanted = np.asarray(decode_picture(server.files["good7"]))
    assert (seen[usable["image"][7]] == wanted).all()
    asked = sum(server.asked.values())
    again = workflow.run("results/ci/data/laion/pairs.parquet", "--configfile", config)
    assert "Nothing to be done" in again.stdout + again.stderr
    assert sum(server.asked.values()) == asked


def test_the_list_is_split_into_ranges_of_a_job_each(root, workflow, tmp_path):
    done = workflow.run("--dry-run", "data", "--configfile", _config(root, tmp_path, range=20))
    planned = dict(line.split() for line in done.stdout.splitlines() if len(line.split()) == 2)
    assert (planned["list_links"], planned["fetch_range"], planned["gather_ranges"]) == (
        "1",
        "3",
        "1",
    )


def _zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _coco(files):
    """The archives of a COCO val2017 of a few pictures, one of which is missing."""
    numbers = range(1, 13)
    told = {
        "images": [{"id": i, "file_name": f"{i:012d}.jpg"} for i in numbers],
        "annotations": [{"image_id": i, "caption": f"{i} {n}"} for i in numbers for n in range(5)],
    }
    pictures = {f"val2017/{i:012d}.jpg": files[f"good{i}"] for i in numbers if i != 5}
    annotations = {"annotations/captions_val2017.json": json.dumps(told)}
    return {"annotations_trainval2017.zip": _zipped(annotations), "val2017.zip": _zipped(pictures)}


@pytest.fixture
def copied(root, workflow, tmp_path):
    """Runs a copy of the repository, whose downloads.tsv is the test's own."""
    workflow.root = tmp_path / "repository"
    for name in ("config", "scripts", "workflow", "envs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / name, workflow.root / name, ignore=ignored)
    shutil.copy(root / "pyproject.toml", workflow.root)
    return workflow


def _publish(copied, server, source, files):
    """Serve files as those of a source, with their own sizes and digests, and nowhere else."""
    path = copied.root / "config/downloads.tsv"
    lines = path.read_text().splitlines()
    for i, line in enumerate(lines):
        name, *cells = line.split("\t")
        if name in files:
            digest = f"sha256:{hashlib.sha256(files[name]).hexdigest()}" if cells[-1] else ""
            cells[-4:] = [f"{server.address}/404/{name}", "", str(len(files[name])), digest]
            lines[i] = "\t".join([name, *cells])
    path.write_text("\n".join(lines) + "\n")
    server.published |= {f"/{source}/{name}": content for name, content in files.items()}


def test_coco_val_is_downloaded_checked_and_counted(copied, tmp_path, server):
    _publish(copied, server, "coco", _coco(server.files))
    config = _changed(
        copied.root, tmp_path, server, datasets={"train": "coco-val", "transfer": []}, rows={}
    )
    done = copied.run("preflight", "data", "--configfile", config)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^data set +coco-val +\S+ GB to download, there ", done.stdout, flags=re.M)
    done = copied.run("data", "--configfile", config)
    assert done.returncode == 0, done.stderr[-4000:]
    told = pd.read_parquet(copied.folder / "results/ci/data/coco-val/pairs.parquet")
    assert len(told) == 60
    assert told["status"].value_counts().to_dict() == {"ok": 55, "is not in the folder": 5}
    assert told["caption"].tolist()[4:6] == ["1 4", "2 0"]
    stored = dict(read_pictures(copied.folder / "results/ci/data/coco-val/images"))
    assert stored[told["image"][5]] == server.files["good2"]
    # Nothing is asked for again, also where the data set is.
    server.published.clear()
    shutil.rmtree(copied.folder / "results/ci/data")
    done = copied.run("data", "--configfile", config)
    assert done.returncode == 0, done.stderr[-4000:]


def test_an_archive_that_is_not_the_published_one_is_refused(copied, tmp_path, server):
    _publish(copied, server, "coco", _coco(server.files))
    server.published["/coco/val2017.zip"] += b"x"
    config = _changed(
        copied.root, tmp_path, server, datasets={"train": "coco-val", "transfer": []}, rows={}
    )
    done = copied.run("data", "--configfile", config)
    assert done.returncode != 0
    assert "val2017.zip cannot be downloaded (" in done.stderr
    assert "/coco/val2017.zip: too many bytes" in done.stderr
    assert not (copied.folder / "results/ci/downloads/coco/val2017.zip").exists()


def test_fashioniq_is_listed_fetched_and_gathered(copied, tmp_path, server, fetcher):
    files = {}
    for start, category in enumerate(("dress", "shirt", "toptee")):
        names = [f"GOOD{10 * start + i}" for i in range(10)]
        entries = [
            {"target": target, "candidate": source, "captions": [f"{target} a", f"{target} b"]}
            for target, source in pairwise(names)
        ]
        files[f"cap.{category}.train.json"] = json.dumps(entries).encode()
        # The first good of each category is gone, and the last is listed nowhere.
        rows = [
            f"{n} \t {server.address}/{'404' if n == names[0] else 'ok'}/{n.lower()}" for n in names
        ]
        files[f"asin2url.{category}.txt"] = "\n".join(rows[:-1]).encode()
    _publish(copied, server, "fashioniq", files)
    config = _changed(
        copied.root,
        tmp_path,
        server,
        datasets={"edits": "fashioniq"},
        download={"python": fetcher, "range": 9000},
    )
    path = "results/ci/data/fashioniq/pairs.parquet"
    done = copied.run(path, "--configfile", config)
    assert done.returncode == 0, done.stderr[-4000:]
    told = pd.read_parquet(copied.folder / path)
    assert len(told) == 3 * 9 * 2
    assert told["status"].value_counts().to_dict() == {
        "ok": 3 * 7 * 2,
        "HTTP 404": 3 * 2,
        "not a http or https URL": 3 * 2,
    }
    usable = read_pairs(copied.folder / path, "edits")
    stored = dict(read_pictures(copied.folder / "results/ci/data/fashioniq/images"))
    row = usable[usable["caption"] == "GOOD13 b"].iloc[0]
    assert stored[row["image"]] == server.files["good13"]
    assert stored[row["source"]] == server.files["good14"]
    assert server.asked["/ok/good13"] == 1
