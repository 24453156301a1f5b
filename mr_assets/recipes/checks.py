"""What must hold between the fields of a recipe that are each fine by themselves, and what is only worth a warning.

A check takes a recipe and yields sentences of the form ``path = value: reason``. It may be given a recipe of which
only some fields are there (see `partial`): it then stops at the first that is not, as that one is reported already.
Of a whole recipe every field is there: a check that asks for another one is a mistake, and raises.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from mr_assets.errors import shown
from mr_assets.judging import ONLY_JUDGMENTS, PAPERS
from mr_assets.recipes.recipe import EFT, GENERATED, OPEN_ASSISTANT, RANKINGS, REWARD_MODEL, WORLD, Recipe
from mr_assets.training.settings import batch_problem, epoch_problem
from mr_assets.worlds.letters import MOST_HELD_OUT, MOST_PROMPTS


class NotGiven(AttributeError):
    """A field that a partial recipe does not have."""


class Partial(SimpleNamespace):
    """Those fields of a section that are given and right."""

    def __getattr__(self, name: str) -> Any:
        raise NotGiven(name)


def contradictions(recipe: Any) -> list[str]:
    """Every problem between fields of a recipe, or of what `partial` left of one."""
    found: list[str] = []
    for check in CHECKS:
        with suppress(NotGiven):
            found.extend(check(recipe))
    return found


def partial(raw: Mapping[str, Any], bad: Sequence[tuple[int | str, ...]]) -> Any:
    """A raw recipe with attribute access and without the fields at the locations `bad`."""
    return _without(raw, bad)


def _without(value: Any, bad: Sequence[tuple[int | str, ...]]) -> Any:
    def inner(key: Any, item: Any) -> Any:
        return _without(item, [loc[1:] for loc in bad if loc[:1] == (key,)])

    if isinstance(value, Mapping):
        return Partial(**{str(k): inner(k, v) for k, v in value.items() if (k,) not in bad})
    if isinstance(value, list | tuple):
        return [inner(i, v) if (i,) not in bad else Partial() for i, v in enumerate(value)]
    return value


def _given(section: Any, name: str, default: Any) -> Any:
    """A field of a section; `default` where a partial one does not have it."""
    return getattr(section, name, default) if isinstance(section, Partial) else getattr(section, name)


def _some_iterations(recipe: Any) -> Iterator[str]:
    if not recipe.iterations:
        yield "iterations = []: should have at least one row"


def _epochs(recipe: Any) -> Iterator[str]:
    if (sft := recipe.sft) and (reason := epoch_problem(sft.keep_epoch, sft.schedule_epochs, "sft.schedule_epochs")):
        yield f"sft.keep_epoch = {sft.keep_epoch}: {reason}"


def _row_epochs(recipe: Any) -> Iterator[str]:
    for t, row in enumerate(recipe.iterations, start=1):
        with suppress(NotGiven):
            if reason := epoch_problem(row.keep_epoch, recipe.dpo.schedule_epochs, "dpo.schedule_epochs"):
                yield f"iterations.{t}.keep_epoch = {row.keep_epoch}: {reason}"


def _batches(name: str) -> Callable[[Any], Iterator[str]]:
    def check(recipe: Any) -> Iterator[str]:
        section = getattr(recipe, name)
        processes = _given(section, "num_processes", 1) if section else 1
        if section and (reason := batch_problem(section.batch_size, section.micro_batch_size, processes)):
            yield f"{name}.batch_size = {section.batch_size}: {reason}"

    return check


def _judges(recipe: Any) -> bool:
    return any(_given(row, "judge_training", False) for row in recipe.iterations)


def _enough_judgments(recipe: Any) -> Iterator[str]:
    if _judges(recipe) and recipe.judgments.n < 2:
        yield f"judgments.n = {recipe.judgments.n}: judge training compares judgments of one response; take 2 or more"


def _judge_writes(recipe: Any) -> Iterator[str]:
    for t, row in enumerate(recipe.iterations, start=1):
        if _given(row, "judge_training", False) and _given(recipe, "reward_model", None):
            yield (
                f"iterations.{t}.judge_training = true: the reward model writes no judgments that could be compared; "
                "set it to false, or reward_model to null"
            )


GREEDY_BELOW = 1e-5  # vLLM takes the likeliest token from here on, as at 0
LIKELIEST_ALONE = 1e-6  # a top_p that no vocabulary of up to a million tokens has a second token for


def _greedy(sampling: Any) -> bool:
    return bool(sampling.temperature < GREEDY_BELOW or sampling.top_p < LIKELIEST_ALONE)


def _different_scores(recipe: Any) -> Iterator[str]:
    for name in ("human_agreement", "labelled_pairs"):
        n = _given(section, "n", None) if (section := getattr(recipe, name)) else None
        if n is not None and n > 1 and _greedy(recipe.judgments):
            yield (
                f"{name}.n = {n}: judgments.temperature is {recipe.judgments.temperature:g}, so all judgments of a "
                f"response would be the same; set {name}.n to 1, or raise the temperature"
            )


def _different_samples(recipe: Any) -> Iterator[str]:
    if not recipe.evaluation or recipe.evaluation.samples < 2:
        return
    for name in ("responses", "judgments"):
        if _greedy(getattr(recipe, name)):
            yield (
                f"evaluation.samples = {recipe.evaluation.samples}: {name}.temperature is 0, so all samples of a "
                "question would be the same; set evaluation.samples to 1, or raise the temperature"
            )


def _different_judgments(recipe: Any) -> Iterator[str]:
    if not _greedy(recipe.judgments):
        return
    same = (
        f"judgments.temperature = {recipe.judgments.temperature:g}: the judgments of a response would all be the same"
    )
    if _judges(recipe):
        yield f"{same}: no judge pairs; raise it"
    elif recipe.judgments.n > 1:
        yield f"{same}, at {recipe.judgments.n} times the cost of one; raise it, or set judgments.n to 1"


def _different_responses(recipe: Any) -> Iterator[str]:
    if _greedy(recipe.responses):
        same = f"responses.temperature = {recipe.responses.temperature:g}"
        yield f"{same}: the responses to a prompt would all be the same: no pairs; raise it"


def _enough_prompts(recipe: Any) -> Iterator[str]:
    counts = [row.prompts for row in recipe.iterations] or [0]
    disjoint, count = recipe.prompts.disjoint, recipe.prompts.count
    needed = sum(counts) if disjoint else max(counts)
    if count is not None and needed > count:
        how = " + ".join(map(str, counts)) + " = " if disjoint and len(counts) > 1 else ""
        yield (
            f"prompts.count = {count}: the iterations need {how}{needed}; raise it, lower iterations.all.prompts"
            + (", or set prompts.disjoint to false" if disjoint else "")
        )


def _made_counts(recipe: Any) -> Iterator[str]:
    makers = {"world": "the world makes", GENERATED: "the generator makes"}
    if recipe.prompts.source in makers and recipe.prompts.count is None:
        maker = makers[recipe.prompts.source]
        yield f"prompts.count = null: {maker} as many prompts as it is asked for; give a number"


def _generator(recipe: Any) -> Iterator[str]:
    if recipe.prompts.source != GENERATED:
        return
    generator, model = recipe.prompts.generator, recipe.generation.model
    if recipe.prompts.by_endpoint:
        if model is None:
            yield f"generation.model = null: the endpoint {generator} has models by name; name one"
        if "?" in generator or "@" in generator.partition("://")[2].partition("/")[0]:
            yield "prompts.generator: the address holds a key, which records would show; put it into the environment"
    elif model is not None:
        yield f'generation.model = "{model}": prompts.generator is no endpoint\'s address; set it to null'


def _generated_chars(recipe: Any) -> Iterator[str]:
    if recipe.generation.min_chars > recipe.generation.max_chars:
        most = recipe.generation.max_chars
        yield f"generation.min_chars = {recipe.generation.min_chars}: is above generation.max_chars = {most}; lower it"


def _generated_context(recipe: Any) -> Iterator[str]:
    if recipe.prompts.source == GENERATED and not recipe.prompts.by_endpoint:
        yield from _context("generation")(recipe)


def _world_examples(recipe: Any) -> Iterator[str]:
    if recipe.sft and recipe.eft.source == "world" and recipe.eft.examples is None:
        yield "eft.examples = null: the world makes as many examples as it is asked for; give a number"


def _world_size(recipe: Any) -> Iterator[str]:
    counts = {"prompts.count": recipe.prompts.count if recipe.prompts.source == "world" else None}
    if evaluation := _given(recipe, "evaluation", None):
        counts["evaluation.prompts"] = _given(evaluation, "prompts", None)
    for (field, count), most in zip(counts.items(), (MOST_PROMPTS, MOST_HELD_OUT), strict=False):
        if count is not None and count > most:
            yield f"{field} = {count}: the world makes at most {most:,} different ones; lower it"


def _world_sources(recipe: Any) -> Iterator[str]:
    if recipe.world is not None:
        return
    for name in ("prompts", "eft") if _given(recipe, "sft", None) else ("prompts",):
        with suppress(NotGiven):
            if getattr(recipe, name).source == "world":
                yield f'{name}.source = "world": world is null; name a file, or describe the world'


def _sft_data(recipe: Any) -> Iterator[str]:
    eft = _given(recipe, "eft", None)
    if recipe.sft and (eft is None or eft.source is None):
        yield "eft.source = null: sft trains on it; name a file, or set sft to null (then M0 is the seed model)"


def _evaluation_world(recipe: Any) -> Iterator[str]:
    if recipe.evaluation and recipe.world is None:
        yield "evaluation: it measures against a world's truth, and world is null; set evaluation to null"


def _held_out(recipe: Any) -> Iterator[str]:
    if (section := recipe.held_out) is None:
        return
    source = _given(section, "source", None)
    if source == RANKINGS and recipe.eft.rankings is None:
        yield f'held_out.source = "{RANKINGS}": eft.source is not {OPEN_ASSISTANT}FILE; name a file of prompts'
    elif source == RANKINGS and recipe.eft.held_out == 0:
        yield f'held_out.source = "{RANKINGS}": eft.held_out is 0, so that none is held out; raise it'
    elif source == "world" and recipe.world is None:
        yield 'held_out.source = "world": world is null; name a file of prompts'
    elif source == "world":
        yield from _made_by_world("held_out.prompts", _given(section, "prompts", None))
    if _given(section, "per_prompt", 1) > 1 and _greedy(recipe.responses):
        temperature = f"responses.temperature is {recipe.responses.temperature:g}"
        yield (
            f"held_out.per_prompt = {section.per_prompt}: {temperature}, so all responses to a prompt would be the "
            "same; set held_out.per_prompt to 1, or raise the temperature"
        )


def _human_agreement(recipe: Any) -> Iterator[str]:
    if (section := recipe.human_agreement) is None:
        return
    if recipe.eft.rankings is not None:
        if recipe.eft.held_out == 0:
            yield "human_agreement: it measures on the replies that are held out, and eft.held_out is 0; raise it"
    elif recipe.world is None:
        yield (
            "human_agreement: it needs people's ranks, or a world's truth; set eft.source to "
            f"{OPEN_ASSISTANT}FILE, or human_agreement to null"
        )
    else:
        yield from _made_by_world("human_agreement.prompts", _given(section, "prompts", None))


def _labelled_pairs(recipe: Any) -> Iterator[str]:
    section = recipe.labelled_pairs
    if section is None or section.source != "world":
        return
    if recipe.world is None:
        yield 'labelled_pairs.source = "world": world is null; name a file'
    else:
        yield from _made_by_world("labelled_pairs.pairs", _given(section, "pairs", None))


def _probe(recipe: Any) -> Iterator[str]:
    if recipe.probe is None:
        return
    if recipe.held_out is None:
        yield "probe: it judges the seed model's responses to held-out prompts; describe them in held_out"
    elif _given(recipe.held_out, "per_prompt", 1) < 2:
        yield "held_out.per_prompt = 1: the probe ranks the responses of a prompt; take 2 or more"


def _win_rates(recipe: Any) -> Iterator[str]:
    if (section := recipe.win_rates) is None:
        return
    judge, n = _given(section, "judge", None), _given(section, "n", None)
    if recipe.held_out is None:
        yield "win_rates: they compare responses to held-out prompts, and held_out is null; describe these"
    if judge == WORLD and recipe.world is None:
        yield f'win_rates.judge = "{WORLD}": world is null; name another judge'
    if judge == REWARD_MODEL:
        yield f'win_rates.judge = "{REWARD_MODEL}": names no folder; write {REWARD_MODEL}FOLDER'
    if n is not None and n > 1 and _greedy(recipe.judgments):
        yield (
            f"win_rates.n = {n}: judgments.temperature is {recipe.judgments.temperature:g}, so the judgments of a "
            "response would all be the same; set win_rates.n to 1"
        )


def _made_by_world(field: str, count: int | None) -> Iterator[str]:
    if count is None:
        yield f"{field} = null: the world makes as many as it is asked for; give a number"
    elif count > MOST_HELD_OUT:
        yield f"{field} = {count}: the world makes at most {MOST_HELD_OUT:,} different ones; lower it"


def _of_papers(recipe: Any, path: str) -> Any:
    """A field of `PAPERS`; the paper's where a partial recipe leaves it out."""
    section, name = path.split(".")
    return _given(getattr(recipe, section), name, PAPERS[path])


def _scale(recipe: Any) -> Iterator[str]:
    lowest, highest = (_of_papers(recipe, f"judgments.{end}_score") for end in ("lowest", "highest"))
    if lowest >= highest:
        yield f"judgments.highest_score = {highest:g}: should be above judgments.lowest_score = {lowest:g}"


def _names(recipe: Any) -> Iterator[str]:
    first, second = (_of_papers(recipe, f"meta_judgments.{side}_name") for side in ("first", "second"))
    if first.casefold() == second.casefold():
        yield f"meta_judgments.second_name = {shown(second)}: should differ from first_name in more than capitals"


def _worlds_judge(recipe: Any) -> Iterator[str]:
    """A world is a world of the paper's judge: its truth is from 0 to 5, and its EFT data and seed models say so."""
    if recipe.world is None:
        return
    for path, papers in PAPERS.items():
        if (value := _of_papers(recipe, path)) != papers:
            yield f"{path} = {shown(value)}: the world has the paper's, {shown(papers)}; leave it out, or world: null"


def _eft_shares(recipe: Any) -> Iterator[str]:
    meta, instructions = (_given(recipe.eft, f"{kind}_share", 0.0) for kind in ("meta_judgment", "instruction"))
    if meta + instructions >= 1:
        yield (
            f"eft.meta_judgment_share = {meta:g}: with eft.instruction_share = {instructions:g} nothing is left for "
            "judgments; lower one of them"
        )


def _eft_file(recipe: Any) -> Iterator[str]:
    if recipe.eft.source == OPEN_ASSISTANT:
        yield f'eft.source = "{OPEN_ASSISTANT}": names no file; write {OPEN_ASSISTANT}FILE'


def _context(name: str) -> Callable[[Any], Iterator[str]]:
    def check(recipe: Any) -> Iterator[str]:
        tokens, context = getattr(recipe, name).max_tokens, recipe.engine.max_model_len
        if tokens >= context:
            yield f"{name}.max_tokens = {tokens}: leaves no room for a prompt in engine.max_model_len = {context}"

    return check


def _replicas(recipe: Any) -> Iterator[str]:
    replicas = _given(recipe.engine, "replicas", 1)
    if replicas > 1 and _given(recipe.engine, "own_process", None) is False:
        yield f"engine.own_process = false: {replicas} replicas are in processes of their own; set it to null"


def _guardrails(recipe: Any) -> Iterator[str]:
    for name, bounds in vars(recipe.guardrails).items():
        if name == "min_count":
            continue
        warn, stop = _given(bounds, "warn", None), _given(bounds, "stop", None)
        if warn is None or stop is None:
            continue
        low = name.endswith("_at_least")
        if stop > warn if low else stop < warn:
            side = "above" if low else "below"
            yield f"guardrails.{name}.stop = {stop}: is {side} warn = {warn}; what stops a run should be worse"


CHECKS: tuple[Callable[[Any], Iterator[str]], ...] = (
    _some_iterations,
    _epochs,
    _row_epochs,
    _batches("sft"),
    _batches("dpo"),
    _enough_judgments,
    _judge_writes,
    _different_judgments,
    _different_responses,
    _different_samples,
    _different_scores,
    _enough_prompts,
    _made_counts,
    _generator,
    _generated_chars,
    _generated_context,
    _world_size,
    _world_examples,
    _world_sources,
    _sft_data,
    _eft_file,
    _eft_shares,
    _evaluation_world,
    _held_out,
    _win_rates,
    _human_agreement,
    _labelled_pairs,
    _probe,
    _scale,
    _names,
    _worlds_judge,
    _context("responses"),
    _context("judgments"),
    _context("meta_judgments"),
    _replicas,
    _guardrails,
)


def _share(bound: float | None) -> str:
    return "never" if bound is None else f"below {bound:.0%}"


def warnings(recipe: Recipe) -> Iterator[str]:
    """What is allowed and yet worth knowing before a launch, one sentence each."""
    yield from recipe.notes
    if recipe.sft is None:
        bounds = recipe.guardrails.judgment_parse_rate_at_least
        yield (
            "sft = null: no EFT data is needed, and M0 is the seed model. It judges as it is: the guardrail "
            f"judgment_parse_rate_at_least (warn {_share(bounds.warn)}, stop {_share(bounds.stop)}) tells in iteration "
            f"1 whether it can, and mr pilot before"
        )
    for t, row in enumerate(recipe.iterations, start=1):
        if row.rho >= 0.5:
            yield (
                f"iterations.{t}.rho = {row.rho}: from 0.5 on the tiers overlap; a pair whose chosen response does not "
                "score above the rejected one is dropped"
            )
        if row.max_chosen_judgment_chars is not None and not row.judge_training:
            yield f"iterations.{t}.max_chosen_judgment_chars has no effect: the iteration has judge_training: false"
    if recipe.prompts.source != GENERATED and recipe.prompts.generator is not None:
        yield f'prompts.generator has no effect: prompts.source is not "{GENERATED}"'
    for name in ONLY_JUDGMENTS:
        if recipe.eft.rankings is None and getattr(recipe.eft, name) != EFT.model_fields[name].default:
            yield f"eft.{name} has no effect: eft.source is not {OPEN_ASSISTANT}FILE"
    context, longest = recipe.engine.max_model_len, recipe.responses.max_tokens + recipe.judgments.max_tokens
    if longest >= context:
        yield (
            f"engine.max_model_len = {context}: the longest response and its judgment alone take {longest} tokens; "
            "responses that do not fit will not be judged, and counted"
        )
