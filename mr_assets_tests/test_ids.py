"""Ids: built, parsed, ranged and shortened, by plain functions and by polars expressions alike."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mr_assets
from mr_assets import ids
from mr_assets.errors import UserError
from mr_assets.ids import Id, PairKind, of_prompt, parsed, short

NUMBERS = st.integers(0, 9999)
PROMPTS = st.text("0123456789abcdef", min_size=12, max_size=12)
KINDS: st.SearchStrategy[PairKind] = st.sampled_from(["actor", "judge"])
DESCENTS = st.tuples(NUMBERS, PROMPTS, NUMBERS, NUMBERS, NUMBERS)
"""Iteration, prompt, sample of the response, samples of two judgments."""


@given(DESCENTS, KINDS)
def test_what_is_built_is_parsed(descent: tuple[int, str, int, int, int], kind: PairKind) -> None:
    """Every id says its kind, iteration and prompt, and the parts read from it build it again."""
    t, prompt, k, m, n = descent
    response = ids.response_id(t, prompt, k)
    judgment, battle, pair = ids.judgment_id(response, m), ids.battle_id(response, m, n), ids.pair_id(t, prompt, kind)
    for text, what in ((response, "response"), (judgment, "judgment"), (battle, "battle"), (pair, "pair")):
        found = parsed(text)
        assert (found.text, found.kind, found.iteration, found.prompt_id) == (text, what, str(t), prompt)
        assert (ids.iteration_of(text), ids.prompt_of(text)) == (str(t), prompt)
    assert parsed(ids.drawn_prompt(t, prompt)) == Id(prompt, "prompt", str(t), prompt)
    assert ids.prompt_of(prompt) == ids.prompt_of(ids.drawn_prompt(t, prompt)) == prompt
    assert ids.response_id(t, ids.prompt_of(response), ids.sample_of(response)) == response
    assert [ids.response_of(i) for i in (response, judgment, battle)] == [response] * 3
    assert ids.judgment_id(ids.response_of(judgment), ids.sample_of(judgment)) == judgment
    assert ids.judgments_of(battle) == (judgment, ids.judgment_id(response, n))
    assert ids.battle_id(ids.response_of(battle), *map(ids.sample_of, ids.judgments_of(battle))) == battle
    assert ids.pair_id(t, ids.prompt_of(pair), ids.kind_of_pair(pair)) == pair
    assert parsed(ids.model_id(t)) == Id(ids.model_id(t), "model", str(t))
    assert ids.model_key(ids.model_id(t)) == str(t)


@given(st.lists(DESCENTS, min_size=1, max_size=8), NUMBERS, KINDS)
def test_expressions_do_what_the_plain_functions_do(descents: list[Any], t: int, kind: PairKind) -> None:
    """In every row."""
    frame = pl.DataFrame(descents, schema=["iteration", "prompt", "k", "m", "n"], orient="row")
    frame = frame.with_columns(response=ids.response_ids(t, "prompt", "k"))
    frame = frame.with_columns(judgment=ids.judgment_ids("response", "m"), battle=ids.battle_ids("response", "m", "n"))
    rows = frame.rows(named=True)
    assert frame["response"].to_list() == [ids.response_id(t, r["prompt"], r["k"]) for r in rows]
    assert frame["judgment"].to_list() == [ids.judgment_id(r["response"], r["m"]) for r in rows]
    assert frame["battle"].to_list() == [ids.battle_id(r["response"], r["m"], r["n"]) for r in rows]
    for column in ("prompt", "response", "judgment", "battle"):
        assert frame.select(ids.prompts_of(column))[column].to_list() == [ids.prompt_of(r[column]) for r in rows]
    for column in ("response", "judgment", "battle"):
        assert frame.select(ids.responses_of(column))[column].to_list() == [ids.response_of(r[column]) for r in rows]
        pairs = [ids.pair_id(t, r["prompt"], kind) for r in rows]
        assert frame.select(ids.pair_ids(column, kind))[column].to_list() == pairs
    for column in ("response", "judgment"):
        assert frame.select(ids.samples_of(column))[column].to_list() == [ids.sample_of(r[column]) for r in rows]
    pairs_of = frame.select("prompt", pair=ids.pair_ids("response", kind))
    assert pairs_of.select(ids.prompts_of("pair"))["pair"].to_list() == pairs_of["prompt"].to_list()


@given(st.lists(DESCENTS, min_size=1, max_size=8), DESCENTS)
def test_a_prompts_ids_are_one_range(descents: list[Any], asked: tuple[int, str, int, int, int]) -> None:
    """Sorted as text, all ids of a prompt in an iteration lie together, and the range holds those and no other."""
    every = [i for t, prompt, k, m, n in [*descents, asked] for i in _family(t, prompt, k, m, n)]
    frame = pl.DataFrame({"id": sorted({*every})}).with_row_index()
    found = frame.filter(of_prompt("id", asked[0], asked[1]))
    prefix = f"{asked[0]}.{asked[1]}."
    assert found["id"].to_list() == [i for i in frame["id"] if i.startswith(prefix)]
    assert found["index"].to_list() == list(range(found["index"][0], found["index"][0] + found.height))


def _family(t: int, prompt: str, k: int, m: int, n: int) -> list[str]:
    response = f"{t}.{prompt}.r{k}"
    return [prompt, f"{t}.{prompt}.actor", f"{t}.{prompt}.judge", response, f"{response}.j{m}", f"{response}.j{m}-j{n}"]


P = "3f1c09aa72be"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (P, Id(P, "prompt", None, P)),
        (f"2.{P}", Id(P, "prompt", "2", P)),
        (f"2.{P}.r4", Id(f"2.{P}.r4", "response", "2", P)),
        (f"2.{P}.r4.j10", Id(f"2.{P}.r4.j10", "judgment", "2", P)),
        (f"2.{P}.r4.j10-j3", Id(f"2.{P}.r4.j10-j3", "battle", "2", P)),
        (f"2.{P}.actor", Id(f"2.{P}.actor", "pair", "2", P)),
        (f"2.{P}.judge", Id(f"2.{P}.judge", "pair", "2", P)),
        ("M2", Id("M2", "model", "2")),
        ("2", Id("M2", "model", "2")),
        ("0", Id("M0", "model", "0")),
    ],
)
def test_an_id_says_what_it_is(text: str, expected: Id) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    "text", ["", "x", f"{P}.r1", f"2.{P}.r", f"2.{P}.r1.j", f"2.{P}.r1\n", "../../etc", "M", f"2.{P}."]
)
def test_what_is_none_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(UserError, match=r"is no id\. Expected a pair"):
        parsed(text)


def test_what_was_typed_is_not_obeyed_by_the_terminal() -> None:
    """The message shows the id that was given, spelled out."""
    with pytest.raises(UserError, match="is no id") as error:
        parsed("\x1b[2J")
    assert "\x1b" not in str(error.value)


def test_a_prompt_is_not_taken_for_a_longer_one() -> None:
    """Iteration 1 is not 11, response 1 is not 10 of another, and "/" is past everything that begins with "p."."""
    ids = pl.DataFrame({"id": ["1.p.r1", "1.p.r10.j3-j4", "11.p.r1", "1.pq.r1", "1.p", "1.p/", "1.p.judge", "2.p.r1"]})
    assert ids.filter(of_prompt("id", "1", "p"))["id"].to_list() == ["1.p.r1", "1.p.r10.j3-j4", "1.p.judge"]


def test_the_filter_reaches_the_reader(tmp_path: Path) -> None:
    """No row beyond the prompt's is handed on: the plan has the filter in the scan itself."""
    path = tmp_path / "t.parquet"
    pl.DataFrame({"id": ["1.p.r1"], "text": ["x"]}).write_parquet(path)
    plan = pl.scan_parquet(path).filter(of_prompt("id", "1", "p")).explain()
    assert "SELECTION" in plan
    assert not plan.startswith("FILTER")


def test_the_last_part_is_short_for_an_id() -> None:
    assert (short("1.p.r2"), short("1.p.r2.j10"), short("p")) == ("r2", "j10", "p")


def test_the_seed_is_a_models_name() -> None:
    assert (ids.model_id("seed"), ids.model_id("0"), ids.model_id(2)) == ("seed", "M0", "M2")
    assert (ids.model_key("seed"), ids.model_key("M0")) == ("seed", "0")


# -------------------------------------------------------------------------------------------------------- in one place

_SPELT = re.compile(
    r"""
    [.](?:r|j)(?:\{|\\d|\[0-9)          # "{}.r{}", f"{t}.{p}.r{k}", r"\.j\d+"
    | \}-j\{                            # "{}.j{}-j{}"
    | (?:^|\})[.](?:actor|judge)$        # f"{t}.{p}.actor", ".judge"
    | ^[.][rj]$                         # ".r", ".j"
    | ^M$ | ^M\{[^:}]*\}(?![,.\d])       # "M" + t, f"M{t}", not a path of a picture
    | [0-9a-f]\]\{12\}                   # the pattern of a prompt
    """,
    re.VERBOSE,
)
_SPLIT = re.compile(r"""(?:\bid|_id|identity)["\])]*\.(?:str\.)?(?:r?split|r?partition|endswith)\(""")


def spelt(source: str) -> list[str]:
    """Where Python source or a template spells the grammar of ids instead of asking `mr_assets.ids`."""
    lines = source.splitlines()
    found = [line.strip() for line in lines if _SPLIT.search(line)]
    try:
        texts = [*_texts(ast.parse(source))]
    except SyntaxError:
        texts = re.findall(r"\{[{%](.*?)[%}]\}", source)
        texts = [text for code in texts for text in re.findall(r'"([^"]*)"', code)]
    return found + [text for text in texts if _SPELT.search(text)]


def _texts(node: ast.AST) -> Iterator[str]:
    """Texts in code, as they are written; loose ones are docstrings."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Expr(ast.Constant(str())):
                continue
            case ast.Constant(str(text)):
                yield text
            case ast.JoinedStr():
                yield ast.unparse(child)[2:-1]
            case _:
                yield from _texts(child)


@pytest.mark.parametrize(
    "source",
    [
        'f"{t}.{prompt}.r{k}"',
        'pl.format("{}.j{}", "response_id", "n")',
        'pl.format(f"{t}.{{}}.r{{}}", "prompt_id", "k")',
        'column.str.replace(r"\\.j\\d+$", "")',
        'f"{t}.{prompt}.actor"',
        'x = pair + ".judge"',
        'response = text.rpartition(".j")[0]',
        'prompt = identity.split(".")[1]',
        'kind = "actor" if lineage.id.endswith(".actor") else "judge"',
        'name = f"M{t}"',
        '<a href="{{ page_of(run, "M" ~ t) }}">',
        '<a href="{{ lineage.id.rpartition(".")[0] }}">',
    ],
)
def test_a_grammar_spelt_again_is_found(source: str) -> None:
    assert spelt(source)


def test_no_other_module_spells_the_grammar() -> None:
    package = Path(mr_assets.__file__).parent
    files = [f for f in package.rglob("*") if f.suffix in (".py", ".html") and f.name != "ids.py"]
    assert len(files) > 100
    found = {str(f.relative_to(package)): said for f in files if (said := spelt(f.read_text(encoding="utf-8")))}
    assert not found, f"build and read ids with mr_assets.ids: {found}"
