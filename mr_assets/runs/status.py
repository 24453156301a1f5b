"""What there is to know about a run's artifacts besides whether they are there, one line each.

stale
  dpo_dataset of iteration 1: actor_pairs changed
  after that, iteration 1: checkpoints; iteration 2: everything but prompts; if what they are made of changes
failed (nothing is made of it until its cause is mended, or its bound changed)
  judgments of iteration 1: check parse_rate: Expected at least 90% of judgments to give a score, came 1.04%: ...
warned (nothing stops; the check on the asset's page says what to do)
  actor_pairs of iteration 1: check chosen_length: came 2.04 times: 46 characters chosen, 23 rejected
damaged (the record is there; mr run makes it again)
  responses of iteration 2: .../responses/2.parquet is not there
weights removed as not needed any more (storage.keep_policies; records, logs and reward margins stay)
  checkpoints of iteration 1: since 2026-11-29
settings overridden in the launchpad, or kept by mr branch (mr run --as-recipe takes the recipe's)
  actor_pairs of iteration 1: rho = 0.3, the recipe says 0.0
made by earlier code of the method (mr run keeps them; materialize them again if it matters)
  iteration 1: actor_pairs, elo_pairs
trained on prompts that the evaluation asks (an earlier version left them in; materialize these again)
  seed_prompts: 2 of 156 prompts are held out
the recipe small_world_meta_rewarding has changed since the launch (mr run goes on with what was launched)
  dpo.beta: launched with 0.1, now 0.2
"""

import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Literal

from mr_assets.addresses import page_behind_check
from mr_assets.errors import UserError, shown
from mr_assets.loop import LOOP, Place, titled
from mr_assets.recipes.differences import Difference, differences
from mr_assets.recipes.load import load_recipe
from mr_assets.runs.code_versions import code_version
from mr_assets.runs.overrides import departures
from mr_assets.runs.run import Run, noted_as
from mr_assets.runs.settings import changed_settings, overrides_of

if TYPE_CHECKING:
    from mr_assets.method.guardrails import Finding


State = Literal["done", "stale", "missing", "failed"]


def places(run: Run) -> Iterator[Place]:
    """Every artifact of a run, those that are made once first."""
    by_model = run.loop.per("model")
    yield from ((asset, None) for asset in run.loop.per("family"))
    yield from ((asset, model) for model in ("seed", "0") for asset in by_model)
    for t in run.iterations:
        yield from ((asset, t) for asset in (*run.loop.per("iteration"), *by_model))


def state(run: Run, asset: str, partition: str | None = None) -> State:
    """Whether an artifact is complete, made of what is there now with the settings in force, and fit to go on with.

    One that is damaged is missing; one that is stale is materialized again, whatever its checks say.
    """
    record = run.record(asset, partition)
    if record is None or run.damage(asset, partition):
        return "missing"
    if changed_settings(run, asset, partition) or record.inputs != run.inputs(asset, partition):
        return "stale"
    return "failed" if harmful_findings(run, asset, partition) else "done"


def harmful_findings(run: Run, asset: str, partition: str | None = None) -> "list[Finding]":
    """The harmful findings on an artifact: what its checks measured then, against the recipe's bounds of now."""
    return [finding for finding in _findings(run, asset, partition) if finding.level == "harmful"]


def warnings(run: Run) -> "dict[Place, list[Finding]]":
    """The findings that warn, by artifact that is there and as it should be, by the bounds that the recipe has now."""
    sound = [place for place in places(run) if state(run, *place) in ("done", "failed")]
    found = {place: [f for f in _findings(run, *place) if f.level == "warning"] for place in sound}
    return {place: those for place, those in found.items() if those}


def _findings(run: Run, asset: str, partition: str | None) -> "list[Finding]":
    from mr_assets.method.guardrails import judged  # takes numpy, which not every command needs

    record = run.record(asset, partition)
    return judged(asset, record.checks, run.recipe.guardrails) if record and record.checks else []


def why_stale(run: Run, asset: str, partition: str | None) -> list[str]:
    """Which settings and which inputs differ from those that an artifact was made with; none if it is missing."""
    record = run.record(asset, partition)
    if record is None:
        return []
    changed = changed_settings(run, asset, partition).items()
    said = [f"{path} was {shown(then)}, is now {shown(now)}" for path, (then, now) in changed]
    now = run.inputs(asset, partition)
    for name in {**record.inputs, **now}:
        if record.inputs.get(name) != now.get(name):
            ancestors = run.ancestors(asset, partition)
            what = next((titled(*place) for place in ancestors if noted_as(place, partition) == name), name)
            said.append(f"{what} {'changed' if now.get(name) else 'is missing'}")
    return said


def stale(run: Run) -> dict[Place, str]:
    """Every artifact that is there and stale, and why: nothing of it is to be shown as current.

    It is stale itself ("judgments of iteration 1 changed"), or it comes, through however many steps and
    iterations, of what is ("comes of dpo_dataset of iteration 1, which is stale").
    """
    roots: dict[Place, Place] = {}
    found: dict[Place, str] = {}
    for place in places(run):  # what an artifact is made of comes before it
        now = state(run, *place)
        behind = [ancestor for ancestor in run.ancestors(*place) if ancestor in roots]
        if now == "stale":
            roots[place], found[place] = place, ", ".join(why_stale(run, *place))
        elif now != "missing" and behind:
            roots[place] = roots[behind[0]]
            found[place] = f"comes of {titled(*roots[place])}, which is stale"
    return found


def failed_checks(run: Run) -> "dict[Place, list[Finding]]":
    """The artifacts that stop what follows, and why: harmful findings by the bounds that the recipe has now."""
    failed = {place: harmful_findings(run, *place) for place in places(run) if state(run, *place) == "failed"}
    return {place: found for place, found in failed.items() if found}


def refused(run: Run, asset: str, partition: str | None) -> str:
    """Why nothing is made of an artifact whose checks failed, and how to go on; what, figure and cause by check."""
    found = harmful_findings(run, asset, partition)
    place = (asset, partition)
    said = "\n".join(line for f in found for line in (f"  check {f.name}: {f.said}", *_page_of(run, place, f)))
    mend = f"Mend the cause and materialize {titled(asset, partition)} again (mr ui)"
    if bounds := [f"guardrails.{f.limit}.stop=..." for f in found if f.limit]:
        mend += f"; or, if the data is as it should be, change the bound: {relaunch(run, *bounds)}"
    return f"{run.name} stops: {titled(asset, partition)} failed, and nothing is made of it.\n{said}\n{mend}."


def _page_of(run: Run, place: Place, finding: "Finding") -> Iterator[str]:
    """Where that is which a check counted, if a page has it."""
    if page := page_behind_check(run.name, *place, finding.name):
        yield f"    mr explore shows what it counted: {page}"


def relaunch(run: Run, *sets: str) -> str:
    """What has a run take over further settings."""
    if not run.origin:
        return f"set {', '.join(sets)} in {run.folder / 'recipe.yaml'}"
    return command(run, "--iterations", str(len(run.recipe.iterations)), *_sets(sets), "--update")


def command(run: Run, *more: str) -> str:
    """The command that goes on with a run."""
    recipe, *sets = run.origin or ("RECIPE",)
    name = [] if run.name == recipe else ["--name", run.name]
    return shlex.join(["mr", "run", recipe, *name, *_sets(sets), *more])


def _sets(sets: Sequence[str]) -> list[str]:
    return [part for each in sets for part in ("--set", each)]


def damaged(run: Run) -> dict[Place, str]:
    """The artifacts whose record is there and whose files are not what it says, and what is wrong."""
    found = {place: run.damage(*place) for place in places(run)}
    return {place: why for place, why in found.items() if why}


def pruned(run: Run) -> dict[Place, str]:
    """The models whose weights were removed as not needed any more, and when; they count as done."""
    found = {place: run.record(*place) for place in places(run) if LOOP[place[0]].holds == "model"}
    return {place: record.pruned for place, record in found.items() if record and record.pruned}


def departed(run: Run) -> dict[Place, list[str]]:
    """The artifacts for which a person overrode settings of the recipe, and which."""
    found = {}
    for asset, partition in places(run):
        if departing := departures(run.recipe, asset, partition, overrides_of(run, asset, partition)):
            found[asset, partition] = [
                f"{d.setting} = {shown(d.used)}, the recipe says {shown(d.recipe)}" for d in departing
            ]
    return found


def follows(run: Run, first: Sequence[Place]) -> list[Place]:
    """Existing artifacts downstream of `first`, across iterations."""

    @cache
    def comes(place: Place) -> bool:
        return place in first or any(comes(ancestor) for ancestor in run.ancestors(*place))

    return [place for place in places(run) if place not in first and run.record(*place) is not None and comes(place)]


def outdated_by(run: Run, asset: str, partition: str | None, version: str) -> str:
    """What is made of another version of an artifact than `version`, and what follows from that; "" if nothing is."""
    place = (asset, partition)
    children = [(each, run.record(*each)) for each in places(run) if place in run.ancestors(*each)]
    stale = [child for child, record in children if record and record.inputs.get(noted_as(place, child[1])) != version]
    return "; ".join([*(titled(*child) for child in stale), *_after(run, stale)])


def _after(run: Run, stale: Sequence[Place]) -> Iterator[str]:
    """What comes of what is stale, in a line, if anything does."""
    if stale and (found := follows(run, stale)):
        yield f"after that, {'; '.join(_grouped(run, found))}; if what they are made of changes"


def of_earlier_code(run: Run) -> list[Place]:
    """The artifacts that another version of the method's code made; of those without a note it is not known."""
    records = [(place, run.record(*place)) for place in places(run)]
    return [place for place, record in records if record and record.code and record.code != code_version(place[0])]


def held_out(run: Run) -> dict[str, tuple[int, int]]:
    """What a run trains on although its world holds it out: by asset, the rows with a held-out prompt and all rows.

    Only an earlier version left them in, so what this one made is not read.
    """
    found = {}
    for asset in ("seed_prompts", "eft_dataset") if run.recipe.world else ():
        record = run.record(asset)
        if record and record.code != code_version(asset) and not run.damage(asset):
            import polars as pl  # which not every command needs

            from mr_assets.worlds.letters import has_held_out

            prompts = pl.read_parquet(run.path(asset), columns=["prompt"], glob=False)["prompt"]
            asked = [p if isinstance(p, str) else "\n".join(m["content"] for m in p) for p in prompts]
            if count := sum(map(has_held_out, asked)):
                found[asset] = count, len(asked)
    return found


def drift(run: Run) -> list[Difference]:
    """Where the recipe that a run was launched from, with what --set changed in it, says something else by now.

    Raises `UserError` if it cannot be read any more, or not with those changes.
    """
    if not run.origin:
        return []
    name, *sets = run.origin
    return differences(run.recipe, load_recipe(name, sets, len(run.recipe.iterations)))


def lines(run: Run) -> Iterator[str]:
    """All of the above as `mr status` prints it; nothing where there is nothing to say."""
    stale = {place: why_stale(run, *place) for place in places(run) if state(run, *place) == "stale"}
    if stale:
        yield "stale"
        yield from (f"  {titled(*place)}: {', '.join(why)}" for place, why in stale.items())
        yield from (f"  {after}" for after in _after(run, list(stale)))
    if failed := failed_checks(run):
        yield "failed (nothing is made of it until its cause is mended, or its bound changed)"
        for place, found in failed.items():
            for finding in found:
                yield f"  {titled(*place)}: check {finding.name}: {finding.said}"
                yield from _page_of(run, place, finding)
    if warned := warnings(run):
        yield "warned (nothing stops; the check on the asset's page says what to do)"
        for place, found in warned.items():
            yield from (f"  {titled(*place)}: check {f.name}: came {f.measured.came}" for f in found if f.measured)
    if broken := damaged(run):
        yield "damaged (the record is there; mr run makes it again)"
        yield from (f"  {titled(*place)}: {why}" for place, why in broken.items())
    if removed := pruned(run):
        yield "weights removed as not needed any more (storage.keep_policies; records, logs and reward margins stay)"
        yield from (f"  {titled(*place)}: since {when[:10]}" for place, when in removed.items())
    if overridden := departed(run):
        yield "settings overridden in the launchpad, or kept by mr branch (mr run --as-recipe takes the recipe's)"
        yield from (f"  {titled(*place)}: {'; '.join(what)}" for place, what in overridden.items())
    if earlier := of_earlier_code(run):
        yield "made by earlier code of the method (mr run keeps them; materialize them again if it matters)"
        yield from (f"  {group}" for group in _grouped(run, earlier))
    if mixed := held_out(run):
        yield "trained on prompts that the evaluation asks (an earlier version left them in; materialize these again)"
        yield from (f"  {asset}: {count} of {rows} prompts are held out" for asset, (count, rows) in mixed.items())
    try:
        drifted = drift(run)
    except UserError as error:
        yield f"the recipe that the run was launched from cannot be read any more: {error}"
        return
    if drifted:
        yield f"the recipe {run.origin[0]} has changed since the launch (mr run goes on with what was launched)"
        yield from (f"  {d.path}: launched with {shown(d.old)}, now {shown(d.new)}" for d in drifted)


def _grouped(run: Run, found: Sequence[Place]) -> list[str]:
    """Artifacts by iteration; the ones of an iteration by what is not among them, where that is shorter."""
    groups: dict[str, list[str]] = {}
    for asset, partition in found:
        loop = LOOP[asset].per == "iteration"
        groups.setdefault(f"iteration {partition}: " if loop else "", []).append(
            asset if loop else titled(asset, partition)
        )
    said = []
    for title, assets in groups.items():
        others = [asset for asset in run.loop.per("iteration") if asset not in assets]
        if title and not others:
            said.append(f"{title}everything")
        elif title and len(others) < 3:
            said.append(f"{title}everything but {' and '.join(others)}")
        else:
            said.append(f"{title}{', '.join(assets)}")
    return said
