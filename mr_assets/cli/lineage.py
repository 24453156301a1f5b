"""Questions about rows: `mr compare`, `mr trace`, `mr pairs`, `mr verify`. None of them writes anything."""

import click

from mr_assets.cli.terminal import say, say_json
from mr_assets.errors import UserError
from mr_assets.printable import printable


@click.command()
@click.argument("name", metavar="RUN")
@click.argument("other", required=False)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="A setting to compare with. Repeatable.")
@click.option("--iteration", metavar="T", help="One iteration; by default all that have pairs.")
@click.option("--limit", default=10, show_default=True, help="Differences to show per table.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for programs.")
def compare(
    name: str, other: str | None, sets: tuple[str, ...], iteration: str | None, limit: int, as_json: bool
) -> None:
    """Show which preference pairs of RUN would differ with other settings, or differ in another run, and why.

    Without OTHER and --set, the pairs are compared with those of the recipe: this shows what the launchpad changed.
    Nothing is written.

    \b
    mr compare small_world_meta_rewarding --set rho=0.3
    mr compare small_world_meta_rewarding --set elo_ridge=0.1 --iteration 1
    mr compare small_world_meta_rewarding beta_02
    """
    from mr_assets.cli.report import comparison_as_json, print_comparison
    from mr_assets.lineage.compare import comparable, other_recipe, resampled, with_other_run, with_other_settings
    from mr_assets.runs.data_folder import data_root
    from mr_assets.runs.stored import named_runs

    if other and sets:
        raise UserError("compare with another run or with other settings, not with both: leave OTHER or --set out.")
    known = named_runs(data_root(), *filter(None, (name, other)))
    run = known[name]
    if iteration is not None and iteration not in run.iterations:
        raise UserError(f"--iteration {iteration}: run {name} has iterations 1 to {run.iterations[-1]}.")
    wanted = [iteration] if iteration else [t for t in comparable(run) if not other or t in comparable(known[other])]
    if not wanted:
        runs = " and ".join(dict.fromkeys((name, other or name)))
        raise UserError(f"there are no pairs to compare yet. Materialize actor_pairs of {runs}.")
    changed, found = other_recipe(run, sets), []
    for t in wanted:
        found += with_other_run(run, known[other], t) if other else with_other_settings(run, changed, t)
        if not other and (also := resampled(run, changed, t)):
            say(
                f"note: {', '.join(also)} of iteration {t} would change too. The pairs are compared without that.",
                err=True,
            )
    if as_json:
        say_json(comparison_as_json(found, list(known.values())))
    else:
        print_comparison(f"{name} and {other or 'other settings'}", found, list(known.values()), limit)


@click.command()
@click.argument("identity", metavar="ID")
@click.option(
    "--more", is_flag=True, help="The whole tree: every response, judgment and battle, and the policy that sampled it."
)
@click.option("--full", is_flag=True, help="The whole tree, with whole texts.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for programs.")
def trace(identity: str, more: bool, full: bool, as_json: bool) -> None:
    """Show where ID comes from and what was made of it: a pair, prompt, response, judgment, battle or model.

    The answer has about fifteen lines. --more shows everything, --full also the whole texts. For a pair that was not
    made, or a response that was dropped, it says why. Where two runs have the same id, write RUN/ID.

    \b
    mr trace 2.3f1c09aa72be.actor           the pair, its responses, judgments, policy, training
    mr trace 2.3f1c09aa72be.r4.j10          a judgment
    mr trace beta_02/2.3f1c09aa72be.r4      a response of the run beta_02
    mr trace M2                             a model
    mr trace eft.77b0c2d4e5f6.r1.j10        a judgment of EFT data, and the ranked reply that it is of
    """
    from mr_assets.lineage import trace_any, tree
    from mr_assets.lineage.staleness import stale_now
    from mr_assets.lineage.tracing import why_stale
    from mr_assets.runs.data_folder import data_root
    from mr_assets.runs.stored import stored_runs

    runs = stored_runs(data_root())
    lineage = trace_any(identity, runs)
    stale = why_stale(runs[lineage.run], lineage, stale_now(runs[lineage.run]))
    if as_json:
        say_json(lineage.as_json() | {"stale": stale})
        return
    say("\n".join(tree.lines(lineage, stale, full=full) if more or full else tree.brief(lineage, stale)), wrap=True)


@click.command()
@click.argument("name", metavar="RUN|ID", required=False)
@click.option("--iteration", metavar="T", help="One iteration; by default all.")
@click.option("--kind", type=click.Choice(["actor", "judge"]), help="One kind; by default both.")
@click.option(
    "--score-gap", metavar="A..B", help="Score of chosen minus rejected, from A to B. A or B may be left out."
)
@click.option("--length-gap", metavar="A..B", help="Characters of chosen minus rejected.")
@click.option("--elo-gap", metavar="A..B", help="Elo of chosen minus rejected. Only judge pairs have one.")
@click.option("--reward-margin", metavar="A..B", help="Reward margin after training.")
@click.option("--true-gap", metavar="A..B", help="True score of chosen minus rejected, in a world that knows it.")
@click.option(
    "--truth",
    type=click.Choice(["agrees", "equal", "contradicts"]),
    help="Whether the truth agrees with the pair, in a world that knows it.",
)
@click.option("--text", help="Text that the prompt, the chosen or the rejected side contains, in upper or lower case.")
@click.option(
    "--sort",
    type=click.Choice(["pair_id", "score_gap", "length_gap", "elo_gap", "reward_margin", "true_gap"]),
    default="pair_id",
    show_default=True,
    help="What to sort by. Gaps and margins: the largest first.",
)
@click.option("--ascending", is_flag=True, help="Sort with the smallest first.")
@click.option("--limit", default=20, show_default=True, help="Pairs to show; 0 for all.")
@click.option("--json", "as_json", is_flag=True, help="As JSON with whole texts, for programs.")
def pairs(
    name: str | None,
    iteration: str | None,
    kind: str | None,
    score_gap: str | None,
    length_gap: str | None,
    elo_gap: str | None,
    reward_margin: str | None,
    true_gap: str | None,
    truth: str | None,
    text: str | None,
    sort: str,
    ascending: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List the preference pairs of RUN, or of every run. `mr trace` shows everything about one pair.

    Of an ID, those of the prompt and iteration that it comes of are listed: of a response, a judgment or a battle,
    whether it can be read or not.

    \b
    mr pairs small_world_meta_rewarding --iteration 2 --kind actor --score-gap 2.. --sort score_gap
    mr pairs --text "upper case" --length-gap ..-20
    mr pairs small_world_meta_rewarding --truth contradicts
    mr pairs 2.3f1c09aa72be.r4.j10
    """
    from dataclasses import replace

    from mr_assets.cli.report import pairs_as_json, print_pairs
    from mr_assets.lineage.lookup import located
    from mr_assets.lineage.pairs import Query
    from mr_assets.runs.data_folder import data_root
    from mr_assets.runs.stored import named_runs, stored_runs

    prompt = None
    if name is not None and ("." in name or "/" in name):  # which no run's name has
        known = stored_runs(data_root())
        run, found_id = located(name, known)
        if found_id.prompt_id is None:
            raise UserError(f"{name} is a model: `mr trace {name}` says which pairs it was trained on and wrote.")
        if iteration is not None and found_id.iteration not in (None, iteration):
            raise UserError(f"--iteration {iteration}: {name} is of iteration {found_id.iteration}. Leave it out.")
        name, iteration, prompt = run.name, found_id.iteration or iteration, found_id.prompt_id
    else:
        known = named_runs(data_root(), name) if name is not None else stored_runs(data_root())
    gaps = {"score_gap": score_gap, "length_gap": length_gap, "elo_gap": elo_gap}
    gaps |= {"reward_margin": reward_margin, "true_gap": true_gap}
    query = replace(Query.parsed(iteration, kind, text, truth, **gaps), prompt=prompt)
    among = [known[name]] if name else list(known.values())
    found, count = query.answer(among, sort, limit, ascending=ascending)
    if as_json:
        say_json(pairs_as_json(found, among))
    else:
        print_pairs(found, count, among)


@click.command()
@click.argument("name", metavar="RUN")
@click.option("--iteration", metavar="T", help="One iteration; by default all.")
@click.option("--limit", default=20, show_default=True, help="Faults to show; 0 for all.")
@click.option("--json", "as_json", is_flag=True, help="All faults as JSON, for programs.")
def verify(name: str, iteration: str | None, limit: int, as_json: bool) -> None:
    """Compute RUN again from its sampled texts and report every row that does not follow from its ancestors.

    Computed again: scores, means, tiers, pairs, battles, matrices, Elo, dataset and what was dropped. Compared with
    their records: contents, models, training logs and figures. Files that cannot be read are reported. Exits with 1 if
    anything is wrong. Nothing is written, and no model is used.
    """
    from dataclasses import asdict

    from mr_assets.lineage.verification import verify as faults_of
    from mr_assets.runs.data_folder import data_root
    from mr_assets.runs.stored import named_runs

    runs = named_runs(data_root(), name)
    if iteration is not None and iteration not in runs[name].iterations:
        raise UserError(f"--iteration {iteration}: run {name} has iterations 1 to {runs[name].iterations[-1]}.")
    found = list(faults_of(runs[name], [iteration] if iteration else None))
    if as_json:
        say_json([asdict(fault) for fault in found])
    else:
        shown = found[:limit] if limit else found
        for fault in shown:
            say(printable(str(fault)))
        more = f", {len(found) - len(shown)} of them not shown (--limit 0)" if len(shown) < len(found) else ""
        count = f"{len(found)} fault{'s' * (len(found) > 1)}{more}"
        say(f"{name}: {count if found else 'everything follows from its ancestors'}")
    if found:
        raise SystemExit(1)
