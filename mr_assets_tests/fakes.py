"""An engine and a trainer that need no model, with obvious behaviour.

The engine answers letter tasks, judges and meta-judges by the world's own functions, with errors. The trainer copies
the model's folder and notes what it was trained on, so that every model has a fingerprint of its own.
"""

import json
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tokenizers import Tokenizer

from mr_assets.method.judgments import parse_score
from mr_assets.sampling.engine import Completion, Request
from mr_assets.sampling.settings import ChoiceSettings, SamplingSettings
from mr_assets.sampling.stats import EngineStats
from mr_assets.templates import judge_template, meta_judge_template, pairwise_template
from mr_assets.training.job import TrainingJob
from mr_assets.training.launch import TrainingResult
from mr_assets.training.margins import MARGINS, margins_table
from mr_assets.wiring import pictures
from mr_assets.wiring.pictures import markdown
from mr_assets.worlds import letters

ERRORS = letters.Imperfection(actor_error=0.5, judge_noise=0.5, meta_noise=0.1)


class Undrawn:
    """A picture's axes, on which whatever is drawn leaves nothing: a tenth of a small step."""

    def __getattr__(self, name: str) -> "Undrawn":
        return self

    def __getitem__(self, name: object) -> "Undrawn":
        return self

    def __call__(self, *args: object, **named: object) -> "Undrawn":
        return self


def pictures_are(drawn: bool, patch: pytest.MonkeyPatch) -> None:
    """Whether pictures in metadata are drawn, or have a title alone."""
    from matplotlib.figure import Figure, FigureBase

    patch.setattr(Figure, "add_subplot", FigureBase.add_subplot if drawn else lambda *place: Undrawn())
    patch.setattr(pictures, "markdown", markdown if drawn else lambda figure, title: f"![{title}](data:,)")


class WorldSampler:
    """An engine that knows the world, and errs. What it says depends on the shard's seed alone, like the real one."""

    device = "cpu"
    max_model_len = 512
    max_num_seqs = 64
    stats = EngineStats()
    tokens_in_flight = 0

    def __init__(self, folder: Path, policy: str) -> None:
        self.signature: Mapping[str, Any] = {"policy": policy}
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._end = self._tokenizer.token_to_id("<|end|>") or 0
        self._asked: list[Request] = []
        self.random = random.Random()

    @property
    def in_flight(self) -> int:
        return sum(request.n for request in self._asked)

    def add(self, request: Request, settings: SamplingSettings) -> None:
        self._settings = settings
        self._asked.append(request)

    def step(self) -> list[tuple[str, list[Completion]]]:
        asked, self._asked = self._asked, []
        complete = self._choose if isinstance(self._settings, ChoiceSettings) else self._complete
        return [(request.id, [complete(request) for _ in range(request.n)]) for request in asked]

    def _choose(self, request: Request) -> Completion:
        """One of the choices at random, or what each is worth: the first half, the second half the rest."""
        assert isinstance(self._settings, ChoiceSettings)
        count, weighed = len(self._settings.choices), self._settings.weighed
        if weighed:
            return Completion(json.dumps([0.5, 0.5] + [0.0] * (count - 2)), [weighed[0]], "length")
        chosen = self.random.choice(self._settings.choices)
        return Completion(chosen, [*self._tokenizer.encode(chosen, add_special_tokens=False).ids, self._end], "stop")

    def reseed(self, seed: int) -> None:
        self.random = random.Random(seed)

    def close(self) -> None:
        pass

    def _complete(self, request: Request) -> Completion:
        message = self._tokenizer.decode(request.prompt_ids, skip_special_tokens=False)
        text = self.say(message.removeprefix("<|begin|><|user|>").removesuffix("<|assistant|>"))
        return Completion(text, [*self._tokenizer.encode(text, add_special_tokens=False).ids, self._end], "stop")

    def say(self, message: str) -> str:
        """A meta-judgment, a comparison, a judgment or an answer, whatever the message asks for."""
        if compared := meta_judge_template().unfill(message):
            a, b = (int(parse_score(compared[side])[0] or 0) for side in ("judgment_a", "judgment_b"))
            prompt, response = compared["prompt"], compared["response"]
            fair, winner = ERRORS.meta(letters.true_score(prompt, response), a, b, self.random)
            return letters.meta_judgment_text(prompt, response, a, b, fair, winner)
        if shown := pairwise_template().unfill(message):
            a, b = (letters.true_score(shown["prompt"], shown[side]) for side in ("response_a", "response_b"))
            return f"I compared them.\n\nWinner: {'a tie' if a == b else 'Response A' if a > b else 'Response B'}"
        if judged := judge_template().unfill(message):
            score = ERRORS.score(**judged, rng=self.random)
            return letters.judgment_text(**judged, score=score, rng=self.random)
        return ERRORS.response(message, self.random) if letters.parse_prompt(message) else "I do not know."


def copy_model(job: TrainingJob, on_metrics: Callable[[dict[str, Any]], None]) -> TrainingResult:
    """The model's folder again, with a note of what it was trained on: another fingerprint, and no record."""
    data = pl.read_parquet(job.data, columns=[*job.ids, *job.columns])
    rows = data.height
    shutil.rmtree(job.out, ignore_errors=True)
    shutil.copytree(job.model, job.out, ignore=shutil.ignore_patterns("complete.json", MARGINS))
    if job.kind == "dpo":
        reward_margins(data["pair_id"]).write_parquet(job.out / MARGINS)
    (job.out / "trained.json").write_text(json.dumps([*trained_on(job.model), rows]))
    rewards = {"rewards/margins": 0.1, "rewards/accuracies": 0.5} if job.kind == "dpo" else {}
    line = {"step": 1, "total_steps": 1, "epoch": 1.0, "loss": 0.6, **rewards}
    (job.out / "training_log.jsonl").write_text(json.dumps(line) + "\n")
    on_metrics(line)
    for done in (0, rows) if job.kind == "dpo" else ():
        on_metrics({"pairs": done, "total_pairs": rows})
    return TrainingResult(job.out, rows, 1, 0, 0.5, line)


def reward_margins(pair_ids: Sequence[str] | pl.Series) -> pl.DataFrame:
    """Of pair n (from 0) of the dataset: chosen n/4, rejected 1/4, so that the margin is (n - 1)/4."""
    return margins_table(list(pair_ids), [n / 4 for n in range(len(pair_ids))], [0.25] * len(pair_ids))


def trained_on(model: Path) -> list[int]:
    """The number of examples of every training that a model went through."""
    note = model / "trained.json"
    return json.loads(note.read_text()) if note.exists() else []
