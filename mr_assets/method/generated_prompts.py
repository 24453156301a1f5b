"""Prompts made by a model that is shown eight example tasks (section 3.1; Self-Instruct, Wang et al. 2023).

    requests(examples, "01", ...)      01.00000: examples 3, 17, 44, ... of 48, drawn by the seed
    task_of("Task 9: Name ...")        the task that an answer gives, or None
    Selection(...).take(...)           keeps what is new, and says why the rest is dropped

Each request shows its own draw of the examples, so that no request waits for another, and a round that was killed goes
on. Self-Instruct drops a task whose ROUGE-L with an earlier one is above 0.7, which compares each with each; here it is
the Jaccard similarity of their character 5-grams, which MinHash finds without that (docs/method.md, row 25).
"""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from mr_assets.errors import UserError
from mr_assets.ids import prompt_id
from mr_assets.method import Frame
from mr_assets.tables import GENERATED_PROMPTS, Selected, dropped_frame

if TYPE_CHECKING:
    from datasketch import MinHash

GRAM = 5
PERMUTATIONS = 128
MOST_PER_ROUND = 4
"""How many requests a round has at most, in prompts wanted: where hardly an answer can be used, rounds end the work."""
FEWEST = 16
CERTAIN = 0.5
"""From which confidence on a text counts as being in the language that it is classified as; short ones have less."""
SHOWN = 300
EXAMPLE, HELD_OUT = "example", "held-out prompt"
_LIKE = {EXAMPLE: "like_an_example", HELD_OUT: "held_out"}
_LABEL = re.compile(r"[#*\s]*(?:(?:new|next|your)\s+)?task(?:\s+\d+)?[*\s]*[:.)][*\s]*", re.IGNORECASE)
_NUMBER = re.compile(r"\(?(\d{1,2})[.):]\s+")
_NEXT = re.compile(r"\n[#*\s]*task\s+\d+[*\s]*[:.)]", re.IGNORECASE)
_PREFACE = re.compile(r"(?:sure|certainly|of course|okay|ok|great|here)\b[^\n]{0,120}:\s*\n+", re.IGNORECASE)
_LIST = re.compile(r"(?:\n[#*\s]*task\s+1[*\s]*[:.)])|(?<=:)\s*\n+(?=\(?1[.):]\s.*\n+\(?2[.):]\s)", re.IGNORECASE)
"""Where a list of tasks begins: what stands before it is a preface."""
_QUOTES = {'"': '"', "\u201c": "\u201d", "\u00ab": "\u00bb"}


class Asked(NamedTuple):
    """One request: its id, "round.number", the examples that it shows, counted from 0, and what fills the template."""

    id: str
    shown: tuple[int, ...]
    values: dict[str, str]


def request_ids(round_: int, count: int) -> list[str]:
    """The ids of a round's requests; rounds count from 1."""
    return [f"{round_:02}.{number:06}" for number in range(count)]


def requests(examples: Sequence[str], ids: Sequence[str], shots: int, seed: int | str) -> Iterator[Asked]:
    """A request for each id, with its own draw of `shots` examples, the same for the same id and seed."""
    for identity in ids:
        shown = tuple(random.Random(f"{seed}|generated|{identity}").sample(range(len(examples)), shots))
        yield Asked(identity, shown, {"tasks": as_tasks(examples[n] for n in shown)})


def as_tasks(examples: Iterator[str] | Sequence[str]) -> str:
    """Examples as the template shows them."""
    return "\n\n".join(f"Task {n}: {example}" for n, example in enumerate(examples, start=1))


def longest_request(examples: Sequence[str], shots: int) -> str:
    """The longest text that a request can show, by characters: what must fit into the context."""
    return as_tasks(sorted(examples, key=len, reverse=True)[:shots])


def to_ask(wanted: int, kept: int, asked: int) -> int:
    """The requests of the next round: as many as prompts are missing, at the yield so far.

    The last prompts are repeats more often than the first: a later round has `FEWEST` at least.
    """
    if not asked:
        return wanted
    missing = ceil((wanted - kept) * asked / max(kept, 1))
    return min(max(missing, FEWEST), MOST_PER_ROUND * wanted)


def task_of(answer: str) -> str | None:
    """The task that an answer gives: without a label, a preface, quotes around it, or further tasks. None: nothing."""
    return _first_task(answer)[0]


def _first_task(answer: str) -> tuple[str | None, bool]:
    """The first task of an answer, and whether another one follows, so that it is whole."""
    text = _PREFACE.sub("", answer.strip(), count=1).strip()
    if begun := _LIST.search(text):
        text = text[begun.start() :].strip()
    parts = [text]
    if label := _LABEL.match(text):
        text = text[label.end() :]
    elif number := _NUMBER.match(text):
        text = text[number.end() :]
        parts = re.split(rf"\n\(?{int(number[1]) + 1}[.):]\s", text, maxsplit=1)
        text = parts[0]
    within = _NEXT.split(text, maxsplit=1)
    text = within[0].strip()
    if len(text) > 2 and _QUOTES.get(text[0]) == text[-1] and text[-1] not in text[1:-1]:
        text = text[1:-1].strip()
    return text or None, len(parts) + len(within) > 2


@dataclass(frozen=True)
class Limits:
    """What a prompt must be like.

    chars: at least and at most, in characters; language: its code as py3langid has it, or None for any; similarity:
    from which Jaccard similarity of character 5-grams on it counts as one that is there already.
    """

    chars: tuple[int, int]
    language: str | None
    similarity: float


@dataclass
class Selection:
    """The prompts that are kept of a model's answers, in the order in which they are taken; what is dropped, and why.

    wanted: how many; what comes after that is dropped, too. examples: what a prompt must be unlike. held_out: prompts
    by which a judge is measured, and is_held_out: whether a world's evaluation asks a prompt: nothing is trained on
    these. asked, rounds: the requests and rounds so far.
    """

    wanted: int
    limits: Limits
    examples: Sequence[str]
    held_out: Sequence[str] = ()
    is_held_out: Callable[[str], bool] = lambda text: False
    rows: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[tuple[str, str, str]] = field(default_factory=list)
    asked: int = 0
    rounds: int = 0

    def __post_init__(self) -> None:
        self._known = Known(self.limits.similarity)
        for what, texts in ((HELD_OUT, self.held_out), (EXAMPLE, self.examples)):
            for n, text in enumerate(texts):
                self._known.add(f"{what} {n}", text)

    @property
    def full(self) -> bool:
        """Whether there are as many as are wanted."""
        return len(self.rows) >= self.wanted

    @property
    def reasons(self) -> Counter[str]:
        """How many were dropped, by the reason."""
        return Counter(reason for _, reason, _ in self.dropped)

    def take(self, asked: Asked, answer: str, finish_reason: str) -> None:
        """Keep the task of an answer, or drop it with the reason. Each request is taken once."""
        task, followed = _first_task(answer)
        reason, numbers = self._fault(task, cut_off=finish_reason == "length" and not followed)
        if reason is None and task is not None:
            identity = prompt_id(task)
            self._known.add(identity, task)
            row = {"prompt_id": identity, "prompt": task, "request_id": asked.id, "shown": list(asked.shown)}
            self.rows.append({**row, "answer": answer})
        else:
            self.dropped.append((asked.id, str(reason), json.dumps({"text": (task or answer)[:SHOWN], **numbers})))

    def to_come(self, most: int, shots: int, seed: int | str) -> Iterator[list[Asked]]:
        """The requests of each round, of which the answers are taken before the next, until the selection is full.

        Raises `UserError` after `most` rounds.
        """
        while not self.full:
            if self.rounds == most:
                raise self.too_few()
            self.rounds += 1
            ids = request_ids(self.rounds, to_ask(self.wanted, len(self.rows), self.asked))
            self.asked += len(ids)
            yield list(requests(self.examples, ids, shots, seed))

    def take_round(self, asked: Iterable[Asked], answers: Frame, dropped: pl.DataFrame) -> None:
        """Take a round's answers in their order. answers: request_id, text, finish_reason; dropped: rows of `DROPPED`.

        What is dropped was not sampled.
        """
        by_id = {each.id: each for each in asked}
        for identity, *answer in answers.lazy().select("request_id", "text", "finish_reason").collect().iter_rows():
            self.take(by_id[identity], *answer)
        self.dropped += dropped.rows()

    def _fault(self, task: str | None, *, cut_off: bool) -> tuple[str | None, dict[str, Any]]:
        """Why an answer gives no prompt, with the numbers behind it; None if it does."""
        if task is None:
            return "no_task", {}
        if cut_off:
            return "cut_off_task", {}
        least, most = self.limits.chars
        if len(task) < least:
            return "too_few_chars", {"chars": len(task), "min_chars": least}
        if len(task) > most:
            return "too_many_chars", {"chars": len(task), "max_chars": most}
        if self.limits.language is not None:
            language, confidence = language_of(task)
            if language != self.limits.language and confidence >= CERTAIN:
                found = {"found": language, "confidence": round(confidence, 3), "language": self.limits.language}
                return "other_language", found
        if self.is_held_out(task):
            return "held_out", {}
        if found_like := self._known.like(task):
            other, similarity = found_like
            reason = _LIKE.get(other.rpartition(" ")[0], "near_duplicate")
            return reason, {"of": other, "similarity": round(similarity, 3)}
        return ("more_than_wanted", {"count": self.wanted}) if self.full else (None, {})

    def selected(self) -> Selected:
        """The table and what was dropped: columns of `GENERATED_PROMPTS` and `DROPPED`."""
        schema = GENERATED_PROMPTS.schema
        return Selected(pl.DataFrame(self.rows, schema=schema), dropped_frame(sorted(self.dropped)))

    def numbers(self) -> dict[str, int]:
        """How many prompts there are, of how many requests in how many rounds; what was dropped, by the reason."""
        counts = {"prompts": len(self.rows), "requests": self.asked, "rounds": self.rounds}
        return counts | {f"dropped: {reason}": count for reason, count in self.reasons.most_common()}

    def too_few(self) -> UserError:
        """The error for a model that gave too few prompts, with what became of its answers."""
        why = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.most_common())
        return UserError(
            f"generated_prompts: of {self.wanted:,} prompts wanted, {len(self.rows):,} came of {self.asked:,} requests "
            f"in {self.rounds} rounds. Dropped: {why or 'none'}. Raise generation.rounds (what was sampled is used "
            "again), or name a stronger prompts.generator or more varied generation.examples, widen the bounds of "
            "generation, or lower prompts.count."
        )


class Known:
    """Texts that are there, and which of them a further one is like.

    A text counts as like another one from a Jaccard similarity of `threshold` on, of the sets of their character
    5-grams in lower case, with runs of white space as one space. It is estimated by MinHash with 128 permutations; its
    standard error is at most 0.045.
    """

    def __init__(self, threshold: float) -> None:
        from datasketch import MinHashLSH

        self._threshold = threshold
        self._texts: dict[str, str] = {}
        self._hashes: dict[str, MinHash] = {}
        # The index alone would miss some of those near the threshold: it looks wider, and the estimate decides.
        self._index = MinHashLSH(threshold=max(0.1, threshold - 0.2), num_perm=PERMUTATIONS)

    def add(self, name: str, text: str) -> None:
        """Take a text in. Of two with the same name, or the same normal form, the first stays."""
        if name not in self._hashes:
            self._hashes[name] = hashed = minhash(normal(text))
            self._texts.setdefault(normal(text), name)
            self._index.insert(name, hashed)

    def like(self, text: str) -> tuple[str, float] | None:
        """The name of the most similar text, the first taken of several, and the similarity; None if none is like."""
        if same := self._texts.get(normal(text)):
            return same, 1.0
        hashed = minhash(normal(text))
        found = {name: float(hashed.jaccard(self._hashes[name])) for name in self._index.query(hashed)}
        near = {name: similarity for name, similarity in found.items() if similarity >= self._threshold}
        if not near:
            return None
        best = max(near.values())
        return next((name, best) for name in self._hashes if near.get(name) == best)


def normal(text: str) -> str:
    """A text as it is compared: in lower case, with runs of white space as one space."""
    return " ".join(text.lower().split())


def grams(text: str) -> set[str]:
    """The character 5-grams of a text; of a shorter one itself."""
    return {text[i : i + GRAM] for i in range(max(1, len(text) - GRAM + 1))}


def minhash(text: str) -> "MinHash":
    """The MinHash of a text's grams, the same on every machine."""
    hashed = _empty().copy()
    hashed.update_batch(sorted(gram.encode() for gram in grams(text)))
    return hashed


@cache
def _empty() -> "MinHash":
    from datasketch import MinHash

    return MinHash(num_perm=PERMUTATIONS, seed=1)


def language_of(text: str) -> tuple[str, float]:
    """The language of a text by py3langid: its code ("en"; "zxx" for no language), and the confidence from 0 to 1."""
    language, confidence = _identifier().classify(text)
    return str(language), float(confidence)


def languages() -> list[str]:
    """The codes that `language_of` may give."""
    return sorted(set(map(str, _identifier().nb_classes)))


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
