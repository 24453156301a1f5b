"""The paper's prompts word for word, and the insertion of untrusted text."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mr_assets.errors import UserError
from mr_assets.templates import JUDGE_FIELDS, META_JUDGE_FIELDS, Template, judge_template, meta_judge_template

PAPER = Path(__file__).parents[2] / "shared" / "paper"  # the paper's text, where a developer has put it

RUBRIC = [
    "- Add 1 point if the response is relevant and provides some information related to the user's inquiry, even if it "
    "is incomplete or contains some irrelevant content.",
    "- Add another point if the response addresses a substantial portion of the user's question, but does not "
    "completely resolve the query or provide a direct answer.",
    "- Award a third point if the response answers the basic elements of the user's question in a useful way, "
    "regardless of whether it seems to have been written by an AI Assistant or if it has elements typically found in "
    "blogs or search results.",
    "- Grant a fourth point if the response is clearly written from an AI Assistant's perspective, addressing the "
    "user's question directly and comprehensively, and is well-organized and helpful, even if there is slight room for "
    "improvement in clarity, conciseness or focus.",
    "- Bestow a fifth point for a response that is impeccably tailored to the user's question by an AI Assistant, "
    "without extraneous information, reflecting expert knowledge, and demonstrating a high-quality, engaging, and "
    "insightful answer.",
]
JUDGE = [
    "Review the user's question and the corresponding response using the additive 5-point scoring system described "
    "below. Points are accumulated based on the satisfaction of each criterion:",
    *RUBRIC,
    "User: {prompt}",
    "<response>{response}</response>",
    "After examining the user's instruction and the response:",
    "- Briefly justify your total score, up to 100 words.",
    '- Conclude with the score using the format: "Score: <total points>"',
    "Remember to assess from the AI Assistant perspective, utilizing web search knowledge as necessary.",
]
META_JUDGE = [
    "Review the user's question and the corresponding response, along with two judgments. Determine which judgment is "
    "more accurate according to the rubric provided below. The rubric used for the initial judgments is as follows:",
    *RUBRIC,
    "User: {prompt}",
    "Response: {response}",
    "Judgment A: {judgment_a}",
    "Judgment B: {judgment_b}",
    "After examining the original question, response, and both judgments:",
    "- Explain which judgment is more accurate according to the original rubric and why. Consider factors such as "
    "adherence to the rubric, accuracy in evaluating the response, and consistency in applying the criteria.",
    "- Conclude with a clear statement of which judgment is better using the format: "
    '"Winner: [Judgement A | Judgement B]"',
]


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("template", "lines"), [(judge_template(), JUDGE), (meta_judge_template(), META_JUDGE)])
def test_every_sentence_is_the_papers(template: Template, lines: list[str]) -> None:
    """Row 26: section A.1 and Figure 2, nothing more and nothing less."""
    assert [line for line in template.text.splitlines() if line] == lines


def words(text: str) -> str:
    """Text without what a conversion from LaTeX adds: escapes, italics around angle brackets, line breaks."""
    text = re.sub(r"\$\\\{(\w+?)\\_(\w)\\\}\$", r"{\1_\2}", text)  # $\{judgment\_a\}$
    text = text.replace("\\_", "_").replace("$\\{", "{").replace("\\}$", "}")
    text = re.sub(r"\*([<>])\*", r"\1", text.replace("*<*/", "</").replace("{query}", "{prompt}"))
    text = text.replace("\u2019", "'").replace("\u201c", '"').replace("\u201d", '"')
    return " ".join(text.replace("*", "").split())


@pytest.mark.skipif(not PAPER.is_dir(), reason="the paper's text is not here")
@pytest.mark.parametrize("template", [judge_template(), meta_judge_template()], ids=["judge", "meta-judge"])
def test_the_template_stands_in_the_paper(template: Template) -> None:
    """As one piece, apart from line breaks; the paper calls the prompt {query} in A.1."""
    texts = [words(path.read_text(encoding="utf-8", errors="replace")) for path in sorted(PAPER.glob("*.txt"))]
    assert any(words(template.text) in text for text in texts)


def test_what_is_inserted_is_not_expanded() -> None:
    """A response that spells out a placeholder stays what it is."""
    values = {"prompt": "{response}", "response": "{prompt} {judgment_a} {{x}} %s"}
    text = judge_template().fill(values)
    assert "User: {response}\n" in text
    assert "<response>{prompt} {judgment_a} {{x}} %s</response>" in text


NASTY = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "{prompt}", "</response>", "\n\nJudgment B: ", "<response>", "\n\nResponse: ", "\\1", "(.*)"]),
    st.just(judge_template().text),
)


@given(st.tuples(NASTY, NASTY, NASTY, NASTY))
def test_unfill_finds_values_that_fill_the_same_way(values: tuple[str, str, str, str]) -> None:
    """Even where a value contains the text around it, so that several splits are possible."""
    template = meta_judge_template()
    text = template.fill(dict(zip(META_JUDGE_FIELDS, values, strict=True)))
    found = template.unfill(text)
    assert found is not None
    assert template.fill(found) == text


@given(st.tuples(*[st.text(st.characters(exclude_characters="<JR\n"), max_size=12)] * 4))
def test_unfill_inverts_fill(values: tuple[str, ...]) -> None:
    """Of values that contain nothing of the text around them."""
    filled = dict(zip(META_JUDGE_FIELDS, values, strict=True))
    assert meta_judge_template().unfill(meta_judge_template().fill(filled)) == filled


@given(st.text(max_size=40))
def test_unfill_of_another_text_is_none(text: str) -> None:
    assert judge_template().unfill(text) is None
    assert judge_template().unfill(judge_template().text + text) in (
        None,
        {"prompt": "{prompt}", "response": "{response}"},
    )


def test_a_placeholder_may_occur_twice(tmp_path: Path) -> None:
    """Both places hold the same value, or it is not this template."""
    template = judge_template(written(tmp_path, "{prompt}|{response}|{prompt}"))
    assert template.fill({"prompt": "a", "response": "b"}) == "a|b|a"
    assert template.unfill("a|b|a") == {"prompt": "a", "response": "b"}
    assert template.unfill("a|b|c") is None


def test_a_file_takes_the_papers_place(tmp_path: Path) -> None:
    """One final newline is not part of it."""
    template = judge_template(written(tmp_path, "Rate {response} for {prompt}. Score:\n"))
    assert (template.name, template.text) == ("mine.txt", "Rate {response} for {prompt}. Score:")
    assert template.fixed_blocks == ["Rate ", " for ", ". Score:"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Rate it.", "none"),
        ("Rate {response}.", "{response}"),
        ("Rate {response} for {prompt} by {judgment_a}.", "{judgment_a}, {prompt}, {response}"),
        ("Rate {response} for {promt}.", "{promt}, {response}"),
    ],
)
def test_other_placeholders_are_refused(tmp_path: Path, text: str, found: str) -> None:
    """The message names what was expected and what was found."""
    expected = re.escape(f"expected the placeholders {{prompt}}, {{response}}, found {found}. Mend the file.")
    with pytest.raises(UserError, match=expected):
        judge_template(written(tmp_path, text))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Missing, a folder, or not text."""
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"\xff\xfe{prompt}")
    for path in (tmp_path / "missing.txt", tmp_path, binary):
        with pytest.raises(UserError, match=r"cannot be read as UTF-8 text.*Name a readable file"):
            meta_judge_template(path)


def test_fields() -> None:
    assert judge_template().fields == JUDGE_FIELDS
    assert meta_judge_template().fields == META_JUDGE_FIELDS
