"""Code versions: they change with the method's code, and with nothing else."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mr_assets.loop import LOOP
from mr_assets.runs.code_versions import FOR_PEOPLE, PACKAGE, bare, code_modules, code_version, followed_imports

Changed = Callable[[str, str, str], set[str]]


@pytest.fixture
def changed(tmp_path: Path) -> Changed:
    """The assets whose version another text in a file of the package changes."""

    def changed(file: str, old: str, new: str) -> set[str]:
        copy = tmp_path / "mr_assets"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        text = (copy / file).read_text(encoding="utf-8")
        assert old in text
        (copy / file).write_text(text.replace(old, new), encoding="utf-8")
        return {asset for asset in LOOP if code_version(asset, copy) != code_version(asset)}

    return changed


def test_every_asset_has_a_version() -> None:
    assert all(len(code_version(asset)) == 16 for asset in LOOP)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("method/actor_pairs.py", '"""Actor pairs: per prompt', '"""Pairs of the actor: per prompt'),
        ("method/actor_pairs.py", "# A bound is a mix", "# It is a mix"),
        ("method/actor_pairs.py", "_BOUND_NOISE = 2e-9", "_BOUND_NOISE = (\n    2e-9\n)"),
        ("method/__init__.py", '"""Means and variances', '"""Both'),
        ("method/dropped.py", "all responses to the prompt have the same score", "they are all alike"),
        ("method/numbers.py", '"mean score gap": score_gap', '"gap of scores": score_gap'),
        ("assets/actor_pairs.py", "actor_pair_numbers(", "dict("),
        ("method/elo.py", "def _sigmoid(x: Floats) -> Floats:", "def _sigmoid(x):"),
        ("method/dpo_dataset.py", "seed: int", "seed: Any"),
        ("method/elo.py", "from mr_assets.errors import", "import mr_assets.errors\nfrom mr_assets.errors import"),
    ],
)
def test_words_and_layout_are_no_code(changed: Changed, file: str, old: str, new: str) -> None:
    """Docstrings, comments, line breaks, imports, types, reasons in plain words, and figures that an asset reports."""
    assert changed(file, old, new) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "assets"),
    [
        ("method/actor_pairs.py", "_BOUND_NOISE = 2e-9", "_BOUND_NOISE = 3e-9", {"actor_pairs"}),
        ("method/elo.py", "def elo_scores(", "def _more() -> None: ...\n\n\ndef elo_scores(", {"elo_pairs"}),
        ("method/prompts.py", "EXAMPLES = ", "EXAMPLES = 1 + ", {"seed_prompts", "prompts", "held_out_responses"}),
        ("training/dpo.py", "leash", "rein", {"checkpoints"}),
        (
            *("templates/judge.txt", "Score", "Mark"),
            {
                *("eft_judgments", "eft_dataset", "sft_checkpoint", "judgments", "dpo_dataset"),
                *("evaluation", "human_agreement", "labelled_pairs", "probe_judgments", "win_rates"),
            },
        ),
        (
            *("templates/meta_judge.txt", "Winner", "Victor"),
            {"eft_dataset", "sft_checkpoint", "meta_judgments", "evaluation"},
        ),
    ],
)
def test_code_and_templates_change_what_they_shape(
    changed: Changed, file: str, old: str, new: str, assets: set[str]
) -> None:
    """Whether it is the asset's own module, one that this imports, the trainer's script or a shipped template."""
    assert changed(file, old, new) == assets


@pytest.mark.parametrize("asset", sorted(LOOP))
def test_what_an_asset_takes_of_the_method_is_in_its_version(asset: str) -> None:
    """Every module of method and worlds that an asset's file imports is among its code; the rest is for people."""
    source = (PACKAGE / "assets" / f"{asset}.py").read_text(encoding="utf-8")
    taken = {name for name in followed_imports(source) if name.startswith(("method.", "worlds."))}
    taken -= {"worlds.truth", *FOR_PEOPLE}
    assert {name for name in taken if (PACKAGE / f"{name.replace('.', '/')}.py").is_file()} <= code_modules(asset)


def test_loose_texts_are_taken_out() -> None:
    """A function that is nothing but its docstring does nothing; texts that are values stay."""
    source = '"""A."""\nimport os\ndef f():\n    """B."""\n\n\nx = "C"  # D\n"""E."""'
    assert bare(source) == "def f():\n    pass\nx = 'C'"


@pytest.mark.slow
def test_versions_are_kept_beside_the_bytecode_and_hold_for_these_sources_alone(tmp_path: Path) -> None:
    """Another process reads them; one whose sources say something else does not."""
    shutil.copytree(PACKAGE, tmp_path / "mr_assets", ignore=shutil.ignore_patterns("__pycache__"))
    kept = tmp_path / "mr_assets" / "__pycache__" / "code_versions.json"
    code = "from mr_assets.runs.code_versions import code_version; print(code_version('responses'))"

    def asked() -> str:
        process = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return process.stdout.strip()

    version = code_version("responses", PACKAGE)  # a folder that is named is read
    assert asked() == version
    was = json.loads(kept.read_text(encoding="utf-8"))
    assert was["versions"] == {asset: code_version(asset, PACKAGE) for asset in LOOP}
    kept.write_text(json.dumps(was | {"versions": dict.fromkeys(LOOP, "kept")}), encoding="utf-8")
    assert asked() == "kept"
    with (tmp_path / "mr_assets" / "words.py").open("a") as file:
        file.write("# another line\n")
    assert asked() == version
    kept.write_text("{", encoding="utf-8")
    assert asked() == version
