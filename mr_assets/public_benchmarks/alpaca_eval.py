"""AlpacaEval 2 of the models of a run: their answers, a judge's preferences, win rates.

asked = prepare(run, ["seed", "0", "1"], reference, sampling, say)
found = finish(run, asked, client, ask(client, asked.requests, cache), about)
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from mr_assets.evaluation.alpaca_eval import COLUMNS, are_official, score
from mr_assets.evaluation.alpaca_judge import PARAMETERS, Output, annotation, as_rows, judge_request
from mr_assets.evaluation.client import Answer, ChatRequest, Client
from mr_assets.evaluation.results import Results, judge_folder
from mr_assets.evaluation.unread import count_of_names
from mr_assets.files import write_json
from mr_assets.ids import model_id
from mr_assets.public_benchmarks.local import Local, Say
from mr_assets.runs.run import Run
from mr_assets.sampling.settings import SamplingSettings

NAME = "alpaca_eval"


class Prepared(NamedTuple):
    """What the models answered, and what the judge is to be asked. outputs: by model, in the reference's order."""

    reference: Sequence[Output]
    models: dict[str, Local]
    outputs: dict[str, list[Output]]
    sampling: SamplingSettings

    @property
    def requests(self) -> list[ChatRequest]:
        """One for each model and instruction; its id names both."""
        return [
            judge_request(_id(name, number), reference, output.output)
            for name, outputs in self.outputs.items()
            for number, (reference, output) in enumerate(zip(self.reference, outputs, strict=True))
        ]


def prepare(
    run: Run, keys: Sequence[str], reference: Sequence[Output], sampling: SamplingSettings, say: Say
) -> Prepared:
    """Have the models answer the instructions, each to a file `model_outputs.json`; what is there is not sampled again.

    keys: of the models, "seed", "0", "1", ... An instruction that is too long for a model has an empty answer.
    """
    models = {local.name: local for local in (Local(run, key, NAME, say) for key in keys)}
    outputs = {}
    for name, local in models.items():
        answers = local.answers([each.instruction for each in reference], sampling)
        outputs[name] = [
            Output(each.instruction, texts[0] if texts else "", f"{run.name}_{name}", each.dataset)
            for each, texts in zip(reference, answers, strict=True)
        ]
        write_json(local.folder / "model_outputs.json", as_rows(outputs[name]))
    return Prepared(reference, models, outputs, sampling)


def planned(keys: Sequence[str], reference: Sequence[Output], sampling: SamplingSettings) -> list[ChatRequest]:
    """The judge's requests as they would be if every answer were as long as it may be; nothing is sampled."""
    longest = "word " * sampling.max_tokens
    return [
        judge_request(_id(model_id(key), number), each, f"{key} {longest}")
        for key in keys
        for number, each in enumerate(reference)
    ]


def finish(
    run: Run, asked: Prepared, client: Client, answers: Mapping[str, Answer], about: Mapping[str, Any]
) -> Results:
    """Write what the judge said as `annotations.json` of each model, and the figures as the results of the benchmark.

    Win rates are in percent, against the reference; characters is the mean length of the answers. Of instructions that
    are not AlpacaEval's own the length-controlled win rate knows no difficulty. A model without a preference has no
    win rate; answers without one are counted by the reason (`unread`; one token is never cut off).
    """
    official = are_official([each.instruction for each in asked.reference])
    rows = []
    for name, outputs in asked.outputs.items():
        annotations = [
            annotation(reference, output, client.model, answers[_id(name, number)])
            for number, (reference, output) in enumerate(zip(asked.reference, outputs, strict=True))
        ]
        folder = asked.models[name].folder / judge_folder(client.model)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "annotations.json", annotations)
        lengths = [(a["preference"], len(a["output_1"]), len(a["output_2"])) for a in annotations]
        schema = dict(zip(COLUMNS, (pl.Float64, pl.Int64, pl.Int64), strict=True))
        rows.append({"model": name, **_figures(name, pl.DataFrame(lengths, schema, orient="row"), official)})
        rows[-1] |= count_of_names(answers[_id(name, n)] for n, a in enumerate(annotations) if a["preference"] is None)
    noted = {
        "endpoint": client.url,
        "baseline": asked.reference[0].generator,
        "instructions": len(asked.reference),
        "official_instructions": official,
        "sampling": asked.sampling.model_dump(),
        "judge_parameters": {**PARAMETERS, **client.parameters},
        "models": {name: local.model.fingerprint for name, local in asked.models.items()},
        **about,
    }
    results = Results(NAME, client.model, rows, noted)
    results.write(run.folder)
    return results


def _figures(name: str, annotations: pl.DataFrame, official: bool) -> dict[str, Any]:
    """Of one model; annotations: the columns of `COLUMNS`."""
    if annotations["preference"].null_count() == annotations.height:
        missing = {"annotations": 0, "without_preference": annotations.height}
        return {"characters": annotations["model_chars"].mean(), **missing}
    found = score(name, annotations, official=official)
    return {
        "win_rate": found.win_rate,
        "win_rate_low": found.win_rate_interval[0],
        "win_rate_high": found.win_rate_interval[1],
        "length_controlled": found.length_controlled,
        "length_controlled_low": found.length_controlled_interval[0],
        "length_controlled_high": found.length_controlled_interval[1],
        "characters": found.average_length,
        "annotations": found.rows,
        "without_preference": found.missing,
    }


def _id(model: str, number: int) -> str:
    return f"{model} {number}"
