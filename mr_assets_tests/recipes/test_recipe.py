"""What a recipe says: the paper's numbers, a meaning for every field, and itself again after it was stored."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr_assets.errors import UserError
from mr_assets.recipes.differences import differences
from mr_assets.recipes.load import from_yaml, list_recipes, load_recipe
from mr_assets.recipes.recipe import SPEED_FIELDS, Recipe
from mr_assets.section import Section, section_of
from mr_assets_tests.recipes.conftest import DEFAULT, columns


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
    training |= {"overwrite_checkpoint", "accelerate_config", "cpu_threads"}
    assert SPEED_FIELDS["sft"] == SPEED_FIELDS["dpo"] == training
    engine = set(load_recipe(DEFAULT).engine.model_dump()) - SPEED_FIELDS["engine"]
    assert engine == {"dtype", "quantization", "kv_cache_dtype", "max_model_len", "cpu_top_k_first", "extra"}
    assert SPEED_FIELDS["generation"] == {"rounds", "key_variable", "concurrency"}
    assert SPEED_FIELDS["reward_model"] == {"batch_size"}
    assert set(SPEED_FIELDS) == {"sft", "dpo", "engine", "generation", "reward_model"}


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
        "judge_pairs": "as_ranked",  # 30
    }
    assert recipe.dpo.warmup_ratio == 0  # 19
    assert recipe.dpo.keep_all_epochs is False  # 22


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
