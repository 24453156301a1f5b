r"""What a judge prompt and a meta-judge prompt must say, so that what they ask for is what the parsers look for.

    - Conclude with the score using the format: "Score: <total points>"      judgments.score_words
    ... using the additive 5-point scoring system ...                        judgments.highest_score (lowest_score)
    ... using the format: "Winner: [Judgement A | Judgement B]"              winner_words, first_name, second_name

A prompt says its scale if one of the scales that are found in it is the recipe's ("5-point scale", "out of 5",
"0 to 5"); if none is found there, in whatever language, the highest score must at least stand in it as a number.
"""

import re
from collections.abc import Iterator

from mr_assets.judging import Scoring, Verdicts
from mr_assets.method.claims import label
from mr_assets.templates import Template

_NUMBER = r"(?<![\d.,])[0-9]+(?:\.[0-9]+)?(?![\d]|[.,]\d)"
_TO = "\u2013|\u2014|-|~|to|and|through|bis|und|\u00e0|et|a|y|\u0434\u043e|\u5230|\u81f3|\u304b\u3089|<=?|\u2264"
_STATED = (
    re.compile(rf"(?P<high>{_NUMBER})[ -]?points?[ -](?:\w+[ -])?(?:scale|scoring|rating|grading|system|rubric)", re.I),
    re.compile(rf"(?:\bout\s+of|/)\s*(?P<high>{_NUMBER})", re.I),
    re.compile(rf"(?P<low>{_NUMBER})\s*(?:{_TO})\s*(?P<high>{_NUMBER})", re.I),
)
_OF_A_SCORE = re.compile(
    r"scale|scor|rate|rating|grade|point|mark|number|skala|punkt|note|\u00e9chelle|escala|\u5206|\u043e\u0446\u0435\u043d|\u0431\u0430\u043b\u043b",
    re.I,
)
_SAID = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def judge_faults(template: Template, scoring: Scoring) -> Iterator[str]:
    """Why a judge prompt and the words and the scale of a recipe do not belong together, a sentence each."""
    text = _fixed(template)
    if not re.search(label(scoring.words), text, re.ASCII):
        yield (
            f'it does not say "{scoring.words}:", which judgments.score_words has the parser look for. Ask there for '
            f'"{scoring.words}: <number>", or set judgments.score_words to what it asks for'
        )
    wanted = f"the scale {scoring.said} (judgments.lowest_score, judgments.highest_score)"
    stated = dict(_scales(text, scoring))
    if stated and not any(_agrees(scale, scoring) for scale in stated.values()):
        found = ", ".join(f'"{said}"' for said in list(stated)[:3])
        yield f"it does not state {wanted}, but {found}. Set those fields to its scale, or mend it"
    elif not stated and not _names(text, scoring.highest):
        yield f"it states no scale, expected {wanted}. Say there from what to what the score goes"


def meta_judge_faults(template: Template, verdicts: Verdicts) -> Iterator[str]:
    """Why a meta-judge prompt and the words and the names of a recipe do not belong together, a sentence each."""
    text = _fixed(template)
    if not re.search(label(verdicts.words), text, re.ASCII):
        yield (
            f'it does not say "{verdicts.words}:", which meta_judgments.winner_words has the parser look for. Ask '
            f'there for "{verdicts.words}: [{verdicts.first} | {verdicts.second}]", or set that field to what it asks '
            "for"
        )
    for field, name in (("first_name", verdicts.first), ("second_name", verdicts.second)):
        if _spelling(name) not in _spelling(text):
            yield (
                f'it does not say "{name}", which the parser takes for the name of a judgment. Set '
                f"meta_judgments.{field} to its name, or mend it"
            )


def _fixed(template: Template) -> str:
    """The template's own text, placeholders left out."""
    return " ... ".join(template.fixed_blocks)


def _scales(text: str, scoring: Scoring) -> Iterator[tuple[str, tuple[float | None, float]]]:
    """Each scale that a text states, in its words, as its lowest score, if it names one, and its highest."""
    for line in text.splitlines():
        about_scores = _OF_A_SCORE.search(line) or re.search(label(scoring.words), line, re.ASCII)
        for pattern in _STATED if about_scores else ():
            for found in pattern.finditer(line):
                given = found.groupdict()
                low, high = (float(given[end]) if given.get(end) else None for end in ("low", "high"))
                if high and (low is None or low < high):
                    yield found[0].strip(), (low, high)


def _agrees(scale: tuple[float | None, float], scoring: Scoring) -> bool:
    return scale in ((None, scoring.highest), (scoring.lowest, scoring.highest))


def _names(text: str, number: float) -> bool:
    """Whether a number stands in a text, as digits or as an English word."""
    word = _SAID[int(number)] if number in range(len(_SAID)) else None
    found = any(float(each) == number for each in re.findall(_NUMBER, text))
    return found or (word is not None and re.search(rf"\b{word}\b", text, re.I) is not None)


def _spelling(text: str) -> str:
    """A text in one case, spelling and white space."""
    return " ".join(text.casefold().split()).replace("judgement", "judgment")
