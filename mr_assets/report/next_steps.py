"""What to do next, by what is known of the runs: what stops or is missing first, then what would tell more.

judgments of iteration 2 of small_world: Expected at least 90% of judgments to give a score, came 43.1%: ...
One seed does not tell an effect from luck: mr run small_world_meta_rewarding --set seed=1 --name ...
"""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from mr_assets.ids import model_id
from mr_assets.loop import titled
from mr_assets.report.arms import Arm, Known
from mr_assets.runs.run import Run
from mr_assets.runs.status import command, failed_checks, warnings

WARNINGS = 3
"""Checks that warn of which so many are told here; the others are in their section."""
MISSING = 6
"""Models and measurements that are missing of which so many are named."""
RUNS = 3
"""Runs with the same step of which so many are named, and have their commands given."""


class Step(NamedTuple):
    """What is to be done about a run, in words before and behind "of RUN"; then what that run says of it.

    check: whose finding it is, if a check's; tells steps of the same words apart.
    """

    before: str
    behind: str
    run: str
    then: str
    check: str = ""


def next_steps(arms: Sequence[Arm]) -> list[str]:
    """Sentences, the most urgent first. What is the same of several runs is said once."""
    known = [each for arm in arms for each in arm.runs.values()]
    found: list[str] = []
    for kind in (_stopped, _stale, _missing):
        found += _said([step for each in known for step in kind(each)], len(known))
    warned = _said([step for each in known for step in _warned(each)], len(known))
    found += warned[:WARNINGS]
    if len(warned) > WARNINGS:
        found.append(f"{len(warned) - WARNINGS} more checks warn: see below.")
    for arm in arms:
        found += _tell_more(arm)
    return found


def _said(steps: Sequence[Step], runs: int) -> list[str]:
    """A sentence for each thing to do. runs: how many the report is of; of one alone the name is not said."""
    alike: dict[tuple[str, str, str], list[Step]] = {}
    for step in steps:
        alike.setdefault((step.before, step.behind, step.check), []).append(step)
    found = []
    for (before, behind, check), those in alike.items():
        of = f" of {_listed(each.run for each in those)}" if runs > 1 else ""
        then = f"In {those[0].run}: {those[0].then}" if check and len(those) > 1 else _commands(those)
        found.append(f"{before}{of}{behind} {then}")
    return found


def _commands(those: Sequence[Step]) -> str:
    return "; ".join(each.then for each in those[:RUNS]) + "; ..." * (len(those) > RUNS)


def _listed(names: Iterable[str]) -> str:
    """In words: "a", "a and b", "a, b, c and 4 more"."""
    there = list(dict.fromkeys(names))
    if len(there) > RUNS:
        there = [*there[:RUNS], f"{len(there) - RUNS} more"]
    return " and ".join(filter(None, (", ".join(there[:-1]), there[-1])))


def _stopped(each: Known) -> Iterator[Step]:
    for place, findings in failed_checks(each.run).items():
        for finding in findings:
            yield Step(titled(*place), " stops the run.", each.run.name, finding.said, finding.name)


def _stale(each: Known) -> Iterator[Step]:
    if each.old:
        yield Step("Stale", ": some figures may be of what was.", each.run.name, command(each.run))


def _missing(each: Known) -> Iterator[Step]:
    """Models that were not trained, and what was not measured of those that were."""
    run = each.run
    missing = [model_id(t) for t in run.iterations if t not in each.trained]
    there = [key for key in run.models if model_id(key) not in missing]
    for asset in run.loop.per("model"):
        missing += [titled(asset, key) for key in there if run.record(asset, key) is None]
    if missing:
        more = f" and {len(missing) - MISSING} more" if len(missing) > MISSING else ""
        yield Step("Not there yet", f": {', '.join(missing[:MISSING])}{more}.", run.name, command(run))


def _warned(each: Known) -> Iterator[Step]:
    for place, findings in warnings(each.run).items():
        for finding in findings:
            yield Step(titled(*place), " warns.", each.run.name, finding.said, finding.name)


def _tell_more(arm: Arm) -> Iterator[str]:
    """What would tell more of a recipe whose runs are as they should be."""
    run = arm.first.run
    if not arm.figures:
        yield (
            "Nothing measures whether the models got better: give the recipe an evaluation (mr recipes says which "
            "sections there are), or judge pairs yourself: " + f"mr spotcheck {run.name}"
        )
    elif len(arm.runs) == 1 and arm.first.trained:
        yield f"One seed does not tell an effect of {arm.label} from luck. Another one: {_another_seed(run)}"
    count = len(run.recipe.iterations)
    before, last = model_id(count - 1), model_id(count)
    if any(change.verdict == "better" for change in arm.changes(last, before)):
        yield f"{last} is still better than {before}; another iteration: mr extend {run.name} {count + 1}"


def _another_seed(run: Run) -> str:
    recipe, *sets = run.origin or ("RECIPE",)
    seed = run.recipe.seed + 1
    changed = [*(each for each in sets if not each.startswith("seed=")), f"seed={seed}"]
    given = [part for each in changed for part in ("--set", each)]
    return shlex.join(["mr", "run", recipe, *given, "--name", f"{run.name}_seed_{seed}"])
