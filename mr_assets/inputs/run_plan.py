"""The plan of a run with what its own files say: tokenizer, templates, ranked replies, and an earlier run or a pilot.

plan_of(run, shape, *gpus_here())
keep_prediction(run)        data/RUN/plan.json, when `mr run` launches it
"""

from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from mr_assets.errors import UserError
from mr_assets.inputs.open_assistant import rankings
from mr_assets.method.ranked_replies import in_parts
from mr_assets.planning import devices
from mr_assets.planning.data_sheets import Card, gpu_of_device
from mr_assets.planning.lengths import Lengths, assumed_lengths, token_counter
from mr_assets.planning.measured import Measured, measured
from mr_assets.planning.plan import Plan, make_plan
from mr_assets.planning.prediction import made_on, prediction_of, write_prediction
from mr_assets.planning.shapes import Shape, model_shape
from mr_assets.runs.data_folder import resolve
from mr_assets.runs.judge_prompts import judge_prompts
from mr_assets.runs.run import Run


class Earlier(NamedTuple):
    """The run that lengths, shares and rates are from, and whether it is a pilot."""

    run: Run
    pilot: bool = False


def gpus_here(count: int | None = None) -> tuple[Card | None, int]:
    """The GPU of this machine, or None, and how many of it to plan for: `count`, or all that there are.

    One without a data sheet is what its driver tells of it. Raises `UserError` for a count of GPUs of no kind.
    """
    if here := devices.devices():
        least = devices.smallest(here)
        known = gpu_of_device(least.name, least.memory)
        return known or Card(least.name, least.name, least.memory / 1e9), count or len(here)
    if count is not None:
        raise UserError("--count is of the GPUs that --gpu names, and this machine has none. Give both, or neither.")
    return None, 1


def plan_of(
    run: Run, shape: Shape, gpu: Card | None, count: int, earlier: Earlier | None = None, *, measured_here: bool = False
) -> Plan:
    """`make_plan`, by what was measured in an earlier run, else by assumed lengths."""
    lengths = lengths_assumed_of(run)
    found = _measured(run, shape, earlier, lengths) if earlier else None
    planned, replies = found.lengths if found else lengths, _ranked_replies(run)
    of = (run.name, run.recipe, shape, planned, run.data, gpu, count, found, replies)
    return make_plan(*of, measured_here=measured_here)


def _measured(run: Run, shape: Shape, earlier: Earlier, assumed: Lengths) -> Measured:
    """What an earlier run measured, and on what; its rates if its model has the shape that is planned with.

    The model of a pilot is the run's own, or comes of it, and its machine is this one.
    """
    found = measured(earlier.run, assumed, pilot=earlier.pilot)
    here, _ = gpus_here()
    on = here.name if earlier.pilot and here else made_on(earlier.run)
    unlike = other_model(run if earlier.pilot else earlier.run, run, shape)
    return replace(found, on=on, unlike=unlike, rates={} if unlike else found.rates)


def other_model(earlier: Run, run: Run, shape: Shape) -> str:
    """In what the model of an earlier run is not the one that is planned with, in words; "" if their shapes agree."""
    seed = earlier.recipe.model.seed
    try:
        its, _ = model_shape(seed, resolve(seed, earlier.data))
    except UserError:
        return "" if seed == run.recipe.model.seed else "nothing says the shape of its model"
    if replace(its, name=shape.name) == shape:
        return ""
    return f"its model has another shape, with {its.weights:,} weights and not {shape.weights:,}"


def not_comparable(stored: Run, plan: Plan) -> str:
    """Why what a run took is not to be held against the hours of a plan of it, in words; "" if it is, or has none."""
    if plan.hours is None:
        return ""
    planned = plan.gpu.name if plan.gpu else plan.measured.on if plan.measured else None
    on = made_on(stored)
    if on and planned and on != planned:
        return f"it was made on {on}, and planned for is {planned}"
    return other_model(stored, stored, plan.shape)


def lengths_assumed_of(run: Run) -> Lengths:
    """The lengths that a plan of the run assumes; of templates they are counted."""
    recipe = run.recipe
    tokens = token_counter(resolve(recipe.model.seed, run.data))
    return assumed_lengths(recipe, *judge_prompts(recipe, run.data), tokens)


def keep_prediction(run: Run) -> None:
    """Keep with a run that is launched what a plan of it for this machine predicts, if its model has a known shape."""
    with suppress(UserError):
        shape, _ = model_shape(run.recipe.model.seed, resolve(run.recipe.model.seed, run.data))
        write_prediction(run, prediction_of(plan_of(run, shape, *gpus_here())))


def _ranked_replies(run: Run) -> int | None:
    """The ranked replies to train on of a recipe that names a file of them; None if it cannot be read here."""
    if run.recipe.eft.rankings is None:
        return None
    with suppress(UserError):  # a plan needs no data
        return in_parts(rankings(run.recipe, run.data).rows)[0].height
    return None
