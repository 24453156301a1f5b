"""Partition keys."""

from mr_assets.runs.run import Run
from mr_assets.wiring.partitions import iterations, models
from mr_assets_tests.tiny import tiny_run


def test_keys(run: Run) -> None:
    """Runs of as many iterations share one definition object."""
    assert iterations(run).get_partition_keys() == ["1", "2"]
    assert models(run).get_partition_keys() == ["seed", "0", "1", "2"]
    assert iterations(run) is iterations(tiny_run(run.data, "dpo.beta=0.2"))
