"""The script for a GPU: what it skips, goes on with and lists; and all of its code, rehearsed on a CPU."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mr_assets_tests.benchmarks import gpu
from mr_assets_tests.benchmarks.gpu import ON_CPU, SLICE_SECONDS, STEPS, Place, Step, done, file_of, run_slice, slices

GUIDE = Path(__file__).parents[2] / "docs" / "gpus-and-clusters.md"
Carried = list[str]


@pytest.fixture
def carried(monkeypatch: pytest.MonkeyPatch) -> Carried:
    """The steps that were carried out; `a.fails` leaves no file."""
    titles: Carried = []

    def carry_out(each: Step, place: Place, out: Path) -> bool:
        titles.append(each.title)
        if each.name != "fails":
            file_of(each, out).write_text(json.dumps({"figures": {"seconds": 1}}))
        return each.name != "fails"

    monkeypatch.setattr(gpu, "carry_out", carry_out)
    return titles


def fake(name: str, limit: int = 60, gpus: int = 1) -> Step:
    return Step("a", name, "nothing", limit, gpus, lambda place: {})


def test_the_guide_lists_every_step_and_what_it_settles() -> None:
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (.*?) \|", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == {step.title: step.settles for step in STEPS.values()}


def test_no_step_is_longer_than_its_slice_may_be() -> None:
    assert max(step.limit for step in STEPS.values()) <= SLICE_SECONDS < 600
    assert [step.slice for steps in slices().values() for step in steps] == [step.slice for step in STEPS.values()]


def test_without_cuda_every_step_is_skipped_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], carried: Carried
) -> None:
    monkeypatch.setattr(gpu, "samples_on_cpu", lambda: True)
    monkeypatch.setattr(sys, "argv", ["gpu", "--slice", "sampling", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    said = capsys.readouterr().out
    assert (ended.value.code, carried) == (0, [])
    for step in slices()["sampling"]:
        assert f"{step.title}: skipped: vLLM's build for CPUs is installed" in said


def test_what_needs_more_gpus_is_skipped(tmp_path: Path, carried: Carried, capsys: pytest.CaptureFixture[str]) -> None:
    place = Place(ON_CPU, tmp_path, cpu=True)
    assert run_slice([fake("one"), fake("two", gpus=2)], place, tmp_path) == 0
    assert carried == ["a.one"]
    assert "a.two: skipped: needs 2 GPUs" in capsys.readouterr().out


def test_the_same_command_goes_on(tmp_path: Path, carried: Carried) -> None:
    """What has its figures is left alone, what failed is tried again, what has no time left is told and counted."""
    place, steps = Place(ON_CPU, tmp_path, cpu=True), [fake("works"), fake("fails"), fake("late", SLICE_SECONDS)]
    assert run_slice(steps, place, tmp_path) == 2
    assert carried == ["a.works", "a.fails"]
    assert done(steps[0], tmp_path) == {"seconds": 1}
    assert run_slice(steps, place, tmp_path) == 2
    assert carried == ["a.works", "a.fails", "a.fails"]


@pytest.mark.slow
def test_a_rehearsal_on_a_cpu(tmp_path: Path) -> None:
    """With a tiny model, the code is the same: a killed starter leaves nothing, the cache hits what is planned."""
    chosen = ("start.killed", "sampling.recipe", "training.dpo", "loop.iteration")
    steps = [part for title in chosen for part in ("--step", title)]
    command = [sys.executable, "-m", gpu.__name__, "--cpu", "--out", str(tmp_path / "out"), "--work", str(tmp_path)]
    ended = subprocess.run([*command, *steps], capture_output=True, text=True, timeout=2400, check=False)
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-4000:]
    killed, sampled, trained, loop = (done(STEPS[title], tmp_path / "out") or {} for title in chosen)
    assert killed["processes"] > 0 == killed["left"]
    for asset in ("responses", "judgments", "meta_judgments"):
        assert sampled[asset]["hit_rate"] == pytest.approx(sampled[asset]["hit_rate_ceiling"], abs=0.05)
    assert (trained["steps"], trained["first_loss"]) == (2, pytest.approx(math.log(2), abs=1e-3))
    assert set(loop["seconds_by_asset"]) == {
        "sft_checkpoint",
        "responses",
        "judgments",
        "meta_judgments",
        "checkpoints",
    }
    assert f"| {chosen[0]} | {STEPS[chosen[0]].settles} | processes 1;" in ended.stdout
