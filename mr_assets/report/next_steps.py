"""What to do next, by what is known of the runs: what stops or is missing first, then what would tell more.

judgments of iteration 2 of small_world: Expected at least 90% of judgments to give a score, came 43.1%: ...
One seed does not tell an effect from luck: mr run small_world_meta_rewarding --set seed=1 --name ...
"""

import shlex
from collections.abc import Iterator, Sequence

from mr_assets.ids import model_id
from mr_assets.loop import titled
from mr_assets.report.arms import Arm, Known
from mr_assets.runs.run import Run
from mr_assets.runs.status import command, failed_checks, warnings

WARNINGS = 3
"""Checks that warn of which a run's are told here; the others are in their section."""
MISSING = 6
"""Models and measurements that are missing of which so many are named."""


def next_steps(arms: Sequence[Arm]) -> list[str]:
    """Sentences, the most urgent first."""
    known = [each for arm in arms for each in arm.runs.values()]
    several = len(known) > 1
    found = [step for each in known for step in _mend(each, f" of {each.run.name}" if several else "")]
    for arm in arms:
        found += _tell_more(arm)
    return found


def _mend(each: Known, of: str) -> Iterator[str]:
    """What is wrong with a run, or not there yet."""
    run = each.run
    for place, findings in failed_checks(run).items():
        yield from (f"{titled(*place)}{of} stops the run. {finding.said}" for finding in findings)
    if each.old:
        yield f"Part{of or ' of this run'} is out of date, and its figures may be of what was: {command(run)}"
    missing = [model_id(t) for t in run.iterations if t not in each.trained]
    there = [key for key in run.models if model_id(key) not in missing]
    for asset in run.loop.per("model"):
        missing += [titled(asset, key) for key in there if run.record(asset, key) is None]
    if missing:
        more = f" and {len(missing) - MISSING} more" if len(missing) > MISSING else ""
        yield f"Not there yet{of}: {', '.join(missing[:MISSING])}{more}. {command(run)}"
    warned = [(place, finding) for place, findings in warnings(run).items() for finding in findings]
    for place, finding in warned[:WARNINGS]:
        yield f"{titled(*place)}{of} warns. {finding.said}"
    if len(warned) > WARNINGS:
        yield f"{len(warned) - WARNINGS} more checks{of} warn: see below."


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
