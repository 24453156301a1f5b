"""One training, described completely: the same job on the same data gives the same weights."""

import json
import os
import shutil
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, model_validator

from mr_assets.errors import UserError, shown
from mr_assets.training.settings import DPOSettings, SFTSettings, batch_problem, epoch_problem

Kind = Literal["dpo", "sft"]
Folder = Annotated[Path, Field(strict=False)]  # in JSON a text
UNUSED_IN_SFT: dict[str, Any] = {"beta": 0.1, "keep_all_epochs": False}
PLACES = {"model", "data", "out", "accelerate_config"}
"""The fields that say where something lies: another host may have the same storage under another path."""
EPOCHS = "epochs"
FAILURE = "failure.txt"  # in the workspace: why the process that failed first did
EPOCH_NOTE = "training_job.json"  # in an epoch's folder: of what training it is
COLUMNS: dict[Kind, tuple[str, ...]] = {
    "dpo": ("prompt_token_ids", "chosen_token_ids", "rejected_token_ids"),
    "sft": ("prompt_token_ids", "completion_token_ids"),
}


class TrainingJob(DPOSettings, SFTSettings):
    """What to train, on what, and where to; how is as the recipe says, and SFT takes no notice of DPO's own fields.

    The learning-rate schedule spans `schedule_epochs`; training stops at the end of `keep_epoch`, whose weights are
    the result, bit for bit those that the whole schedule would have had there. With `keep_all_epochs` the whole
    schedule is trained and ``<out>/epochs/<e>/`` holds what keeping epoch e would have left: model, log and margins.

    Raises `UserError` for values that cannot be.
    """

    kind: Kind
    model: Folder = Field(description="the starting model; in DPO also the reference")
    data: Folder = Field(
        description="parquet with the columns of COLUMNS[kind], lists of token ids; in DPO also pair_id"
    )
    out: Folder = Field(description="model folder to write; <out>.training beside it is the workspace")
    seed: int = Field(default=0, description="order of the examples")

    @model_validator(mode="wrap")
    @classmethod
    def _checked(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            job = handler(values)
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, e['loc']))} = {shown(e['input'])}: {e['msg']}" for e in error.errors()]
        else:
            problems = list(job._contradictions())
            if not problems:
                return job
        raise UserError("\n  - ".join(["training job: mend it in the recipe.", *problems]))

    def _contradictions(self) -> Iterator[str]:
        if reason := epoch_problem(self.keep_epoch, self.schedule_epochs):
            yield f"keep_epoch = {self.keep_epoch}: {reason}"
        if reason := batch_problem(self.batch_size, self.micro_batch_size, self.num_processes):
            yield f"batch_size = {self.batch_size}: {reason}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of token ids that the data has, prompt first."""
        return COLUMNS[self.kind]

    @property
    def ids(self) -> tuple[str, ...]:
        """The columns that name the data's rows, where something is measured of each: in DPO its reward margin."""
        return ("pair_id",) if self.kind == "dpo" else ()

    @property
    def workspace(self) -> Path:
        """Folder beside `out` that holds what a restart needs."""
        return self.out.with_name(f"{self.out.name}.training")

    def steps_per_epoch(self, rows: int) -> int:
        """Optimizer steps in an epoch of `rows` examples; the last one may have a smaller batch."""
        return ceil(rows / self.batch_size)

    def to_dict(self) -> dict[str, Any]:
        """Every field, as JSON holds it."""
        return self.model_dump(mode="json")

    @classmethod
    def read(cls, path: Path) -> Self:
        """The job in a workspace's ``job.json``."""
        return cls.model_validate(json.loads(path.read_text(encoding="utf-8"))["job"])


def link_kept_epoch(job: TrainingJob, epochs: Path) -> None:
    """Make ``<workspace>/model`` of the kept epoch's folder in `epochs`, and of `epochs` as a whole: by hard links."""
    model = job.workspace / "model"
    note = shutil.ignore_patterns(EPOCH_NOTE)
    shutil.copytree(epochs / str(job.keep_epoch), model, ignore=note, copy_function=os.link)
    shutil.copytree(epochs, model / EPOCHS, copy_function=os.link)
