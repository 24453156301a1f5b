"""labelled_pairs: how each model judges pairs of which it is known which response is better, per model."""

from mr_assets.inputs.labelled_pairs import labelled_pairs as given_pairs
from mr_assets.method import labelled_pairs as method
from mr_assets.recipes.recipe import MetaJudgments
from mr_assets.templates import pairwise_template
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.judged import scores_of, winners_of
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.models import model_of
from mr_assets.wiring.sampling import encoder


@loop_asset(kinds={"vllm", "parquet"})
def labelled_pairs(work: Materialization) -> Result:
    """Accuracy of the judge on labelled pairs: by mean scores and, if asked, by a pairwise prompt in both orders."""
    work.policy, section = model_of(work), work.recipe.labelled_pairs
    assert section is not None
    pairs, encode = given_pairs(work.recipe, work.run.data), encoder(work)

    scores = scores_of(work, encode, method.answers(pairs), n=section.n or work.recipe.judgments.n)
    winners = None
    if section.pairwise:
        shown, asks = method.in_both_orders(pairs), _pairwise(work.recipe.meta_judgments)
        winners = winners_of(work, encode, pairwise_template(), shown, asks, role="pairwise")
    judged = method.labelled_pairs(pairs, scores, winners)

    return work.table(judged, method.labelled_pair_numbers(judged))


def _pairwise(section: MetaJudgments) -> MetaJudgments:
    """How the pairwise prompt is sampled, and how it asks for the winner."""
    said = method.PAIRWISE_VERDICTS
    names = {"winner_words": said.words, "first_name": said.first, "second_name": said.second}
    return section.model_copy(update=names)
