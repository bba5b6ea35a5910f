import copy
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from isoenergy.config import load_run
from isoenergy.errors import InputError

CONFIGS = ("config", "quick", "demo", "ci")


def read(root, name):
    return yaml.safe_load((root / f"config/{name}.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def load(root):
    return lambda config, where=root: load_run(config, "my.yaml", where)


@pytest.fixture
def changed(root):
    """A config of the repository with some keys changed: ``changed("demo", {"sae.l0": 3})``."""

    def change(name, changes):
        config = copy.deepcopy(read(root, name))
        for key, value in changes.items():
            *path, last = key.split(".")
            inner = config
            for part in path:
                inner = inner[part]
            if value is KeyError:
                del inner[last]
            else:
                inner[last] = value
        return config

    return change


@pytest.fixture
def copied(root, tmp_path):
    """A copy of the repository's registries and schemas, to be spoilt."""
    for part in ("config", "workflow/schemas"):
        shutil.copytree(root / part, tmp_path / part)
    return tmp_path


def sentence(load, *arguments):
    with pytest.raises(InputError) as told:
        load(*arguments)
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize("name", CONFIGS)
def test_each_config_loads_and_writes_to_its_own_folder(root, load, name):
    run = load(read(root, name))
    others = [read(root, other)["results"] for other in (*CONFIGS, "store") if other != name]
    assert run.results.startswith("results/")
    assert run.results not in others


def test_the_order_of_keys_changes_nothing(root, load):
    """Parameters of jobs are compared as they are written: another order would run them again."""

    def reverse(part):
        if not isinstance(part, dict):
            return part
        return {key: reverse(part[key]) for key in reversed(part)}

    config = read(root, "demo")
    run, reversed_run = load(config), load(reverse(config))
    for key in ("embed", "toy", "sae_training", "classifier"):
        assert str(reversed_run.config[key]) == str(run.config[key])


def test_the_papers_config_says_what_the_paper_says(root, load):
    run = load(read(root, "config"))
    models = ["CLIP", "CLIP-L", "OpenCLIP", "OpenCLIP-L", "SigLIP", "SigLIP2"]
    assert run.config["models"] == models
    assert [run.beta(model, "SAE-A") for model in models] == [4e-4, 1e-4, 4e-4, 2e-4, 1e-4, 7e-5]
    assert [run.models[model]["dim"] for model in models] == [512, 768, 512, 768, 768, 768]
    assert [run.models[model]["text_length"] for model in models] == [77] * 4 + [64] * 2
    assert [model for model in models if run.models[model]["lower_case"]] == ["SigLIP2"]
    assert run.sae_sizes("SAE") == run.sae_sizes("SAE-A") == (8, 20)
    training = run.config["sae_training"]
    assert (training["epochs"], training["batch_size"], training["peak_rate"]) == (5, 512, 5e-4)
    assert run.config["rows"]["laion"] == 1_000_000
    assert run.config["measure"]["tau"] == 0.05
    assert run.local_models() == []


def test_table_4_has_larger_dictionaries_than_table_3(root, load):
    run = load(read(root, "config"))
    table_3, table_4 = (run.comparisons()[name] for name in ("table_03", "table_04"))
    assert {run.sae_sizes(sae) for sae in table_3} == {(8, 20)}
    assert {run.sae_sizes(sae) for sae in table_4} == {(64, 50)}
    kinds = [[run.saes[sae]["architecture"] for sae in table] for table in (table_3, table_4)]
    assert kinds[0] == kinds[1]
    assert run.beta("CLIP", "SAE-A-64") == 1e-4


def test_only_the_aligned_saes_are_aligned(root, load):
    run = load(read(root, "config"))
    assert [run.alignment(sae) for sae in ("SAE", "SAE-A", "SAE-A-literal")] == [
        None,
        "masked_cosine",
        "cosine",
    ]
    assert {run.beta(model, "SAE") for model in run.config["models"]} == {0.0}


def test_a_beta_of_the_config_goes_before_the_models_own(changed, load):
    run = load(changed("config", {"sae.beta": 0.25}))
    assert run.beta("CLIP", "SAE-A") == 0.25
    assert run.beta("CLIP", "SAE") == 0


def test_the_sweep_is_evenly_spaced_in_the_logarithm_with_its_base_first(root, changed, load):
    paper = load(read(root, "config"))
    betas = paper.sweep_betas()
    # The authors' betas, as printed beside their numbers in tests/measure.
    assert (len(betas), betas[:3], betas[34], betas[-1]) == (
        101,
        ["0", "1.000e-05", "1.072e-05"],
        "1.000e-04",
        "1.000e-02",
    )
    three = {"beta_sweep.low": 1e-4, "beta_sweep.high": 1.0, "beta_sweep.count": 3}
    assert load(changed("demo", three)).sweep_betas() == [
        "0",
        "1.000e-04",
        "1.000e-02",
        "1.000e+00",
    ]


def test_a_sweep_is_made_on_the_first_model_and_wherever_it_selects_a_beta(changed, copied, load):
    assert load(changed("demo", {})).swept() == ["SceneCLIP"]
    assert load(changed("demo", {"beta_sweep": None})).swept() == []
    auto = {"sae.beta": "auto", "beta_sweep.epochs": 10}
    run = load(changed("demo", auto))
    assert run.swept() == ["SceneCLIP", "SceneSigLIP"]
    assert [run.beta("SceneSigLIP", sae) for sae in ("SAE", "SAE-A")] == [0, None]
    path = copied / "config/saes.tsv"
    path.write_text(path.read_text() + "Auto\ttopk\t\t\tcosine\tauto\tchosen here\n")
    both = load(changed("demo", auto | {"saes": ["SAE", "Auto"], "sae.beta": 0.5}), copied)
    assert both.beta("SceneCLIP", "Auto") is None
    assert both.swept() == ["SceneCLIP", "SceneSigLIP"]
    one = auto | {"sae.beta": None, "comparisons.table_03": ["SAE", "Auto"]}
    one = load(changed("demo", one), copied)
    assert one.swept() == ["SceneCLIP"]


@pytest.mark.parametrize(
    ("rows", "links"),
    [({}, 36_000), ({"fashioniq": 9_000}, 18_000), ({"fashioniq": 30_000}, 36_000)],
)
def test_edits_have_ranges_for_all_the_pictures_that_they_may_need(load, changed, rows, links):
    run = load(changed("config", {"rows": {"laion": 10, **rows}}))
    assert run.links("fashioniq") == links
    assert len(run.ranges("fashioniq")) == -(-links // 10_000)


def test_sizes_of_a_registry_row_go_before_the_configs(copied, changed, load):
    path = copied / "config/saes.tsv"
    path.write_text(path.read_text() + "Wide\tmatching_pursuit\t16\t5\tcosine\t0.5\twide\n")
    run = load(changed("config", {"saes": ["SAE", "Wide"]}), copied)
    assert run.sae_sizes("Wide") == (16, 5)
    assert run.sae_sizes("SAE") == (8, 20)
    assert run.beta("CLIP", "Wide") == 0.5


def test_data_sets_that_are_drawn_come_once_in_order(root, load):
    run = load(read(root, "demo"))
    assert run.measured() == ["scenes", "scenes-shift", "scenes-classes"]
    assert run.drawn() == [
        "scenes",
        "scenes-shift",
        "scenes-classes",
        "scenes-classes-train",
        "scenes-edits",
        "scenes-pretrain",
    ]
    assert load(read(root, "config")).drawn() == [
        "laion",
        "coco",
        "imagenet",
        "imagenet-train",
        "fashioniq",
    ]


def test_the_figures_of_a_sweep_are_targets_only_with_a_sweep(changed, load):
    swept = {"figure_07", "figure_08", "selected_beta"}
    with_sweep, without = load(changed("demo", {})), load(changed("demo", {"beta_sweep": None}))
    assert {name for name in with_sweep.targets if not without.available(name)} == swept
    assert set(without.targets_of("figure")).isdisjoint(swept)


def test_factors_are_a_target_only_where_they_are_known(root, load):
    paper, demo = load(read(root, "config")), load(read(root, "demo"))
    assert demo.targets["table_factors"]["needs"] == "factors"
    for name, row in demo.targets.items():
        assert demo.available(name)
        assert paper.available(name) == (row["needs"] != "factors"), name
    assert "table_factors" in demo.targets_of("table")
    assert "table_factors" not in paper.targets_of("table")
    names = list(demo.targets)
    assert sorted(demo.targets_of("figure"), key=names.index) == demo.targets_of("figure")


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (["CLIP", "SigLIP", "SigLIP2"], "SigLIP"),
        (["CLIP", "SceneSigLIP", "SigLIP"], "SceneSigLIP"),
        (["SigLIP2", "CLIP"], "SigLIP2"),
        (["CLIP", "OpenCLIP"], "OpenCLIP"),
    ],
)
def test_galleries_are_of_the_first_siglip_model_else_of_the_last(changed, load, models, expected):
    changes = {"models": models, "encoder_training.epochs": {"SceneSigLIP": 1}}
    assert load(changed("demo", changes)).gallery_model() == expected


@pytest.mark.parametrize(
    ("columns", "captions"), [(["id"], False), (["caption", "id"], True), (None, False)]
)
def test_a_store_has_galleries_where_it_has_captions(changed, load, tmp_path, columns, captions):
    metadata = tmp_path / "mine/metadata"
    metadata.mkdir(parents=True)
    if columns is None:
        (metadata / "metadata_0000.parquet").write_bytes(b"broken")
    else:
        pd.DataFrame({name: ["a"] for name in columns}).to_parquet(
            metadata / "metadata_0000.parquet"
        )
    run = load(changed("store", {"store": str(tmp_path / "mine")}))
    assert run.pictured() == []
    assert [run.available(f"figure_{n}") for n in (18, 22, 26, 27)] == [captions] * 2 + [False] * 2


def test_toy_targets_need_the_block(changed, load):
    with_toy, without = load(changed("demo", {})), load(changed("demo", {"toy": None}))
    assert with_toy.toys() == ["toy-1", "toy-2"]
    assert without.toys() == []
    for name, row in with_toy.targets.items():
        assert without.available(name) == (row["needs"] != "toy"), name
    assert {"table_05", "figure_09", "toy_search"} <= {
        name for name, row in with_toy.targets.items() if row["needs"] == "toy"
    }


def test_the_toy_experiments_are_the_papers(root, load):
    run = load(read(root, "config"))
    first, second = (run.config["toy"][toy] for toy in run.toys())
    assert first["tau_1"] == pytest.approx(first["tau_2"] + 0.1)
    assert second["tau_1"] == 0.999
    assert run.config["toy"]["dim"] == 512
    assert len(run.config["toy"]["seeds"]) >= 5
    for own, per_k in ((first, 10), (second, 14)):
        assert own["n_atoms"] == per_k * own["k"]


def test_ones_own_store_takes_the_place_of_models_and_data(changed, load, tmp_path):
    paths = {"store": str(tmp_path / "My store!"), "test_store": str(tmp_path / "b" / "My store!")}
    for path in paths.values():
        Path(path).mkdir(parents=True)
    run = load(changed("store", paths))
    assert run.config["models"] == ["My-store"]
    assert run.results == "results/store/My-store"
    assert run.train == "My-store"
    assert run.measured() == ["My-store", "My-store-test"]
    assert run.datasets["My-store-test"]["path"] == paths["test_store"]
    assert run.drawn() == []
    assert run.beta("My-store", "SAE-A") == 2e-4


@pytest.mark.parametrize("name", CONFIGS)
def test_any_config_takes_a_store(changed, load, name, tmp_path):
    (tmp_path / "mine").mkdir()
    run = load(changed(name, {"store": str(tmp_path / "mine")}))
    assert run.measured() == ["mine"]
    assert run.drawn() == run.local_models() == []


@pytest.mark.parametrize("key", ["store", "test_store"])
def test_a_store_that_is_no_folder_is_refused(changed, load, tmp_path, key):
    (tmp_path / "mine").mkdir()
    changes = {"store": str(tmp_path / "mine"), key: str(tmp_path / "typo")}
    found = sentence(load, changed("store", changes))
    assert found.startswith(f"my.yaml: key {key} is {tmp_path}/typo, which is not a folder")


def test_values_of_the_command_line_come_as_text(changed, load):
    run = load(changed("demo", {"preflight": "false", "seeds": "[1, 2]", "seed": "7"}))
    assert (run.config["preflight"], run.config["seeds"], run.config["seed"]) == (False, [1, 2], 7)
    run = load(changed("demo", {"galleries": {"blur": "true"}, "sae.l0": "12"}))
    assert (run.config["galleries"], run.config["sae"]["l0"]) == ({"blur": True}, 12)
    with pytest.raises(InputError, match="key preflight is 'no way', boolean is allowed"):
        load(changed("demo", {"preflight": "no way"}))


def test_large_data_sets_are_embedded_by_several_jobs_and_those_of_the_demo_by_one(root, load):
    run = load(read(root, "config"))
    ranges = {name: len(run.embedding_ranges(name)) for name in run.drawn()}
    assert ranges == {
        "laion": 10,
        "coco": 2,  # five captions a picture
        "imagenet": 1,
        "imagenet-train": 13,
        "fashioniq": 1,
    }
    assert run.embedding_ranges("coco") == ["00000", "00001"]
    assert [run.is_scattered(name) for name in ("laion", "fashioniq", "own")] == [
        True,
        False,
        False,
    ]
    for name in ("demo", "ci"):
        run = load(read(root, name))
        assert not any(map(run.is_scattered, run.drawn()))


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
    changed, load, changes, told
):
    found = sentence(load, changed("demo", changes))
    assert found.startswith("my.yaml: ")
    assert told in found


def test_as_many_non_zeros_as_atoms_are_allowed(changed, load):
    assert load(changed("demo", {"sae.expansion": 8, "sae.l0": 768})).sae_sizes("SAE") == (8, 768)


@pytest.mark.parametrize("name", ["models", "datasets", "saes", "targets", "claims"])
def test_a_repeated_row_of_a_registry_is_named(copied, root, load, name):
    path = copied / f"config/{name}.tsv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, lines[2]]))
    column, entry = lines[0].split("\t")[0], lines[2].split("\t")[0]
    assert sentence(load, read(root, "demo"), copied) == (
        f"{path}, line {len(lines) + 1}: {column} {entry} occurs twice"
    )


def test_a_repeated_number_of_the_paper_is_named_by_all_its_keys(copied, root, load):
    path = copied / "config/paper_values.tsv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, lines[1]]))
    assert sentence(load, read(root, "demo"), copied) == (
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
def test_a_spoilt_registry_is_named_with_its_line(copied, root, load, name, before, after, told):
    path = copied / f"config/{name}.tsv"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    found = sentence(load, read(root, "demo"), copied)
    assert found.startswith(f"{path}, line ")
    assert told in found


def test_a_beta_without_alignment_is_refused(copied, root, load):
    path = copied / "config/saes.tsv"
    path.write_text(path.read_text().replace("\tnone\t0\t", "\tnone\t1\t"))
    assert "saes.tsv: SAE has a beta but no alignment; set beta to 0" in sentence(
        load, read(root, "demo"), copied
    )


OWN = {
    "models": ["store"],
    "datasets.train": "own",
    "datasets.transfer": ["own-test"],
}


def test_rows_of_source_store_are_trained_and_measured_on(changed, load, tmp_path):
    folders = {"own": str(tmp_path / "a"), "own-test": str(tmp_path / "b")}
    for folder in folders.values():
        Path(folder).mkdir()
    run = load(changed("store", OWN | {"folders": folders}))
    assert (run.train, run.further_stores()) == ("own", ["own-test"])
    assert run.datasets["own-test"]["path"] == folders["own-test"]
    assert run.results == "results/store"
    assert run.drawn() == []
    assert run.local_models() == []


STORE_FAULTS = [
    ({"folders": {"own": "{}"}}, "key folders.own-test is missing; it says where own-test lies"),
    ({"folders": {"own": "{}", "own-test": "{}/no"}}, "key folders.own-test is .*/no, which is"),
    ({"datasets.transfer": ["coco"]}, "own is a store made elsewhere and coco is none; all data"),
    ({"datasets.train": "laion"}, "own-test is a store made elsewhere and laion is none"),
    ({"datasets.edits": "fashioniq"}, "own is a store made elsewhere and fashioniq is none"),
    ({"models": ["CLIP", "SigLIP"]}, "key models has 2 names; a store made elsewhere is by one"),
    ({"store": "{}/images.npy"}, "key store is .*images.npy, which is not a folder; put images"),
    ({"datasets.transfer": [], "test_store": "{}"}, "key test_store is given without store; "),
]


@pytest.mark.parametrize(("changes", "told"), STORE_FAULTS)
def test_a_wrong_row_of_source_store_gets_one_sentence(changed, load, tmp_path, changes, told):
    def filled(value):
        if isinstance(value, dict):
            return {key: filled(part) for key, part in value.items()}
        return value.replace("{}", str(tmp_path)) if isinstance(value, str) else value

    folders = {"own": "{}", "own-test": "{}"}
    found = sentence(load, changed("store", filled(OWN | {"folders": folders} | changes)))
    assert re.search(told, found), found
