"""`mr export`: folders for other tools, and one message where there is nothing to export."""

from pathlib import Path

import pytest

from mr_assets_tests.cli.conftest import Mr, Refused


def test_it_says_what_it_wrote_and_uploads_nothing(
    mr: Mr, done: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mr_assets.export.folder.push", lambda *_: pytest.fail("nobody asked to upload"))
    result = mr("export", "tiny", "pairs", tmp_path / "pairs", "--iteration", "1")
    assert result.exit_code == 0, result.output
    assert result.output == f"Wrote {tmp_path / 'pairs'}.\n"
    assert (tmp_path / "pairs" / "README.md").exists()


def test_refusals_write_nothing(refused: Refused, done: object, data: Path, tmp_path: Path) -> None:
    assert "lies in the data folder" in refused("export", "tiny", "pairs", data / "pairs")
    assert "run tiny has 1 to 2" in refused("export", "tiny", "judgments", tmp_path / "out", "--iteration", "3")
    assert "Invalid value" in refused("export", "tiny", "prompts", tmp_path / "out")
    assert not (tmp_path / "out").exists()
