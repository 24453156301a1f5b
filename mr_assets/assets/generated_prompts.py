"""generated_prompts: prompts that a model makes, shown eight example tasks at a time (section 3.1)."""

import polars as pl

from mr_assets.inputs.generator import generator, limits, read_examples, rendering
from mr_assets.method import generated_prompts as method
from mr_assets.method.ranked_replies import held_out_prompts
from mr_assets.sampling.endpoint import Endpoint, as_bytes
from mr_assets.sampling.engine import Request
from mr_assets.templates import generate_template
from mr_assets.wiring.declare import loop_asset
from mr_assets.wiring.materialization import Materialization, Result
from mr_assets.wiring.sampling import Samples, encoder, sample, sample_by
from mr_assets.worlds.letters import has_held_out


@loop_asset(kinds={"vllm", "parquet"})
def generated_prompts(work: Materialization, ranked_replies: pl.LazyFrame | None = None) -> Result:
    """Tasks by a local model or an endpoint, asked for in rounds until as many distinct ones are there as wanted."""
    recipe, section = work.recipe, work.recipe.generation
    selection = _selection(work, ranked_replies)

    for asked in selection.to_come(section.rounds, section.shots, recipe.seed):
        work.context.log.info(
            f"Round {selection.rounds} of at most {section.rounds}: {len(selection.rows):,} of {selection.wanted:,} "
            f"prompts are there, {len(asked):,} requests"
        )
        samples = _sampled(work, asked)
        selection.take_round(asked, samples.completions, samples.dropped)

    return work.table(selection.selected(), selection.numbers())


def _selection(work: Materialization, ranked_replies: pl.LazyFrame | None) -> method.Selection:
    """No prompt yet, and what prompts must be like and unlike."""
    recipe, section = work.recipe, work.recipe.generation
    assert recipe.prompts.count is not None
    held_out = [] if ranked_replies is None else held_out_prompts(ranked_replies.collect())
    examples = read_examples(recipe, work.run.data)
    selection = method.Selection(recipe.prompts.count, limits(section), examples, held_out)
    if recipe.world is not None:
        selection.is_held_out = has_held_out
    return selection


def _sampled(work: Materialization, requests: list[method.Asked]) -> Samples:
    """A round's answers, by the generator that the recipe names."""
    recipe, section, template = work.recipe, work.recipe.generation, generate_template()
    if recipe.prompts.by_endpoint:
        assert recipe.prompts.generator is not None and section.model is not None
        endpoint = Endpoint(
            recipe.prompts.generator, section.model, section.key_variable, concurrency=section.concurrency
        )
        texts = (Request(each.id, as_bytes(template.fill(each.values))) for each in requests)
        try:
            return sample_by(work, endpoint, texts, len(requests), section, n=1)
        finally:
            endpoint.close()
    work.policy = generator(recipe, work.run.data, work.settings)
    encode = encoder(work, rendering(recipe))
    ids = (Request(each.id, encode.template_ids(template, each.values)) for each in requests)
    return sample(work, encode, ids, len(requests), section, n=1)
