"""What requests cost at most: their tokens, the sum in USD, and a budget that they do not fit."""

from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.evaluation.costs import Estimate, Prices, answer_tokens, prompt_tokens, token_counter

TEN = Estimate(
    requests=1200, kept=2, to_ask=1000, prompt_tokens=30_000, answer_tokens=5000, cost=10.0, counted="by tiktoken"
)
SAID = (
    "1,200 requests, 2 of them answered already; 1,000 to ask, with at most 30,000 tokens of prompts (by tiktoken) and "
    "5,000 of answers: "
)


def test_prices_are_for_a_million_tokens() -> None:
    """Two million of prompts at $3, half a million of answers at $10."""
    assert Prices(prompt=3, answer=10).cost(2_000_000, 500_000) == 11.0


def test_a_request_has_tokens_around_its_messages() -> None:
    """Four around each, and four before the answer: 4 + (4 + 3) + (4 + 2)."""
    messages = [{"role": "system", "content": "abc"}, {"role": "user", "content": "de"}]
    assert prompt_tokens(messages, len) == 17
    assert prompt_tokens([], len) == 4


def test_an_answer_has_the_tokens_that_its_request_allows() -> None:
    """The newer name of the limit goes before the older one; one without a value is none."""
    assert answer_tokens({"max_tokens": 5}) == 5
    assert answer_tokens({"max_tokens": 5, "max_completion_tokens": 7}) == 7
    assert answer_tokens({"max_tokens": 5, "max_completion_tokens": None, "top_p": 1}) == 5


@pytest.mark.parametrize("parameters", [{}, {"max_tokens": None}, {"max_tokens": "5"}, {"max_completion_tokens": 5.5}])
def test_without_a_limit_an_answer_may_have_any_number_of_tokens(parameters: dict[str, Any]) -> None:
    with pytest.raises(UserError) as error:
        answer_tokens(parameters)
    assert str(error.value) == (
        "a request needs a limit of its answer's tokens: max_completion_tokens or max_tokens, a whole number."
    )


def test_an_estimate_is_said_in_a_line() -> None:
    assert TEN.said == SAID + "at most $10.00"
    assert TEN._replace(cost=None).said == SAID + "prices are not given"
    assert TEN._replace(cost=12_345.678).said == SAID + "at most $12,345.68"


def test_a_budget_is_enough_up_to_its_last_cent() -> None:
    TEN.check(10.0)
    TEN.check(None)
    TEN._replace(cost=None).check(None)
    with pytest.raises(UserError) as error:
        TEN.check(9.99)
    assert str(error.value) == (
        f"it may cost up to $10.00, the budget is $9.99. Nothing was sent. {SAID}at most $10.00. Raise the budget, or "
        "ask less: fewer models (--models), or only the first questions (--first)."
    )


def test_a_budget_says_nothing_without_prices() -> None:
    with pytest.raises(UserError) as error:
        TEN._replace(cost=None).check(0.0)
    assert str(error.value) == (
        "a budget needs prices. Say what a million tokens cost, of prompts and of answers (--price)."
    )


def test_tokens_are_counted_by_tiktoken_where_it_knows_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bytes that merge are one token."""
    import tiktoken

    ranks = {bytes([byte]): byte for byte in range(256)} | {b"ab": 256}
    small = tiktoken.Encoding("small", pat_str=r"\w+|\W", mergeable_ranks=ranks, special_tokens={"<|end|>": 257})
    monkeypatch.setattr("tiktoken.encoding_for_model", lambda model: small)
    count, how = token_counter("gpt-x")
    assert (count("abab"), how) == (2, "by tiktoken") and count("<|end|>") == 7
    monkeypatch.undo()
    count, how = token_counter("a model of ours")
    assert count("ü!") == 3 and "upper bound" in how
