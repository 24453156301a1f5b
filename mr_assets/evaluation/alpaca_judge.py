"""AlpacaEval 2's judge: the official prompt, and a preference out of the probabilities of its one-token answer.

    reference = read_outputs(Path("gpt4_baseline.json"), "reference")
    request = judge_request("M1 0", reference[0], "The answer of M1.")
    preference(answer, is_switched(reference[0].instruction))      1.83: by 0.83 that M1's answer is better

The judge (annotator `weighted_alpaca_eval_gpt4_turbo`) names the better of the outputs m and M with one token. Of the
probabilities of the two the preference is made: 1 is the reference's, output_1, 2 the model's, output_2. Which of them
is shown first is drawn by the instruction, as the official tool draws it, so that both ask the judge the same.

The files are the official ones (`alpaca_eval.read_annotations` reads annotations):

    results/M1/model_outputs.json          [{"dataset": ..., "instruction": ..., "output": ..., "generator": "M1"}, ...]
    results/M1/JUDGE/annotations.json      [{..., "output_1": ..., "output_2": ..., "preference": 1.83, ...}, ...]
"""

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mr_assets.errors import UserError, shown
from mr_assets.evaluation.client import Answer, ChatRequest
from mr_assets.evaluation.judge_prompts import judge_messages
from mr_assets.text_files import read_text_file

SOURCE = "github.com/tatsu-lab/alpaca_eval (the reference's is alpaca_eval_gpt4_baseline.json)"
PARAMETERS = {"max_tokens": 1, "temperature": 1.0, "top_p": 1.0, "logprobs": True, "top_logprobs": 5}
FIRST, SECOND = "mM"
"""What the outputs are called in the order in which they are shown."""
LARGEST = 1 << 28


class Output(NamedTuple):
    """An instruction and what somebody answered. generator: who did; dataset: where the instruction is from."""

    instruction: str
    output: str
    generator: str
    dataset: str | None


def read_outputs(path: Path, what: str) -> list[Output]:
    """The outputs of a file in the tool's layout, in order. Raises `UserError`, naming the row, for another."""
    try:
        rows = json.loads(read_text_file(path, what, largest=LARGEST))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{what} {path}: no JSON ({error}). Expected model outputs, as in {SOURCE}.") from error
    if not isinstance(rows, list) or not rows:
        raise UserError(f"{what} {path}: expected a list of model outputs, as in {SOURCE}.")
    found = [_output(f"{what} {path}, row {number}", row) for number, row in enumerate(rows, start=1)]
    if len({each.instruction for each in found}) < len(found):
        raise UserError(f"{what} {path}: an instruction stands there twice. Take one of them out.")
    return found


def _output(where: str, row: Any) -> Output:
    for key in ("instruction", "output"):
        if not isinstance(row, dict) or not isinstance(row.get(key), str):
            came = row.get(key) if isinstance(row, dict) else row
            raise UserError(f"{where}: expected an object with the text {key}, came {shown(came)}, as in {SOURCE}.")
    if not row["instruction"].strip():
        raise UserError(f"{where}: the instruction is blank. Take it out.")
    dataset = row.get("dataset")
    return Output(row["instruction"], row["output"], str(row.get("generator", "reference")), dataset)


def as_rows(outputs: Sequence[Output]) -> list[dict[str, Any]]:
    """Outputs as the tool writes them."""
    return [
        {"dataset": o.dataset, "instruction": o.instruction, "output": o.output, "generator": o.generator}
        for o in outputs
    ]


def is_switched(instruction: str) -> bool:
    """Whether the model's output is shown before the reference's: drawn as the tool does, with its seed 0."""
    return random.Random(f"is_switched_outputs{instruction}0").choices([False, True], k=1)[0]


def compared(id: str, instruction: str, first: str, second: str) -> ChatRequest:
    """The judge's question which of two outputs is better."""
    messages = judge_messages("alpaca-eval", instruction=instruction, output_1=first, output_2=second)
    return ChatRequest(id, messages, dict(PARAMETERS))


def judge_request(id: str, reference: Output, output: str) -> ChatRequest:
    """The question about a model's output and the reference's, in the order that the tool shows them."""
    shown_in_order = (output, reference.output) if is_switched(reference.instruction) else (reference.output, output)
    return compared(id, reference.instruction, *shown_in_order)


def first_wins(answer: Answer) -> float | None:
    """The probability that the output shown first is the better one, of those of the two names; None if neither is
    among the likeliest tokens."""
    found = dict((answer.top_logprobs or [[]])[0]) if answer.top_logprobs else {}
    first, second = (math.exp(min(0.0, found.get(name, -math.inf))) for name in (FIRST, SECOND))
    return first / (first + second) if first + second > 0 else None


def preference(answer: Answer, switched: bool) -> float | None:
    """From 1, the reference's output is better, to 2, the model's is; None if the judge said neither."""
    first = first_wins(answer)
    if first is None:
        return None
    return 1 + first if switched else 2 - first


def check_log_probabilities(request: ChatRequest, answer: Answer) -> None:
    """Raise `UserError` if an answer has none: then no answer of that server will."""
    if answer.text is not None and not answer.top_logprobs:
        raise UserError(
            f"the answer to request {request.id} has no log-probabilities (logprobs, top_logprobs), of which the "
            "preference is made. Take a server and a model that give them."
        )


def annotation(reference: Output, model: Output, judge: str, answer: Answer) -> dict[str, Any]:
    """A row of annotations.json; raw_completion is the choice that the server gave, as the tool keeps it."""
    tops = [
        {"top_logprobs": [{"token": token, "logprob": logprob} for token, logprob in each]}
        for each in answer.top_logprobs or ()
    ]
    raw = {"text": answer.text, "finish_reason": answer.finish_reason, "logprobs": {"content": tops}}
    return {
        "instruction": reference.instruction,
        "output_1": reference.output,
        "generator_1": reference.generator,
        "dataset": reference.dataset,
        "output_2": model.output,
        "generator_2": model.generator,
        "annotator": judge,
        "preference": preference(answer, is_switched(reference.instruction)),
        "raw_completion": raw if answer.refused is None else None,
    }
