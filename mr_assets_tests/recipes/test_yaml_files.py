"""Recipe files: what extends what, YAML 1.2, and files that are refused before they do harm."""

import os
import re
from pathlib import Path

import pytest
import yaml

from mr_assets.errors import UserError
from mr_assets.recipes import yaml_files
from mr_assets.recipes.load import load_recipe
from mr_assets.recipes.yaml_files import FOLDER, find_recipe, shipped
from mr_assets_tests.recipes.conftest import DEFAULT, refused, written


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_file_says_where_its_numbers_come_from(path: Path) -> None:
    """A header says what the file is, and every number of a base has a reason, a unit or a section beside it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    if shipped()[path.stem]:
        silent = [line for line in lines if re.search(r": +[\d.]+", line.split("#")[0]) and "#" not in line]
        assert silent == []


def test_own_recipe_extends_a_shipped_one(tmp_path: Path) -> None:
    """Mappings merge key by key; iterations are replaced as a whole; what is abstract below is not above."""
    path = written(
        tmp_path,
        f"extends: {DEFAULT}\ntitle: mine\ndpo:\n  beta: 2e-1\niterations:\n"
        "  - {prompts: 10, rho: 0.1, max_chosen_chars: null, judge_training: true, max_chosen_judgment_chars: null, "
        "keep_epoch: 2}\n",
    )
    recipe = load_recipe(path)
    assert (recipe.title, recipe.dpo.beta, recipe.dpo.schedule_epochs, len(recipe.iterations)) == ("mine", 0.2, 3, 1)
    upon = written(tmp_path, "extends: ./mine.yaml\nsft: null\n", "upon.yaml")
    assert load_recipe(str(upon)).title == "mine"
    assert load_recipe(str(upon)).sft is None


def test_a_recipe_extends_several(tmp_path: Path) -> None:
    """The later one goes on top; what both extend is below both, so that it undoes nothing of the first."""
    written(tmp_path, f"extends: {DEFAULT}\ntitle: base\ndpo: {{beta: 0.1, schedule_epochs: 5}}\n", "base.yaml")
    written(tmp_path, "extends: ./base.yaml\ntitle: left\ndpo: {beta: 0.2}\nsft: null\n", "left.yaml")
    written(tmp_path, "extends: ./base.yaml\nabstract: true\ndpo: {beta: 0.3}\n", "right.yaml")
    both = load_recipe(written(tmp_path, "extends: [./left.yaml, ./right.yaml]\n", "both.yaml"))
    assert (both.title, both.dpo.beta, both.dpo.schedule_epochs, both.sft) == ("left", 0.3, 5, None)
    turned = load_recipe(written(tmp_path, "extends: [./right.yaml, ./left.yaml]\n", "turned.yaml"))
    assert turned.dpo.beta == 0.2


def test_bases_that_spread_out_are_limited(tmp_path: Path) -> None:
    """Ten levels of two bases each are eleven files, read once each; more than twenty are refused."""
    written(tmp_path, f"extends: {DEFAULT}\n", "a0.yaml")
    for level in range(1, 25):
        written(
            tmp_path, f"extends: [./a{level - 1}.yaml, ./a{level - 1}.yaml]\ntitle: level {level}\n", f"a{level}.yaml"
        )
    assert load_recipe(tmp_path / "a10.yaml").title == "level 10"
    assert "more than 20 recipes extend each other" in refused(name=tmp_path / "a24.yaml")


def test_byte_order_mark_is_harmless(tmp_path: Path) -> None:
    """Some editors save UTF-8 with a mark."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xef\xbb\xbfextends: small_world_meta_rewarding\n")
    assert load_recipe(path) == load_recipe(DEFAULT)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"title: [1\nseed: 3\n", ["line 2", "Mend the YAML"]),
        (b"title: a\n\tseed: 3\n", ["line 2"]),
        (b"seed: 1\ntitle: x\nseed: 2\n", ["line 3", "'seed' occurs twice"]),
        (b"dpo:\n  beta: 1\n  beta: 2\n", ["line 3", "'beta' occurs twice"]),
        (b"title: caf\xe9\n", ["not UTF-8", "byte 10"]),
        (b"title: \x00\n", ["special characters", "Mend the YAML"]),
        (b"", ["expected a mapping", "null"]),
        (b"- a\n- b\n", ["expected a mapping", '["a", "b"]']),
        (b"a: 1\n---\nb: 2\n", ["found another document"]),
        (b"a: !!python/object:os.system {}\n", ["could not determine a constructor"]),
        (b"seed: !!int five\n", ["five"]),
        (b"extends: 3\n", ["extends = 3", "name or path"]),
        (b"extends: [small_world, 3]\n", ['extends = ["small_world", 3]', "or a list"]),
        (b"extends: smal_world\n", ["'smal_world' is not known", "Did you mean small_world"]),
        (b"extends: ./mine.yaml\n", ["extends itself", "mine extends mine"]),
        (b"extends: small_world\nabstract: maybe\n", ['abstract = "maybe"', "true or false"]),
        (b"extends: small_world\nvariant: 1\n", ["variant = 1", "true or false"]),
        (b"extends: small_world\nabstract: true\n", ["no run of its own"]),
        (b"extends: small_world\n", ["title: missing", "iterations: missing"]),
        (b"extends: small_world_meta_rewarding\nengin: {}\n", ["engin = {}: unknown key", "Did you mean engine"]),
        (b"extends: small_world_meta_rewarding\n3: x\n", ["3"]),
    ],
)
def test_file_refused(content: bytes, parts: list[str], tmp_path: Path) -> None:
    """The message names the file and what is wrong with it, with the line where there is one."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    message = refused(name=path)
    assert "mine" in message or "smal_world" in message
    for part in parts:
        assert part in message


BOMB = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10))

MERGES = "a0: &a0 {k: v}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 10))


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (BOMB, "with its aliases it has more than"),
        (MERGES, "with its aliases it has more than"),
        ("a: &a [*a]\n", "contains itself"),
        ("a: &a {b: *a}\n", "contains itself"),
        ("a: " + "[" * 9999, "levels deep"),
        ("a: " + "{a: " * 9999, "levels deep"),
        ("a: !!binary aGk=\n", "could not determine a constructor"),
        ("a: !!set {x}\n", "could not determine a constructor"),
        ("a: !!timestamp 2020-01-01\n", "could not determine a constructor"),
        ("a: !!bool maybe\n", "not of its tag's kind"),
        ("a: !mine x\n", "could not determine a constructor"),
        ('title: "\\ud83d"\n', "surrogate"),
        ("seed: " + "9" * 5000 + "\n", "digits"),
        ("#" * 300_000, "more than 262,144 bytes"),
        ("extends: ~no_such_user/x.yaml\n", "there is no user 'no_such_user'"),
        ('extends: "a\\0.yaml"\n', "NUL"),
        ("extends: " + "a" * 300 + ".yaml\n", "at most 255"),
    ],
    ids=lambda value: value[:20],
)
def test_a_recipe_that_would_not_end(content: str, part: str, tmp_path: Path) -> None:
    """One message, within limits that are met before anything is built: nothing is measured."""
    message = refused(name=written(tmp_path, content))
    assert part in message and len(message) < 1000
    if len(content) < 100_000 and not content.startswith("extends"):
        said = refused(f"engine.extra.max_logprobs={content.partition(': ')[2]}")
        assert len(said) < 1500


@pytest.mark.parametrize("name", ["~no_such_user/x.yaml", "a/\0.yaml", "a" * 5000 + ".yaml"])
def test_a_path_that_no_recipe_can_have(name: str) -> None:
    assert "path" in refused(name=name)


def test_a_file_of_the_present_folder_is_known_by_its_name(tmp_path: Path) -> None:
    """What ships goes before; a folder of that name is none."""
    (tmp_path / "mine.yaml").write_text("extends: small_world")
    (tmp_path / "small_world.yaml").write_text("")
    (tmp_path / "other.yaml").mkdir()
    assert find_recipe("mine", tmp_path) == tmp_path / "mine.yaml"
    assert find_recipe("small_world", tmp_path) == FOLDER / "small_world.yaml"
    with pytest.raises(UserError, match="recipe 'other' is not known"):
        find_recipe("other", tmp_path)


def test_a_fifo_or_folder_is_no_recipe(tmp_path: Path) -> None:
    """Reading a FIFO would wait for a writer without end."""
    os.mkfifo(tmp_path / "f.yaml")
    assert "no regular file" in refused(name=tmp_path / "f.yaml")
    (tmp_path / "d.yaml").mkdir()
    assert "is a folder" in refused(name=tmp_path / "d.yaml")


@pytest.mark.parametrize("path", sorted(yaml_files.FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_both_parsers_read_the_same(path: Path) -> None:
    """The fast one reads the shipped recipes as the one that says what is wrong does; so does it a stored one."""
    text = path.read_text(encoding="utf-8")
    found = [yaml.load(text, Loader=loader) for loader in (yaml_files.Loader, yaml_files.FastLoader)]
    assert found[0] == found[1]
    again = yaml_files.dump_mapping(found[0])
    assert yaml.load(again, Loader=yaml_files.FastLoader) == found[0]
