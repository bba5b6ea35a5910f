"""Config files that Snakemake would not read, or of which it would drop a part in silence."""

import os
from itertools import pairwise

import pytest

from isoenergy.config_file import check_config_file
from isoenergy.errors import InputError


@pytest.fixture
def refused(tmp_path):
    """The sentence about a config file of this content."""

    def of(content):
        path = tmp_path / "mine.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(InputError) as told:
            check_config_file(path)
        assert "\n" not in str(told.value)
        assert str(told.value).startswith(f"config file {path}")
        return str(told.value).removeprefix(f"config file {path}")

    return of


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("- a\n- b\n", " is a list; it needs keys at its top level, such as seed: 0"),
        ("just words\n", " is a text; it needs keys at its top level"),
        ("[1, 2]", " is a list; "),
        ("", " is empty; "),
        ("# nothing yet\n", " is empty; "),
        ("store: a: b\n", ", line 1: mapping values are not allowed here; YAML takes ': '"),
        ("seed: 0\nsae:\n\tl0: 4\n", ", line 3: found character '\\t' that cannot start any token"),
        ("models: [a, b\nseed: 0\n", ", line 2: "),
        (
            "seed: 0\n---\nseed: 1\n",
            ", line 2: but found another document; a config has keys and plain values alone",
        ),
        ("seeds: &a [*a]\n", " has an alias (*) that holds itself, "),
        ("a: &a {b: *a}\n", " has an alias (*) that holds itself, "),
        (
            "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(f"{y}: &{y} [{', '.join(10 * [f'*{x}'])}]\n" for x, y in pairwise("abcdef")),
            " has an alias (*) that holds itself, or aliases that make it larger than 100,000",
        ),
        (10_000 * "[", " is not YAML: "),
        ("when: 2024-13-45\n", " is not YAML: month must be in 1..12; correct it"),
        ("a: !unheard 1\n", ", line 1: could not determine a constructor for the tag '!unheard'"),
        ("a: *b\n", ", line 1: found undefined alias 'b'"),
        (b"seed: 0 # \xe9\n", " is not UTF-8 text; save it as UTF-8"),
        (b"\xff\xfes\x00", " is not UTF-8 text"),
        ("seed: \x01\n", " is not YAML: "),
        ("seed: 0\nsae: {}\nseed: 1\n", ": key seed is given twice, on lines 1 and 3; keep one"),
        ("sae:\n  l0: 4\n  l0: 8\n", ": key sae.l0 is given twice, on lines 2 and 3"),
        ("a: [1, {b: 1, b: 2}]\n", ": key a.1.b is given twice, on lines 1 and 1"),
        ('seed: 0\n"seed": 1\n', ": key seed is given twice, on lines 1 and 2"),
        ('{"sae": {"l0": 4, "l0": 8}}', ": key l0 is given twice; keep one of them"),
    ],
)
def test_a_broken_config_is_one_sentence_with_its_file(refused, content, told):
    assert refused(content).startswith(told)


def test_configs_that_yaml_reads_whole_are_taken(tmp_path, root):
    path = tmp_path / "mine.yaml"
    for content in (
        "a: &one {b: 1}\nc: *one\nd:\n  <<: *one\n  b: 2\n",
        '{"a": 1,\n\t"b": {"a": 2}}',
        "\N{ZERO WIDTH NO-BREAK SPACE}seed: 0\n",
    ):
        path.write_text(content, encoding="utf-8")
        check_config_file(path)
    for path in root.glob("config/*.yaml"):
        check_config_file(path)


def test_a_config_that_is_not_there_says_which_was_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").touch()
    for path, told in (
        ("mien.yaml", f"does not exist in {tmp_path}; did you mean mine.yaml?"),
        ("config/demoo.yaml", f"does not exist in {tmp_path}; did you mean config/demo.yaml?"),
        (f"{tmp_path}/elsewhere.yaml", "does not exist; there are config/ci.yaml, config/demo.y"),
        (".", "is a folder, and a file is needed; put the file there"),
    ):
        with pytest.raises(InputError) as found:
            check_config_file(path, ["config/ci.yaml", "config/demo.yaml"])
        assert str(found.value).startswith(f"config file {path} {told}")


@pytest.mark.skipif(os.geteuid() == 0, reason="everything can be read by root")
def test_a_config_that_may_not_be_read_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.touch(mode=0)
    with pytest.raises(InputError, match=r"mine.yaml cannot be read \(Permission denied\)"):
        check_config_file(path)


def test_what_is_no_regular_file_is_refused_unread(tmp_path):
    pipe, link = tmp_path / "pipe.yaml", tmp_path / "link.yaml"
    os.mkfifo(pipe)
    link.symlink_to("nowhere.yaml")
    for path, told in (
        (pipe, "is a named pipe, and a file is needed"),
        (link, "is a link to nowhere.yaml, which does not exist"),
        (tmp_path, "is a folder, and a file is needed"),
    ):
        with pytest.raises(InputError, match=f"config file {path} {told}"):
            check_config_file(path)
