"""What requests to an endpoint cost at most, before the first is sent.

    count, how = token_counter("gpt-4o")
    count("Write a poem.")        4, by tiktoken

Where tiktoken does not know the model, a text counts as many tokens as it has bytes in UTF-8: a token has a byte or
more, so that is an upper bound, four to five times too high for English.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mr_assets.errors import UserError

PER_MESSAGE, PER_REQUEST = 4, 4
"""Tokens around a message, and before the answer: what OpenAI's chat format takes, one more each."""
LIMITS = ("max_completion_tokens", "max_tokens")


class Prices(NamedTuple):
    """USD for a million tokens of prompts, and of answers."""

    prompt: float
    answer: float

    def cost(self, prompt_tokens: int, answer_tokens: int) -> float:
        """In USD."""
        return (prompt_tokens * self.prompt + answer_tokens * self.answer) / 1e6


class Estimate(NamedTuple):
    """What a list of requests takes at most.

    requests: all of them; kept: those with an answer already, which cost nothing; to_ask: different ones without an
    answer; tokens: of these. cost: in USD, None without prices. counted: how prompt tokens were counted.
    """

    requests: int
    kept: int
    to_ask: int
    prompt_tokens: int
    answer_tokens: int
    cost: float | None
    counted: str

    @property
    def said(self) -> str:
        """In a line."""
        money = "prices are not given" if self.cost is None else f"at most ${self.cost:,.2f}"
        return (
            f"{self.requests:,} requests, {self.kept:,} of them answered already; {self.to_ask:,} to ask, with at most "
            f"{self.prompt_tokens:,} tokens of prompts ({self.counted}) and {self.answer_tokens:,} of answers: {money}"
        )

    def check(self, budget: float | None) -> None:
        """Raise `UserError` if it may cost more than the budget (USD), or if that cannot be known."""
        if budget is None:
            return
        if self.cost is None:
            raise UserError(
                "a budget needs prices. Say what a million tokens cost, of prompts and of answers (--price)."
            )
        if self.cost > budget:
            raise UserError(
                f"it may cost up to ${self.cost:,.2f}, the budget is ${budget:,.2f}. Nothing was sent. {self.said}. "
                "Raise the budget, or ask less: fewer models (--models), or only the first questions (--first)."
            )


def token_counter(model: str) -> tuple[Callable[[str], int], str]:
    """How to count the tokens of a text for a model, and what that is called."""
    try:
        import tiktoken

        encoding = tiktoken.encoding_for_model(model)
    except Exception:  # it does not know the model, or cannot download the model's vocabulary: anything of the network
        return lambda text: len(text.encode()), "one per byte of UTF-8, an upper bound"
    return lambda text: len(encoding.encode(text, disallowed_special=())), "by tiktoken"


def prompt_tokens(messages: list[dict[str, str]], count: Callable[[str], int]) -> int:
    """Of the messages of a request."""
    return PER_REQUEST + sum(PER_MESSAGE + count(each["content"]) for each in messages)


def answer_tokens(parameters: Mapping[str, Any]) -> int:
    """The tokens that an answer may have by the parameters of its request. Raises `UserError` if they do not say."""
    found = [parameters[name] for name in LIMITS if parameters.get(name) is not None]
    if not found or not isinstance(found[0], int):
        raise UserError(f"a request needs a limit of its answer's tokens: {' or '.join(LIMITS)}, a whole number.")
    return found[0]
