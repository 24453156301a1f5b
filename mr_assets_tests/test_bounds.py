"""The bounds of the guardrails: those of a recipe that says nothing, and what one may say of them."""

import pytest
from pydantic import ValidationError

from mr_assets.bounds import Bounds, Guardrails

BOUNDS = {name: bound for name, bound in Guardrails() if isinstance(bound, Bounds)}


@pytest.mark.parametrize("name", BOUNDS)
def test_what_stops_a_run_is_not_met_before_what_warns_of_it(name: str) -> None:
    """Lower bounds, which at_least says, are met from above; the others from below."""
    warn, stop = BOUNDS[name].warn, BOUNDS[name].stop
    if warn is None or stop is None:
        assert stop is None, "what stops, but never warns"
    else:
        assert stop <= warn if name.endswith("_at_least") else stop >= warn


def test_these_never_stop_a_run() -> None:
    """Who gives one of them a stop decides that a training on such data would do harm."""
    assert [name for name, bound in BOUNDS.items() if bound.stop is None] == [
        *("probe_top_share", "probe_entropy_at_least", "probe_shift", "probe_tau_at_least"),
        *("score_bias", "judge_pair_yield_at_least", "chosen_length"),
    ]


def test_a_bound_says_both_of_its_ends() -> None:
    """Half of one is refused: who leaves stop out might mean never, or what it was. Null is said."""
    with pytest.raises(ValidationError, match="stop\n  Field required"):
        Bounds(warn=0.5)  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="warn\n  Field required"):
        Bounds(stop=0.5)  # type: ignore[call-arg]
    assert Bounds(warn=None, stop=None).model_dump() == {"warn": None, "stop": None}


def test_one_of_them_changes_no_other() -> None:
    changed = Guardrails(position_bias=Bounds(warn=0.7, stop=None), min_count=1)
    differing = {name for name, bound in changed if getattr(Guardrails(), name) != bound}
    assert differing == {"position_bias", "min_count"}


def test_no_share_is_of_no_rows() -> None:
    with pytest.raises(ValidationError, match="min_count\n  Input should be greater than or equal to 1"):
        Guardrails(min_count=0)
