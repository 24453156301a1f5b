"""Addresses between the pages and the Dagster UI."""

import pytest

from mr_assets.addresses import (
    address,
    asset_in_ui,
    page_behind_check,
    page_of,
    page_of_artifact,
    pages_behind,
    pages_url,
    ui_url,
)


@pytest.mark.parametrize(
    ("asset", "partition", "path"),
    [
        ("actor_pairs", "2", "/runs/r/?iteration=2&kind=actor"),
        ("elo_pairs", "2", "/runs/r/?iteration=2&kind=judge"),
        ("meta_judgments", "1", "/runs/r/?iteration=1&kind=judge"),
        ("dpo_dataset", "3", "/runs/r/?iteration=3"),
        ("policy", "1", "/runs/r/M0"),
        ("checkpoints", "1", "/runs/r/M1"),
        ("evaluation", "0", "/runs/r/M0"),
        ("sft_checkpoint", None, "/id?id=M0"),
    ],
)
def test_the_page_about_an_artifact(asset: str, partition: str | None, path: str) -> None:
    assert page_of_artifact("r", asset, partition) == "http://127.0.0.1:3001" + path.replace("/?", "?")


def test_what_has_no_pairs_has_no_page() -> None:
    assert page_of_artifact("r", "seed_prompts", None) is None
    assert page_of_artifact("r", "evaluation", "seed") is None


@pytest.mark.parametrize(
    ("asset", "check", "path"),
    [
        ("judgments", "parse_rate", "judgments?iteration=2&invalid=any"),
        ("judgments", "cut_off", "judgments?iteration=2&cut_off=yes"),
        ("judgments", "score_reliability", "judgments?iteration=2"),
        ("meta_judgments", "parse_rate", "meta_judgments?iteration=2&invalid=any&sampled=yes"),
        ("responses", "cut_off", "responses?iteration=2&cut_off=yes"),
        ("actor_pairs", "pair_yield", "dropped?iteration=2&asset=actor_pairs"),
        ("selected_responses", "not_empty", "dropped?iteration=2&asset=selected_responses"),
    ],
)
def test_what_a_check_counted_can_be_read(asset: str, check: str, path: str) -> None:
    assert page_behind_check("r", asset, "2", check) == f"http://127.0.0.1:3001/runs/r/{path}"
    assert page_behind_check("r", asset, "2", check) in pages_behind("r", asset, "2").values()


def test_what_is_made_once_has_no_list() -> None:
    assert pages_behind("r", "seed_prompts", None) == pages_behind("r", "evaluation", "1") == {}
    assert page_behind_check("r", "dpo_dataset", "1", "identical_pairs") is None


def test_where_the_servers_are_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MR_EXPLORE_URL", "https://pairs.example/")
    monkeypatch.setenv("MR_UI_URL", "https://dagster.example/")
    assert (pages_url(), ui_url()) == ("https://pairs.example", "https://dagster.example")
    assert page_of_artifact("r", "policy", "2") == "https://pairs.example/runs/r/M1"


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("127.0.0.1", "http://127.0.0.1:3001"),
        ("localhost", "http://localhost:3001"),
        ("::1", "http://[::1]:3001"),
        ("0.0.0.0", "http://127.0.0.1:3001"),
        ("::", "http://[::1]:3001"),
    ],
)
def test_the_address_of_a_server_can_be_opened(host: str, found: str) -> None:
    """Whatever it listens on, in brackets where a colon would begin the port."""
    assert address(host, 3001) == found


def test_addresses_are_quoted() -> None:
    assert page_of("a/b ?", "M1") == "/runs/a%2Fb%20%3F/M1"
    assert asset_in_ui("a b", "x", "1") == "/assets/a%20b/x?view=partitions&partition=1"
