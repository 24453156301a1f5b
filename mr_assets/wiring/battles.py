"""The battles of meta_judgments in parts of whole responses: what is held at a time does not grow with their number.

parts(battles)                                               those of the first responses, of the next ones, ...
asked(battles, prompts, responses, judgments)                {"meta_judgment_id": "1.3f1c.r0.0-1", "prompt": ..., ...}
fought(battles, completions, too_long, verdicts, folder)     all meta-judgments, lazily
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from mr_assets.files import atomically
from mr_assets.judging import Verdicts
from mr_assets.method import Frame
from mr_assets.method import meta_judgments as method

ROWS = 4_000
"""Battles of a part at least, but for the last one."""
_SAMPLED = ~pl.col("identical") & pl.col("copied_from").is_null()


def parts(battles: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Consecutive battles of whole responses; one part without rows if there is none.

    battles: as `method.battles` gives them, sorted by response. A battle that takes another's verdict is in its part.
    """
    begin = end = 0
    for length in battles["response_id"].rle().struct.field("len"):
        end += length
        if end - begin >= ROWS:
            yield battles[begin:end]
            begin = end
    if begin < end or not end:
        yield battles[begin:]


def number_asked(battles: pl.DataFrame) -> int:
    """How many battles are sampled: neither between equal judgments, nor copied from another one."""
    return battles.filter(_SAMPLED).height


def asked(battles: pl.DataFrame, prompts: Frame, responses: Frame, judgments: Frame) -> Iterator[dict[str, Any]]:
    """What the meta-judge is asked of each battle that is sampled, in order: the rows of `method.to_sample`."""
    for part in parts(battles):
        yield from method.to_sample(part, prompts, responses, judgments).iter_rows(named=True)


def fought(
    battles: pl.DataFrame, completions: pl.LazyFrame, too_long: Iterable[str], verdicts: Verdicts, folder: Path
) -> pl.LazyFrame:
    """Every battle with its meta-judgment, lazily: the rows of `method.meta_judgments`, worked out once.

    completions: in the order of what was asked, without those of `too_long`. folder: where the parts are kept until the
    table is written, one parquet file each.
    """
    paths, begin, lacking = [], 0, {*too_long}
    folder.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(parts(battles)):
        ids = part.filter(_SAMPLED)["meta_judgment_id"]
        count = sum(id not in lacking for id in ids)
        rows = method.meta_judgments(part, completions.slice(begin, count), verdicts)
        paths.append(folder / f"fought-{number:05d}.parquet")
        atomically(paths[-1], rows.collect().write_parquet)
        begin += count
    return pl.scan_parquet(paths, glob=False)
