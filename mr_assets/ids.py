"""Ids of what a run makes: here they are built, parsed, shortened and ranged, and nowhere else.

An id names its ancestors, so that it can be read without a look-up:

    3f1c09aa72be               prompt      short hash of the prompt's text
    2.3f1c09aa72be             prompt      as iteration 2 drew it
    2.3f1c09aa72be.r4          response    iteration 2, sample 4 of that prompt
    2.3f1c09aa72be.r4.j10      judgment    sample 10 of that response
    2.3f1c09aa72be.r4.j10-j3   battle      a meta-judgment: judgment 10 shown first, judgment 3 second
    2.3f1c09aa72be.actor       pair        the prompt's actor pair
    2.3f1c09aa72be.judge       pair        its judge pair
    M2                         model       trained in iteration 2; M0 is the SFT model
    eft.77b0c2d4e5f6.r1        reply       a person's, the second best to a first prompt of Open Assistant
    eft.77b0c2d4e5f6.r1.j10    judgment    sample 10 of the seed model's judgments of it
    eft.77b0c2d4e5f6.r1.rank   example     of the EFT dataset, made of that reply's rank: a judgment (rank), a
                                           meta-judgment (meta4: against the score 4), an instruction (answer)

Sample indices are never renumbered. A function with a name in the singular takes and gives plain values, that in the
plural is the same as a polars expression:

    judgment_id("2.3f1c09aa72be.r4", 10)             2.3f1c09aa72be.r4.j10
    judgment_ids("response_id", "n")                 of every row
    prompt_of("2.3f1c09aa72be.r4.j10")               3f1c09aa72be
    prompts_of("judgment_id")                        of every row
    of_prompt("judgment_id", "2", "3f1c09aa72be")    the rows of one prompt
"""

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import polars as pl

from mr_assets.errors import UserError
from mr_assets.printable import excerpt

Kind = Literal["prompt", "response", "judgment", "battle", "pair", "model", "reply", "example"]
PairKind = Literal["actor", "judge"]

EFT = "eft"
"""What stands in an id in place of the iteration, of what EFT data is made of."""
_RESPONSE, _JUDGMENT, _BATTLE = "{}.{}.r{}", "{}.j{}", "{}.j{}-j{}"
_PROMPT = r"(?:(?P<iteration>\d+)\.)?(?P<prompt>[0-9a-f]{12})"
_FORMS: dict[Kind, str] = {
    "model": r"[Mm]?(?P<iteration>\d{1,4})",
    "prompt": _PROMPT,
    "response": rf"{_PROMPT}\.r\d+",
    "judgment": rf"{_PROMPT}\.r\d+\.j\d+",
    "battle": rf"{_PROMPT}\.r\d+\.j\d+-j\d+",
    "pair": rf"{_PROMPT}\.(?:actor|judge)",
    "reply": r"eft\.[0-9a-f]{12}\.r\d+",
    "example": r"eft\.[0-9a-f]{12}\.r\d+\.(?:j\d+|rank|answer|meta[-+.e\d]+)",
}
_PROMPT_OF = r"^(?:(?:\d+|eft)\.)?([^.]+)"
_BELOW_PROMPT, _BELOW_RESPONSE = r"\.r\d+(?:\.j.*)?$", r"\.j\d+(?:-j\d+)?$"
_ASSETS: dict[Kind, str] = {
    "prompt": "prompts",
    "response": "responses",
    "judgment": "judgments",
    "battle": "meta_judgments",
    "model": "checkpoints",
    "reply": "ranked_replies",
    "example": "eft_dataset",
}
PAIR_ASSETS: dict[str, str] = {"actor": "actor_pairs", "judge": "elo_pairs"}

# ---------------------------------------------------------------------------------------------------------------- build


def prompt_id(text: str) -> str:
    """Twelve hex digits that stand for a prompt's text."""
    return blake2b(text.encode(), digest_size=6).hexdigest()


def drawn_prompt(iteration: int | str, prompt: str) -> str:
    """A prompt as an iteration drew it."""
    return f"{iteration}.{prompt}"


def response_id(iteration: int | str, prompt: str, k: int) -> str:
    """Sample `k` of a prompt's responses in an iteration."""
    return _RESPONSE.format(iteration, prompt, k)


def response_ids(iteration: int | str, prompt: str, k: str) -> pl.Expr:
    """`response_id` of the columns `prompt` and `k`."""
    return pl.format(_RESPONSE, pl.lit(str(iteration)), prompt, k)


def judgment_id(response: str, n: int) -> str:
    """Sample `n` of a response's judgments."""
    return _JUDGMENT.format(response, n)


def judgment_ids(response: str, n: str) -> pl.Expr:
    """`judgment_id` of the columns `response` and `n`."""
    return pl.format(_JUDGMENT, response, n)


def battle_id(response: str, first: int, second: int) -> str:
    """The battle of two judgments of a response: `first` and `second` are their indices in the order shown."""
    return _BATTLE.format(response, first, second)


def battle_ids(response: str, first: str, second: str) -> pl.Expr:
    """`battle_id` of the columns `response`, `first` and `second`."""
    return pl.format(_BATTLE, response, first, second)


def eft_response(prompt: str, place: int) -> str:
    """The ranked reply in that place, 0 is the best, to a first prompt by its hash."""
    return _RESPONSE.format(EFT, prompt, place)


def reply_of(identity: str) -> str:
    """The ranked reply that a judgment or an example of EFT data is of; of a reply itself."""
    return ".".join(identity.split(".")[:3])


def eft_example(response: str, what: str) -> str:
    """An example that is made of a ranked reply: "rank", "meta4" or "answer" of it."""
    return f"{response}.{what}"


def pair_id(iteration: int | str, prompt: str, kind: PairKind) -> str:
    """The actor or judge pair of a prompt in an iteration."""
    return f"{iteration}.{prompt}.{kind}"


def pair_ids(descendant: str, kind: PairKind) -> pl.Expr:
    """`pair_id` of the prompt that each id of the column `descendant`, of responses or judgments, comes of."""
    return pl.col(descendant).str.replace(_BELOW_PROMPT, f".{kind}")


def model_id(key: int | str) -> str:
    """The name of the model that iteration `key` trains, 0 for the SFT model; "seed" is a name itself."""
    return f"{key}" if key == "seed" else f"M{key}"


# ----------------------------------------------------------------------------------------------------------------- read


def model_key(name: str) -> str:
    """What `model_id` made a name of: "0" of "M0", "seed" of "seed"."""
    return name.removeprefix("M")


def iteration_of(identity: str) -> str:
    """The iteration that an id names: "2" of all but a prompt's own id and a model's."""
    return identity.partition(".")[0]


def prompt_of(identity: str) -> str:
    """The prompt that an id comes of; of a prompt itself."""
    parts = identity.split(".", 2)
    return parts[1] if len(parts) > 1 else identity


def prompts_of(column: str) -> pl.Expr:
    """`prompt_of` each id of a column."""
    return pl.col(column).str.extract(_PROMPT_OF)


def drawn_prompts(column: str) -> pl.Expr:
    """`drawn_prompt` that each id of a column, of responses or judgments, comes of; of what is made once its prompt."""
    return pl.col(column).str.replace(_BELOW_PROMPT, "")


def response_of(identity: str) -> str:
    """The response that a judgment or battle is of; of a response itself."""
    return re.sub(_BELOW_RESPONSE, "", identity)


def responses_of(column: str) -> pl.Expr:
    """`response_of` each id of a column."""
    return pl.col(column).str.replace(_BELOW_RESPONSE, "")


def sample_of(identity: str) -> int:
    """The sample index at the end of an id: 4 of a response "....r4", 10 of a judgment "....j10"."""
    return int(short(identity)[1:])


def samples_of(column: str) -> pl.Expr:
    """`sample_of` each id of a column; null where there is none."""
    return pl.col(column).str.extract(r"(\d+)$").cast(pl.Int64, strict=False)


def judgments_of(battle: str) -> tuple[str, str]:
    """The judgments of a battle, in the order shown."""
    first, second = (f"{response_of(battle)}.{n}" for n in short(battle).split("-"))
    return first, second


def kind_of_pair(pair: str) -> PairKind:
    """Whether a pair is the actor's or the judge's."""
    return "actor" if short(pair) == "actor" else "judge"


def short(identity: str) -> str:
    """The last part of an id that names its ancestors: "r3" of a response, "j10" of a judgment."""
    return identity.rpartition(".")[2]


def of_prompt(key: str, iteration: int | str, prompt: str) -> pl.Expr:
    """Whether an id of the column `key` comes of a prompt in an iteration.

    Ids begin with both, so this is one range of ids; as bounds it can be held against those of a parquet row group.
    """
    drawn = drawn_prompt(iteration, prompt)
    return (pl.col(key) >= f"{drawn}.") & (pl.col(key) < f"{drawn}/")  # "/" follows "." in ASCII


@dataclass(frozen=True)
class Id:
    """An id within a run, and what it says of itself.

    text: as the tables have it ("M2" for a model); iteration: null where a prompt's id does not name one.
    """

    text: str
    kind: Kind
    iteration: str | None
    prompt_id: str | None = None

    @property
    def asset(self) -> str:
        """The asset whose table has it; of a pair that was not made, the one that would have made it."""
        return PAIR_ASSETS[kind_of_pair(self.text)] if self.kind == "pair" else _ASSETS[self.kind]


def parsed(text: str) -> Id:
    """The id that a text is. Raises `UserError` that shows the forms if it is none."""
    for kind, form in _FORMS.items():
        if match := re.fullmatch(form, text, re.ASCII):
            found = match.groupdict()
            if kind == "model":
                return Id(model_id(int(found["iteration"])), kind, str(int(found["iteration"])))
            if kind == "prompt":
                return Id(found["prompt"], kind, found["iteration"], found["prompt"])
            if kind in ("reply", "example"):
                return Id(text, kind, None)
            if found["iteration"]:
                return Id(text, kind, found["iteration"], found["prompt"])
    raise UserError(
        f"'{excerpt(text, 80)}' is no id. Expected a pair (2.3f1c09aa72be.actor), a prompt (3f1c09aa72be), a response "
        "(2.3f1c09aa72be.r4), a judgment (2.3f1c09aa72be.r4.j10), a battle (2.3f1c09aa72be.r4.j10-j3), a model (M2), "
        "or a reply or example of EFT data (eft.77b0c2d4e5f6.r1, eft.77b0c2d4e5f6.r1.j10); in front of it, where runs "
        "share ids, run/. `mr pairs` lists pairs."
    )
