"""How the judge gives its score and the meta-judge names the winner: words, scale and names.

    Scoring()                          "Score: 4", from 0 to 5 (A.1)
    Scoring("Punktzahl", 1, 10)        "Punktzahl: 7", from 1 to 10
    Verdicts()                         "Winner: Judgement A" or "Winner: Judgement B" (Figure 2)

Where nothing is said they are the paper's.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Scoring(NamedTuple):
    """How a judge gives its score: the words before the colon, and the scale.

    words: as the judge prompt asks for them, without the colon; literal, in any case. lowest, highest: the ends of the
    scale; every number between them is a score, fractions too. expected: whether the scores are expectations: where
    scores are counted, such a one counts as the nearest whole number.
    """

    words: str = "Score"
    lowest: float = 0.0
    highest: float = 5.0
    expected: bool = False

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> "Scoring":
        """From the recipe's section `judgments` as records keep it; what an earlier version did not record is the
        paper's."""
        given = {"words": "score_words", "lowest": "lowest_score", "highest": "highest_score"}
        found = {name: section[field] for name, field in given.items() if field in section}
        return cls(**found, expected=section.get("score_line") == "expectation")

    @property
    def said(self) -> str:
        """The scale in words: "0 to 5"."""
        return f"{self.lowest:g} to {self.highest:g}"


class Verdicts(NamedTuple):
    """How a meta-judge names the winner: the words before the colon, and its names of the two judgments.

    words: as the meta-judge prompt asks for them, without the colon; literal, in any case. first, second: what the
    judgment shown first, and second, is called there.
    """

    words: str = "Winner"
    first: str = "Judgement A"
    second: str = "Judgement B"

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> "Verdicts":
        """From the recipe's section `meta_judgments` as records keep it; what an earlier version did not record is the
        paper's."""
        given = {"words": "winner_words", "first": "first_name", "second": "second_name"}
        return cls(**{name: section[field] for name, field in given.items() if field in section})


PAPERS_SCORING = Scoring()
PAPERS_VERDICTS = Verdicts()

PAPERS_JUDGE = {
    "judgments.score_words": PAPERS_SCORING.words,
    "judgments.lowest_score": PAPERS_SCORING.lowest,
    "judgments.highest_score": PAPERS_SCORING.highest,
}
PAPERS_META_JUDGE = {
    "meta_judgments.winner_words": PAPERS_VERDICTS.words,
    "meta_judgments.first_name": PAPERS_VERDICTS.first,
    "meta_judgments.second_name": PAPERS_VERDICTS.second,
}
PAPERS = {**PAPERS_JUDGE, **PAPERS_META_JUDGE}
"""The recipe's fields that say the same, with the paper's values: what all had before they were fields."""

SCORE_LINE = {"judgments.score_line": "sampled"}
WINNER_LINE = {"meta_judgments.winner_line": "sampled"}
LINES = {**SCORE_LINE, **WINNER_LINE}
"""Where scores and winners are from: what was sampled, in the paper and before these were fields."""

ONLY_JUDGMENTS = {
    "language": "en",
    "held_out": 0.25,
    "judged_by": "seed_model",
    "meta_judgment_share": 0.0,
    "instruction_share": 0.0,
}
"""What the fields of EFT of rankings are where none are: how EFT data was made before there were such."""
