"""A trainer's process that also tells how each of its parameters is shared out: ``python -m ... rank WORKSPACE``.

With a file ``break`` or ``kill`` in the workspace, the second process fails, or is killed, before there is anything to
train, and the first waits.
"""

import os
import signal
import time
from typing import Any

from mr_assets.training import leash
from mr_assets.training.job import TrainingJob


def share(parameter: Any) -> list[Any]:
    """[KIND, PROCESSES, PLACEMENT, SHARE] of a parameter that is shared out; [KIND] of one that is whole."""
    from torch.distributed.tensor import DTensor

    kind = type(parameter).__name__
    if not isinstance(parameter, DTensor):
        return [kind]
    here = parameter.to_local()
    return [kind, parameter.device_mesh.size(), str(parameter.placements), here.numel() / parameter.numel()]


def make_trainer(job: TrainingJob) -> Any:
    """The job's trainer, which first reports ``{"shares": {NAME: share}}``, see `share`."""
    from transformers import TrainerCallback

    from mr_assets.training import dpo, sft
    from mr_assets.training.trainer import report

    if (job.workspace / "break").exists():
        if os.environ["RANK"] == "1":
            raise ValueError("the second one broke")
        time.sleep(60)

    class Shares(TrainerCallback):  # type: ignore[misc]  # transformers is not typed here
        def on_train_begin(self, *_: Any, model: Any = None, **__: Any) -> None:
            report(job, {"shares": {name: share(parameter) for name, parameter in model.named_parameters()}})

    trainer: Any = (dpo if job.kind == "dpo" else sft).make_trainer(job)
    trainer.add_callback(Shares)
    return trainer


if __name__ == "__main__":
    workspace = leash.follow_starter()
    if (workspace() / "kill").exists():  # before seconds of imports
        if os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    from mr_assets.training.dpo import write_reward_margins
    from mr_assets.training.trainer import main

    dpo = TrainingJob.read(workspace() / "job.json").kind == "dpo"
    main(workspace, make_trainer, write_reward_margins if dpo else None)
