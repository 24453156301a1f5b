"""The sections of a report: their tables and charts, of figures that are written here and not read."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mr_assets.lineage.spotcheck import Answer, append
from mr_assets.lineage.spotcheck import Key as Answered
from mr_assets.method.intervals import Z
from mr_assets.report import sections
from mr_assets.report.arms import Arm, Known
from mr_assets.report.document import UNKNOWN, Cell, Section, Table
from mr_assets.report.measured import Key, Measured
from mr_assets.report.report import report
from mr_assets.runs.estimates import Estimate
from mr_assets.runs.figures import FIGURES, Row
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets_tests.report.conftest import a_run, measure
from mr_assets_tests.tiny import complete, tiny_recipe, tiny_run

ACCURACY = Key("evaluation", "accuracy")
SCORE = Key("arena_hard", "score", "gpt-4.1")
NO_WORLD = ("world=null", "evaluation=null", "eft.source=e.jsonl", "prompts.source=p.jsonl")
NOWHERE = Path("nowhere")
"""A data folder that what is tested does not look into."""


def of(value: float, error: float) -> Estimate:
    """A figure with that standard error."""
    return Estimate(value, value - Z * error, value + Z * error)


def known(
    figures: Mapping[Key, Mapping[str, Estimate]], *rows: Row, stale: Mapping[Key, set[str]] | None = None
) -> Known:
    """A run of which these figures are known, by model."""
    measured = {key: Measured(key, dict(values), (stale or {}).get(key, set())) for key, values in figures.items()}
    return Known(Run("a", tiny_recipe(), NOWHERE), {}, measured, list(rows))


def row(iteration: str, stale: Mapping[str, str] | None = None, **values: float) -> Row:
    """The figures of an iteration; blanks in their names are underscores here."""
    nothing = {figure.name: None for group in FIGURES.values() for figure in group}
    told = {name.replace("_", " "): value for name, value in values.items()}
    return Row(iteration, {**nothing, **told}, dict(stale or {}))


def said(table: Table) -> list[list[str]]:
    return [[cell.said for cell in row] for row in table.rows]


# -------------------------------------------------------------------------------------------- what the models are worth


def test_a_table_has_the_figures_of_all_models_and_what_changed() -> None:
    """Of 2 and 20 with errors of 1.5 and 2: 18 more, with an error of 2.5. Of M0 the characters are not known."""
    values = {"seed": of(2, 1.5), "M0": of(4, 1.5), "M1": of(20, 2)}
    alone = known({ACCURACY: values, Key("evaluation", "characters"): {"seed": of(40, 1.5), "M1": of(58, 2)}})
    section = sections.worth([Arm("first", {0: alone})])
    [table] = section.tables
    assert (section.title, table.title) == ("What each model is worth", "evaluation")
    assert table.head == ["", "seed", "M0", "M1", "M1 less seed", "M1 less M0"]
    accuracy, characters = table.rows
    assert accuracy[:4] == [Cell("accuracy"), *(Cell.of(each) for each in values.values())]
    assert accuracy[4:] == [Cell("+18", "\u00b1 2.5", "better"), Cell("+16", "\u00b1 2.5", "better")]
    assert characters[2] == UNKNOWN
    assert characters[4:] == [Cell("+18", "\u00b1 2.5"), UNKNOWN]  # more characters are neither better nor worse


def test_what_is_within_noise_or_stale_is_marked_so() -> None:
    """18 more with an error of 12.5 may be none at all."""
    alone = known({ACCURACY: {"seed": of(2, 7.5), "M1": of(20, 10)}}, stale={ACCURACY: {"M1"}})
    [[_, first, last, change]] = sections.worth([Arm("first", {0: alone})]).tables[0].rows
    assert (first.mark, last.mark, change) == ("", "stale", Cell("+18", "\u00b1 12.5"))


def test_of_several_seeds_the_mean_is_told() -> None:
    """1 and 3, where Student's factor is 12.7. Of M1 one seed is known, which gained 4."""
    runs = {0: known({ACCURACY: {"seed": Estimate(1), "M1": Estimate(5)}}), 1: known({ACCURACY: {"seed": Estimate(3)}})}
    table, other = sections.worth([Arm("first", runs), Arm("second", {0: runs[1]})]).tables
    assert (table.title, other.title) == ("evaluation, first, mean of 2 seeds", "evaluation, second")
    assert table.rows == [[Cell("accuracy"), Cell("2", "-10.7 to 14.7"), Cell("5"), Cell("+4")]]
    assert (other.head, said(other)) == (["", "seed"], [["accuracy", "3"]])


def test_each_judge_has_a_table_apart() -> None:
    values = {"seed": of(50, 1), "M1": of(60, 1)}
    arm = Arm("first", {0: known({ACCURACY: values, SCORE: values, Key("mt_bench", "score", "seed"): values})})
    assert [table.title for table in sections.worth([arm]).tables] == ["evaluation"]
    others = sections.by_one_judge([arm]).tables
    assert [table.title for table in others] == ["arena hard, judged by gpt-4.1", "mt bench, judged by the seed model"]
    assert sections.by_one_judge([Arm("first", {0: known({ACCURACY: values})})]).empty


# ----------------------------------------------------------------------------------------------------- recipes compared


def test_each_further_recipe_is_held_against_the_first_at_the_last_model_of_both() -> None:
    first = Arm("first", {0: known({ACCURACY: {"seed": of(1, 1), "M1": of(2, 1.5), "M2": of(9, 1)}})})
    second = Arm("second", {0: known({ACCURACY: {"seed": of(1, 1), "M1": of(20, 2)}, SCORE: {"M1": of(1, 1)}})})
    third = Arm("third", {0: known({ACCURACY: {"M0": of(1, 1)}})})
    [(arm, model, [change])] = sections.versus([first, second, third])
    assert (arm, model, change.key) == (second, "M1", ACCURACY)
    assert (change.before, change.after, change.difference.value) == (2, 20, 18)
    section = sections.recipes_compared([first, second, third])
    [table] = section.tables
    assert (table.title, table.head) == ("M1: second against first", ["", "first", "second", "difference", "over"])
    told = Cell("+18", "\u00b1 2.5", "better")
    assert table.rows == [[Cell("accuracy"), Cell("2"), Cell("20"), told, Cell("prompts")]]
    assert sections.recipes_compared([first]).empty and sections.versus([first]) == []


def test_recipes_of_several_seeds_are_compared_over_these() -> None:
    """Gains of 1 and 3: 2 with an error of 1."""
    old = Arm("old", {seed: known({ACCURACY: {"M1": Estimate(seed)}}) for seed in (0, 1)})
    new = Arm("new", {0: known({ACCURACY: {"M1": Estimate(1)}}), 1: known({ACCURACY: {"M1": Estimate(4)}})})
    [table] = sections.recipes_compared([old, new]).tables
    assert table.rows == [[Cell("accuracy"), Cell("0.50"), Cell("2.50"), Cell("+2", "\u00b1 1"), Cell("2 seeds")]]


# --------------------------------------------------------------------------------------------------------------- curves


def test_figures_of_the_iterations_have_curves_too() -> None:
    """What is the same in all of them has none, and neither has a single number; of others there is a table."""
    rows = (row("1", characters=40.0, reliability=0.5, mean_score=3.0), row("2", characters=50.0, reliability=0.5))
    first, more = sections.curves([Arm("first", {0: known({}, *rows)})])
    assert more.empty
    [chart] = first.charts
    assert chart.title == "in iteration: characters"
    assert [point.said for point in chart.lines[0].points] == ["first, 1: 40", "first, 2: 50"]


def test_a_curve_of_several_seeds_is_their_mean_in_a_band() -> None:
    """From 1 and 3 to 5 and 9: 2 to 7. The other arm has one run, and its line no band."""
    runs = {n: known({ACCURACY: {"seed": Estimate(a), "M1": Estimate(b)}}) for n, (a, b) in enumerate(((1, 5), (3, 9)))}
    [chart] = sections.curves([Arm("first", runs), Arm("second", {0: runs[0]})])[0].charts
    assert chart.title == "evaluation: accuracy"
    band, line = chart.lines
    assert [point.said for point in band.points] == ["first, seed: 2 (1 to 3)", "first, M1: 7 (5 to 9)"]
    assert [point.said for point in line.points] == ["second, seed: 1", "second, M1: 5"]
    assert (band.band != "", line.band) == (True, "")


def test_the_first_curves_are_those_that_tell_most(tmp_path: Path) -> None:
    """What is the same for all models has no curve, and what is neither good nor bad is folded."""
    run = a_run(tmp_path, "a")
    for model, value in (("seed", 0.1), ("1", 0.2)):
        measure(run, "evaluation", model, {"accuracy": value, "meta_first": value, "ties": 0.5})
    found = {each.title: each for each in report([run]).sections}
    assert [chart.title for chart in found["Curves"].charts] == ["evaluation: accuracy"]
    assert [chart.title for chart in found["More curves"].charts] == ["evaluation: battles won by the first position"]
    assert found["More curves"].folded and not found["Curves"].folded


# ---------------------------------------------------------------------------------------- guardrails, and your own eyes


def test_checks_that_stop_come_before_those_that_warn(tmp_path: Path) -> None:
    run = tiny_run(tmp_path)
    for t, value in (("1", 0.8), ("2", 0.1)):
        measured = {"value": value, "rows": 480, "came": f"{value:.0%}", "numbers": {"all": 480}}
        record = replace(complete(run, "judgments", t), checks={"parse_rate": measured})
        write_record(run.record_path("judgments", t), record)
    [table] = sections.guardrails([Known(run, {}, {}, [])]).tables
    assert [row[:3] for row in table.rows] == [
        [Cell("tiny"), Cell("judgments of iteration 2"), Cell("parse_rate stops", mark="worse")],
        [Cell("tiny"), Cell("judgments of iteration 1"), Cell("parse_rate warns")],
    ]
    assert "came 10%" in table.rows[0][3].said and "came 80%" in table.rows[1][3].said


def test_without_a_check_that_fires_there_are_no_guardrails_to_show(tmp_path: Path) -> None:
    assert sections.guardrails([Known(tiny_run(tmp_path), {}, {}, [])]).empty


def test_the_judge_is_held_against_your_answers(tmp_path: Path) -> None:
    """You agree twice, disagree once, and see no difference once; in iteration 2 there is but a tie.

    By Wilson 2 of 3 may be 0.21 to 0.94; with a share of 2/3 it takes 35 answers in all until 1/2 is left out.
    """
    run = tiny_run(tmp_path)
    run.folder.mkdir()
    version = {t: complete(run, "actor_pairs", t).version for t in run.iterations}
    answers: list[tuple[str, Answered]] = [("1", "a"), ("1", "a"), ("1", "b"), ("1", "tie"), ("2", "tie")]
    for n, (t, key) in enumerate(answers):
        append(run, Answer(f"{t}.00000000000{n}.actor", version[t], "chosen", key, "2026-11-29T00:00:00+00:00"))
    section = sections.your_eyes([Known(run, {}, {}, [])])
    [table] = section.tables
    assert table.rows == [
        [*map(Cell, ("tiny", "actor", "1", "2", "1", "1")), Cell("0.67", "0.21 to 0.94"), Cell("32")],
        [*map(Cell, ("tiny", "actor", "2", "0", "0", "1")), UNKNOWN, UNKNOWN],
    ]
    assert len(table.head) == len(table.rows[0])


# ----------------------------------------------------------------------------------------------------------- iterations


def test_the_pairs_of_each_iteration_are_counted(tmp_path: Path) -> None:
    """By the records, of which each says three rows; an iteration of which nothing is there has no column."""
    run = tiny_run(tmp_path, *NO_WORLD)
    for asset in ("prompts", "actor_pairs"):
        complete(run, asset, "2")
    pairs, figures = sections.iterations(
        [Known(run, {}, {}, [row("2", {"loss": "beta changed"}, characters=40.5, loss=0.25)])]
    ).tables[:2]
    assert (pairs.title, pairs.head) == ("tiny: pairs", ["iteration", "2"])
    none = UNKNOWN.said
    assert said(pairs) == [["prompts", "3"], ["actor pairs", "3"], ["judge pairs", none], ["trained on", none]]
    assert (figures.title, figures.head) == ("tiny: responses and their scores", ["iteration", "2"])
    assert said(figures) == [["characters", "40.5"]]


def test_what_is_stale_of_an_iteration_is_marked(tmp_path: Path) -> None:
    """A figure that is known of one iteration has its row, and a dash in the others."""
    rows = [row("1", loss=0.5), row("2", {"loss": "beta changed"}, loss=0.25, reward_margin=1.5)]
    tables = sections.iterations([Known(tiny_run(tmp_path, *NO_WORLD), {}, {}, rows)]).tables
    assert tables[-1].title == "tiny: training"
    assert tables[-1].rows == [
        [Cell("loss"), Cell("0.5"), Cell("0.25", mark="stale")],
        [Cell("reward margin"), Cell("-"), Cell("1.5")],
    ]


def test_where_a_truth_is_known_it_is_asked_of_the_pairs(finished: Run) -> None:
    """As many are truly better, equal or worse as there are pairs; iteration 2 has no judge pairs."""
    [pairs] = sections.iterations([Known(finished, {}, {}, [])]).tables
    counts = {name: cells for name, *cells in said(pairs)}
    for kind in ("actor", "judge"):
        told = counts[f"{kind} pairs truly better / equal / worse"]
        made = counts[f"{kind} pairs"]
        for count, three in zip(made, told, strict=True):
            assert three == UNKNOWN.said if count == "0" else sum(map(int, three.split(" / "))) == int(count)
    assert counts["judge pairs"][1] == "0"


def test_a_run_without_pairs_has_nothing_to_read(tmp_path: Path) -> None:
    section = sections.to_read([Known(tiny_run(tmp_path), {}, {}, [])])
    assert section.empty and section.note.startswith("Of tiny. chosen is what the run's judge preferred")


# -------------------------------------------------------------------------------------------- what the runs are made of


def facts(section: Section) -> dict[str, str]:
    return {name: text for name, text in said(section.tables[0])}


def test_what_a_run_is_made_of(tmp_path: Path) -> None:
    """Two hours and a half of three assets, the longest first."""
    run = replace(tiny_run(tmp_path), origin=("small_world_meta_rewarding", "seed=0", "dpo.beta=0.1"))
    made = [("responses", "1", 3600.0), ("judgments", "1", 1800.0), ("checkpoints", "1", 1800.0)]
    for n, (asset, t, seconds) in enumerate([*made, ("responses", "2", 1800.0)]):
        record = replace(complete(run, asset, t), seconds=seconds, created=f"2026-11-2{n}", code="c" * 16)
        write_record(run.record_path(asset, t), replace(record, version="v" * 16, software={"vllm": "1", "torch": "2"}))
    section = sections.recipe(Known(run, {}, {}, []), named=False)
    assert (section.title, section.folded) == ("Recipe, versions, seed and hours", True)
    told = facts(section)
    assert told["launched from"] == "small_world_meta_rewarding --set seed=0 --set dpo.beta=0.1"
    assert (told["seed"], told["family"], told["iterations"]) == ("0", run.family, "1 of 2 trained")
    assert told["hours"] == "2.50 (responses 1.50, judgments 0.50, checkpoints 0.50)"
    assert told["made"] == "2026-11-20 to 2026-11-23"
    assert told["recipe"].startswith(f"{run.recipe.title}. ") and "departs from its recipe" not in told
    versions = said(section.tables[2])
    assert versions[0] == ["responses of iteration 1", "v" * 12, "c" * 12, "vllm 1, torch 2", "2026-11-20"]
    assert len(versions) == 4


def test_a_run_that_has_made_nothing_has_a_recipe_all_the_same(tmp_path: Path) -> None:
    """And what of it departs from the paper's, field by field."""
    section = sections.recipe(Known(tiny_run(tmp_path, "dpo.beta=0.25"), {}, {}, []), named=True)
    assert section.title == "Recipe, versions, seed and hours of tiny"
    told = facts(section)
    assert not {"launched from", "made", "hours"} & set(told)
    assert section.tables[1].title == "Departures from the paper's recipe, llama_3_8b_meta_rewarding"
    assert ["dpo.beta", "0.1", "0.25"] in said(section.tables[1])
    assert section.tables[2].rows == []


def test_the_papers_figures_stand_apart_with_their_judge() -> None:
    section = sections.papers_figures()
    [table] = section.tables
    assert section.folded and "judged by GPT-4 Turbo (AlpacaEval 2)" in section.note
    assert said(table)[-1] == ["Meta-Rewarding, iteration 4", "39.44%", "39.45%", "2003"]
    assert {len(row) for row in table.rows} == {len(table.head)}
