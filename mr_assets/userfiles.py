"""The user's own files: prompts and evaluation data, in the formats that people have them in."""

from pathlib import Path
from typing import Any

import polars as pl

from mr_assets.errors import UserError
from mr_assets.method.prompts import check_prompts
from mr_assets.recipe import Recipe
from mr_assets.runs import resolve
from mr_assets.tables import EFT_DATASET
from mr_assets.worlds.letters import has_held_out

HELD_OUT = "left out as held out for the evaluation"
FORMATS = ".parquet, .jsonl, .csv or .txt (one per line)"


def read_frame(source: str, data: Path, what: str) -> pl.DataFrame:
    """Read a table file. Raises `UserError` that says what was expected and what came."""
    path = resolve(source, data)
    if not path.is_file():
        raise UserError(f"{what} {source}: there is no file {path}. Put it there, or name another one in the recipe.")
    try:
        match path.suffix:
            case ".parquet":
                return pl.read_parquet(path, glob=False)
            case ".jsonl" | ".ndjson":
                return pl.read_ndjson(path, infer_schema_length=None)
            case ".csv":
                return pl.read_csv(path)
            case ".txt":
                lines = path.read_text(encoding="utf-8").splitlines()
                return pl.DataFrame({"prompt": lines}, schema={"prompt": pl.String})
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{what} {path} cannot be read as {path.suffix}: {error}. Mend the file.") from error
    raise UserError(f"{what} {path}: expected {FORMATS}, came {path.suffix or 'a file without a suffix'}.")


def read_prompts(source: str, column: str, data: Path) -> list[str]:
    """The prompts of a user's file, in order. Raises `UserError` for a file or column that is not there or not text."""
    frame = read_frame(source, data, "prompts file")
    if column not in frame.columns:
        raise UserError(
            f"prompts file {source}: expected a column {column!r}, found {', '.join(frame.columns) or 'none'}. "
            "Rename it, or set prompts.column in the recipe."
        )
    if frame[column].dtype != pl.String:
        raise UserError(f"prompts file {source}: column {column!r} is {frame[column].dtype}, expected text.")
    return ["" if text is None else text for text in frame[column]]


def user_prompts(recipe: Recipe, data: Path) -> pl.DataFrame:
    """The seed prompts of a recipe that names a file (columns of `SEED_PROMPTS`).

    Raises `UserError` for a file that cannot be used, has empty or repeated prompts, or fewer than the recipe says.
    """
    texts, count = read_prompts(recipe.prompts.source, recipe.prompts.column, data), recipe.prompts.count
    if count and len(texts) < count:
        raise UserError(
            f"prompts.count = {count}: {recipe.prompts.source} has {len(texts)} prompts. "
            "Lower prompts.count and the iterations' prompts, or name a larger file."
        )
    return check_prompts(pl.DataFrame({"prompt": texts[:count]}, schema={"prompt": pl.String}))


def read_eft(source: str, data: Path) -> pl.DataFrame:
    """Evaluation data as `EFT_DATASET`.

    The file has either prompt and completion, each a text or a list of {role, content}, or messages, whose last one is
    the judgment. Raises `UserError` otherwise, naming the first row that does not fit.
    """
    frame = read_frame(source, data, "EFT file")
    if "messages" in frame.columns:
        pairs = [(m[:-1], m[-1:]) if isinstance(m, list) else (None, None) for m in frame["messages"].to_list()]
    elif {"prompt", "completion"} <= set(frame.columns):
        pairs = list(zip(frame["prompt"].to_list(), frame["completion"].to_list(), strict=True))
    else:
        raise UserError(
            f"EFT file {source}: expected columns prompt and completion, or messages; "
            f"found {', '.join(frame.columns) or 'none'}."
        )
    rows = []
    for i, (prompt, completion) in enumerate(pairs):
        asked, said = _conversation(prompt, "user"), _conversation(completion, "assistant")
        if not asked or not said or len(asked) != 1 or len(said) != 1 or not said[0]["content"].strip():
            raise UserError(
                f"EFT file {source}, row {i + 1}: expected one user message and one non-empty assistant message, "
                f"came {str(prompt)[:80]!r} and {str(completion)[:80]!r}."
            )
        rows.append((str(i), asked, said))
    if not rows:
        raise UserError(f"EFT file {source} has no rows. Name a file with judgments, or set sft: null in the recipe.")
    return pl.DataFrame(rows, schema=EFT_DATASET.schema, orient="row")


def _conversation(value: Any, role: str) -> list[dict[str, str]] | None:
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, list):
        return None
    messages = [m for m in value if isinstance(m, dict) and m.get("role") == role and isinstance(m.get("content"), str)]
    return [{"role": role, "content": m["content"]} for m in messages] if len(messages) == len(value) else None


def to_train_on(frame: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """The rows of a user's prompts or evaluation data that do not have a prompt which the recipe's world holds out."""
    if recipe.world is None:
        return frame
    texts = [asked if isinstance(asked, str) else "\n".join(m["content"] for m in asked) for asked in frame["prompt"]]
    return frame.filter(pl.Series([not has_held_out(text) for text in texts], dtype=pl.Boolean))
