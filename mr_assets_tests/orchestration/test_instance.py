"""The Dagster instance: settings that are there from the first command, and up to date until somebody edits them."""

import re
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
import yaml

from mr_assets.errors import UserError
from mr_assets.orchestration import instance as module
from mr_assets.orchestration.instance import SETTINGS, dagster_home, instance
from mr_assets.orchestration.run_launcher import ProcessRunLauncher
from mr_assets.wiring.partitions import POOL

OLDER = "# The Dagster instance of this project.\nrun_monitoring:\n  enabled: true\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have the project ship other settings."""

    def shipped(settings: str) -> None:
        (tmp_path / "shipped.yaml").write_text(settings)
        monkeypatch.setattr(module, "SETTINGS", tmp_path / "shipped.yaml")

    return shipped


def test_a_fresh_instance_watches_its_runs_and_limits_the_gpu(home: Path) -> None:
    """One run at a time on the GPU from the very first backfill on, and nobody is told of it."""
    with instance() as dagster:
        assert isinstance(dagster.run_launcher, ProcessRunLauncher)
        assert dagster.run_monitoring_enabled
        assert dagster.run_monitoring_start_timeout_seconds < 60
        assert isinstance(dagster.run_coordinator, dg.QueuedRunCoordinator)
        assert dagster.run_coordinator.dequeue_interval_seconds == 1
        [limit] = [p for p in dagster.event_log_storage.get_pool_limits() if p.name == POOL]
        assert limit.limit == 1
        assert not dagster.telemetry_enabled
    assert Path(dagster.root_directory) == home


def test_settings_that_nobody_edited_follow_the_project(
    home: Path, ship: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """A newer version of the project brings its own; nothing is said."""
    ship(OLDER)
    dagster_home()
    capsys.readouterr()
    ship(SETTINGS.read_text())
    dagster_home()
    assert (home / "dagster.yaml").read_text().endswith(SETTINGS.read_text())
    dagster_home()
    assert capsys.readouterr().err == ""


def test_settings_that_were_edited_stay(
    home: Path, ship: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """As long as their runs are watched, by whatever launcher, nothing is said either."""
    dagster_home()
    edited = (home / "dagster.yaml").read_text().replace("poll_interval_seconds: 5", "poll_interval_seconds: 9")
    (home / "dagster.yaml").write_text(edited)
    ship(OLDER)
    dagster_home()
    assert (home / "dagster.yaml").read_text() == edited
    assert capsys.readouterr().err == ""


def test_settings_that_leave_runs_unwatched_are_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An older copy, or a person's own: it stays, and what to do is said."""
    home.mkdir()
    (home / "dagster.yaml").write_text(OLDER)
    dagster_home()
    assert (home / "dagster.yaml").read_text() == OLDER
    said = capsys.readouterr().err
    assert f"{home / 'dagster.yaml'} has no run_launcher" in said
    assert "Move that file away" in said


def test_settings_that_name_the_launcher_where_it_was_say_which_line_to_change(home: Path) -> None:
    """They are a person's own and stay as they are; with that line changed they work, with the person's edits."""
    dagster_home()
    place = home / "dagster.yaml"
    now = "  module: mr_assets.orchestration.run_launcher"
    edited = place.read_text().replace("poll_interval_seconds: 5", "poll_interval_seconds: 9")
    old = edited.replace(now, "  module: mr_assets.run_launcher")
    assert old != edited
    place.write_text(old)
    with pytest.raises(UserError) as refused:
        instance()
    said = str(refused.value)
    assert str(place) in said
    assert place.read_text() == old
    was, becomes = re.findall("^  module: .*$", said, re.MULTILINE)
    place.write_text(old.replace(was, becomes))
    with instance() as found:
        assert isinstance(found.run_launcher, ProcessRunLauncher)
        assert found.run_monitoring_poll_interval_seconds == 9


def test_settings_of_an_earlier_version_that_nobody_edited_name_the_launcher_where_it_is(
    home: Path, ship: Callable[[str], None]
) -> None:
    """The project's own copy of before the move follows the project."""
    ship(SETTINGS.read_text().replace("mr_assets.orchestration.run_launcher", "mr_assets.run_launcher"))
    dagster_home()
    ship(SETTINGS.read_text())
    with instance() as found:
        assert isinstance(found.run_launcher, ProcessRunLauncher)


def test_a_database_is_named_in_the_settings_by_its_variable(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its password is not written. Without the variable the history would begin again elsewhere: that is refused."""
    monkeypatch.setenv("MR_POSTGRES", "postgresql://mr:not-to-be-shown@db.internal/dagster")
    dagster_home()
    place = home / "dagster.yaml"
    assert yaml.safe_load(place.read_text())["storage"] == {"postgres": {"postgres_url": {"env": "MR_POSTGRES"}}}
    assert "not-to-be-shown" not in place.read_text()
    monkeypatch.delenv("MR_POSTGRES")
    with pytest.raises(UserError, match=r"MR_POSTGRES is not set.* move that file away"):
        dagster_home()
    place.unlink()
    dagster_home()
    assert "storage" not in yaml.safe_load(place.read_text())


@pytest.mark.parametrize("password", ["not/to-be-shown", "not@to-be-shown", "not%to-be-shown"])
def test_a_password_that_no_address_can_have_is_not_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    """PostgreSQL's library would take a part of it for a host or a port, and name that in its error."""
    monkeypatch.setenv("MR_POSTGRES", f"postgresql://mr:{password}@127.0.0.1:1/dagster")
    with pytest.raises(UserError, match="%40") as refused:
        instance()
    assert "to-be-shown" not in str(refused.value) and "not" not in str(refused.value)
    monkeypatch.setenv("MR_POSTGRES", "postgresql://mr:p%40ss:word@127.0.0.1:1/dagster")
    with pytest.raises(UserError, match="cannot be reached"):
        instance()


def test_edited_settings_are_asked_to_name_the_database(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stay as they are; with the lines of the message they are taken."""
    dagster_home()
    place = home / "dagster.yaml"
    edited = place.read_text().replace("poll_interval_seconds: 5", "poll_interval_seconds: 9")
    place.write_text(edited)
    monkeypatch.setenv("MR_POSTGRES", "postgresql://mr@db.internal/dagster")
    with pytest.raises(UserError, match="was edited and does not name it") as refused:
        dagster_home()
    assert place.read_text() == edited
    place.write_text(edited + str(refused.value).partition("MR_POSTGRES:\n")[2])
    dagster_home()
    assert yaml.safe_load(place.read_text())["storage"] == {"postgres": {"postgres_url": {"env": "MR_POSTGRES"}}}


@pytest.mark.parametrize("name", ["x[1]", "what?", "a*b", "a%20b"])
def test_a_home_that_dagster_would_take_for_a_pattern_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It would find no dagster.yaml, and go without the launcher, the limits and the switched-off telemetry."""
    monkeypatch.setenv("DAGSTER_HOME", "")
    monkeypatch.setenv("MR_DATA", str(tmp_path / name))
    with pytest.raises(UserError, match=r"takes for a pattern.* Set DAGSTER_HOME"):
        dagster_home()
    assert not (tmp_path / name).exists()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    assert dagster_home() == tmp_path / "home"
