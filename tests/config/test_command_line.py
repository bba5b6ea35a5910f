"""What a call says of the config, and how YAML reads it."""

import os
from pathlib import Path

import pytest
from snakemake.cli import parse_config

from isoenergy.command_line import caches, check_call, check_entries, spell, typed
from isoenergy.errors import InputError
from isoenergy.schema import load_schema


@pytest.fixture(scope="module")
def schema(root):
    return load_schema(root / "workflow/schemas/config.schema.yaml")


@pytest.mark.parametrize(
    ("entry", "read"),
    [
        ("measure.tau=0.1", {"measure": {"tau": "0.1"}}),
        ("toy.toy-1.l0=3", {"toy": {"toy-1": {"l0": "3"}}}),
        ("seeds=[1, 2]", {"seeds": ["1", "2"]}),
        ("datasets.transfer=[a, b]", {"datasets": {"transfer": ["a", "b"]}}),
        ("rows.scenes-shift=100", {"rows": {"scenes-shift": "100"}}),
        # Names of data sets may have dots.
        ("folders.my.data.v2=/x/y", {"folders": {"my.data.v2": "/x/y"}}),
        ("folders.coco='a: b'", {"folders": {"coco": "a: b"}}),
        ("unheard.of=1", {"unheard": {"of": "1"}}),
        ("store='2024'", {"store": "2024"}),
        ('store="a: b"', {"store": "a: b"}),
        ("store='my #1 run'", {"store": "my #1 run"}),
        ("store='it''s'", {"store": "it's"}),
        ("store=/x/y", {"store": "/x/y"}),
        ("embed.range=", {"embed": {"range": "null"}}),
    ],
)
def test_keys_with_dots_and_quoted_text_reach_snakemake(schema, entry, read):
    check_entries([entry], schema)
    spelt = spell(entry, schema)
    assert parse_config([spelt]) == read
    # Jobs are given what Snakemake was given.
    check_entries([spelt], schema)
    assert spell(spelt, schema) == spelt


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (["store=2024"], "store=2024 is read as a number; write --config store=./2024, or quote"),
        (["store=1e5"], "is read as a number; write --config store=./1e5, or quote it twice"),
        (["store=2024_01_02"], "store=2024_01_02 is read as a number; write --config store=./2024"),
        (["results=True"], "results=True is read as a truth value; write --config results=./True"),
        (
            ["store=my #1 run"],
            "is read as 'my', for ' #' begins a comment; quote it twice, "
            "--config store='\"my #1 run\"'",
        ),
        (["test_store=a: b"], "test_store=a: b is read as a mapping; quote it twice"),
        (["store=[a]"], "store=[a] is read as a list; quote"),
        (["store=*all"], "store=*all is read as nothing that YAML knows; quote"),
        (["folders.coco=2024"], "write --config folders.coco=./2024"),
        (["datasets.train=7"], "datasets.train=7 is read as a number; quote it twice"),
        (["store=my", "run"], "--config has run, which is not KEY=VALUE; quote a value with"),
        (["seed=1", "figure_02"], "write targets before --config"),
        (["1st=2"], "no key is named '1st'"),
        (["measure.=0.1"], "no key is named 'measure.'"),
        (["store=a\nb"], r"--config store='a\nb' has a line break or another sign"),
        (["store=\udcff"], r"--config store='\udcff' has a line break or another sign that cannot"),
        (["seed=1", "seed=2"], "gives seed twice, as 1 and as 2; keep one of them"),
        (["sae.l0=1", "sae.l0=2"], "gives sae.l0 twice"),
    ],
)
def test_what_yaml_reads_otherwise_is_refused_with_how_to_write_it(schema, entries, told):
    with pytest.raises(InputError) as found:
        check_entries(entries, schema)
    assert told in str(found.value)
    assert "\n" not in str(found.value)


def test_several_keys_of_one_block_are_taken(schema):
    entries = ["sae.l0=4", "sae.expansion=2", "sae={beta: 0.1}", "sae={l0: 5}", "store=~/emb"]
    check_entries(entries, schema)


def test_a_call_is_spelt_as_snakemake_takes_it(schema):
    words = ["figure_02", "--config", "measure.tau=0.1", "seed=1", "--cores", "1"]
    spelt = check_call(words, words[2:4], None, schema)
    assert spelt == [*words[:2], 'measure={"tau": "0.1"}', *words[3:]]
    words = ["figure_02", "--config=measure.tau=0.1"]
    assert check_call(words, ["measure.tau=0.1"], [], schema)[1].startswith('--config=measure={"')
    plain = ["figure_02", "--config", "seed=1", "-n"]
    assert check_call(plain, ["seed=1"], [], schema) == plain


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--config", "seed=1", "-C", "store=x"], "--config"),
        (["--config=seed=1", "--config", "store=x"], "--config"),
        (["--configfile", "a.yaml", "--configfiles", "b.yaml"], "--configfile"),
    ],
)
def test_an_option_of_which_snakemake_drops_one_is_refused(schema, words, option):
    with pytest.raises(InputError, match=f"{option} is given 2 times, of which the last alone"):
        check_call(words, [], [], schema)


@pytest.mark.parametrize(
    "value", ["/data/mine", "2024", "1e5", "my #1 run", "a: b", 'it\'s "x"', "[a]", "True"]
)
def test_what_a_report_says_to_type_is_read_as_it_was(schema, value):
    entry = f"store={typed(value)}"
    check_entries([entry], schema)
    assert parse_config([spell(entry, schema)]) == {"store": value}


@pytest.fixture
def no_home(monkeypatch, tmp_path):
    """A home that cannot be written to, not even by root."""
    for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.touch()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)


def test_caches_go_elsewhere_where_the_home_takes_none(no_home, tmp_path):
    found = dict(caches(Path("work/caches")))
    assert found == {
        "XDG_CACHE_HOME": f"{tmp_path}/work/caches",
        "MPLCONFIGDIR": f"{tmp_path}/work/caches/matplotlib",
        "NUMBA_CACHE_DIR": f"{tmp_path}/work/caches/numba",
        "HF_HOME": f"{tmp_path}/work/caches/huggingface",
    }
    assert Path("work/caches").is_dir()


def test_caches_go_to_a_temporary_folder_where_nothing_else_can_be_written(no_home, monkeypatch):
    made = Path(dict(caches(Path("home/caches")))["XDG_CACHE_HOME"])
    assert made.is_dir()
    made.rmdir()


def test_what_the_user_set_stays(no_home, monkeypatch):
    monkeypatch.setenv("HF_HOME", "/models")
    assert "HF_HOME" not in dict(caches(Path("caches")))


def test_models_that_a_read_only_home_holds_are_found(no_home, monkeypatch, tmp_path):
    (tmp_path / "kept/huggingface").mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "kept"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert dict(caches(Path("caches")))["HF_HOME"] == str(tmp_path / "kept/huggingface")


def test_a_home_that_can_be_written_to_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert list(caches(Path("caches"))) == []
