"""A data folder whose lasting copy is an object store: a server of moto on loopback, and hosts that share it."""

import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from errno import ENOSPC
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import s3fs
from botocore.exceptions import ClientError, EndpointConnectionError
from click.testing import CliRunner
from s3fs.errors import translate_boto_error
from starlette.testclient import TestClient

from mr_assets.cli.main import main
from mr_assets.cli.status import statuses
from mr_assets.errors import UserError
from mr_assets.explorer.app import explorer
from mr_assets.files import fingerprint, note_of
from mr_assets.lineage.spotcheck import Answer, answers, append, file_of
from mr_assets.lineage.verification import verify
from mr_assets.loop import LOOP
from mr_assets.orchestration import lock
from mr_assets.orchestration.lock import run_lock
from mr_assets.orchestration.steps import Step, pending, steps
from mr_assets.processes import Worker
from mr_assets.report.measured import measured
from mr_assets.runs.artifact import Model
from mr_assets.runs.branch import branch, shared
from mr_assets.runs.data_folder import data_root, resolve
from mr_assets.runs.object_store import MARKER, ObjectStore, kept, pull, says_what_is_there, store_of
from mr_assets.runs.pruning import prune
from mr_assets.runs.record import Record, remove_record, write_record
from mr_assets.runs.run import Run
from mr_assets.runs.status import places, state
from mr_assets.runs.stored import save, stored_runs
from mr_assets_tests.chat_server import Serve
from mr_assets_tests.public_benchmarks.conftest import engine as engine
from mr_assets_tests.public_benchmarks.conftest import longer_wins
from mr_assets_tests.real_run import free_port, wait_for
from mr_assets_tests.runs.test_pruning import finished
from mr_assets_tests.tiny import complete, files, model_folder, tiny_run
from mr_assets_tests.whole_runs.test_loop import messages, new_world

pytestmark = pytest.mark.slow
Host = Callable[[str], Path]
TABLE = ("responses", "1")
MODEL = ("checkpoints", "1")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server of this module's own, in a process of its own: vLLM does not start beside its Flask."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def reachable() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    try:
        wait_for(reachable, 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> s3fs.S3FileSystem:
    """An empty bucket, as any other program sees it; MR_DATA names a prefix in it."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "not-to-be-shown",
        "AWS_SECRET_ACCESS_KEY": "not-to-be-shown",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MR_DATA": "s3://bucket/of/runs",
    }.items():
        monkeypatch.setenv(name, value)
    there = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    if there.exists("bucket"):
        there.rm("bucket", recursive=True)
    there.mkdir("bucket")
    return there


@pytest.fixture
def host(bucket: s3fs.S3FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Be another host from now on; its data folder."""

    def be(name: str) -> Path:
        monkeypatch.setenv("MR_SCRATCH", str(tmp_path / name))
        monkeypatch.setattr("mr_assets.processes.socket.gethostname", lambda: name)
        return data_root()

    return be


def published(data: Path) -> Run:
    """A run of which every artifact is in the store of `data`, put there as the IO managers do."""
    run = tiny_run(data)
    save(run)
    for asset, partition in places(run):
        place = run.place(asset, partition)
        if LOOP[asset].holds == "model":
            model_folder(place)
            (place / "training_log.jsonl").write_text('{"step": 1}\n')
        record = complete(run, asset, partition)
        if record.model:
            print_ = fingerprint(data / record.model["path"])
            record = replace(record, version=print_, model={**record.model, "fingerprint": print_})
        made = {"table": [place], "model": sorted(place.glob("*")), "pointer": []}[LOOP[asset].holds]
        beside = [p for p in made if p.name != "complete.json"]
        table = LOOP[asset].holds == "table"
        noted = {p.name: note_of(p, content=table) for p in beside}
        write_record(run.record_path(asset, partition), replace(record, files=noted))
    return run


def killed_before_the_record(run: Run, record: Record) -> None:
    """The model's files are put by a process of this host, which is killed before it puts the record."""
    what = pickle.dumps((socket.gethostname(), run.record_path(*MODEL), record))
    killed = subprocess.run([sys.executable, "-m", "mr_assets_tests.runs.killed_host"], input=what, check=False)
    assert killed.returncode == -signal.SIGKILL


def there(bucket: s3fs.S3FileSystem) -> list[str]:
    return [name.removeprefix("bucket/of/runs/") for name in sorted(bucket.find("bucket"))]


@pytest.mark.parametrize("url", ["s3://", "s3:///x", "s3://bucket//x", "s3://bucket/../x"])
def test_an_address_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> None:
    monkeypatch.setenv("MR_SCRATCH", str(tmp_path))
    monkeypatch.setenv("MR_DATA", url)
    with pytest.raises(UserError, match="expected s3://BUCKET or s3://BUCKET/PREFIX"):
        data_root()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scratch", ["s3://x/y", "scratch"])
def test_the_scratch_is_an_absolute_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scratch: str) -> None:
    """Else a folder called s3: would be made where one happens to be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MR_SCRATCH", scratch)
    monkeypatch.setenv("MR_DATA", "s3://bucket")
    with pytest.raises(UserError, match=r"MR_SCRATCH = .*: expected the absolute path of a folder on this host"):
        data_root()
    assert list(tmp_path.iterdir()) == []


def test_an_endpoint_that_is_no_address_is_one_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without http:// before it."""
    monkeypatch.setenv("MR_SCRATCH", str(tmp_path))
    monkeypatch.setenv("MR_DATA", "s3://bucket")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "127.0.0.1:9000")
    with pytest.raises(UserError, match=r"Invalid endpoint: 127\.0\.0\.1:9000\. Look at MR_DATA"):
        pull(data_root())


def test_without_the_library_its_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MR_SCRATCH", str(tmp_path))
    monkeypatch.setenv("MR_DATA", "s3://bucket")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[s3\]'"):
        data_root()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tiny/recipe.yaml", True),
        ("tiny/plan.json", True),
        ("tiny/responses/2.json", True),
        ("small_world/eft_dataset.json", True),
        ("small_world/sft_checkpoint/complete.json", True),
        ("tiny/checkpoints/1/complete.json", True),
        ("small_world/sft_checkpoint/config.json", False),
        ("tiny/checkpoints/1/config.json", False),
        ("tiny/checkpoints/1.training/job.json", False),
        ("tiny/responses/.2.progress.json", False),
        (".dagster/recipe.yaml", False),
        (".branch-x/responses/2.json", False),
        ("prompts/mine.json", False),
        ("recipe.yaml", False),
    ],
)
def test_stored_recipes_and_records_are_told_by_their_names(name: str, says: bool) -> None:
    assert says_what_is_there(name) == says


def test_another_host_sees_a_run_and_fetches_what_it_reads(bucket: s3fs.S3FileSystem, host: Host) -> None:
    """States without a table or a weight; a table when it is read, a log without its weights."""
    mine = published(host("gpu-01"))
    data = host("login")
    run = stored_runs(data)["tiny"]
    assert {state(run, *place) for place in places(run)} == {"done"}
    assert not [name for name in files(data) if name.endswith((".parquet", ".safetensors"))]
    assert pl.read_parquet(run.path(*TABLE)).equals(pl.read_parquet(mine.path(*TABLE)))
    folder = run.path(*MODEL)
    assert (folder / "training_log.jsonl").is_file() and not (folder / "model.safetensors").exists()
    Model(**run.record(*MODEL).model).check(data)  # type: ignore[union-attr, arg-type]
    assert (folder / "model.safetensors").read_bytes() == (mine.path(*MODEL) / "model.safetensors").read_bytes()


def test_what_a_host_makes_again_is_new_on_the_others(host: Host) -> None:
    """A table of as many bytes, a model whose weights have other content, a record that went."""
    first = published(host("gpu-01"))
    data = host("login")
    run = stored_runs(data)["tiny"]
    model = Model(**(run.record(*MODEL) or first.record(*MODEL)).model)  # type: ignore[union-attr, arg-type]
    model.check(data)
    before = (run.path(*MODEL) / "model.safetensors").read_bytes()

    host("gpu-01")
    weights = first.path(*MODEL) / "model.safetensors"
    weights.write_bytes(before[:-1] + b"!")
    record = first.record(*MODEL)
    assert record is not None
    write_record(first.record_path(*MODEL), replace(record, version="another"))
    remove_record(first.record_path(*TABLE))

    host("login")
    pull(data)
    assert run.record(*TABLE) is None and not run.place(*TABLE).exists()
    assert not (run.path(*MODEL) / "model.safetensors").exists()
    with pytest.raises(UserError, match="M1 is damaged"):  # its fingerprint is not the one that was recorded
        model.check(data)
    assert (run.path(*MODEL) / "model.safetensors").read_bytes() == weights.read_bytes()


def test_a_status_that_is_watched_sees_what_another_host_makes(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run that was loaded once, as `mr status --watch` does; the store is not asked at every look."""
    mine, data = published(host("gpu-01")), host("login")
    run = stored_runs(data)["tiny"]
    host("gpu-01")
    remove_record(mine.record_path(*TABLE))
    host("login")
    assert statuses([run])[0].state(TABLE) == "done"
    monkeypatch.setattr("mr_assets.cli.status.SECONDS_BETWEEN_PULLS", 0.0)
    assert statuses([run])[0].state(TABLE) == "missing"


def test_a_kill_before_the_record_leaves_what_was_put_and_no_artifact(bucket: s3fs.S3FileSystem, host: Host) -> None:
    """It is completed when the run is made again on that host; what is in the store already is not put again."""
    run = published(host("gpu-01"))
    record = run.record(*MODEL)
    assert record is not None
    remove_record(run.record_path(*MODEL))
    bucket.rm("bucket/of/runs/tiny/checkpoints/1", recursive=True)

    killed_before_the_record(run, record)
    weights = "bucket/of/runs/tiny/checkpoints/1/model.safetensors"
    put = bucket.info(weights)["LastModified"]
    pull(run.data)
    assert state(run, *MODEL) == "missing"
    other = stored_runs(host("login"))["tiny"]
    assert state(other, *MODEL) == "missing"
    host("gpu-01")
    with run_lock(run.folder, "run tiny", wait=False):
        assert state(run, *MODEL) == "done", "whoever makes the run next completes it"
    assert bucket.info(weights)["LastModified"] == put
    assert not list(run.data.rglob(".complete.json*"))
    pull(other.data)
    assert state(other, *MODEL) == "done"


def test_what_another_host_made_after_a_kill_is_not_overwritten(bucket: s3fs.S3FileSystem, host: Host) -> None:
    """gpu-01 is killed while it puts M1, gpu-02 trains M1 again; then gpu-01 comes back, and takes gpu-02's."""
    run = published(host("gpu-01"))
    record = run.record(*MODEL)
    assert record is not None
    remove_record(run.record_path(*MODEL))
    killed_before_the_record(run, record)
    other = stored_runs(host("gpu-02"))["tiny"]
    place = other.place(*MODEL)
    model_folder(place)
    weights = place / "model.safetensors"
    weights.write_bytes(weights.read_bytes().replace(b"abcd", b"bcde"))  # as many bytes
    made = replace(record, version=fingerprint(place), files={p.name: note_of(p, content=False) for p in [weights]})
    write_record(other.record_path(*MODEL), made)
    host("gpu-01")
    with run_lock(run.folder, "run tiny", wait=False):
        now = run.record(*MODEL)
    assert now is not None and now.version == made.version
    assert b"bcde" in bucket.cat_file("bucket/of/runs/tiny/checkpoints/1/model.safetensors")
    assert not (run.path(*MODEL) / "model.safetensors").exists(), "gpu-01's own; they are fetched where they are loaded"


def test_content_that_its_record_does_not_know_is_not_taken(bucket: s3fs.S3FileSystem, host: Host) -> None:
    """Of as many bytes: whoever reads it is told, and it is damaged there from then on, until it is made again."""
    published(host("gpu-01"))
    name = "bucket/of/runs/tiny/responses/1.parquet"
    before = bucket.cat_file(name)
    bucket.pipe_file(name, bytes(len(before)))
    run = stored_runs(host("login"))["tiny"]
    assert state(run, *TABLE) == "done", "nothing of it was read"
    for _ in range(2):
        with pytest.raises(UserError, match=f"s3://{name} is not what its record says.*`mr run` does, on this host"):
            run.path(*TABLE)
        assert state(run, *TABLE) == "missing"
    assert "responses" in pending(run, ["prompts", "responses"], "1")
    bucket.pipe_file(name, before)
    assert run.path(*TABLE).read_bytes() == before, "its content is looked for again"
    assert state(run, *TABLE) == "done"


def test_verify_goes_on_after_a_table_that_the_store_has_otherwise(bucket: s3fs.S3FileSystem, host: Host) -> None:
    published(host("gpu-01"))
    name = "bucket/of/runs/tiny/responses/1.parquet"
    bucket.pipe_file(name, bytes(bucket.info(name)["size"]))
    run = stored_runs(host("login"))["tiny"]
    [first, *others] = verify(run, ["1"], ["responses", "judgments"])
    assert first.asset == "responses" and "its content has changed since" in first.said
    assert f"s3://{name} is not what its record says" in first.said
    assert "judgments" in {fault.asset for fault in others}


def test_a_model_that_the_store_has_otherwise_is_made_again_without_its_record(
    bucket: s3fs.S3FileSystem, host: Host
) -> None:
    """The folder alone would be fetched again: the message names the record in the store, and that is what counts."""
    published(host("gpu-01"))
    weights = "bucket/of/runs/tiny/checkpoints/1/model.safetensors"
    bucket.pipe_file(weights, bucket.cat_file(weights)[:-1] + b"!")
    data = host("login")
    run = stored_runs(data)["tiny"]
    model = Model(**run.record(*MODEL).model)  # type: ignore[union-attr, arg-type]
    for _ in range(2):
        with pytest.raises(UserError, match="If it is damaged in the store, too, remove ") as told:
            model.check(data)
        shutil.rmtree(run.place(*MODEL))
        pull(data)
        assert state(run, *MODEL) == "done"
    [named] = [word for word in str(told.value).split() if word.startswith("s3://")]
    bucket.rm(named)
    pull(data)
    assert state(run, *MODEL) == "missing" and not (run.place(*MODEL) / "model.safetensors").exists()


def test_a_removed_run_is_gone_everywhere(
    bucket: s3fs.S3FileSystem, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it shares with its family stays."""
    run = published(host("gpu-01"))
    data = host("login")
    assert list(stored_runs(data)) == ["tiny"]
    host("gpu-01")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    removed = CliRunner().invoke(main, ["runs", "remove", "tiny", "--yes"])
    assert removed.exit_code == 0, removed.output
    assert {name.partition("/")[0] for name in there(bucket)} == {run.family}
    host("login")
    assert stored_runs(data) == {}
    assert run.path("seed_prompts").is_file()


def test_shards_are_put_as_they_come(bucket: s3fs.S3FileSystem, host: Host) -> None:
    """Another host has them, and puts them not again. Whoever completes the table removes them."""
    mine, data = host("gpu-01") / "tiny" / "responses" / ".shards-1", host("gpu-02")
    host("gpu-01")
    mine.mkdir(parents=True)
    with kept(mine, "[0-9]*.parquet") as keep:
        (mine / "00000-9f3c.parquet").write_bytes(b"first")
        keep()
        (mine / "00001-1d24.parquet").write_bytes(b"second")
        (mine / ".tmp-1~2~3~gpu-01~00002.parquet").write_bytes(b"th")
        keep()
        keep()
        (mine / "00002-7a51.parquet").write_bytes(b"third")  # put in the end
    names = [f"tiny/responses/.shards-1/{name}.parquet" for name in ("00000-9f3c", "00001-1d24", "00002-7a51")]
    assert there(bucket) == names
    host("gpu-02")
    pull(data)
    with kept(data / "tiny" / "responses" / ".shards-1", "[0-9]*.parquet"):
        assert {name: content for name, content in files(data).items() if name in names} == dict(
            zip(names, (b"first", b"second", b"third"), strict=True)
        )


def test_answers_of_a_spot_check_are_in_the_store_alone(
    bucket: s3fs.S3FileSystem, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two hosts that answer at once both count; a line that is none is told by its address."""
    first, second = tiny_run(host("gpu-01")), tiny_run(host("login"))
    mine, yours, third = (Answer(f"1.{i}.actor", "v1", "chosen", "a", "2026-11-29T00:00:00+00:00") for i in range(3))
    append(first, mine)
    put_if = ObjectStore.put_if

    def beaten(self: ObjectStore, path: Path, content: str, etag: str) -> str:
        monkeypatch.setattr(ObjectStore, "put_if", put_if)
        append(first, third)
        return put_if(self, path, content, etag)

    monkeypatch.setattr(ObjectStore, "put_if", beaten)
    append(second, yours)
    assert answers(first) == answers(second) == [mine, third, yours]
    assert not file_of(first).exists() and not file_of(second).exists()
    bucket.pipe_file("bucket/of/runs/tiny/spotcheck.jsonl", b"none\n")
    with pytest.raises(UserError, match=r"s3://bucket/of/runs/tiny/spotcheck\.jsonl, line 1 is no answer"):
        answers(first)


def test_what_a_judge_was_paid_for_outlives_its_host(
    bucket: s3fs.S3FileSystem, host: Host, serve: Serve, engine: list[str], tmp_path: Path
) -> None:
    """Another host asks neither the judge nor the model again, and shows the results."""
    published(host("gpu-01"))
    judge, given = serve(longer_wins), tmp_path / "reference.json"
    given.write_text(json.dumps([{"instruction": f"What is {n}?", "output": "x", "generator": "g"} for n in range(3)]))
    command = ["benchmark", "alpaca_eval", "tiny", "--instructions", str(given), "--models", "1"]
    command += ["--endpoint", judge.url, "--judge", "strict", "--yes", "--json"]
    made = CliRunner().invoke(main, command)
    assert made.exit_code == 0, made.output
    asked = len(judge.asked), len(engine)
    assert asked == (3, 3)
    shutil.rmtree(tmp_path / "gpu-01")
    assert not [name for name in there(bucket) if ".tmp-" in name or ".shards-" in name or name.endswith(".lock")]

    run = stored_runs(host("login"))["tiny"]
    assert "strict" in {key.judge for key in measured(run, {})}
    again = CliRunner().invoke(main, command)
    assert again.exit_code == 0, again.output
    assert (len(judge.asked), len(engine)) == asked
    rows = [json.loads(each.stdout)["rows"] for each in (made, again)]
    assert rows[0] == rows[1]


def test_a_lock_is_not_fetched(bucket: s3fs.S3FileSystem, host: Host) -> None:
    """Its file here is open, and held by the kernel; what lies beside it comes."""
    data = host("gpu-01")
    store = store_of(data)
    assert store is not None
    bucket.pipe_file("bucket/of/runs/tiny/benchmarks/.lock", b"x")
    bucket.pipe_file("bucket/of/runs/tiny/benchmarks/a/j/results.json", b"{}")
    store.pull()
    store.fetch_given(data / "tiny" / "benchmarks")
    assert list(files(data / "tiny")) == ["benchmarks/a/j/results.json"]


def test_a_pilot_is_its_hosts_alone(tmp_path: Path) -> None:
    """Nothing of it is put or looked for: there is no such store."""
    (tmp_path / MARKER).write_text('{"url": "s3://bucket/runs"}')
    assert store_of(tmp_path / "tiny" / "pilots") and store_of(tmp_path / "pilots" / "tiny") is None
    pilot = tiny_run(tmp_path / "pilots")
    write_record(pilot.record_path(*TABLE), Record(*TABLE, "v1", "a run", "2026-11-29T00:00:00+00:00", 1.0, {}, {}))
    with run_lock(pilot.folder, "the pilot", wait=False):
        assert pilot.record(*TABLE)
    remove_record(pilot.record_path(*TABLE))


def test_a_branch_is_a_run_on_every_host(bucket: s3fs.S3FileSystem, host: Host) -> None:
    """Its own artifacts before that iteration are in the store, of a run that its host had nothing of."""
    published(host("gpu-01"))
    data = host("gpu-02")
    made = branch(stored_runs(data)["tiny"], "shorter", 2, ["dpo.beta=0.3"])
    assert not [name for name in there(bucket) if name.startswith(".")]
    seen = stored_runs(host("login"))["shorter"]
    assert (seen.recipe, seen.origin) == (made.recipe, made.origin)
    assert {state(seen, asset, "1") for asset in LOOP.per("iteration")} == {"done"}
    assert state(seen, "responses", "2") == "missing"
    assert seen.path(*TABLE).is_file()


def test_pruned_weights_go_from_the_store_too(bucket: s3fs.S3FileSystem, host: Host) -> None:
    """Records and logs stay there, and the weights of the newest model."""
    run = finished(host("one"))
    for t in run.iterations:
        record = run.record("checkpoints", t)
        assert record is not None
        write_record(run.record_path("checkpoints", t), record)
    inside = ("complete.json", "model.safetensors", "training_log.jsonl")
    assert [name for name in there(bucket) if "/1/" in name] == [f"tiny/checkpoints/1/{name}" for name in inside]
    prune(run)
    assert [name for name in there(bucket) if "model" in name] == ["tiny/checkpoints/4/model.safetensors"]
    assert [name for name in there(bucket) if "/1/" in name] == [f"tiny/checkpoints/1/{name}" for name in inside[::2]]


def test_what_a_person_put_into_the_store_is_found(bucket: s3fs.S3FileSystem, host: Host) -> None:
    """A file or a folder that a recipe names relative to the data folder."""
    bucket.pipe_file("bucket/of/runs/prompts/mine.jsonl", b'{"prompt": "x"}\n')
    bucket.pipe_file("bucket/of/runs/models/seed/config.json", b"{}")
    data = host("gpu-01")
    pull(data)
    assert resolve("prompts/mine.jsonl", data).read_text() == '{"prompt": "x"}\n'
    assert (resolve("models/seed", data) / "config.json").read_text() == "{}"


def test_what_a_person_changed_in_the_store_is_fetched_again(
    bucket: s3fs.S3FileSystem, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also at the same size, and once; what is as it was is not."""
    mine, other = "bucket/of/runs/prompts/mine.jsonl", "bucket/of/runs/prompts/other.jsonl"
    bucket.pipe_file(mine, b'{"prompt": "x"}\n')
    bucket.pipe_file(other, b'{"prompt": "z"}\n')
    data, get = host("gpu-01"), s3fs.S3FileSystem.get_file
    fetched: list[str] = []

    def get_file(fs: s3fs.S3FileSystem, key: str, *more: Any, **named: Any) -> None:
        fetched.append(key)
        get(fs, key, *more, **named)

    monkeypatch.setattr(s3fs.S3FileSystem, "get_file", get_file)
    pull(data)
    for _ in range(2):
        assert resolve("prompts", data).joinpath("mine.jsonl").read_text() == '{"prompt": "x"}\n'
    assert sorted(fetched) == [mine, other]
    time.sleep(1.1)  # the store's times are of seconds
    bucket.pipe_file(mine, b'{"prompt": "y"}\n')
    pull(data)
    for _ in range(2):
        assert resolve("prompts", data).joinpath("mine.jsonl").read_text() == '{"prompt": "y"}\n'
    assert sorted(fetched) == [mine, mine, other]


def test_a_large_file_says_how_far_it_is(
    bucket: s3fs.S3FileSystem, host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both ways; a small one says nothing."""
    store = store_of(data := host("gpu-01"))
    assert store is not None
    weights = data / "tiny" / "checkpoints" / "1" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(bytes(5_000_000))
    store.put_file(weights)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("mr_assets.runs.object_store.WORTH_A_NOTE", 1)
    monkeypatch.setattr("mr_assets.runs.object_store.REPORT_SECONDS", 0)
    weights.write_bytes(b"x" * 5_000_000)
    store.put_file(weights)
    assert "putting model.safetensors into s3://bucket/of/runs: done" in capsys.readouterr().err
    weights.unlink()
    store.fetch(weights)
    assert weights.read_bytes() == b"x" * 5_000_000
    assert "fetching model.safetensors: 0.0 of 0.0 GB" in capsys.readouterr().err


def test_a_branch_whose_store_fails_leaves_nothing(
    bucket: s3fs.S3FileSystem, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither here, where its name could not be given again, nor there. A whole one has its recipe there last."""
    data = host("gpu-01")
    published(data)
    run = stored_runs(data)["tiny"]
    before, here = there(bucket), files(data)
    written: list[str] = []

    def fails(self: ObjectStore, path: Path, content: str) -> None:
        written.append(path.name)
        if path.name == "recipe.yaml":
            raise UserError("the store is gone")
        write(self, path, content)

    write = ObjectStore.write
    with monkeypatch.context() as failing:
        failing.setattr(ObjectStore, "write", fails)
        with pytest.raises(UserError, match="the store is gone"):
            branch(run, "other", 2)
    assert written[-1] == "recipe.yaml" and len(written) == len(shared(run, 2)) + 1
    assert there(bucket) == before
    assert files(data) == here
    branch(run, "other", 2)
    assert "other/recipe.yaml" in there(bucket)
    assert "other" in stored_runs(host("gpu-02"))


def test_one_host_holds_a_runs_lock(bucket: s3fs.S3FileSystem, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one is told which; when it is killed, the lock does not move any more, and goes over."""
    monkeypatch.setattr(lock, "OBJECT_BEAT_SECONDS", 0.1)
    monkeypatch.setattr(lock, "OBJECT_WATCH_SECONDS", 2.0)
    first = host("gpu-01") / "tiny"
    with run_lock(first, "run x", wait=False) as former:
        assert former is None
        second = host("gpu-02") / "tiny"
        said = f"run x is being run by process {os.getpid()} on host gpu-01"
        with pytest.raises(UserError, match=said), run_lock(second, "run x", wait=False):
            raise AssertionError("two hosts hold the lock")
        host("gpu-01")
    assert there(bucket) == []
    killed = replace(Worker.of(os.getpid()), ticks=1)
    bucket.pipe_file("bucket/of/runs/tiny/.lock", f"{killed.tag('tiny')} 7".encode())
    host("gpu-02")
    with run_lock(second, "run x", wait=False) as former:
        assert former == killed
    assert there(bucket) == []


def test_of_two_that_take_a_lock_at_once_one_has_it(bucket: s3fs.S3FileSystem, host: Host) -> None:
    """Each puts it on the condition that it is as both saw it."""
    store = store_of(host("gpu-01"))
    assert store is not None
    path = store.data / "tiny" / ".lock"
    etag = store.put_if(path, "first", "")
    assert etag and not store.put_if(path, "second", "")
    assert store.seen(path) == ("first", etag)
    assert store.put_if(path, "third", etag) and not store.put_if(path, "fourth", etag)
    assert store.seen(path)[0] == "third"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1", "s3://bucket/of/runs cannot be read or written"),
        ("MR_DATA", "s3://no-such-bucket/x", "s3://no-such-bucket/x cannot be read or written: .*bucket"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_message(
    host: Host, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    """Without credentials in it, and nothing is changed."""
    monkeypatch.setenv(name, value)
    data = host("gpu-01")
    before = files(data)
    with pytest.raises(UserError, match=said) as refused:
        stored_runs(data)
    assert "not-to-be-shown" not in str(refused.value)
    assert files(data) == before


def test_a_lock_whose_store_cannot_be_used_is_one_message_too(
    bucket: s3fs.S3FileSystem, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not tried for ever, and the thread that holds a lock outlives a network that is gone for a while.

    A store that does not know conditions answers InvalidArgument, for which s3fs has the same error number as for a
    condition that is not met.
    """
    store = store_of(data := host("gpu-01"))
    assert store is not None
    answer = {"Error": {"Code": "InvalidArgument", "Message": "If-None-Match is not known"}}
    for said, error in (
        ("If-None-Match is not known", translate_boto_error(ClientError(answer, "PutObject"))),
        ("endpoint URL", EndpointConnectionError(endpoint_url="http://gone")),
    ):

        def refuse(self: object, *_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(s3fs.S3FileSystem, "call_s3", refuse)
        with pytest.raises(UserError, match=said):
            store.put_if(data / "tiny" / ".lock", "first", "")


def test_a_full_disk_here_is_no_trouble_of_the_store(
    bucket: s3fs.S3FileSystem, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(self: object, *_: object, **__: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    data = host("gpu-01")
    bucket.pipe_file("bucket/of/runs/prompts.jsonl", b"{}")
    monkeypatch.setattr(s3fs.S3FileSystem, "_get_file", full)
    pull(data)
    with pytest.raises(UserError, match=r"no space left on disk while writing .*prompts\.jsonl"):
        resolve("prompts.jsonl", data)


def test_a_record_that_is_not_in_the_store_goes(host: Host) -> None:
    """One that was written here after the listing began stays: it was put before."""
    run = tiny_run(host("gpu-01"))
    save(run)
    complete(run, "seed_prompts")
    record = run.record_path("seed_prompts")
    for seconds, stays in ((60, True), (-60, False)):
        written = time.time() + seconds
        os.utime(record, (written, written))
        pull(run.data)
        assert record.exists() == stays


def test_a_run_goes_on_on_another_host(bucket: s3fs.S3FileSystem, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first iteration by fakes on one, the second one's policy and responses on another; a third reads and checks.

    It is the IO managers that put and fetch, and the handoff that brings M1 over.
    """
    monkeypatch.setattr("mr_assets.files.os.fsync", lambda file: None)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    first = new_world(monkeypatch, host("gpu-01"))
    save(first.run)
    for step in steps(first.run):
        if step.partition in (None, "1") and step.assets != ("evaluation",):
            result = first.materialize(step)
            assert result.success, messages(result)

    assert "tiny/dropped/responses/1.parquet" in there(bucket)
    assert not [name for name in there(bucket) if ".." in name or ".shards" in name]
    second = new_world(monkeypatch, host("gpu-02"))
    assert list(stored_runs(second.run.data)) == ["tiny"]
    assert {state(second.run, asset, "1") for asset in LOOP.per("iteration")} == {"done"}
    result = second.materialize(Step("on", ("prompts", "policy", "responses"), "2"))
    assert result.success, messages(result)
    [(folder, _)] = second.opened
    assert folder == second.run.place(*MODEL) and (folder / "model.safetensors").is_file()

    data = host("login")
    run = stored_runs(data)["tiny"]
    made = {place for place in places(run) if state(run, *place) == "done"}
    assert ("responses", "2") in made and MODEL in made and ("judgments", "2") not in made
    assert list(verify(run)) == []
    shown = CliRunner().invoke(main, ["status", "tiny", "--json"])
    told = {(a["asset"], a["partition"]): a["state"] for a in json.loads(shown.output)["artifacts"]}
    assert (told[TABLE], told["responses", "2"], told["judgments", "2"]) == ("done", "done", "missing")
    page = TestClient(explorer(data, "http://127.0.0.1:3000"), base_url="http://127.0.0.1").get("/runs/tiny")
    assert page.status_code == 200 and "/runs/tiny/1." in page.text
