"""AlpacaEval 2's judge: what it is asked, and what its probabilities are worth."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from mr_assets.errors import UserError
from mr_assets.evaluation.alpaca_eval import are_official, read_annotations
from mr_assets.evaluation.alpaca_judge import (
    Output,
    annotation,
    as_rows,
    check_log_probabilities,
    is_switched,
    judge_request,
    preference,
    read_outputs,
)
from mr_assets.evaluation.client import Answer, ChatRequest

REFERENCE = Output("Who wrote Hamlet?", "Shakespeare.", "gpt4", "mine")
OTHER = next(text for text in map(str, range(99)) if is_switched(text) != is_switched(REFERENCE.instruction))


def answer(**logprobs: float) -> Answer:
    return Answer("m", "length", [list(logprobs.items())])


def test_the_judge_is_asked_in_the_official_words() -> None:
    """The prompt as it is published; what is judged stands between three quotes, as it is."""
    first, second = ("{output_1}", "a {b}\n") if not is_switched("{instruction}") else ("a {b}\n", "{output_1}")
    request = judge_request("M1 0", Output("{instruction}", "{output_1}", "gpt4", None), "a {b}\n")
    system, user = request.messages
    assert system["role"] == "system" and system["content"].startswith("You are a highly efficient assistant, who eval")
    assert system["content"].endswith("reflecting the most accurate and human-preferred answers.")
    assert user["content"].startswith("I require a leaderboard for various large language models. I'll provide you wi")
    assert '## Instruction\n\n{\n    "instruction": """{instruction}""",\n}\n' in user["content"]
    for name, output in (("m", first), ("M", second)):
        shown = f'    {{\n        "model_identifier": "{name}",\n        "output": """{output}"""\n    }}'
        assert shown in user["content"]
    assert user["content"].endswith("(no quotes, no spaces, no new lines, ...): m or M.\n\n## Best Model Identifier")
    assert request.parameters == {
        "max_tokens": 1, "temperature": 1.0, "top_p": 1.0, "logprobs": True, "top_logprobs": 5
    }  # fmt: skip


def test_the_order_is_drawn_by_the_instruction() -> None:
    """By a coin, and so that it stays as it is."""
    assert [is_switched(f"q{n}") for n in range(400)].count(True) in range(160, 241)
    for reference in (REFERENCE, REFERENCE._replace(instruction=OTHER)):
        text = judge_request("x", reference, "The model's.").messages[1]["content"]
        assert (text.index("The model's.") < text.index("Shakespeare.")) is is_switched(reference.instruction)


def test_a_preference_is_the_probability_of_the_models_output() -> None:
    """P(m) = 0.6, P(M) = 0.2 of all tokens: 0.75 that the first is better. 2 is the model's output."""
    said = answer(m=math.log(0.6), M=math.log(0.2), Both=math.log(0.1))
    assert preference(said, switched=False) == pytest.approx(1.25)
    assert preference(said, switched=True) == pytest.approx(1.75)
    assert preference(answer(M=-0.1), switched=False) == 2
    assert preference(answer(m=-0.1), switched=False) == 1


@pytest.mark.parametrize(
    "said", [answer(Both=-0.1), Answer("m"), Answer("", top_logprobs=[]), Answer(None, refused="x")]
)
def test_an_answer_that_names_neither_has_no_preference(said: Answer) -> None:
    assert preference(said, switched=False) is None


def test_a_server_without_log_probabilities_is_told_at_once() -> None:
    request = ChatRequest("M1 3", [], {})
    check_log_probabilities(request, answer(m=-1))
    check_log_probabilities(request, Answer(None, refused="content policy"))
    with pytest.raises(UserError, match="request M1 3 has no log-probabilities"):
        check_log_probabilities(request, Answer("m"))


def test_files_are_read_as_they_are_written(tmp_path: Path) -> None:
    """Outputs by us; annotations by the reader of the official ones."""
    outputs = [REFERENCE, Output(OTHER, "é", "gpt4", None)]
    path = tmp_path / "model_outputs.json"
    path.write_text(json.dumps(as_rows(outputs)), encoding="utf-8")
    assert read_outputs(path, "the reference") == outputs
    rows = [
        annotation(each, each._replace(output="six" * 2, generator="mine"), "judge", said)
        for each, said in zip(outputs, (answer(m=-0.5, M=-0.5), Answer(None, refused="x")), strict=True)
    ]
    annotations = tmp_path / "annotations.json"
    annotations.write_text(json.dumps(rows), encoding="utf-8")
    assert read_annotations(annotations)["mine"].rows() == [(1.5, 12, 6), (None, 1, 6)]
    tops = rows[0]["raw_completion"]["logprobs"]["content"][0]["top_logprobs"]
    assert tops == [{"token": "m", "logprob": -0.5}, {"token": "M", "logprob": -0.5}]
    assert rows[0]["annotator"] == "judge" and rows[1]["raw_completion"] is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "no JSON"),
        ([], "expected a list of model outputs"),
        ([{"instruction": "a", "output": "b"}, {"instruction": "c"}], "row 2: expected an object with the text output"),
        (["a"], 'row 1: expected an object with the text instruction, came "a"'),
        ([{"instruction": " ", "output": "b"}], "row 1: the instruction is blank"),
        ([{"instruction": "a", "output": "b"}] * 2, "an instruction stands there twice"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: Any, said: str) -> None:
    path = tmp_path / "reference.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=said):
        read_outputs(path, "--instructions")


def test_official_instructions_are_known() -> None:
    """The first of them is published everywhere; others are others'."""
    first = "What are the names of some famous actors that started their careers on Broadway?"
    assert are_official([first]) and not are_official([first, "Who wrote Hamlet?"]) and not are_official(["x"] * 806)
