"""`mr pilot`: what it says to a person and to a program; with the fake engine, and once with the real one."""

import json
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mr_assets.cli.main import main
from mr_assets.templates import judge_template
from mr_assets.wiring import sampling
from mr_assets_tests.cli.conftest import SETS, Mr, as_json, said
from mr_assets_tests.fakes import WorldSampler, pictures_are
from mr_assets_tests.real_run import alive, descendants, mr, printed, sets, started, wait_for
from mr_assets_tests.tiny import NAME, files

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
TINY = (NAME, "--name", "tiny", "--prompts", 3, *SETS)


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A data folder with a pilot, and what `mr pilot` said as it made it."""
    data = tmp_path_factory.mktemp("tried")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MR_DATA", str(data))
        patch.setattr(sampling, "open_engine", lambda folder, policy, settings, **_: WorldSampler(folder, policy))
        pictures_are(False, patch)
        return data, CliRunner().invoke(main, ["pilot", *map(str, TINY)])


@pytest.mark.slow
def test_what_a_person_reads(tried: tuple[Path, Result]) -> None:
    """First what follows, then what the model wrote, then stage by stage."""
    data, result = tried
    output = said(result)
    assert output.startswith("3 prompts of iteration 1 of tiny, the seed model as it is (")
    assert "Expected of its 5 prompts:" in output and "actor_pairs" in output
    assert "what the model wrote" in output and "what a run would meet" in output
    assert f"All texts are in {data / 'pilots' / 'tiny'}; nothing of it is part of a run." in output
    assert "pilot of tiny: 3 prompts, the seed model" in result.stderr and "done in" in result.stderr


def test_what_a_program_reads(tried: tuple[Path, Result], mr: Mr, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pilot, which is there already; nothing is written for it."""
    data, _ = tried
    monkeypatch.setenv("MR_DATA", str(data))
    before = files(data)
    result = mr("pilot", *TINY, "--json")
    found = as_json(result)
    assert "is there already (mr pilot --again measures again)" in result.stderr and files(data) == before
    assert (found["run"], found["prompts"], found["model"]["name"]) == ("tiny", 3, "seed")
    stages = {stage["asset"]: stage for stage in found["stages"]}
    assert list(stages) == [
        *("responses", "judgments", "actor_pairs", "meta_judgments", "elo_pairs", "dpo_dataset"),
    ]
    rate = stages["judgments"]["shares"]["parse_rate"]
    assert rate["low"] <= rate["share"] <= rate["high"] and rate["groups"] == 3
    assert stages["responses"]["rows"] == 12 and stages["actor_pairs"]["expected_pairs"]["high"] <= 5


class Silent(WorldSampler):
    """Its judge gives no score."""

    def say(self, message: str) -> str:
        return "Very good." if judge_template().unfill(message) else super().say(message)


@pytest.mark.slow
def test_a_judge_that_does_not_judge(mr: Mr, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be done comes first; three of its texts are shown. No bound stops it: it has no pairs."""
    monkeypatch.setattr(sampling, "open_engine", lambda folder, policy, settings, **_: Silent(folder, policy))
    pictures_are(False, monkeypatch)
    output = said(mr("pilot", *TINY))
    assert "the judge does not judge. A run would stop at judgments. What can be done:" in output
    assert (
        "- Teach it: SFT on eft.source = world makes M0" in output and "- Ask otherwise: judgments.template" in output
    )
    assert output.count("no_score:\n  Very good.") == 3
    records = {asset: list((data / "pilots").rglob(f"{asset}/1.json")) for asset in ("judgments", "actor_pairs")}
    rows = {asset: [json.loads(path.read_text())["rows"] for path in paths] for asset, paths in records.items()}
    assert rows["judgments"] not in ([], [0]) and rows["actor_pairs"] == [0]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("nothing",), "recipe 'nothing' is not known"),
        ((NAME, "--prompts", 0), "0 is not in the range"),
        ((NAME, "--set", "model.seed=/nowhere"), "there is no folder /nowhere"),
        ((NAME, "--name", "pilots"), "is taken by what runs share"),
    ],
)
def test_messages(mr: Mr, data: Path, arguments: tuple[object, ...], part: str) -> None:
    """Nothing is written."""
    result = mr("pilot", *arguments)
    assert result.exit_code != 0 and part in " ".join(result.output.split()) and "Traceback" not in result.output
    assert files(data) == {}


@pytest.mark.slow
def test_with_the_real_engine(tmp_path: Path) -> None:
    """Stopped by Ctrl-C it leaves no process behind; the same command goes on, and a plan takes what it measured."""
    data = tmp_path / "data"
    data.mkdir()
    small = sets("responses.k=3", "judgments.n=3", "engine.cpu_threads=1", "iterations.all.prompts=20")
    command = ("pilot", NAME, "--prompts", "3", *small)
    with started(data, *command) as process:
        wait_for(lambda: "responses: 3 of 3" in printed(process), 600, process)
        children = descendants(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert alive(children) == [] and "the same command goes on" in printed(process)
    stdout = mr(data, *command, "--json")
    found = json.loads(stdout[stdout.index("\n{") :])
    assert [stage["rows"] for stage in found["stages"][:1]] == [9] and found["judges"]
    assert list(data.glob("*/recipe.yaml")) == []
