"""The first paragraph of a report, by rules: nothing is called better or worse that may be noise.

From the seed model to M4, better by more than noise: true score 2.41 to 4.10 (+1.69, standard error 0.11). No
different as far as can be told: judge exact 0.55 to 0.56 (+0.01, standard error 0.03).
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from mr_assets.report.changes import Change, Difference, Verdict, more_is_better
from mr_assets.runs.estimates import number
from mr_assets.words import judge_in_words, worded

SAID: dict[Verdict, str] = {
    "better": "Better by more than noise",
    "worse": "Worse by more than noise",
    "moved": "Changed by more than noise, in itself neither better nor worse",
    "unclear": "No different as far as can be told",
    "unknown": "Changed, but nothing tells by how much it may be off",
}
"""How the changes of each verdict are introduced, in the order in which they are told."""
NAMED: dict[Verdict, int] = {"better": 6, "worse": 6, "moved": 3, "unclear": 3, "unknown": 3}
"""Changes of a verdict that are told one by one."""


def compared(subject: str, changes: Sequence[Change]) -> str:
    """What changed, in sentences: "" of no change. subject: "From the seed model to M4".

    A figure of which neither noise nor direction is known, such as a count, is left out.
    """
    known = [each for each in changes if each.verdict != "unknown" or more_is_better(each.key.name)]
    names = Counter((each.key.name, each.key.judge) for each in known)
    told = []
    for verdict, introduction in SAID.items():
        those = [
            _told(each, alone=names[each.key.name, each.key.judge] == 1) for each in known if each.verdict == verdict
        ]
        if those:
            more = f" and {len(those) - most} more" if len(those) > (most := NAMED[verdict]) else ""
            told.append(f"{introduction}: {'; '.join(those[:most])}{more}.")
    if known and all(each.verdict == "unclear" for each in known):
        told.insert(0, "Nothing changed by more than its noise.")
    return f"{subject}. {' '.join(told)}" if told else ""


def _told(change: Change, *, alone: bool) -> str:
    """A change in words. alone: whether no other source has a figure of that name."""
    source = "" if alone else f" of {worded(change.key.source)}"
    judge = f" by {judge_in_words(change.key.judge)}" if change.key.judge else ""
    return (
        f"{worded(change.key.name)}{source}{judge} {number(change.before)} to {number(change.after)} "
        f"({with_error(change.difference)})"
    )


def with_error(difference: Difference) -> str:
    """ "+1.69, standard error 0.11"; of several seeds how many."""
    said = number(difference.value, "+", difference.error or 0.0)
    if difference.error is not None:
        said += f", standard error {number(difference.error, beside=difference.value)}"
    return said + (f" over {difference.count} seeds" if difference.over == "seeds" and difference.count > 1 else "")


WITHOUT_TRUTH = (
    "with a score",
    "with a winner",
    "reliability",
    "mean score",
    "characters",
    "first position wins",
    "prompts with an actor pair",
)
"""Figures of the iterations that are told where nothing measures the models themselves."""


def without_truth(first: Mapping[str, str], last: Mapping[str, str], iterations: tuple[str, str]) -> str:
    """What the records say of a run of whose models nothing is measured. first, last: the figures as they are written.

    It tells no improvement: the judge that scored is the model that was trained.
    """
    known = [name for name in WITHOUT_TRUTH if first.get(name, "-") != "-" or last.get(name, "-") != "-"]
    if not known:
        return "Nothing is known of this run yet."
    a, b = iterations
    both = [name for name in known if "-" not in (first.get(name, "-"), last.get(name, "-"))]
    if a == b or not both:
        told = [f"{name} {last.get(name, '-')}" for name in known]
        head = f"In iteration {b}"
    else:
        told = [f"{name} {first[name]} to {last[name]}" for name in both]
        head = f"From iteration {a} to {b}"
    return (
        f"{head}: {'; '.join(told)}. These are the run's own figures, by the judge that it trains: none of them says "
        "whether a model got better."
    )
