"""How long texts are, in tokens: assumed for a chat model, or measured in an earlier run.

prompt 60, response 450, judgment 120, meta-judgment 250; judge prompt 835, meta-judge prompt 1,111
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from tokenizers import Tokenizer

from mr_assets.recipes.recipe import Recipe
from mr_assets.templates import Template

PROMPT, RESPONSE, JUDGMENT, META_JUDGMENT = 60, 450, 120, 250
"""Assumed of Llama 3: a user's prompt; the response (about 1,950 characters, Table 1), the judgment (at most 100 words
and a score), the meta-judgment."""
CHARACTERS_PER_TOKEN = 5
"""Of the English of the two templates, with a vocabulary of 128,000 tokens."""
CHAT_TOKENS = 5
"""What a chat template puts before the user's message, and after it."""


def by_characters(text: str) -> float:
    """Tokens of an English text by its length."""
    return len(text) / CHARACTERS_PER_TOKEN


def token_counter(model: Path) -> Callable[[str], float]:
    """Counts tokens with the tokenizer of a model folder; by characters where there is none that can be read."""
    try:
        tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    except Exception:  # tokenizers raises nothing more special; a run refuses such a folder, a plan needs it not
        return by_characters
    return lambda text: float(len(tokenizer.encode(text, add_special_tokens=False).ids))


Pieces = tuple[tuple[str, float], ...]
"""A template in order: the name of an inserted text, or "" for a fixed one, and the tokens of a fixed one."""


@dataclass(frozen=True)
class Lengths:
    """Mean tokens.

    prompt: the user's text alone; chat: what the chat template puts before it and after it, each. judge, meta_judge:
    the pieces of the two templates.
    """

    prompt: float
    response: float
    judgment: float
    meta_judgment: float
    judge: Pieces
    meta_judge: Pieces
    chat: float = CHAT_TOKENS

    @property
    def asked(self) -> float:
        """Tokens of a user's prompt as the engine gets it."""
        return self.prompt + 2 * self.chat

    @property
    def judge_prompt(self) -> float:
        """Tokens of a whole judge prompt."""
        return 2 * self.chat + sum(tokens for _, tokens in self.filled(self.judge))

    @property
    def meta_judge_prompt(self) -> float:
        """Tokens of a whole meta-judge prompt."""
        return 2 * self.chat + sum(tokens for _, tokens in self.filled(self.meta_judge))

    def filled(self, pieces: Pieces) -> Pieces:
        """The pieces with the tokens of what is inserted."""
        judgments = {"judgment_a": self.judgment, "judgment_b": self.judgment}
        inserted = {"prompt": self.prompt, "response": self.response, **judgments}
        return tuple((name, inserted[name] if name else tokens) for name, tokens in pieces)


def assumed_lengths(
    recipe: Recipe, judge: Template, meta_judge: Template, tokens: Callable[[str], float] = by_characters
) -> Lengths:
    """Those of a chat model of Llama 3's kind; no completion is longer than the recipe's max_tokens.

    tokens: counts those of a text of the templates.
    """
    return Lengths(
        PROMPT,
        min(RESPONSE, recipe.responses.max_tokens),
        min(JUDGMENT, recipe.judgments.max_tokens),
        min(META_JUDGMENT, recipe.meta_judgments.max_tokens),
        pieces_of(judge, tokens),
        pieces_of(meta_judge, tokens),
    )


def pieces_of(template: Template, tokens: Callable[[str], float] = by_characters) -> Pieces:
    """A template's pieces; the fixed ones in tokens, as `tokens` counts them."""
    fixed = (("", tokens(piece)) for piece in template.pieces[::2])
    fields = ((name, 0.0) for name in template.pieces[1::2])
    return tuple(piece for pair in zip_longest(fixed, fields) for piece in pair if piece)
