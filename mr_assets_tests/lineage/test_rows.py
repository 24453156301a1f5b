"""A prompt's rows, out of tables of any size."""

from mr_assets.lineage.rows import dropped_of, rows_of
from mr_assets.runs.run import Run
from mr_assets_tests.lineage.conftest import dropped, table


def test_a_prompts_rows_are_those_that_name_it(finished: Run) -> None:
    """Of every table; without token ids; sorted by id, which is the first column."""
    prompt = table(finished, "prompts")["prompt_id"][2]
    keys = {
        "prompts": "prompt_id",
        "responses": "response_id",
        "judgments": "judgment_id",
        "meta_judgments": "meta_judgment_id",
        "selected_responses": "response_id",
        "battle_matrices": "response_id",
        "actor_pairs": "pair_id",
        "elo_pairs": "pair_id",
        "dpo_dataset": "pair_id",
    }
    for asset, key in keys.items():
        found = rows_of(finished, asset, "1", prompt)
        expected = sorted(i for i in table(finished, asset)[key] if prompt in i)
        assert found.columns[0] == key
        assert found[key].to_list() == expected
        assert not [c for c in found.columns if "token_ids" in c]
    assert rows_of(finished, "responses", "1", prompt).height == 4


def test_what_was_dropped_of_a_prompt_is_its_own_and_its_descendants(finished: Run) -> None:
    prompt = table(finished, "prompts")["prompt_id"][2]
    everything = dropped(finished, "selected_responses")
    expected = sorted(i for i in everything["id"] if prompt in i)
    assert expected
    assert dropped_of(finished, "selected_responses", "1", prompt)["id"].to_list() == expected
    assert dropped_of(finished, "prompts", "1", prompt).is_empty()
