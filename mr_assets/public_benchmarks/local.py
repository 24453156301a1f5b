"""A model of a run at work on this machine, outside of the loop: its answers to a benchmark's prompts.

    model = Local(run, "2", "alpaca_eval", say)
    model.answers(["Who wrote Hamlet?"], settings)      [["Shakespeare."]]

Answers are sampled in shards, as in the loop: a killed benchmark goes on where it was. When all are there they stand in
one file, known by what shaped them, and no engine is started again for them.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from mr_assets.chat import ChatEncoder
from mr_assets.errors import UserError
from mr_assets.evaluation.results import benchmark_folder
from mr_assets.files import write_json
from mr_assets.ids import model_id
from mr_assets.inputs.seed_model import seed_as_recorded, seed_model
from mr_assets.loop import titled
from mr_assets.method.conversations import Prompt
from mr_assets.planning.refusal import check_gpus, gpus_here
from mr_assets.runs.artifact import Model, pruned_since, said_of_pruned
from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.runs.object_store import SHARDS
from mr_assets.runs.run import Run
from mr_assets.runs.settings import CONTENT
from mr_assets.sampling.engine import Request, samples_on_cpu
from mr_assets.sampling.live import open_engine
from mr_assets.sampling.settings import SamplingSettings, for_engine
from mr_assets.sampling.shards import Progress, sample_shards, scan_shards, size_of_shard
from mr_assets.tables import draws
from mr_assets.wiring.judged import listed, scores_by

Say = Callable[[str], None]
T = TypeVar("T")


def models_there(run: Run) -> list[str]:
    """The keys of the models that can answer now: "seed", "0", ... An iteration that is not there is left out."""
    trained = [key for key in run.models[1:] if run.record(*run.model_at(key)) is not None]
    return ["seed", *(key for key in trained if not pruned_since(run.place(*run.model_at(key))))]


def model_at(run: Run, key: str) -> Model:
    """The model of a key: the seed model of "seed", M0 of "0", ... Raises `UserError` if it is not there whole."""
    if key == "seed":
        trained = run.record("sft_checkpoint")
        same = trained is not None and trained.settings.get("model.seed") == run.recipe.model.seed
        known = {n: said for n, said in trained.settings.items() if n.startswith(CONTENT)} if trained and same else {}
        return seed_as_recorded(seed_model(run.recipe, run.data), known)
    if key not in run.models:
        raise UserError(f"run {run.name} has no model {key!r}. It has {', '.join(run.models)}.")
    place = run.model_at(key)
    if pruned_since(folder := run.place(*place)):
        raise UserError(said_of_pruned(folder))
    record = run.record(*place)
    if record is None or record.model is None or run.damage(*place):
        raise UserError(f"{titled(*place)} of {run.name} is not there. Make it first: `mr run` does.")
    return Model(record.model["path"], record.model["fingerprint"], record.model["name"])


class Local:
    """A model of a run, for a benchmark. say: gets lines on how far it is."""

    def __init__(self, run: Run, key: str, benchmark: str, say: Say) -> None:
        self.run, self.key, self.benchmark, self.say = run, key, benchmark, say
        self.model, self.name = model_at(run, key), model_id(key)

    @property
    def folder(self) -> Path:
        """Where its answers lie, as the official tools have a folder for each model."""
        return benchmark_folder(self.run.folder, self.benchmark) / "results" / self.name

    @cached_property
    def encode(self) -> ChatEncoder:
        """Its tokenizer and chat template; its folder is read whole before."""
        self.model.check(self.run.data)
        return ChatEncoder.load(self.model.folder(self.run.data), **self.run.recipe.model.rendering())

    def answers(
        self, prompts: Sequence[Prompt], settings: SamplingSettings, *, n: int = 1, role: str = "answers"
    ) -> list[list[str]]:
        """`n` answers to each prompt, in order; none to one that is too long for the engine's context.

        role: what the answers are called; two lists of one benchmark differ in it.
        """

        def sampled() -> list[list[str]]:
            requests = (Request(str(i), self.encode.prompt_ids(prompt), n) for i, prompt in enumerate(prompts))
            rows = self.completions(requests, len(prompts), settings, n, role)
            return listed(rows, "request_id", "text", len(prompts))

        return self._once(role, [for_engine(settings).model_dump(), n, list(prompts)], sampled)

    def scores(self, answers: Sequence[tuple[str, str]], *, role: str) -> list[list[float | None]]:
        """The scores of the recipe's N judgments of each (prompt, response), as the loop's judge gives them."""
        section, template = self.run.recipe.judgments, judge_prompts(self.run.recipe, self.run.data).judge

        def scored() -> list[list[float | None]]:
            return scores_by(self.completions, self.encode, self.run, answers, n=section.n, role=role)

        return self._once(role, [section.model_dump(), template.text, list(answers)], scored)

    def _once(self, role: str, shaped_by: list[Any], make: Callable[[], list[list[T]]]) -> list[list[T]]:
        """What `make` gives, or what it gave when the same model, engine and settings shaped it."""
        recipe, kept = self.run.recipe, self.folder / f".{role}.json"
        engine = [recipe.engine.signature("cpu" if samples_on_cpu() else "cuda"), recipe.engine.max_model_len]
        basis = [self.model.fingerprint, recipe.seed, recipe.model.rendering(), *engine, *shaped_by]
        known = blake2b(json.dumps(basis, sort_keys=True).encode(), digest_size=16).hexdigest()
        found: list[list[T]] | None = _kept(kept, known)
        if found is None:
            found = make()
            write_json(kept, {"known": known, "found": found})
            for shards in self.folder.glob(f"{SHARDS}*"):
                shutil.rmtree(shards, ignore_errors=True)
        return found

    def completions(
        self, requests: Iterable[Request], total: int, settings: SamplingSettings, n: int, role: str
    ) -> pl.LazyFrame:
        """request_id, sample, text, finish_reason and token_ids of `n` completions of each request that fits."""
        recipe = self.run.recipe
        check_gpus(self.run, gpus_here(), "evaluation")
        self.say(f"{self.benchmark}: {total:,} requests for {self.name}, as soon as the engine is ready")
        stop_token_ids = self.encode.stop_token_ids
        engine = open_engine(
            self.model.folder(self.run.data),
            self.model.fingerprint,
            recipe.engine,
            stop_token_ids=stop_token_ids,
            log=self.run.folder / "engine.log",
        )

        def on_progress(how_far: Progress) -> None:
            self.say(f"{self.benchmark}, {self.name}, {role}: {how_far.done:,} of {how_far.total or total:,} requests")

        sampled = sample_shards(
            engine,
            requests,
            settings,
            folder=self._shards(role),
            signature={"benchmark": self.benchmark, "policy": self.model.fingerprint, "role": role},
            shard_size=size_of_shard(total, n, recipe.engine.shard_size),
            seed=draws([f"{self.benchmark} {role} {self.key}"], recipe.seed)[0] % 2**31,
            total=total,
            n=n,
            on_progress=on_progress,
            warn=self.say,
        )
        if sampled.too_long:
            self.say(
                f"note: {len(sampled.too_long):,} of {total:,} requests do not fit into engine.max_model_len = "
                f"{recipe.engine.max_model_len:,} with max_tokens = {settings.max_tokens:,}, and have no answer"
            )
        return scan_shards(sampled.paths)

    def _shards(self, role: str) -> Path:
        return self.folder / f"{SHARDS}{role}"


def _kept(path: Path, known: str) -> Any:
    """What a file holds, if it is what is known so; else None."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found["found"] if found["known"] == known else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
