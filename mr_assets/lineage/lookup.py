"""Ids: what each stands for, and which run has it.

    3f1c09aa72be                       prompt
    2.3f1c09aa72be.r4                  response       iteration 2, sample 4
    2.3f1c09aa72be.r4.j10              judgment       of that response
    2.3f1c09aa72be.r4.j10-j3           battle         a meta-judgment: j10 shown first, j3 second
    2.3f1c09aa72be.actor, .judge       pair
    M2 or 2                            model          M0 is the SFT model
    beta_02/2.3f1c09aa72be.r4          the response of the run beta_02

Runs of one recipe share prompts and so most ids: a bare id that more than one of them has is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mr_assets.errors import UserError, did_you_mean
from mr_assets.lineage.rows import has_row
from mr_assets.printable import excerpt
from mr_assets.runs.run import Run

Kind = Literal["prompt", "response", "judgment", "battle", "pair", "model"]

_PROMPT = r"(?:(?P<iteration>\d+)\.)?(?P<prompt>[0-9a-f]{12})"
_FORMS: dict[Kind, str] = {
    "model": r"[Mm]?(?P<iteration>\d{1,4})",
    "prompt": _PROMPT,
    "response": rf"{_PROMPT}\.r\d+",
    "judgment": rf"{_PROMPT}\.r\d+\.j\d+",
    "battle": rf"{_PROMPT}\.r\d+\.j\d+-j\d+",
    "pair": rf"{_PROMPT}\.(?P<pair>actor|judge)",
}
_ASSETS: dict[Kind, str] = {
    "prompt": "prompts",
    "response": "responses",
    "judgment": "judgments",
    "battle": "meta_judgments",
}
PAIR_ASSETS = {"actor": "actor_pairs", "judge": "elo_pairs"}


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
        if self.kind == "pair":
            return PAIR_ASSETS[self.text.rpartition(".")[2]]
        return "checkpoints" if self.kind == "model" else _ASSETS[self.kind]


def parsed(text: str) -> Id:
    """The id that a text is. Raises `UserError` that shows the forms if it is none."""
    for kind, form in _FORMS.items():
        if match := re.fullmatch(form, text, re.ASCII):
            found = match.groupdict()
            if kind == "model":
                return Id(f"M{int(found['iteration'])}", kind, str(int(found["iteration"])))
            if kind == "prompt":
                return Id(found["prompt"], kind, found["iteration"], found["prompt"])
            if found["iteration"]:
                return Id(text, kind, found["iteration"], found["prompt"])
    raise UserError(
        f"'{excerpt(text, 80)}' is no id. Expected a pair (2.3f1c09aa72be.actor), a prompt (3f1c09aa72be), a response "
        "(2.3f1c09aa72be.r4), a judgment (2.3f1c09aa72be.r4.j10), a battle (2.3f1c09aa72be.r4.j10-j3) or a model (M2); "
        "in front of it, where runs share ids, run/. `mr pairs` lists pairs."
    )


def named(name: str, runs: Mapping[str, Run]) -> Run:
    """The run of that name. Raises `UserError` that lists the runs if there is none."""
    if name not in runs:
        meant = did_you_mean(name[:80], [*runs])
        raise UserError(f"there is no run '{excerpt(name, 80)}'. Runs: {', '.join(runs) or 'none yet'}.{meant}")
    return runs[name]


def having(text: str, runs: Mapping[str, Run]) -> tuple[list[Run], Id]:
    """The runs that have an id, and the id; of ``run/id`` that run alone. Raises `UserError` if none has it."""
    name, slash, rest = text.strip().rpartition("/")
    found = parsed(rest)
    asked = [named(name, runs)] if slash else runs.values()
    those = [run for run in asked if has(run, found)]
    if not those:
        where = f"run {name}" if slash else f"any run ({', '.join(runs) or 'there is none yet'})"
        raise UserError(f"there is no {found.kind} {found.text} in {where}. {_why_not(found)}")
    return those, found


def located(text: str, runs: Mapping[str, Run]) -> tuple[Run, Id]:
    """The run that has an id, and the id. Raises `UserError` if none has it, or several and the text names none."""
    those, found = having(text, runs)
    if len(those) > 1:
        choices = ", ".join(f"{run.name}/{found.text}" for run in those)
        raise UserError(f"{len(those)} runs have a {found.kind} {found.text}. Say which: {choices}.")
    return those[0], found


def iterations_of(run: Run, found: Id) -> list[str]:
    """The iterations in which a run has an id that is none of a model's."""
    asked = [found.iteration] if found.iteration else run.iterations
    return [t for t in asked if _has(run, found, t)]


def has(run: Run, found: Id) -> bool:
    """Whether a run has an id. A pair that was not made counts if its prompt was drawn: why not can be answered."""
    if found.kind == "model":
        return run.record(*run.model_at(found.iteration or "0")) is not None
    return bool(iterations_of(run, found))


def _has(run: Run, found: Id, t: str) -> bool:
    asset, key = ("prompts", found.prompt_id) if found.kind == "pair" else (found.asset, found.text)
    if run.record(asset, t) is None or not run.path(asset, t).exists():
        return False
    return key is not None and has_row(run, asset, t, key)


def _why_not(found: Id) -> str:
    """What an id that is nowhere may mean."""
    if found.kind == "battle":
        return (
            "Only judgments with a score, of the response that was selected, battle: "
            f"mr trace {found.text.rpartition('.')[0]} says what became of the response."
        )
    if found.kind in ("response", "judgment"):
        return (
            "It was not sampled, is of a duplicate, or its iteration is not made yet: "
            f"mr trace {found.prompt_id} says what there is of the prompt."
        )
    return "`mr pairs` lists the pairs, `mr status` what is made."
