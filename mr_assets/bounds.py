"""The bounds of the guardrails: where a number of the run is worth a warning, and where it stops the run.

`mr_assets.method.guardrails` measures and holds against them; a recipe has them in its section ``guardrails``.
"""

from pydantic import Field

from mr_assets.section import Count, Section


class Bounds(Section):
    """Where a number of the run begins to be worth a warning, and where training on such data would do harm."""

    warn: float | None = Field(description="beyond it the asset's check warns; null never warns")
    stop: float | None = Field(description="beyond it the check fails and training stops; null never stops")


class Guardrails(Section):
    """When a run is warned, and when it is stopped before it harms itself. Nothing of what is made depends on these.

    Names with at_least have lower bounds, the others upper ones.
    """

    min_count: Count = Field(
        default=20, description="a share or a mean of fewer rows says nothing: the check passes and says so"
    )
    judgment_parse_rate_at_least: Bounds = Field(
        default=Bounds(warn=0.9, stop=0.5), description="share of judgments that give a score"
    )
    meta_judgment_parse_rate_at_least: Bounds = Field(
        default=Bounds(warn=0.9, stop=0.5), description="share of meta-judgments that name a winner"
    )
    cut_off_share: Bounds = Field(
        default=Bounds(warn=0.1, stop=0.5),
        description="share of responses, of judgments and of meta-judgments that were cut off at max_tokens",
    )
    score_entropy_at_least: Bounds = Field(
        default=Bounds(warn=0.5, stop=0.1), description="entropy of the scores of all judgments, bits"
    )
    top_score_share: Bounds = Field(
        default=Bounds(warn=0.9, stop=0.98), description="share of scores that are the highest possible one"
    )
    score_reliability_at_least: Bounds = Field(
        default=Bounds(warn=0.7, stop=0.2),
        description="reliability of a response's mean score among the responses of a prompt: 1 is exact, 0 is noise",
    )
    probe_top_share: Bounds = Field(
        default=Bounds(warn=0.9, stop=None),
        description="of scores on the fixed probe: the share that is the highest possible one",
    )
    probe_entropy_at_least: Bounds = Field(
        default=Bounds(warn=0.5, stop=None), description="of scores on the fixed probe: their entropy, bits"
    )
    probe_shift: Bounds = Field(
        default=Bounds(warn=0.1, stop=None),
        description="of mean scores on the fixed probe: how far they moved from the model before, share of the scale",
    )
    probe_tau_at_least: Bounds = Field(
        default=Bounds(warn=None, stop=None),
        description="of the ranks on the fixed probe: Kendall's tau-b with those of the model before; a judge that "
        "gets better lowers it, too",
    )
    position_bias: Bounds = Field(
        default=Bounds(warn=0.6, stop=0.95),
        description="share of decisive battles won by the position that wins more; 0.5 is fair (Table 5: up to 0.68)",
    )
    score_bias: Bounds = Field(
        default=Bounds(warn=0.75, stop=None),
        description="share of decisive battles won by the higher score (Table 5: 0.63, then 0.98)",
    )
    actor_pair_yield_at_least: Bounds = Field(
        default=Bounds(warn=0.5, stop=0.05), description="share of prompts that give an actor pair"
    )
    judge_pair_yield_at_least: Bounds = Field(
        default=Bounds(warn=0.5, stop=None), description="share of battle matrices that give a judge pair"
    )
    length_growth: Bounds = Field(
        default=Bounds(warn=1.25, stop=2.0),
        description="mean characters of a response, as a multiple of the iteration before",
    )
    chosen_length: Bounds = Field(
        default=Bounds(warn=1.25, stop=None),
        description="mean characters of a chosen completion, as a multiple of a rejected one's",
    )
    identical_pairs: Bounds = Field(
        default=Bounds(warn=0.0, stop=0.0), description="share of pairs whose chosen and rejected texts are equal"
    )
    contradictory_pairs: Bounds = Field(
        default=Bounds(warn=0.0, stop=0.01),
        description="share of pairs that another pair of the same prompt turns round",
    )
    duplicate_ids: Bounds = Field(
        default=Bounds(warn=0.0, stop=0.0), description="share of rows whose id another row has too"
    )
    orphan_ids: Bounds = Field(
        default=Bounds(warn=0.0, stop=0.0), description="share of rows that name an id which its table does not have"
    )
