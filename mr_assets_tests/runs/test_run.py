"""Runs: where their artifacts lie."""

from mr_assets.runs.run import Run


def test_where_artifacts_lie(run: Run) -> None:
    """Tables are files with a record beside them, models folders with the record inside; shared ones the family's."""

    def places(asset: str, partition: str | None) -> list[str]:
        return [str(p.relative_to(run.data)) for p in (run.path(asset, partition), run.record_path(asset, partition))]

    assert places("responses", "2") == ["tiny/responses/2.parquet", "tiny/responses/2.json"]
    assert places("checkpoints", "2") == ["tiny/checkpoints/2", "tiny/checkpoints/2/complete.json"]
    assert places("policy", "2") == ["tiny/policy/2", "tiny/policy/2.json"]
    assert places("seed_prompts", None) == [f"{run.family}/seed_prompts.parquet", f"{run.family}/seed_prompts.json"]
    assert places("sft_checkpoint", None) == [
        f"{run.family}/sft_checkpoint",
        f"{run.family}/sft_checkpoint/complete.json",
    ]


def test_partition_keys(run: Run) -> None:
    assert run.iterations == ["1", "2"]
    assert run.models == ["seed", "0", "1", "2"]
