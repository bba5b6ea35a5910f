from pathlib import Path

import pandas as pd
import pytest

CONFIGS = ("config", "quick", "demo", "ci")
OWN = {
    "models": ["store"],
    "datasets.train": "own",
    "datasets.transfer": ["own-test"],
}


@pytest.mark.parametrize("name", CONFIGS)
def test_each_config_loads_and_writes_to_its_own_folder(load, name, read):
    run = load(read(name))
    others = [read(other)["results"] for other in (*CONFIGS, "store") if other != name]
    assert run.results.startswith("results/")
    assert run.results not in others


def test_the_order_of_keys_changes_nothing(load, read):
    """Parameters of jobs are compared as they are written: another order would run them again."""

    def reverse(part):
        if not isinstance(part, dict):
            return part
        return {key: reverse(part[key]) for key in reversed(part)}

    config = read("demo")
    run, reversed_run = load(config), load(reverse(config))
    for key in ("embed", "toy", "sae_training", "classifier"):
        assert str(reversed_run.config[key]) == str(run.config[key])


def test_the_papers_config_says_what_the_paper_says(load, read):
    run = load(read("config"))
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


def test_table_4_has_larger_dictionaries_than_table_3(load, read):
    run = load(read("config"))
    table_3, table_4 = (run.comparisons()[name] for name in ("table_03", "table_04"))
    assert {run.sae_sizes(sae) for sae in table_3} == {(8, 20)}
    assert {run.sae_sizes(sae) for sae in table_4} == {(64, 50)}
    kinds = [[run.saes[sae]["architecture"] for sae in table] for table in (table_3, table_4)]
    assert kinds[0] == kinds[1]
    assert run.beta("CLIP", "SAE-A-64") == 1e-4


def test_only_the_aligned_saes_are_aligned(load, read):
    run = load(read("config"))
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


def test_the_sweep_is_evenly_spaced_in_the_logarithm_with_its_base_first(changed, load, read):
    paper = load(read("config"))
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


def test_data_sets_that_are_drawn_come_once_in_order(load, read):
    run = load(read("demo"))
    assert run.measured() == ["scenes", "scenes-shift", "scenes-classes"]
    assert run.drawn() == [
        "scenes",
        "scenes-shift",
        "scenes-classes",
        "scenes-classes-train",
        "scenes-edits",
        "scenes-pretrain",
    ]
    assert load(read("config")).drawn() == [
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


def test_factors_are_a_target_only_where_they_are_known(load, read):
    paper, demo = load(read("config")), load(read("demo"))
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
    ("columns", "captions"), [(["id"], False), (["caption", "id"], True), (None, True)]
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


def test_the_toy_experiments_are_the_papers(load, read):
    run = load(read("config"))
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
def test_a_store_that_is_no_folder_is_refused(changed, tmp_path, key, refusal):
    (tmp_path / "mine").mkdir()
    changes = {"store": str(tmp_path / "mine"), key: str(tmp_path / "typo")}
    found = refusal(changed("store", changes))
    assert found.startswith(f"my.yaml: key {key} is {tmp_path}/typo, which is not a folder")


def test_values_of_the_command_line_come_as_text(changed, load, refusal):
    run = load(changed("demo", {"preflight": "false", "seeds": "[1, 2]", "seed": "7"}))
    assert (run.config["preflight"], run.config["seeds"], run.config["seed"]) == (False, [1, 2], 7)
    run = load(changed("demo", {"galleries": {"blur": "true"}, "sae.l0": "12"}))
    assert (run.config["galleries"], run.config["sae"]["l0"]) == ({"blur": True}, 12)
    inner = {"rows.scenes": "12", "seeds": ["1", "2"], "datasets.edits": "null"}
    config = load(changed("demo", inner)).config
    assert (config["rows"]["scenes"], config["seeds"]) == (12, [1, 2])
    assert config["datasets"]["edits"] is None
    told = refusal(changed("demo", {"preflight": "no way"}))
    assert "key preflight is 'no way', boolean is allowed" in told


def test_large_data_sets_are_embedded_by_several_jobs_and_those_of_the_demo_by_one(load, read):
    run = load(read("config"))
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
        run = load(read(name))
        assert not any(map(run.is_scattered, run.drawn()))


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
