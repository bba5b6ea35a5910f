import re

import numpy as np
import pytest

FAULTS = [
    (
        {"measure.taus": 0.1},
        "unknown key measure.taus; allowed are tau, probe, gap, wasserstein, means, ood, recall, "
        "insertion",
    ),
    ({"seed": KeyError}, "key seed is missing; it says: Seed of the whole run"),
    ({"embed.batch_size": KeyError}, "key embed.batch_size is missing; it says: Pictures or texts"),
    ({"seed": "zero"}, "key seed is 'zero', integer >= 0 is allowed (Seed of the whole run"),
    ({"sae_training.epochs": 5.0}, "key sae_training.epochs is 5.0, integer >= 1 is allowed"),
    ({"sae_training.peak_rate": "5e-4"}, "key sae_training.peak_rate is '5e-4', number > 0"),
    ({"models": "SceneCLIP"}, "key models is 'SceneCLIP', list that is not empty without repeats"),
    ({"seeds": [0, 0]}, "key seeds is [0, 0], list that is not empty without repeats is allowed"),
    ({"seeds": [0, -1]}, "key seeds.1 is -1, integer >= 0 is allowed"),
    ({"measure.tau": 0.5}, "key measure.tau is 0.5, number > 0 < 0.5 is allowed"),
    (
        {"embed.dtype": "float64"},
        "key embed.dtype is 'float64'; allowed are float32, float16",
    ),
    (
        {"embed.part": 300, "embed.range": 700},
        "key embed.range is 700 and embed.part is 300; a job embeds whole parts, make range a ",
    ),
    ({"rows.scenes": 0}, "key rows.scenes is 0, integer >= 1 is allowed"),
    ({"models": ["SceneClip"]}, "key models names SceneClip; allowed are CLIP, CLIP-L, OpenCLIP"),
    ({"models": ["SceneClip"]}, "(did you mean SceneCLIP?) (config/models.tsv)"),
    (
        {"saes": ["SAEA"]},
        "key saes names SAEA; allowed are SAE, SAE-A, SAE-A-literal, ReLU, JumpReLU, ",
    ),
    ({"datasets.train": None}, "key datasets.train is null and no store is given; name a data set"),
    ({"datasets.train": "scene"}, "key datasets.train names scene; allowed are laion, coco, "),
    (
        {"datasets.train": "scenes-edits"},
        "key datasets.train names scenes-edits; allowed are laion, coco, coco-val, scenes-pretrain",
    ),
    (
        {"datasets.transfer": ["scenes-classes"]},
        "key datasets.transfer names scenes-classes; allowed are laion, coco",
    ),
    (
        {"datasets.classes": "scenes"},
        "key datasets.classes names scenes; allowed are imagenet-train, imagenet, scenes-classes",
    ),
    (
        {"datasets.edits": "scenes"},
        "key datasets.edits names scenes; allowed are fashioniq, fashioniq-val",
    ),
    (
        {"datasets.classes_train": None},
        "key datasets.classes_train is null; datasets.classes needs it for the classifier",
    ),
    ({"rows.scenes-shfit": 1}, "unknown key rows.scenes-shfit; allowed are laion, "),
    ({"rows.scenes-shfit": 1}, "(did you mean scenes-shift?)"),
    ({"folders.lion": "x"}, "unknown key folders.lion; allowed are laion, "),
    ({"rows.scenes-shift": KeyError}, "key rows.scenes-shift is missing; scenes are drawn in the"),
    (
        {"datasets.classes": "imagenet", "datasets.classes_train": "imagenet-train"},
        "key folders.imagenet is missing; it says where imagenet lies on",
    ),
    (
        {"encoder_training": None},
        "key encoder_training is null; SceneCLIP, SceneSigLIP (checkpoint local) need it",
    ),
    (
        {"encoder_training.dataset": "scenes-edits"},
        "key encoder_training.dataset names scenes-edits; allowed are laion, coco, ",
    ),
    (
        {"encoder_training.epochs.SceneCLIP": KeyError},
        "key encoder_training.epochs has no entry for SceneCLIP; add one",
    ),
    (
        {"encoder_training.epochs.CLIP": 1},
        "unknown key encoder_training.epochs.CLIP; allowed are SceneCLIP, SceneSigLIP",
    ),
    ({"toy.toy-1.tau_1": 0.3}, "key toy.toy-1: tau_1 is 0.3 and tau_2 0.4; allowed is 0 < tau_2"),
    ({"toy.toy-2.active": 99}, "key toy.toy-2: active is 99; allowed is 2.."),
    ({"toy.toy-2.n_atoms": 5}, "and toy.toy-2.n_atoms 5; allowed is 1..K"),
    (
        {"measure.insertion": 10**9},
        "key measure.insertion is 1000000000, integer >= 1 <= 10000 is",
    ),
    ({"toy.saes": ["SAE", "SAEA"]}, "key toy.saes names SAEA; allowed are SAE, SAE-A"),
    (
        {"toy.toy-1.distance_reading": "whole"},
        "key toy.toy-1.distance_reading is 'whole'; allowed are merged, split, live, merged, uni",
    ),
    (
        {"beta_sweep": None, "sae.beta": "auto"},
        "key beta_sweep is null, and SAE-A has beta auto, which it selects; describe a sweep, or",
    ),
    (
        {"sae.beta": "auto"},
        "key beta_sweep.epochs is 5 and sae_training.epochs is 10, but SAE-A has beta auto; a beta",
    ),
    (
        {"beta_sweep.sae": "SAE"},
        "key beta_sweep.sae names SAE; allowed are SAE-A, SAE-A-literal, TopK-A,",
    ),
    (
        {"beta_sweep.low": 0.1},
        "key beta_sweep.low is 0.1 and beta_sweep.high is 0.1; low has to be the smaller",
    ),
    (
        {"beta_sweep.low": 0.0999, "beta_sweep.high": 0.1, "beta_sweep.count": 30},
        "key beta_sweep.count is 30, but with four digits some of so many betas from 0.0999 to",
    ),
    ({"beta_sweep.count": 1}, "key beta_sweep.count is 1, integer >= 2 is allowed"),
    ({"beta_sweep.epochs": KeyError}, "key beta_sweep.epochs is missing; it says: Passes over the"),
    ({"datasets.train": 7}, "key datasets.train is 7, string or null is allowed; write '7', in qu"),
    ({"models": ["SceneCLIP", True]}, "key models.1 is True, string is allowed; write 'true', in"),
    ({"results": 2024}, "is allowed; write '2024', in quotes, or ./2024 (Folder that everything"),
    ({"results": {"a": "b"}}, "is allowed; write it in quotes, for YAML takes ': ' for a mapping"),
    ({"results": ""}, "key results is '', string that is not empty is allowed"),
    ({"folders.coco": 7}, "key folders.coco is 7, string that is not empty is allowed; write '7'"),
    ({"sae.beta": "atuo"}, "key sae.beta is 'atuo', number or null >= 0 or 'auto' is allowed"),
    ({"sae.beta": "5e-4"}, "number or null >= 0 or 'auto' is allowed; write 0.0005"),
    (
        {"sae.expansion": 8, "sae.l0": 769},
        "key sae.l0 gives SAE 769 non-zeros per code, but on SceneCLIP it has only "
        "K = 8 x 96 = 768 atoms; allowed is 1..K",
    ),
]


@pytest.mark.parametrize(("changes", "told"), FAULTS)
def test_each_bad_key_is_one_sentence_with_file_key_and_what_is_allowed(
    changed, changes, told, refusal
):
    found = refusal(changed("demo", changes))
    assert found.startswith("my.yaml: ")
    assert told in found


def test_as_many_non_zeros_as_atoms_are_allowed(changed, load):
    assert load(changed("demo", {"sae.expansion": 8, "sae.l0": 768})).sae_sizes("SAE") == (8, 768)


@pytest.mark.parametrize("name", ["models", "datasets", "saes", "targets", "claims"])
def test_a_repeated_row_of_a_registry_is_named(copied, name, read, refusal):
    path = copied / f"config/{name}.tsv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, lines[2]]))
    column, entry = lines[0].split("\t")[0], lines[2].split("\t")[0]
    assert refusal(read("demo"), copied) == (
        f"{path}, line {len(lines) + 1}: {column} {entry} occurs twice"
    )


def test_a_repeated_number_of_the_paper_is_named_by_all_its_keys(copied, read, refusal):
    path = copied / "config/paper_values.tsv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, lines[1]]))
    assert refusal(read("demo"), copied) == (
        f"{path}, line {len(lines) + 1}: table, metric, variant, model, dataset, source "
        "table_01 mse SAE CLIP laion paper occurs twice"
    )


@pytest.mark.parametrize(
    ("name", "before", "after", "told"),
    [
        (
            "models",
            "\tclip\t",
            "\tclipp\t",
            "key family is 'clipp'; allowed are clip, siglip, sigl",
        ),
        ("models", "\ttext_length", "\tlength", "unknown key length; allowed are model, family"),
        ("models", "\t512\t", "\t512", "has more or fewer cells than the header's 10"),
        ("models", "\t4e-4\t", "\t-1\t", "key beta is -1.0, number >= 0 is allowed"),
        ("datasets", "\tpairs\t", "\tpair\t", "key kind is 'pair'; allowed are pairs, classes"),
        ("saes", "masked_cosine", "masked", "key alignment is 'masked'; allowed are none, masked_"),
        ("saes", "\tmodel\t", "\tmodels\t", "key beta is 'models', number >= 0 or 'model' or"),
        ("targets", "\ttable\t", "\ttabel\t", "key kind is 'tabel'; allowed are table, figure"),
        ("paper_values", "\tpaper\t", "\tpapers\t", "key source is 'papers'; allowed are paper, n"),
        ("paper_values", "\t0.0005\t", "\t0\t", "key tolerance is 0.0, number > 0 is allowed"),
        ("paper_values", "\tflag\t", "\tflags\t", "unknown key flags; allowed are table, metric"),
        ("paper_values", "\tswapped\t", "\tswap\t", "key flag is 'swap'; allowed are swapped"),
        ("claims", "\tabove\t", "\tover\t", "key relation is 'over'; allowed are above, below"),
        ("claims", "\t10\tabove", "\t-10\tabove", "key factor is -10.0, number > 0 is allowed"),
    ],
)
def test_a_spoilt_registry_is_named_with_its_line(copied, name, before, after, told, read, refusal):
    path = copied / f"config/{name}.tsv"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    found = refusal(read("demo"), copied)
    assert found.startswith(f"{path}, line ")
    assert told in found


def test_a_beta_without_alignment_is_refused(copied, read, refusal):
    path = copied / "config/saes.tsv"
    path.write_text(path.read_text().replace("\tnone\t0\t", "\tnone\t1\t"))
    assert "saes.tsv: SAE has a beta but no alignment; set beta to 0" in refusal(
        read("demo"), copied
    )


OWN = {
    "models": ["store"],
    "datasets.train": "own",
    "datasets.transfer": ["own-test"],
}
STORE_FAULTS = [
    ({"folders": {"own": "{}"}}, "key folders.own-test is missing; it says where own-test lies"),
    ({"folders": {"own": "{}", "own-test": "{}/no"}}, "key folders.own-test is .*/no, which is"),
    ({"datasets.transfer": ["coco"]}, "own is a store made elsewhere and coco is none; all data"),
    ({"datasets.train": "laion"}, "own-test is a store made elsewhere and laion is none"),
    ({"datasets.edits": "fashioniq"}, "own is a store made elsewhere and fashioniq is none"),
    ({"models": ["CLIP", "SigLIP"]}, "key models has 2 names; a store made elsewhere is by one"),
    ({"store": "{}/images.npy"}, "key store is .*images.npy, which is not a folder; put images"),
    ({"datasets.transfer": [], "test_store": "{}"}, "key test_store is given without store; "),
    (
        {"folders": {"own": "{}", "own-test": "{}/."}},
        "keys folders.own and folders.own-test are the same folder, /.*; leave the second out",
    ),
    ({"store": "{}", "test_store": "{}/"}, "keys store and test_store are the same folder, /"),
    ({"store": "{}", "models": ["CLIPP"]}, "key models names CLIPP, but with store=.*mean CLIP"),
    ({"store": "{}", "models": ["CLIP", "Mine"]}, "key models names Mine, but with store=/"),
    ({"store": "{}", "datasets.edits": "fashion"}, "key datasets.edits names fashion, in whose"),
    (
        {"rows": {"own": 100}},
        "key rows.own is 100, but a store made elsewhere is read whole; leave",
    ),
    ({"models": [65 * "x"]}, "key models.0 is 'x+', string of at most 64 characters of letters"),
    ({"models": ["a/b"]}, "key models.0 is 'a/b', string of at most 64 characters"),
    ({"store": "$DATA/mine"}, "is not a folder.*; variables of the shell are not read here"),
    ({"store": "s3://bucket/mine"}, "is not a folder.*; addresses are not read, download it and"),
    ({"store": "{}/round"}, "key store is .*/round, which is not a folder; name a folder with"),
    ({"store": "~/no"}, "key store is /.*/no, which is not a folder; name a folder with img_emb/"),
    ({"store": "mine"}, r"mine, which is not a folder \(looked for at /.*/mine\); name a folder"),
]


def test_more_non_zeros_than_a_store_has_atoms_are_refused(changed, tmp_path, refusal, load):
    for name in ("image", "text"):
        np.save(tmp_path / f"{name}.npy", np.zeros((3, 32), dtype=np.float16))
    own = {"store": str(tmp_path), "sae.expansion": 2, "sae.l0": 65}
    assert refusal(changed("store", own)) == (
        f"my.yaml: key sae.l0 gives SAE 65 non-zeros per code, but on {tmp_path.name} it has only "
        "K = 2 x 32 = 64 atoms; allowed is 1..K"
    )
    load(changed("store", own | {"sae.l0": 64}))
    # What is no store at all is told by the check of the store.
    np.save(tmp_path / "image.npy", np.float32(1))
    load(changed("store", own))


@pytest.mark.parametrize(("changes", "told"), STORE_FAULTS)
def test_a_wrong_row_of_source_store_gets_one_sentence(changed, tmp_path, changes, told, refusal):
    def filled(value):
        if isinstance(value, dict):
            return {key: filled(part) for key, part in value.items()}
        return value.replace("{}", str(tmp_path)) if isinstance(value, str) else value

    (tmp_path / "round").symlink_to("round")
    folders = {"own": "{}", "own-test": "{}"}
    found = refusal(changed("store", filled(OWN | {"folders": folders} | changes)))
    assert re.search(told, found), found


def test_a_store_beside_the_call_is_told_where_a_directory_is_given(
    changed, tmp_path, refusal, monkeypatch
):
    for name in ("call/mine", "there"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("PWD", str(tmp_path / "call"))
    monkeypatch.chdir(tmp_path / "there")
    assert refusal(changed("store", {"store": "mine"})).startswith(
        f"my.yaml: key store is mine, which is not a folder (looked for at {tmp_path}/there/mine; "
        f"with --directory relative paths start there, and {tmp_path}/call/mine is a folder)"
    )


@pytest.mark.parametrize("name", [64 * "ab", 20 * "a"])
@pytest.mark.parametrize("table", ["models", "datasets", "saes"])
def test_a_name_that_makes_no_path_is_refused(copied, read, refusal, table, name):
    path = copied / f"config/{table}.tsv"
    header, first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header, name + first[first.index("\t") :], *rest]))
    found = refusal(read("demo"), copied)
    assert "at most 64 characters of letters" in found
    assert "without 20 repeats at its end is allowed" in found
