import sys

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
