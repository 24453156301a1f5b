"""The script for a GPU: what it skips, goes on with and lists; and all of its code, rehearsed on a CPU."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mr_assets.planning.devices import Device
from mr_assets.sampling.shards import Progress
from mr_assets.sampling.stats import EngineStats
from mr_assets_tests.benchmarks import gpu
from mr_assets_tests.benchmarks.gpu import (
    ON_CPU,
    SLICE_SECONDS,
    STEPS,
    Peak,
    Place,
    Step,
    done,
    file_of,
    first_and_drain,
    run_slice,
    slices,
)
from mr_assets_tests.real_run import wait_for

GUIDE = Path(__file__).parents[2] / "docs" / "gpus-and-clusters.md"
Carried = list[str]


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> Carried:
    """The steps that were carried out; `a.fails` leaves no file. vLLM's build for CPUs is not there."""
    titles: Carried = []

    def carry_out(each: Step, place: Place, out: Path) -> bool:
        titles.append(each.title)
        if each.title != "a.fails":
            file_of(each, out).write_text(json.dumps({"figures": {"seconds": 1}}))
        return each.title != "a.fails"

    monkeypatch.setattr(gpu, "carry_out", carry_out)
    monkeypatch.setattr(gpu, "samples_on_cpu", lambda: False)
    return titles


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The GB that are taken on each of two GPUs of 80 GB, to be changed."""
    gigabytes = [1.0, 2.0]

    def devices() -> list[Device]:
        return [Device("NVIDIA H100", 80 * 10**9, int((80 - held) * 1e9)) for held in gigabytes]

    monkeypatch.setattr(gpu, "devices", devices)
    return gigabytes


def fake(name: str, gpus: int = 1) -> Step:
    return Step(f"a.{name}", "nothing", 60, gpus, lambda place: {})


def test_the_guide_lists_every_step_and_what_it_settles() -> None:
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (.*?) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == {step.title: step.settles for step in STEPS.values()}


def test_every_slice_ends_within_ten_minutes() -> None:
    """Though each of its steps takes as long as it may. Together they are all steps, in order."""
    assert max(sum(step.limit for step in steps) for steps in slices()) <= SLICE_SECONDS < 600
    assert [step for steps in slices() for step in steps] == list(STEPS.values())


def test_without_cuda_every_step_is_skipped_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], carried: Carried
) -> None:
    monkeypatch.setattr(gpu, "samples_on_cpu", lambda: True)
    monkeypatch.setattr(sys, "argv", ["gpu", "--slice", "3", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    said = capsys.readouterr().out
    assert (ended.value.code, carried) == (0, [])
    for step in slices()[2]:
        assert f"{step.title}: skipped: vLLM's build for CPUs is installed" in said


def test_one_command_goes_through_all_slices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: list[float], carried: Carried
) -> None:
    """Nothing is left over; a second one measures nothing again."""
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path)])
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            gpu.main()
        assert (ended.value.code, carried) == (0, list(STEPS))


def test_what_needs_more_gpus_is_skipped(
    tmp_path: Path, taken: list[float], carried: Carried, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(ON_CPU, tmp_path, cpu=False)
    assert run_slice([fake("two", gpus=2), fake("three", gpus=3)], place, tmp_path) == 0
    assert carried == ["a.two"]
    assert "a.three: skipped: needs 3 GPUs, NVIDIA's driver tells of 2" in capsys.readouterr().out


def test_the_same_command_goes_on(tmp_path: Path, carried: Carried) -> None:
    """What has its figures is left alone, what failed is tried again and counted."""
    place, steps = Place(ON_CPU, tmp_path, cpu=True), [fake("fails"), fake("works")]
    assert run_slice(steps, place, tmp_path) == 1
    assert carried == ["a.fails", "a.works"]
    assert done(steps[1], tmp_path) == {"seconds": 1}
    assert run_slice(steps, place, tmp_path) == 1
    assert carried == ["a.fails", "a.works", "a.fails"]


def test_each_gpu_has_a_peak_of_its_own(taken: list[float]) -> None:
    """Less what was taken before, also where that has been given back since."""
    with Peak() as peak:
        taken[1] = 32.0
        wait_for(lambda: peak.gigabytes == 30.0, 10)
        taken[:] = [0.0, 0.0]
    assert (peak.of_each, peak.gigabytes) == ([0.0, 30.0], 30.0)


@pytest.mark.parametrize("used", [{0: 20.0}, {0: 20.0, 1: 3.0}])
def test_a_training_that_takes_a_second_gpu_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: list[float], used: dict[int, float]
) -> None:
    def trained(*_: object) -> dict[str, int]:
        for number, gigabytes in used.items():
            taken[number] += gigabytes
        return {"steps": 4}

    monkeypatch.setattr(gpu, "trained", trained)
    one_of_several, place = STEPS["training.one_of_several"], Place(ON_CPU, tmp_path, cpu=False)
    if len(used) == 1:
        assert one_of_several.measure(place) == {"steps": 4, "peak_gb_of_each": [20.0, 0.0]}
    else:
        with pytest.raises(RuntimeError, match=r"one GPU is to be used; .* \[20\.0, 3\.0\]"):
            one_of_several.measure(place)


def test_the_first_token_and_the_drain_are_read_off_a_stage() -> None:
    """Full is nine tenths of the most that ran: 90 of 100 at 8 s, 89 no more."""

    def at(seconds: float, tokens: int, running: int) -> tuple[float, Progress]:
        return seconds, Progress(0, None, 0, tokens, 0.0, None, EngineStats(running=running))

    seen = [at(0.5, 0, 0), at(1.5, 7, 40), at(4.0, 300, 100), at(8.0, 700, 90), at(9.0, 800, 89), at(10.0, 900, 1)]
    assert first_and_drain(seen, 10.5) == (1.5, 2.5)


@pytest.mark.slow
def test_a_rehearsal_on_a_cpu(tmp_path: Path) -> None:
    """With a tiny model, the code is the same: a killed starter leaves nothing, the cache hits what is planned.

    Of the steps that differ in their settings alone, those with two engines and two ranks.
    """
    chosen = ("start.killed", "sampling.replicas", "training.fsdp", "loop.iteration")
    steps = [part for title in chosen for part in ("--step", title)]
    command = [sys.executable, "-m", gpu.__name__, "--cpu", "--out", str(tmp_path / "out"), "--work", str(tmp_path)]
    ended = subprocess.run([*command, *steps], capture_output=True, text=True, timeout=2400, check=False)
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-4000:]
    killed, sampled, trained, loop = (done(STEPS[title], tmp_path / "out") or {} for title in chosen)
    assert killed["processes"] >= 2 and killed["left"] == 0, "the engine's process, and vLLM's own"
    for asset in ("responses", "judgments", "meta_judgments"):
        assert sampled[asset]["hit_rate"] == pytest.approx(sampled[asset]["hit_rate_ceiling"], abs=0.05)
        assert sampled[asset]["first_token_after_s"] > 0 <= sampled[asset]["drain_s"]
    assert (trained["steps"], trained["first_loss"]) == (2, pytest.approx(math.log(2), abs=1e-3))
    assert set(loop["seconds_by_asset"]) == {
        "sft_checkpoint",
        "responses",
        "judgments",
        "meta_judgments",
        "checkpoints",
    }
    assert f"| {chosen[0]} | {STEPS[chosen[0]].settles} | processes {killed['processes']};" in ended.stdout
