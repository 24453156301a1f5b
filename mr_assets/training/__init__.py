"""SFT and DPO on token ids, by TRL's trainers in a process of their own.

    launch.py    train(job, on_metrics): checks the data, starts the process, passes its metrics on, ends it;
                 start_ahead(threads): a process for DPO that loads its libraries and waits for the next job
    settings.py  the recipe's sections sft and dpo: every hyperparameter
    job.py       TrainingJob: these, the starting model, the data and where to
    dpo.py       the process: python -m mr_assets.training.dpo [WORKSPACE]
    sft.py       the process: python -m mr_assets.training.sft WORKSPACE
    trainer.py   what both share: model, arguments, checkpoints, log, result
    accelerate_config.py, fsdp.yaml
                 accelerate's configuration for FSDP, and what another one may not say
    batches.py   in which order a step's rows are passed
    log.py       the log that the model's folder keeps
    margins.py   the reward margin of every pair after its training, which the folder keeps too
    leash.py     the process ends when the one that started it is gone; one that waits is told its workspace

A training of ``checkpoints/2`` works in ``checkpoints/2.training/``, which holds everything that a restart needs and
is removed at the end:

    job.json        the job, its data's and its starting model's hash: leftovers of another job are deleted, but
                    those of one that differs in speed and memory alone serve this one
    data.arrow      the token ids, and in DPO the ids of the pairs
    checkpoints/    checkpoint-<step>/, of which the file resume names one at most; another one is being written
    metrics.jsonl   one line per optimizer step of this attempt, then how far the reward margins are
    trainer.log     what the process printed
    failure.txt     why the process that failed first did
    epochs/         with dpo.keep_all_epochs: <e>/, each epoch's model with its reward margins
    model/          the result, renamed to checkpoints/2 when it is whole

With dpo.keep_all_epochs, ``checkpoints/2/epochs/<e>/`` is what keeping epoch e would have left, by hard links, and
its ``training_job.json`` says of what training. The same training with another `keep_epoch` takes it from there: no
step runs.

No module here imports dagster; torch and TRL are imported by the process alone.
"""
