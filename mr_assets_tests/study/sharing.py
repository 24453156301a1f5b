"""What an arm need not compute: the artifacts of M0 and of iteration 1 that another arm of its seed has made alike.

    self_201/judgments/1.parquet      the same file as meta_201/judgments/1.parquet: a hard link, with its record

Alike means made by the same settings of the same ancestors. That such artifacts are equal, bit for bit, is what the
project promises of one kind of CPU.
"""

from mr_assets.loop import Place
from mr_assets.recipes.shaping import shaping_settings
from mr_assets.runs.branch import link
from mr_assets.runs.record import write_record
from mr_assets.runs.run import Run
from mr_assets.runs.status import places, state
from mr_assets.runs.stored import save

FIRST = ("seed", "0", "1")
"""The partitions before the arms of a seed go their own ways for good."""


def share(source: Run, run: Run) -> list[Place]:
    """Link into `run`, which may have nothing yet, what it would make as `source` has made it; returns what is new."""
    save(run)
    found = []
    for place in places(run):  # ancestors first
        record = source.record(*place)
        if place[1] not in FIRST or record is None or record.overrides:
            continue
        alike = shaping_settings(source.recipe, *place) == shaping_settings(run.recipe, *place)
        alike = alike and record.inputs == run.inputs(*place) and state(source, *place) == "done"
        if alike and run.record(*place) is None:
            link(source, run, place, record)
            write_record(run.record_path(*place), record)
            found.append(place)
    return found


def is_of(source: Run, run: Run, place: Place) -> bool:
    """Whether an artifact of `run` is that of `source`: both records are of one Dagster run."""
    one, other = source.record(*place), run.record(*place)
    return one is not None and other is not None and one.run_id == other.run_id
