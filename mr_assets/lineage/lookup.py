"""Which run has an id (`mr_assets.ids`).

    2.3f1c09aa72be.r4              the response of the one run that has it
    beta_02/2.3f1c09aa72be.r4      the response of the run beta_02

Runs of one recipe share prompts and so most ids: a bare id that more than one of them has is refused.
"""

from collections.abc import Mapping

from mr_assets.errors import UserError, did_you_mean
from mr_assets.ids import Id, parsed, response_of
from mr_assets.lineage.replies import has_reply
from mr_assets.lineage.rows import has_row
from mr_assets.printable import excerpt
from mr_assets.runs.run import Run


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
    """The iterations in which a run has an id; not of a model's id."""
    asked = [found.iteration] if found.iteration else run.iterations
    return [t for t in asked if _has(run, found, t)]


def has(run: Run, found: Id) -> bool:
    """Whether a run has an id. A pair that was not made counts if its prompt was drawn: why not can be answered."""
    if found.kind in ("reply", "example"):
        return has_reply(run, found)
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
            f"mr trace {response_of(found.text)} says what became of the response."
        )
    if found.kind in ("reply", "example"):
        return "It is of no ranked reply that the run's file has, was not made, or its assets are not made yet."
    if found.kind in ("response", "judgment"):
        return (
            "It was not sampled, is of a duplicate, or its iteration is not made yet: "
            f"mr trace {found.prompt_id} says what there is of the prompt."
        )
    return "`mr pairs` lists the pairs, `mr status` what is there."
