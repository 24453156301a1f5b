"""Recipes: the paper's numbers, what is refused and how it is said, --set, round trips, families."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from dagster._core.definitions.utils import VALID_GROUP_NAME_REGEX
from hypothesis import given, settings
from hypothesis import strategies as st

from mr_assets.bounds import Guardrails
from mr_assets.errors import UserError
from mr_assets.recipes import checks, yaml_files
from mr_assets.recipes.differences import differences
from mr_assets.recipes.family import family_name, family_settings
from mr_assets.recipes.load import from_yaml, list_recipes, load_recipe, with_iterations
from mr_assets.recipes.names import check_run_name
from mr_assets.recipes.overrides import PATHS
from mr_assets.recipes.recipe import SPEED_FIELDS, Iteration, Recipe, Switches
from mr_assets.recipes.yaml_files import FOLDER, shipped
from mr_assets.sampling.engine_arguments import ALLOWED, OURS
from mr_assets.sampling.settings import KVCacheType, Quantization
from mr_assets.section import Section, section_of

DEFAULT = "small_world_meta_rewarding"


def refused(*sets: str, name: str | Path = DEFAULT) -> str:
    """The message with which a recipe is refused."""
    with pytest.raises(UserError) as error:
        load_recipe(name, sets)
    return str(error.value)


def written(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# ------------------------------------------------------------------------------------------------ shipped recipes


def test_shipped_recipes() -> None:
    """Six recipes can be run; three bases cannot, and name the families."""
    assert list_recipes() == [
        "llama_3_8b_meta_rewarding",
        "llama_3_8b_self_rewarding",
        "small_world_meta_rewarding",
        "small_world_noise_meta_rewarding",
        "small_world_noise_self_rewarding",
        "small_world_self_rewarding",
    ]
    assert [name for name, abstract in shipped().items() if abstract] == [
        "llama_3_8b",
        "small_world",
        "small_world_noise",
    ]


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipe_loads(name: str) -> None:
    """It loads without a warning, survives a round trip, and shares its family's artifacts under the plain name."""
    recipe = load_recipe(name)
    assert list(checks.warnings(recipe)) == []
    assert from_yaml(recipe.dump_yaml()) == recipe
    assert family_name(recipe) == recipe.family
    assert name.startswith(recipe.family)
    assert check_run_name(name) == name


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_file_says_where_its_numbers_come_from(path: Path) -> None:
    """A header says what the file is, and every number of a base has a reason, a unit or a section beside it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    if shipped()[path.stem]:
        silent = [line for line in lines if re.search(r": +[\d.]+", line.split("#")[0]) and "#" not in line]
        assert silent == []


def test_every_field_has_a_description() -> None:
    """What the launchpad, the errors and the documentation show of a field is its description."""
    sections: list[type[Section]] = [Recipe]
    for section in sections:
        sections += [inner for f in section.model_fields.values() if (inner := section_of(f.annotation))]
    fields = {f"{s.__name__}.{name}": field for s in sections for name, field in s.model_fields.items()}
    assert len(fields) > 70
    assert [name for name, field in fields.items() if not field.description] == []


def test_fields_of_speed() -> None:
    """What shapes nothing, and is in no record. Whoever marks another field decides that it stays so."""
    training = {"micro_batch_size", "gradient_checkpointing", "save_steps", "num_processes"}
    training |= {"accelerate_config", "cpu_threads"}
    assert SPEED_FIELDS["sft"] == SPEED_FIELDS["dpo"] == training
    engine = set(load_recipe(DEFAULT).engine.model_dump()) - SPEED_FIELDS["engine"]
    assert engine == {"dtype", "quantization", "kv_cache_dtype", "max_model_len", "extra"}
    assert set(SPEED_FIELDS) == {"sft", "dpo", "engine"}


# ---------------------------------------------------------------------------------------------- the paper's numbers


def columns(recipe: Recipe, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(row, name) for name in names) for row in recipe.iterations]


@pytest.mark.parametrize("name", ["llama_3_8b_meta_rewarding", "llama_3_8b_self_rewarding"])
def test_numbers_that_both_recipes_of_the_paper_share(name: str) -> None:
    """Sections 3.1 and A.3."""
    recipe = load_recipe(name)
    assert recipe.model.seed == "meta-llama/Meta-Llama-3-8B-Instruct"  # 3.1
    assert not recipe.model.allow_hub  # ours: nothing is downloaded unasked
    assert columns(recipe, "prompts") == [(5000,)] * 4  # 3.1: 5,000 of 20,000 prompts, four iterations
    assert (recipe.responses.k, recipe.responses.temperature, recipe.responses.top_p) == (7, 0.8, 0.95)  # 3.1
    assert (recipe.judgments.n, recipe.judgments.temperature, recipe.judgments.top_p) == (11, 0.8, 0.95)  # 3.1
    assert recipe.meta_judgments.sample_distinct_once is False  # 2.2: every pair in both orders
    assert recipe.judgments.template is None and recipe.meta_judgments.template is None  # A.1, Figure 2
    assert recipe.sft is not None
    sft, dpo = recipe.sft, recipe.dpo  # A.3
    assert (sft.learning_rate, sft.schedule_epochs, sft.keep_epoch, sft.batch_size) == (5e-8, 10, 5, 32)
    assert (dpo.learning_rate, dpo.schedule_epochs, dpo.beta, dpo.batch_size) == (5e-6, 10, 0.1, 32)
    assert sft.lr_scheduler == dpo.lr_scheduler == "cosine"
    assert columns(recipe, "learning_rate") == [(None,)] * 4


def test_rows_of_meta_rewarding() -> None:
    """A.3: rho, the filters, and the kept epochs; 3.1: the judge is trained in the first two iterations."""
    rows = columns(
        load_recipe("llama_3_8b_meta_rewarding"),
        *("rho", "max_chosen_chars", "judge_training", "max_chosen_judgment_chars", "keep_epoch"),
    )
    assert rows == [
        (0.0, 2500, True, 1100, 6),
        (0.32, None, True, 1000, 4),
        (0.32, None, False, None, 2),
        (0.4, None, False, None, 2),
    ]


def test_rows_of_self_rewarding() -> None:
    """A.3, the baseline: no judge training, 2,500 characters in iteration 1, rho 0.1 in the last."""
    rows = columns(
        load_recipe("llama_3_8b_self_rewarding"),
        *("rho", "max_chosen_chars", "judge_training", "max_chosen_judgment_chars", "keep_epoch"),
    )
    assert rows == [
        (0.0, 2500, False, None, 5),
        (0.0, None, False, None, 1),
        (0.0, None, False, None, 2),
        (0.1, None, False, None, 2),
    ]


@pytest.mark.parametrize("name", list_recipes())
def test_defaults_where_the_paper_is_silent(name: str) -> None:
    """The method's table of open decisions, by its rows."""
    recipe = load_recipe(name)
    assert recipe.prompts.disjoint is True  # 1
    assert recipe.switches.model_dump() == {
        "omega_scope": "iteration",  # 2
        "elo_ridge": 0.01,  # 3
        "cut_off": "never_chosen",  # 14
        "elo_tie_tolerance": 1e-6,  # 16
        "judge_share_cap": None,  # 20
    }
    assert recipe.dpo.warmup_ratio == 0  # 19
    assert recipe.dpo.keep_all_epochs is False  # 22


DECISIONS = {
    "tier_ties": "draw",
    "equal_scores": "no_pair",
    "equal_score_judge_pairs": "keep",
    "reference": "previous_model",
    "end_token": "finished_only",
}


def test_switches_that_were_decisions_are_read_and_noted(tmp_path: Path) -> None:
    """A recipe of an earlier version, stored or a user's, is the same recipe without them; a user's says so."""
    now = load_recipe(DEFAULT)
    lines = "".join(f"  {name}: {value}\n" for name, value in DECISIONS.items())
    assert from_yaml(now.dump_yaml().replace("switches:\n", f"switches:\n{lines}")) == now
    assert not set(DECISIONS) & set(Switches.model_fields)
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: {DEFAULT}\nswitches:\n{lines}", encoding="utf-8")
    mine = load_recipe(path)
    assert mine == now
    assert all(f"switches.{name}" in next(checks.warnings(mine)) for name in DECISIONS)
    assert load_recipe(DEFAULT, ["tier_ties=draw"]) == now


@pytest.mark.parametrize("name", DECISIONS)
def test_another_position_of_a_decision_is_refused(name: str) -> None:
    """The message names the one value, and the row where it is decided."""
    message = refused(f"switches.{name}=other", "dpo.beta=-1")
    assert f'switches.{name} = "other"' in message
    assert DECISIONS[name] in message
    assert re.search(r"docs/method.md, row \d+", message)
    assert "dpo.beta = -1" in message


def test_a_check_that_asks_for_a_field_that_is_not_there_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt field must not switch a check off in silence; only of a partial recipe fields may be missing."""

    def misspelt(recipe: Any) -> Iterator[str]:
        yield f"beta = {recipe.dpo.betta}"

    monkeypatch.setattr(checks, "CHECKS", (*checks.CHECKS, misspelt))
    with pytest.raises(AttributeError, match="betta"):
        load_recipe(DEFAULT)
    assert refused("dpo.learning_rate=-1").count("\n  - ") == 1


def test_every_check_asks_for_fields_that_there_are() -> None:
    """Of the shipped recipes no check stops at a field; a partial one stops at nothing but what is not given."""
    for name in list_recipes():
        recipe = load_recipe(name)
        for check in checks.CHECKS:
            assert list(check(recipe)) == []
            with pytest.raises(checks.NotGiven):
                list(check(checks.partial({}, [])))


def test_the_small_world_shares_the_papers_sampling() -> None:
    """K, N, temperature and top-p are the paper's (3.1) in the small world too; judge training is in t = 1, 2."""
    recipe = load_recipe(DEFAULT)
    assert (recipe.responses.k, recipe.judgments.n) == (7, 11)
    for section in (recipe.responses, recipe.judgments, recipe.meta_judgments):
        assert (section.temperature, section.top_p) == (0.8, 0.95)
    assert columns(recipe, "judge_training") == [(True,), (True,), (False,), (False,)]


@pytest.mark.parametrize("family", ["small_world", "small_world_noise"])
def test_control_differs_in_seed_model_and_world_alone(family: str) -> None:
    """A run and its control differ in nothing but the seed model and the EFT data (and what they are called)."""
    meta, self_rewarding = (load_recipe(f"{family}_{kind}_rewarding") for kind in ("meta", "self"))
    changed = {d.path.partition(".")[0] for d in differences(self_rewarding, meta)}
    assert changed == {"title", "description", "iterations"}
    control = load_recipe("small_world_noise_meta_rewarding")
    changed = {d.path.partition(".")[0] for d in differences(load_recipe(DEFAULT), control)}
    assert changed == {"family", "model", "world", "title", "description"}


# ------------------------------------------------------------------------------------------------------------- --set


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("dpo.beta=0.2", "dpo.beta", 0.2),
        ("beta=0.2", "dpo.beta", 0.2),  # the only field of that name
        ("dpo.learning_rate=5e-6", "dpo.learning_rate", 5e-6),  # a string in YAML 1.1
        ("dpo.learning_rate=1E-5", "dpo.learning_rate", 1e-5),
        ("k=3", "responses.k", 3),
        ("seed=7", "seed", 7),  # a full path, though model.seed has the name too
        ("model.seed=seeds/other", "model.seed", "seeds/other"),
        ("sft=null", "sft", None),
        ("judge_share_cap=0.15", "switches.judge_share_cap", 0.15),
        ("engine.extra.max_logprobs=3", "engine.extra", {"max_logprobs": 3}),
        ("judgments.template=my=odd.txt", "judgments.template", "my=odd.txt"),
        (" beta = 0.2 ", "dpo.beta", 0.2),
        ("title=no", "title", "no"),  # false in YAML 1.1
    ],
)
def test_set(text: str, path: str, value: Any) -> None:
    """A full path, or the name of a field that occurs once; values are YAML."""
    found: Any = load_recipe(DEFAULT, [text])
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value and type(found) is type(value)


def test_set_rows() -> None:
    """Rows count from 1; all is every row; later settings win."""
    recipe = load_recipe(
        DEFAULT, ["iterations.all.rho=0.3", "iterations.4.rho=0.4", "iterations.2={rho: 0.1, prompts: 9}"]
    )
    assert columns(recipe, "rho", "prompts") == [(0.3, 120), (0.1, 9), (0.3, 120), (0.4, 120)]


def test_set_of_one_row_leaves_a_row_with_the_same_anchor(tmp_path: Path) -> None:
    """Rows that share a YAML anchor are still rows of their own."""
    row = "{prompts: 5, rho: 0, max_chosen_chars: 9, judge_training: true, max_chosen_judgment_chars: 9, keep_epoch: 1}"
    path = written(tmp_path, f"extends: small_world\ntitle: t\ndescription: d\niterations:\n  - &r {row}\n  - *r\n")
    assert columns(load_recipe(path, ["iterations.2.rho=0.5"]), "rho") == [(0.0,), (0.5,)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("keep_epoch=1", ["several fields", "sft.keep_epoch", "iterations.1.keep_epoch", "iterations.all.keep_epoch"]),
        (
            "learning_rate=1e-5",
            ["several fields", "sft.learning_rate", "dpo.learning_rate", "iterations.1.learning_rate"],
        ),
        ("lerning_rate=1e-5", ["no field", "Did you mean learning_rate"]),
        ("dpo.betta=0.2", ["no field", "Did you mean dpo.beta"]),
        ("iterations.2.roh=0", ["no field", "Did you mean iterations.2.rho"]),
        ("iterations.5.rho=0", ["no iteration 5", "1 to 4, or all"]),
        ("iterations.0.rho=0", ["no iteration 0"]),
        ("iterations.2=3", ["iterations.2 is a section", "iterations.2.rho"]),
        ("prompts=20", ["prompts is a section", "iterations.all.prompts", "evaluation.prompts", "prompts.count"]),
        ("dpo.beta", ["expected key=value"]),
        ("=3", ["expected key=value"]),
        ("dpo.beta=[1", ["--set dpo.beta=[1", "line 1", "','"]),
        ("sft={keep_epoch: 1, keep_epoch: 2}", ["'keep_epoch' occurs twice"]),
        ("zzz=1", ["no field"]),
        ("abstract=true", ["no field"]),
        ("extends=small_world", ["no field"]),
    ],
)
def test_set_refused(text: str, parts: list[str]) -> None:
    """The message names the key and what could have been meant."""
    message = refused(text)
    assert text.partition("=")[0] in message
    for part in parts:
        assert part in message


@settings(deadline=None, max_examples=30)
@given(st.floats(min_value=1e-12, max_value=0.999, exclude_min=True))
def test_set_takes_any_spelling_of_a_number(number: float) -> None:
    """A number that Python prints, with or without an exponent, arrives as that very number."""
    for text in (repr(number), f"{number:.17e}", f"{number:.17E}"):
        assert load_recipe(DEFAULT, [f"dpo.learning_rate={text}"]).dpo.learning_rate == number


@settings(deadline=None, max_examples=30)
@given(st.integers(min_value=1, max_value=10**12))
def test_set_takes_any_count(count: int) -> None:
    """A count arrives as it was written."""
    assert load_recipe(DEFAULT, [f"dpo.save_steps={count}"]).dpo.save_steps == count


@pytest.mark.parametrize("path", [p for p in PATHS if "*" not in p])
def test_set_accepts_every_path(path: str) -> None:
    """No path of the schema is unknown to --set: a value that cannot be is refused for what it is."""
    message = refused(f"{path}=[[]]")
    assert "no field" not in message and "several" not in message


# ------------------------------------------------------------------------------------------------------- validation


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        # single fields
        ("iterations.1.rho=-0.1", ["iterations.1.rho = -0.1", "greater than or equal to 0"]),
        ("iterations.3.rho=1.5", ["iterations.3.rho = 1.5", "less than or equal to 1"]),
        ("dpo.beta=0", ["dpo.beta = 0", "greater than 0"]),
        ("dpo.beta=-1", ["dpo.beta = -1", "greater than 0"]),
        ("dpo.beta=.inf", ["dpo.beta = Infinity", "finite"]),
        ("dpo.beta=high", ['dpo.beta = "high"', "valid number"]),
        ("dpo.learning_rate=0", ["dpo.learning_rate = 0", "greater than 0"]),
        ("dpo.learning_rate=5", ["dpo.learning_rate = 5", "less than 1"]),
        ("responses.k=1", ["responses.k = 1", "greater than or equal to 2"]),
        ("responses.k=7.5", ["responses.k = 7.5", "valid integer"]),
        ("responses.k=true", ["responses.k = true", "valid integer"]),
        ("responses.top_p=0", ["responses.top_p = 0", "greater than 0"]),
        ("responses.top_p=1.01", ["responses.top_p = 1.01", "less than or equal to 1"]),
        ("responses.max_tokens=0", ["responses.max_tokens = 0", "greater than or equal to 1"]),
        ("judgments.n=0", ["judgments.n = 0", "greater than or equal to 1"]),
        ("judgments.temperature=-1", ["judgments.temperature = -1"]),
        ("judgments.temperature=2.5", ["judgments.temperature = 2.5", "less than or equal to 2"]),  # vLLM's own limit
        ("title=''", ['title = ""', "at least 1 character"]),
        ("iterations.1.prompts=0", ["iterations.1.prompts = 0", "greater than or equal to 1"]),
        ("iterations.1.judge_training=yes", ['iterations.1.judge_training = "yes"', "valid boolean"]),
        ("iterations.1.keep_epoch=0", ["iterations.1.keep_epoch = 0"]),
        ("iterations.2.max_chosen_chars=0", ["iterations.2.max_chosen_chars = 0"]),
        ("dpo.optimizer=sgd", ['dpo.optimizer = "sgd"', "'adamw_torch'"]),
        ("dpo.precision=bf8", ['dpo.precision = "bf8"', "'fp32'"]),
        ("dpo.warmup_ratio=1", ["dpo.warmup_ratio = 1", "less than 1"]),
        ("switches.omega_scope=prompt", ["switches.omega_scope", "'iteration' or 'response'"]),
        ("switches.cut_off=dropped", ["switches.cut_off", "'never_chosen' or 'eligible'"]),
        ("switches.elo_ridge=0", ["switches.elo_ridge = 0", "greater than 0", "finite"]),
        ("switches.judge_share_cap=1", ["switches.judge_share_cap = 1", "less than 1"]),
        ("world.name=numbers", ["world.name", "'letters'"]),
        ("world.judge_noise=2", ["world.judge_noise = 2"]),
        ("seed=-1", ["seed = -1"]),
        ("family=Small-World", ['family = "Small-World"', "pattern"]),
        ("engine.gpu_memory_utilization=1.5", ["engine.gpu_memory_utilization = 1.5"]),
        ("engine.shard_size=0", ["engine.shard_size = 0"]),
        ("dpo=null", ["dpo = null", "mapping of learning_rate"]),
        ("sft={warmup: 3}", ["sft.warmup = 3", "unknown key", "Did you mean warmup_ratio"]),
        ("iterations=none", ['iterations = "none"', "list of rows"]),
        ("iterations=[]", ["iterations = []", "at least one row"]),
        ("iterations=[{rho: 0.1}]", ["iterations.1.prompts: missing", "iterations.1.keep_epoch: missing"]),
        # fields against each other
        ("iterations.2.keep_epoch=4", ["iterations.2.keep_epoch = 4", "dpo.schedule_epochs = 3"]),
        ("sft.keep_epoch=2", ["sft.keep_epoch = 2", "sft.schedule_epochs = 1"]),
        ("dpo.micro_batch_size=5", ["dpo.batch_size = 32", "micro_batch_size x num_processes = 5 x 1"]),
        ("sft.num_processes=3", ["sft.batch_size = 32", "micro_batch_size x num_processes = 32 x 3"]),
        ("judgments.n=1", ["judgments.n = 1", "judge training"]),
        ("judgments.temperature=0", ["judgments.temperature = 0", "judge pairs"]),
        ("responses.temperature=0", ["responses.temperature = 0", "no pairs"]),
        ("prompts.count=479", ["prompts.count = 479", "120 + 120 + 120 + 120 = 480", "prompts.disjoint"]),
        ("prompts.count=null", ["prompts.count = null", "give a number"]),
        ("prompts.count=1000001", ["prompts.count = 1000001", "at most 1,000,000"]),
        ("evaluation.prompts=10001", ["evaluation.prompts = 10001", "at most 10,000"]),
        ("eft.examples=null", ["eft.examples = null", "give a number"]),
        ("responses.max_tokens=512", ["responses.max_tokens = 512", "engine.max_model_len = 512"]),
        ("meta_judgments.max_tokens=600", ["meta_judgments.max_tokens = 600", "engine.max_model_len = 512"]),
        (
            "guardrails.top_score_share={warn: 0.9, stop: 0.5}",
            ["guardrails.top_score_share.stop = 0.5: is below warn = 0.9", "should be worse"],
        ),
        (
            "guardrails.score_entropy_at_least={warn: 0.5, stop: 1.0}",
            ["guardrails.score_entropy_at_least.stop = 1.0: is above warn = 0.5"],
        ),
        ("guardrails.min_count=0", ["guardrails.min_count = 0", "greater than or equal to 1"]),
        ("guardrails.score_bias={warn: high, stop: null}", ["guardrails.score_bias.warn", "valid number"]),
        ("world=null", ["world is null", 'prompts.source = "world"', 'eft.source = "world"', "evaluation:"]),
    ],
)
def test_refused(text: str, parts: list[str]) -> None:
    """Each problem names the field, the value and the reason."""
    message = refused(text)
    assert message.startswith(f"recipe {DEFAULT}: ")
    for part in parts:
        assert part in message


def test_disjoint_is_what_adds_prompts_up() -> None:
    """120 prompts serve four iterations of 120 if they may repeat."""
    assert load_recipe(DEFAULT, ["prompts.count=120", "prompts.disjoint=false"]).prompts.count == 120
    assert "need 121" in refused("prompts.count=120", "prompts.disjoint=false", "iterations.2.prompts=121")


def test_all_problems_at_once() -> None:
    """Wrong fields do not hide contradictions elsewhere, nor are they reported twice."""
    message = refused(
        "iterations.1.rho=-1",
        "iterations.2.keep_epoch=9",
        "dpo.beta=0",
        "sft.batch_size=33",
        "dpo.optimizer=adam",
        "iterations.4.prompts=4000",
        "responses.max_tokens=9999",
    )
    assert "7 problems" in message
    assert re.findall(r"^  - (\S+)", message, re.MULTILINE) == [
        "dpo.optimizer",
        "dpo.beta",
        "iterations.1.rho",
        "iterations.2.keep_epoch",
        "sft.batch_size",
        "prompts.count",
        "responses.max_tokens",
    ]


def test_a_file_of_prompts_is_counted_when_it_is_read() -> None:
    """The paper's recipes take all prompts of a file, whose number is not known before the run."""
    assert load_recipe("llama_3_8b_meta_rewarding", ["iterations.all.prompts=9999999"]).prompts.count is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("iterations.3.rho=0.5", "iterations.3.rho = 0.5: from 0.5 on the tiers overlap"),
        ("iterations.3.max_chosen_judgment_chars=900", "iterations.3.max_chosen_judgment_chars has no effect"),
        ("responses.max_tokens=450", "the longest response and its judgment alone take 514 tokens"),  # 450 + 64
    ],
)
def test_warnings(text: str, part: str) -> None:
    """What is allowed and yet worth knowing is said, not refused (rho)."""
    (warning,) = checks.warnings(load_recipe(DEFAULT, [text]))
    assert part in warning


# ------------------------------------------------------------------------------------------------------------ files


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
        (b"extends: smal_world\n", ["'smal_world' is not known", "Did you mean small_world"]),
        (b"extends: ./mine.yaml\n", ["extends itself", "mine extends mine"]),
        (b"extends: small_world\nabstract: maybe\n", ['abstract = "maybe"', "true or false"]),
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


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("small_world_meta", ["is not known", "Did you mean small_world", DEFAULT, "or a .yaml file"]),
        ("small-world-meta-rewarding", ["Did you mean small_world_meta_rewarding"]),
        ("small_world", ["base for others", DEFAULT]),
        ("no/such.yaml", ["cannot be read", "No such file"]),
        ("./", ["cannot be read"]),
        ("", ["is not known"]),
    ],
)
def test_recipe_not_found(name: str, parts: list[str]) -> None:
    """An unknown name gets the known ones and the nearest."""
    message = refused(name=name)
    for part in parts:
        assert part in message


# ---------------------------------------------------------------------------------------------- rows and round trips


def test_row() -> None:
    """Rows count from 1."""
    recipe = load_recipe("llama_3_8b_meta_rewarding")
    assert (recipe.row(1).keep_epoch, recipe.row(4).rho) == (6, 0.4)
    for t in (0, 5, -1):
        with pytest.raises(UserError, match="1 to 4"):
            recipe.row(t)


def test_learning_rate_of_a_row() -> None:
    """A row's own learning rate goes before that of the dpo section."""
    recipe = load_recipe(DEFAULT, ["iterations.2.learning_rate=1e-6"])
    assert [recipe.learning_rate(t) for t in (1, 2, 3)] == [3e-5, 1e-6, 3e-5]


def test_with_iterations() -> None:
    """More iterations repeat the last row, fewer leave rows out; the prompts must suffice."""
    recipe = load_recipe("llama_3_8b_meta_rewarding")
    assert columns(with_iterations(recipe, 6), "rho") == [(0.0,), (0.32,), (0.32,), (0.4,), (0.4,), (0.4,)]
    assert columns(with_iterations(recipe, 2), "keep_epoch") == [(6,), (4,)]
    assert with_iterations(recipe, 4) == recipe
    small = load_recipe(DEFAULT)
    assert family_name(with_iterations(small, 25)) == family_name(small)  # 25 x 120 = 3,000 seed prompts
    with pytest.raises(UserError, match="3120"):
        with_iterations(small, 26)
    with pytest.raises(UserError, match="1 or more"):
        with_iterations(small, 0)


@settings(deadline=None, max_examples=30)
@given(title=st.text(min_size=1), description=st.text(), extra=st.dictionaries(st.text(), st.floats() | st.text()))
def test_round_trip_of_odd_texts(title: str, description: str, extra: dict[str, Any]) -> None:
    """Whatever a launched recipe holds is read back: "5e-6", "no", "null" and line ends stay texts."""
    extra = {k: v for k, v in extra.items() if v == v}  # NaN is unlike itself
    default = load_recipe(DEFAULT)
    engine = default.engine.model_copy(update={"extra": extra})
    recipe = default.model_copy(update={"title": title, "description": description, "engine": engine})
    try:
        text = recipe.dump_yaml()
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate is no text
        return
    assert from_yaml(text) == recipe


@pytest.mark.parametrize(
    "text", ["5e-6", "no", "null", "~", "true", "12", "0x1f", "1_000", "", " ", "<<", "2020-01-01", ".inf"]
)
def test_round_trip_of_texts_that_look_like_something_else(text: str) -> None:
    """A text is quoted where it would be read as a number, null or a truth value."""
    recipe = load_recipe(DEFAULT).model_copy(update={"description": text})
    assert from_yaml(recipe.dump_yaml()).description == text


def test_dump_is_readable() -> None:
    """What is stored with a run names everything, inherits nothing, and has a line per iteration."""
    text = load_recipe("llama_3_8b_meta_rewarding").dump_yaml()
    assert text.startswith("title: Meta-Rewarding")
    assert "extends" not in text
    assert (
        "- {prompts: 5000, rho: 0.32, max_chosen_chars: null, judge_training: true, max_chosen_judgment_chars: 1000, "
        "keep_epoch: 4, learning_rate: null}\n" in text
    )


def test_a_recipe_stored_before_there_were_guardrails_has_their_defaults() -> None:
    """A run that was launched then still loads; the shipped recipes spell out the same bounds."""
    recipe = load_recipe(DEFAULT)
    text = recipe.dump_yaml()
    old = text[: text.index("guardrails:")]
    assert "guardrails" not in old
    assert from_yaml(old) == recipe
    assert recipe.guardrails == load_recipe("llama_3_8b_meta_rewarding").guardrails == Guardrails()
    assert "  position_bias: {warn: 0.6, stop: 0.95}\n" in text


def test_from_yaml_names_the_origin() -> None:
    """A stored recipe that was edited by hand is refused like any other."""
    with pytest.raises(UserError, match=r"data/x/recipe.yaml: \d+ problems"):
        from_yaml("title: x", "data/x/recipe.yaml")


def test_differences() -> None:
    """Drift is named by path, rows from 1; a row that one side lacks is one difference."""
    old = load_recipe(DEFAULT)
    new = with_iterations(load_recipe(DEFAULT, ["beta=0.2", "iterations.3.rho=0.25", "evaluation=null"]), 5)
    found = differences(old, new)
    assert differences(old, old) == []
    assert [d.path for d in found] == ["dpo.beta", "iterations.3.rho", "iterations.5", "evaluation"]
    assert found[0][1:] == (0.1, 0.2)
    assert found[2].old is None and Iteration(**found[2].new) == new.row(5)
    assert found[3].new is None


# --------------------------------------------------------------------------------------------------------- families


@pytest.mark.parametrize(
    "sets",
    [["seed=1"], ["sft.keep_epoch=2", "sft.schedule_epochs=2"], ["sft=null"], ["prompts.count=700"],
     ["model.seed=other"], ["world.judge_noise=0.3"], ["eft.examples=5"], ["judgments.template=mine.txt"]],
)  # fmt: skip
def test_what_shapes_the_shared_artifacts_has_a_family_of_its_own(sets: list[str]) -> None:
    """Runs that would make other seed prompts, EFT data or M_0 share them only with a baseline changed alike."""
    changed, plain = load_recipe(DEFAULT, sets), load_recipe(DEFAULT)
    assert re.fullmatch(r"small_world_[0-9a-f]{6}", family_name(changed))
    assert family_settings(changed) != family_settings(plain)
    assert family_name(load_recipe("small_world_self_rewarding", sets)) == family_name(changed)


@pytest.mark.parametrize(
    "sets",
    [["beta=0.2"], ["iterations.all.prompts=20"], ["responses.k=3"], ["judgments.n=5"], ["prompts.disjoint=false"],
     ["sft.micro_batch_size=8"], ["model.allow_hub=true"], ["engine.max_num_seqs=8"], ["evaluation=null"],
     ["guardrails.min_count=1"]],
)  # fmt: skip
def test_what_does_not_shape_them_shares_the_family(sets: list[str]) -> None:
    """A variant of the loop starts from the same M_0."""
    assert family_name(load_recipe(DEFAULT, sets)) == "small_world"


def test_family_without_a_shipped_base(tmp_path: Path) -> None:
    """Where no base defines the plain name, the hash is always there, so that two such families cannot collide."""
    path = written(tmp_path, f"extends: {DEFAULT}\nfamily: mine\n")
    assert re.fullmatch(r"mine_[0-9a-f]{6}", family_name(load_recipe(path)))


def test_family_names_differ_by_seed() -> None:
    """Five seeds, five families."""
    assert len({family_name(load_recipe(DEFAULT, [f"seed={i}"])) for i in range(5)}) == 5


# -------------------------------------------------------------------------------------------------------- run names


@pytest.mark.parametrize("name", ["a", "x1", "1", "small_world_meta_rewarding", "beta_02", "a" * 60])
def test_run_name(name: str) -> None:
    """A run's name is good for Dagster too, as a group and in an unquoted asset selection."""
    assert check_run_name(name) == name
    assert VALID_GROUP_NAME_REGEX.match(name)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Beta-0.2", "Try beta_0_2"),
        ("a-b", "Try a_b"),
        ("a__b", "Try a_b"),
        ("_a", "Try a"),
        ("a/b", "Try a_b"),
        ("../x", "Try x"),
        ("größe", "Try gr_e"),
        ("a\n", "Try a"),
        ("", "expected lower-case"),
        ("-", "expected lower-case"),
        ("a" * 61, "at most 60"),
        ("small_world", "taken"),
        ("seeds", "taken"),
    ],
)
def test_run_name_refused(name: str, part: str) -> None:
    """What would not be a key, a group and a folder of its own is refused, with a name that would be."""
    with pytest.raises(UserError) as error:
        check_run_name(name)
    assert part in str(error.value) and repr(name) in str(error.value)


def test_importing_recipes_imports_nothing_heavy() -> None:
    """`mr` and the UI read recipes before anything else."""
    heavy = "torch vllm trl transformers dagster polars numpy"
    code = f"import sys, mr_assets.recipes.load; print([m for m in {heavy.split()!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --------------------------------------------------------------------------------------------- hostile or odd recipes

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


def test_a_fifo_or_folder_is_no_recipe(tmp_path: Path) -> None:
    """Reading a FIFO would wait for a writer without end."""
    os.mkfifo(tmp_path / "f.yaml")
    assert "no regular file" in refused(name=tmp_path / "f.yaml")
    (tmp_path / "d.yaml").mkdir()
    assert "is a folder" in refused(name=tmp_path / "d.yaml")


def test_iterations_have_a_limit() -> None:
    for count in (1001, 100_000, 10**30):
        with pytest.raises(UserError, match="at most 1,000"):
            load_recipe(DEFAULT, iterations=count)


@pytest.mark.parametrize("path", ["~no_such_user/p.txt", "\0.txt", "a" * 256])
@pytest.mark.parametrize("key", ["prompts.source", "model.seed", "judgments.template", "dpo.accelerate_config"])
def test_paths_that_no_file_can_have(key: str, path: str) -> None:
    assert f"{key} = " in refused(f"{key}={json.dumps(path)}")


@pytest.mark.parametrize(
    "key",
    ["model", "tokenizer", "trust_remote_code", "seed", "revision", "hf_overrides", "load_format", "logits_processors",
     "worker_cls", "worker_extension_cls", "distributed_executor_backend", "speculative_config", "enable_lora",
     "quantization", "dtype", "hf_token", "generation_config", "override_generation_config", "additional_config",
     "compilation_config", "scheduler_cls", "model_impl", "download_dir", "no_such_option"],
)  # fmt: skip
def test_engine_extra_takes_speed_and_memory_alone(key: str) -> None:
    """What decides model, code, tokenizer, seeds or logits is refused before anything starts."""
    assert f"engine.extra.{key}: " in refused(f"engine.extra.{key}=1")


def test_engine_extra_knows_near_names_and_our_own() -> None:
    assert "Did you mean" in refused("engine.extra.async_schedulin=true")
    assert "the recipe's own engine.dtype" in refused("engine.extra.dtype=float32")
    assert load_recipe(DEFAULT, ["engine.extra.async_scheduling=true"]).engine.extra == {"async_scheduling": True}


def test_engine_values_are_vllms() -> None:
    """The lists stand in our code; here they are compared with the installed vLLM's, whose text alone is read."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:
        pytest.skip("vLLM is not installed")
    root = Path(spec.origin).parent
    tree = ast.parse((root / "engine" / "arg_utils.py").read_text(encoding="utf-8"))
    [cls] = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "EngineArgs"]
    names = {n.target.id for n in cls.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
    assert names >= ALLOWED
    assert not ALLOWED & OURS.keys()
    for file, name, ours in (
        (root / "config" / "cache.py", "CacheDType", KVCacheType),
        (root / "model_executor" / "layers" / "quantization" / "__init__.py", "QuantizationMethods", Quantization),
    ):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        [value] = [n.value for n in body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == name]
        assert {c.value for c in ast.walk(value) if isinstance(c, ast.Constant)} == set(get_args(ours))


@pytest.mark.parametrize("sets", [["quantization=fp9"], ["kv_cache_dtype=fp9"]])
def test_engine_types_are_checked(sets: list[str]) -> None:
    assert "fp9" in refused(*sets)


def test_temperature_0_with_several_judgments() -> None:
    """They would all be equal; one is fine where no judge is trained."""
    greedy = ["judgments.temperature=0", "iterations.all.judge_training=false"]
    greedy += ["iterations.all.max_chosen_judgment_chars=null"]
    assert "would all be the same" in refused(*greedy)
    assert load_recipe(DEFAULT, [*greedy, "judgments.n=1", "evaluation.samples=1"]).judgments.n == 1
    assert "evaluation.samples = 3" in refused(*greedy, "judgments.n=1", "evaluation.samples=3")
    for almost in ("temperature=1e-6", "top_p=1e-7"):
        assert "would all be the same" in refused(f"responses.{almost}")


@pytest.mark.parametrize("path", sorted(yaml_files.FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_both_parsers_read_the_same(path: Path) -> None:
    """The fast one reads the shipped recipes as the one that says what is wrong does; so does it a stored one."""
    text = path.read_text(encoding="utf-8")
    found = [yaml.load(text, Loader=loader) for loader in (yaml_files.Loader, yaml_files.FastLoader)]
    assert found[0] == found[1]
    again = yaml_files.dump_mapping(found[0])
    assert yaml.load(again, Loader=yaml_files.FastLoader) == found[0]
