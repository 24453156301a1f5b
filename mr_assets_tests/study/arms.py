"""The arms of the study, and the comparisons: each pair of arms differs in one thing.

    ARMS["self_rho_04"]    small_world_meta_rewarding --set judge_training=false --set rho=0.4

Seeds pair the arms: with the same seed two arms share seed prompts, EFT data and M0, bit for bit on one kind of CPU.
"""

from dataclasses import dataclass
from typing import NamedTuple

from mr_assets.recipes.load import load_recipe
from mr_assets.recipes.recipe import Recipe

SEEDS = (201, 202, 203, 204, 205)
"""No setting was tuned on any of them, and none was run before the study (docs/experiments.md has 0 to 5 and 101)."""
ONE_THREAD = ("dpo.cpu_threads=1", "sft.cpu_threads=1")
"""So that other work on the machine does not slow the trainers down twentyfold. It changes no bit."""
ONE_EVALUATION = ("held_out=null", "human_agreement=null", "labelled_pairs=null", "probe=null")
"""The small world's truth is all that is looked at; other evaluations would take their time for each of 300 models."""
JUDGE_AS_IT_IS = "judge_training=false"
LAST = 4
"""The last iteration: arms that depart from another one there alone share the iterations before it."""


@dataclass(frozen=True)
class Arm:
    """A recipe with what is set otherwise, which is run once for each seed.

    words: in the tables. sets: as `mr run --set` has them. shares: an arm that differs in the last iteration alone.
    begins_as: an arm with the same M0, of which what is alike until iteration 1 is taken. minutes: until results say.
    """

    name: str
    words: str
    recipe: str = "small_world_meta_rewarding"
    sets: tuple[str, ...] = ()
    shares: str | None = None
    begins_as: str | None = "meta"
    minutes: float = 6

    def sets_of(self, seed: int) -> tuple[str, ...]:
        """All that is set for one seed."""
        return (f"seed={seed}", *ONE_THREAD, *ONE_EVALUATION, *self.sets)

    def loaded(self, seed: int) -> Recipe:
        """The recipe of one seed."""
        return load_recipe(self.recipe, self.sets_of(seed))


class Comparison(NamedTuple):
    """Two arms by name, left minus right, and the one thing in which they differ."""

    left: str
    right: str
    differ: str


NOISE = "small_world_noise_meta_rewarding"
TRAINING = "judge training"
"""In what two arms differ of which one trains the judge."""
ARMS = {
    arm.name: arm
    for arm in (
        Arm("meta", "Meta-Rewarding", begins_as=None, minutes=8),
        Arm("self", "Self-Rewarding", sets=(JUDGE_AS_IT_IS,), minutes=5),
        Arm("shuffled", "shuffled judge pairs", sets=("switches.judge_pairs=shuffled",)),
        Arm("meta_rho_04", "Meta-Rewarding, rho 0.4", sets=("rho=0.4",)),
        Arm("self_rho_04", "Self-Rewarding, rho 0.4", sets=(JUDGE_AS_IT_IS, "rho=0.4"), minutes=5),
        Arm("noise_meta", "control: Meta-Rewarding", NOISE, begins_as=None, minutes=8),
        Arm("noise_self", "control: Self-Rewarding", NOISE, sets=(JUDGE_AS_IT_IS,), begins_as="noise_meta", minutes=5),
        Arm("meta_lc", "Meta-Rewarding + LC", sets=("iterations.4.rho=0.1",), shares="meta", minutes=1.5),
        Arm(
            "self_lc",
            "Self-Rewarding + LC",
            sets=(JUDGE_AS_IT_IS, "iterations.4.rho=0.1"),
            shares="self",
            minutes=1.5,
        ),
        Arm("filters", "Meta-Rewarding, length control as the paper's", "small_world_meta_rewarding_length_control"),
    )
}
COMPARISONS = (
    Comparison("meta", "self", TRAINING),
    Comparison("meta", "shuffled", "which judgment of a judge pair is chosen"),
    Comparison("shuffled", "self", "as many training steps on judge pairs that prefer nothing"),
    Comparison("meta_rho_04", "self_rho_04", TRAINING),
    Comparison("meta_lc", "self_lc", TRAINING),
    Comparison("meta_rho_04", "meta", "rho"),
    Comparison("self_rho_04", "self", "rho"),
    Comparison("filters", "meta", "rho and both length filters, row by row as in the paper"),
    Comparison("noise_meta", "noise_self", TRAINING),
)


class Claim(NamedTuple):
    """What could be said of a figure of `left` at its last model: that it is higher (sign 1) or lower (-1).

    right: than in which arm; None: than at the M0 of the same one.
    """

    words: str
    left: str
    right: str | None
    figure: str
    sign: int = 1


CLAIMS = (
    Claim("The actor of Meta-Rewarding gets better", "meta", None, "true_score"),
    Claim("Its judge gets more exact", "meta", None, "judge_exact"),
    Claim("Without judge training the judge gets more exact, too", "self", None, "judge_exact"),
    Claim("Judge training makes the judge more exact", "meta", "self", "judge_exact"),
    Claim("Judge training makes the actor better, rho 0", "meta", "self", "true_score"),
    Claim("Judge training makes the actor better, rho 0.4", "meta_rho_04", "self_rho_04", "true_score"),
    Claim("Judge training makes the actor better, the baseline's length control", "meta_lc", "self_lc", "true_score"),
    Claim("The preference makes the judge more exact, not the steps", "meta", "shuffled", "judge_exact"),
    Claim("The preference makes the actor better, not the steps", "meta", "shuffled", "true_score"),
    Claim("Without judge training, rho 0.4 makes the actor better", "self_rho_04", "self", "true_score"),
    Claim("With judge training, rho 0.4 makes the actor better", "meta_rho_04", "meta", "true_score"),
    Claim("The paper's length control makes answers shorter", "filters", "meta", "characters", -1),
    Claim(
        "Judge training makes the actor better where the judge has no bias",
        "noise_meta",
        "noise_self",
        "true_score",
    ),
    Claim(
        "Judge training costs exactness where the judge has no bias",
        "noise_meta",
        "noise_self",
        "judge_exact",
        -1,
    ),
)
