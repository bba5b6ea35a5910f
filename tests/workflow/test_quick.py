"""`make quick` as a user starts it, on a COCO val2017 of few pictures and a CLIP of few weights.

With `make test-quick FULL=1` there are as many pictures and captions as COCO has, and CLIP
ViT-B/32 is as large as it is, its weights being random: what `make quick` takes but to download.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from html import unescape

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
import yaml
from PIL import Image, ImageDraw

from isoenergy.config import load_run
from isoenergy.embed.pretrain import (
    BOS,
    EOS,
    PAD,
    build_image_processor,
    build_model,
    build_tokenizer,
)
from isoenergy.embed.store import open_store
from isoenergy.files import read_json, read_parquet

pytestmark = pytest.mark.skipif(
    "ISOENERGY_TEST_QUICK" not in os.environ, reason="takes minutes; `make test-quick` runs it"
)

FULL = os.environ.get("ISOENERGY_TEST_QUICK") == "full"
# Pictures, how many of them have a sixth caption, and their width and height.
PICTURES, SIXTH, SIZE = (5000, 14, (640, 480)) if FULL else (120, 2, (96, 80))
CUT, LOST, CMYK, TURNED, OBLONG = 9, 10, 11, 12, 13
COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (40, 60, 210),
    "grey": (99, 99, 99),
}
SHAPES = {"circle": "ellipse", "square": "rectangle"}
WORDS = (*COLOURS, *SHAPES, *"0123456789")
WORDINGS = (
    "a photo of a {} {} on a {} background",
    "there is a {} {} on {}",
    "a {} {} over {}",
    "see the {} {} , {} behind",
    "one {} {} and {}",
)


def read_yaml(path):
    return yaml.safe_load(path.read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("quick")


@pytest.fixture(scope="module")
def coco(root, folder):
    """A folder as published, unpacked: val2017/ and its captions; some pictures are unusual."""
    sys.path.insert(0, str(root / "tests/data"))
    from hostile import encoded, turned

    made = folder / "coco"
    (made / "annotations").mkdir(parents=True)
    (made / "val2017").mkdir()
    rng = np.random.default_rng(0)
    told = []
    for number in range(1, PICTURES + 1):
        colour, ground = rng.choice(list(COLOURS), 2, replace=False)
        shape = rng.choice(list(SHAPES))
        noise = rng.integers(-30, 30, (60, 80, 3)) + COLOURS[ground]
        picture = Image.fromarray(noise.astype(np.uint8)).resize(SIZE)
        draw = getattr(ImageDraw.Draw(picture), SHAPES[shape])
        draw((SIZE[0] // 4, SIZE[1] // 4, SIZE[0] // 2, SIZE[1] // 2), fill=COLOURS[colour])
        wordings = (*WORDINGS, "{} , {} , {}") if number <= SIXTH else WORDINGS
        # No two captions are the same.
        last = " ".join(str(number))
        told += [(number, f"{words.format(colour, shape, ground)} {last}") for words in wordings]
        if number == CMYK:
            picture = picture.convert("CMYK")
        if number == OBLONG:
            picture = picture.resize((1200, 5))
        content = turned(picture, 6) if number == TURNED else encoded(picture)
        if number == CUT:
            content = content[: len(content) * 4 // 5]
        if number != LOST:
            (made / f"val2017/{number:012d}.jpg").write_bytes(content)
    annotations = [{"image_id": number, "caption": text} for number, text in told]
    content = {
        "images": [{"id": i, "file_name": f"{i:012d}.jpg"} for i in range(1, PICTURES + 1)],
        "annotations": [annotations[i] for i in rng.permutation(len(annotations))],
    }
    (made / "annotations/captions_val2017.json").write_text(json.dumps(content))
    return made


@pytest.fixture(scope="module")
def published(root, folder):
    """A cache of the hub that has the pinned commit of CLIP, untrained, and where that is."""
    model = load_run(read_yaml(root / "config/quick.yaml"), "", root).models["CLIP"]
    kept = folder / "hf/hub" / f"models--{model['checkpoint'].replace('/', '--')}"
    snapshot = kept / "snapshots" / model["revision"]
    tokenizer = build_tokenizer(WORDINGS + WORDS, model["text_length"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        if FULL:
            told = {"pad": PAD, "bos": BOS, "eos": EOS}
            ids = {f"{k}_token_id": tokenizer.convert_tokens_to_ids(v) for k, v in told.items()}
            net = transformers.CLIPModel(transformers.CLIPConfig(text_config=ids))
        else:
            net = build_model("clip", len(tokenizer), 48, model["dim"], model["text_length"], 1)
            # As strong as trained ones, else all vectors are nearly one.
            for weight in net.parameters():
                if weight.ndim > 1:
                    torch.nn.init.normal_(weight, std=0.1)
    processor = build_image_processor("clip", net.config.vision_config.image_size)
    for part in (net, tokenizer, processor):
        part.save_pretrained(snapshot)
    (kept / "refs").mkdir()
    (kept / "refs/main").write_text(model["revision"])
    return snapshot


@pytest.fixture(scope="module")
def quick(root, folder, coco, published):
    """`make quick`, run: what it printed, and the folder of its results."""
    copy = folder / "repository"
    for name in ("config", "scripts", "workflow", "envs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / name, copy / name, ignore=ignored)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(root / name, copy)
    # All of config/quick.yaml but where the pictures are.
    text = (copy / "config/quick.yaml").read_text()
    assert text.count("folders: {}") == 1
    told = f"folders: {{coco-val: {json.dumps(str(coco))}}}"
    (copy / "config/quick.yaml").write_text(text.replace("folders: {}", told))
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf")}
    kept = {key: value for key, value in os.environ.items() if key != "HF_HUB_CACHE"}
    started = time.time()
    done = subprocess.run(
        # The environment that the test runs in is the one that `make env` makes.
        ["make", "--old-file=env", "quick", f"VENV={sys.prefix}"],
        cwd=copy,
        env={**kept, **offline, "ISOENERGY_PROGRESS": "lines"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    print(f"make quick took {time.time() - started:.0f} s")
    return done.stdout, copy / "results/quick"


def test_preflight_comes_first_and_finds_pictures_and_encoder_here(quick, coco):
    printed, _ = quick
    before, runs, after = printed.partition("config/quick.yaml can run here.")
    assert runs
    assert re.search(rf"^data set +coco-val +is in {re.escape(str(coco))}", before, flags=re.M)
    assert re.search(r"^encoder +CLIP +is on this machine", before, flags=re.M)
    assert "report   results/quick/report.html" in after


def test_every_caption_is_accounted_for(quick):
    _, results = quick
    table = pd.read_csv(results / "tables/table_data.csv")
    asked = 5 * PICTURES + SIXTH
    lost, cut, oblong = (5 + (number <= SIXTH) for number in (LOST, CUT, OBLONG))
    usable = asked - lost - cut
    assert table.set_index(["metric", "protocol"])["value"].to_dict() == {
        ("asked", "rows"): asked,
        ("usable", "rows"): usable,
        ("failed", "all reasons"): lost + cut,
        ("failed", "is not in the folder"): lost,
        ("failed", "picture is truncated or corrupt"): cut,
        ("duplicates", "rows"): usable - (PICTURES - 2),
        ("embedded", "rows"): usable - oblong,
        ("dropped", "all reasons"): oblong,
        ("dropped", "picture is too oblong"): oblong,
    }
    report = (results / "report.html").read_text()
    assert f"picture is truncated or corrupt: {cut}" in report
    assert f"picture is too oblong: {oblong}" in report


def test_the_store_holds_what_the_encoder_makes_of_each_pair(root, quick, coco, published):
    _, results = quick
    model = load_run(read_yaml(root / "config/quick.yaml"), "", root).models["CLIP"]
    told = read_json(results / "embeddings/CLIP/coco-val/store.json")
    assert told["encoder"]["revision"] == model["revision"]
    store = open_store(results / "embeddings/CLIP/coco-val")
    published_captions = {
        (row["image_id"], row["caption"])
        for row in read_json(coco / "annotations/captions_val2017.json")["annotations"]
    }
    metadata = store.metadata()
    pairs = list(zip(metadata["image"].astype(int) + 1, metadata["caption"], strict=True))
    assert len(pairs) == len(set(pairs)) == len(store)
    assert set(pairs) < published_captions
    net = transformers.CLIPModel.from_pretrained(published).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(published)
    processor = transformers.CLIPImageProcessorPil.from_pretrained(published)
    rows = np.linspace(0, len(store) - 1, 7).astype(int)
    pictures = [Image.open(coco / f"val2017/{pairs[row][0]:012d}.jpg") for row in rows]
    texts = tokenizer([pairs[row][1] for row in rows], padding=True, return_tensors="pt")
    with torch.no_grad():
        made = net(**texts, **processor(pictures, return_tensors="pt"))
    np.testing.assert_allclose(store.image[rows], made.image_embeds.numpy(), atol=2e-3)
    np.testing.assert_allclose(store.text[rows], made.text_embeds.numpy(), atol=2e-3)


@pytest.mark.parametrize("sae", ["SAE", "SAE-A"])
def test_both_seeds_are_trained_and_the_printed_numbers_are_their_mean(root, quick, sae):
    printed, results = quick
    config = read_yaml(root / "config/quick.yaml")
    assert config["seeds"] == [0, 1]
    r2 = []
    for seed in config["seeds"]:
        history = read_parquet(results / f"saes/CLIP/{sae}/seed{seed}/history.parquet")
        assert len(history) == config["sae_training"]["epochs"]
        assert history["reconstruction"].iloc[-1] < history["reconstruction"].iloc[0]
        r2.append(read_json(results / f"metrics/CLIP/{sae}/seed{seed}/coco-val/r2.json")["value"])
    assert r2[0] != r2[1]
    line = next(line for line in printed.splitlines() if line.startswith("R²"))
    assert f"{np.mean(r2):.4f} ± {np.std(r2, ddof=1):.4f}" in line


def test_every_table_and_figure_of_one_data_set_of_pairs_is_there(root, quick):
    _, results = quick
    run = load_run(read_yaml(root / "config/quick.yaml"), "", root)
    tables = {path.stem for path in (results / "tables").glob("*.md")}
    figures = {path.stem for path in (results / "figures").glob("*.png")}
    assert (
        {"table_01", "table_03", "table_06", "table_09"} <= tables == set(run.targets_of("table"))
    )
    assert {"figure_02", "figure_18", "figure_26"} <= figures == set(run.targets_of("figure"))
    report = unescape((results / "report.html").read_text())
    assert all(run.targets[name]["title"] in report for name in tables | figures)
