"""The picture of a round: what is in it, and where it leads."""

from dataclasses import replace

from mr_assets.explorer.ancestry import Picture, ancestry
from mr_assets.lineage import trace
from mr_assets.lineage.facts import Round
from mr_assets.runs.run import Run
from mr_assets_tests.lineage.conftest import table


def first_round(run: Run) -> Round:
    pair = table(run, "elo_pairs").row(0, named=True)
    [round_] = trace(run, pair["pair_id"]).rounds
    return round_


def overlapping(picture: Picture) -> list[tuple[str, str]]:
    """Pairs of boxes that lie over each other."""
    boxes = picture.boxes
    return [
        (a.lines[0], b.lines[0])
        for n, a in enumerate(boxes)
        for b in boxes[n + 1 :]
        if a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height
    ]


def test_everything_of_a_round_is_there_and_leads_to_its_page(finished: Run) -> None:
    """Models, the prompt, each response, each judgment, both pairs."""
    round_ = first_round(finished)
    picture = ancestry(round_, ("actor", "judge"))
    there = {box.href for box in picture.boxes} | {square.href for square in picture.squares}
    assert round_.prompt is not None
    wanted = {round_.prompt.id, "M0", "M1"} | {pair.id for pair in round_.pairs}
    wanted |= {response.id for response in round_.responses}
    wanted |= {judgment.id for response in round_.responses for judgment in response.judgments}
    assert wanted <= there


def test_nothing_lies_over_another_or_outside(finished: Run) -> None:
    round_ = first_round(finished)
    many = replace(round_, responses=round_.responses * 5)
    for each in (round_, many, replace(round_, responses=()), replace(round_, policy=None, prompt=None)):
        for kinds in (("actor", "judge"), ("actor",), ("judge",)):
            picture = ancestry(each, kinds)
            assert not overlapping(picture)
            assert all(box.x + box.width <= picture.width for box in picture.boxes)
            assert all(box.y + box.height <= picture.height and box.y >= 0 for box in picture.boxes)


def test_chosen_and_rejected_are_marked_and_led_to_the_rule(finished: Run) -> None:
    pair = table(finished, "actor_pairs").row(0, named=True)
    [round_] = trace(finished, pair["pair_id"]).rounds
    picture = ancestry(round_, ("actor",))
    marked = {box.href: box.what for box in picture.boxes}
    assert marked[pair["chosen_id"]] == "chosen" and marked[pair["rejected_id"]] == "rejected"
    assert [arrow.what for arrow in picture.arrows].count("chosen") == 1


def test_without_a_pair_the_picture_says_why(finished: Run) -> None:
    round_ = first_round(finished)
    why = replace(round_.dropped[0], id=round_.prompt.id if round_.prompt else "", reason="equal_scores")
    why = replace(why, provenance=replace(why.provenance, asset="actor_pairs"))
    none = replace(round_, pairs=(), rule=None, dropped=(why,))
    picture = ancestry(none, ("actor",))
    assert ("no actor pair", "equal scores") in {box.lines for box in picture.boxes}


def test_a_pair_whose_tables_were_rematerialized_is_drawn_all_the_same(finished: Run) -> None:
    round_ = replace(first_round(finished), rule=None, contest=None, dropped=())
    there = {box.href for box in ancestry(round_, ("actor", "judge")).boxes}
    assert {pair.id for pair in round_.pairs} <= there
