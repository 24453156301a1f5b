"""A code location for tests: the product's definitions of the launched runs, with a fake engine and a fake trainer.

What the fakes do is set from outside:
    MR_FAKE_SECONDS        what a request takes
    MR_FAKE_STEP_SECONDS   what a training step takes
    MR_FAKE_SFT_SECONDS    what M0 takes besides
    MR_FAKE_WRITE_SECONDS  how long a table that is being written lies beside its place
    <data>/fail            the model, as in checkpoints/1, that can be neither sampled from nor made
The engine notes every request that it completes in <data>/requests.log, the trainer every step, with its process
id, in <data>/steps.log.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import dagster as dg
import pytest

from mr_assets.definitions import build_definitions
from mr_assets.runs.data_folder import data_root
from mr_assets.runs.stored import stored_runs
from mr_assets.sampling.engine import Completion
from mr_assets.sampling.settings import EngineSettings
from mr_assets.training import launch
from mr_assets.training.job import TrainingJob
from mr_assets_tests.fakes import WorldSampler
from mr_assets_tests.ui.history import keep_open


class LoggedSampler(WorldSampler):
    """A sampler that takes its time and tells what it did."""

    def step(self) -> list[tuple[str, list[Completion]]]:
        asked, done = self._asked, []
        for request in asked:
            time.sleep(float(os.environ.get("MR_FAKE_SECONDS", "0")))
            self._asked = [request]
            done += super().step()
            with (data_root() / "requests.log").open("a") as file:
                file.write(request.id + "\n")
        return done


def refuse(model: Path) -> None:
    """Raise if the model is the one that is to fail."""
    flag = data_root() / "fail"
    if flag.exists() and str(model).endswith(flag.read_text()):
        raise RuntimeError(f"{model} fails, as the test wants it")


def fsync(file: int | IO[bytes]) -> None:
    """In place of the system's: a disk that is slow with tables."""
    descriptor = file if isinstance(file, int) else file.fileno()
    if ".shards-" not in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
        time.sleep(float(os.environ.get("MR_FAKE_WRITE_SECONDS", "0")))


def open_engine(folder: Path, policy: str, settings: EngineSettings, **_: Any) -> LoggedSampler:
    """In place of the product's."""
    refuse(folder)
    return LoggedSampler(folder, policy)


def train(
    job: TrainingJob, on_metrics: Callable[[launch.Metrics], None], *, code: str, start: str
) -> launch.TrainingResult:
    """As the product's."""
    refuse(job.out)
    return launch.train(job, on_metrics, code=code, start=start)


keep_open()
patch = pytest.MonkeyPatch()  # for as long as this process lives
patch.setattr("mr_assets.wiring.pictures.markdown", lambda figure, title: f"![{title}]()")  # a tenth of a run
patch.setattr("mr_assets.wiring.sampling.open_engine", open_engine)
patch.setattr("mr_assets.orchestration.sensors.SECONDS", 1)  # as often as the tests' daemon looks
patch.setattr("mr_assets.wiring.training.close_engine", lambda: None)
patch.setattr("mr_assets.wiring.training.train", train)
patch.setattr(
    "mr_assets.training.launch.trainer_program", lambda kind: [sys.executable, "-m", "mr_assets_tests.ui.fake_trainer"]
)
patch.setattr("mr_assets.files.os.fsync", fsync)
if os.environ.get("MR_EXECUTOR") == "ray":  # loaded only then
    patch.setattr("mr_assets.orchestration.ray_executor.LOOK_SECONDS", 1)
    patch.setattr("mr_assets.orchestration.ray_executor.SAY_SECONDS", 5)


@dg.definitions
def defs() -> dg.Definitions:
    """Of the runs that were launched; the shipped recipes would only take time."""
    return build_definitions(list(stored_runs(data_root()).values()))
