"""The ranked replies: what people wrote to first prompts, in the order of people's ranks (Yuan et al. 2024, 3.1).

    tree 951c...   "When I buy a new TV, ..."    three replies, ranks 0, 1, 2    three rows

Kept are replies of an assistant to the first prompt of a message tree that are in the language, reviewed, not deleted
and ranked, where there are two of them or more. A share of the prompts is held out, each with all of its replies.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby

import polars as pl

from mr_assets.ids import eft_response
from mr_assets.tables import RANKED_REPLIES, Selected, draws, dropped_frame

HELD_OUT_SEED = "held out"
"""Of the draw that holds prompts out: the same in every run, so that runs of any seed hold out the same ones."""


@dataclass(frozen=True)
class Message:
    """A message of a tree. parent: the message that it answers, None of a first prompt; rank: by people, 0 is the best.

    final: whether the tree is ready for export, so that its ranks are final.
    """

    tree: str
    id: str
    parent: str | None
    text: str
    role: str
    language: str
    reviewed: bool
    deleted: bool
    rank: int | None
    final: bool = True

    def fault(self, language: str) -> str | None:
        """Why it is dropped, wherever it stands; None if it is not."""
        faults = {
            "tree_not_final": not self.final,
            "foreign_language": self.language != language,
            "was_deleted": self.deleted,
            "not_reviewed": not self.reviewed,
            "blank_text": not self.text.strip(),
        }
        return next((reason for reason, found in faults.items() if found), None)


def ranked_replies(messages: Iterable[Message], *, language: str, held_out: float) -> Selected:
    """The ranked replies (columns of `RANKED_REPLIES`), in the order of their ids, whatever the order of the messages.

    held_out: share of the prompts to hold out; prompts with the same text count as one. Dropped are first prompts and
    replies to them, by the ids of their messages: a prompt that is dropped takes its replies with it.
    """
    dropped: list[tuple[str, str, str]] = []
    prompts: dict[str, Message] = {}
    replies: dict[str, list[Message]] = {}
    seen: set[str] = set()
    for message in messages:
        if message.id in seen:
            dropped.append((message.id, "repeated_message", "{}"))
        elif message.parent is None:
            prompts[message.id] = message
        else:
            replies.setdefault(message.parent, []).append(message)
        seen.add(message.id)
    kept: dict[str, list[Message]] = {}
    for prompt in prompts.values():
        if reason := prompt.fault(language):
            dropped.append((prompt.id, reason, "{}"))
            continue
        faults = {reply.id: _reply_fault(reply, language) for reply in replies.get(prompt.id, ())}
        dropped += [(message, reason, "{}") for message, reason in faults.items() if reason]
        good = sorted((r for r in replies.get(prompt.id, ()) if not faults[r.id]), key=lambda r: (r.rank, r.id))
        if len(good) < 2 or len({reply.rank for reply in good}) < len(good):
            reason = "too_few_ranked" if len(good) < 2 else "equal_ranks"
            dropped.append((prompt.id, reason, f'{{"ranked":{len(good)}}}'))
        else:
            kept[prompt.id] = good
    held = held_out_texts((prompts[prompt].text for prompt in kept), held_out)
    rows = [
        (
            eft_response(hash_of(prompt), place),
            *(reply.tree, reply.id, prompts[prompt].text, reply.text, reply.rank, len(good)),
            same(prompts[prompt].text) in held,
        )
        for prompt, good in kept.items()
        for place, reply in enumerate(good)
    ]
    frame = pl.DataFrame(rows, schema=RANKED_REPLIES.schema, orient="row").sort("response_id")
    return Selected(frame, dropped_frame(sorted(dropped)))


def _reply_fault(reply: Message, language: str) -> str | None:
    if reply.role != "assistant":
        return "no_assistant"
    return reply.fault(language) or ("not_ranked" if reply.rank is None else None)


def hash_of(message: str) -> str:
    """Twelve hex digits that stand for a message by its id."""
    return blake2b(message.encode(), digest_size=6).hexdigest()


def same(text: str) -> str:
    """A prompt's text as it is compared with others: without regard to case and white space."""
    return " ".join(text.casefold().split())


def held_out_texts(texts: Iterable[str], share: float) -> set[str]:
    """Which of the different texts (`same`) are held out: those with the lowest draws, `share` of them, rounded."""
    different = sorted({same(text) for text in texts})
    drawn = sorted(zip(draws(different, HELD_OUT_SEED), different, strict=True))
    return {text for _, text in drawn[: round(share * len(different))]}


def in_parts(replies: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The ranked replies to train on, and those that are held out, by which a judge can be measured."""
    return replies.filter(~pl.col("held_out")), replies.filter("held_out")


def held_out_prompts(replies: pl.DataFrame) -> list[str]:
    """The prompts that are held out, each once."""
    return in_parts(replies)[1]["prompt"].unique(maintain_order=True).to_list()


def without_held_out(prompts: pl.DataFrame, replies: pl.DataFrame) -> pl.DataFrame:
    """The seed prompts (column ``prompt``) that are none of the held-out ones."""
    held = {same(text) for text in held_out_prompts(replies)}
    return prompts.filter(pl.Series([same(text) not in held for text in prompts["prompt"]], dtype=pl.Boolean))


def by_prompt(replies: pl.DataFrame) -> Iterator[list[dict[str, object]]]:
    """The replies to each prompt, the best first, as rows by name."""
    rows = replies.sort("tree_id", "rank").iter_rows(named=True)
    yield from (list(group) for _, group in groupby(rows, key=lambda row: (row["tree_id"], row["prompt"])))
