"""The data root, and what a recipe names in it."""

from pathlib import Path

import pytest

from mr_assets.errors import UserError
from mr_assets.runs.data_folder import PROJECT, data_root, resolve


def test_resolve_looks_in_the_data_root_then_in_what_ships(tmp_path: Path) -> None:
    """Absolute paths stand for themselves; what is nowhere is named where the user would put it."""
    shipped = PROJECT / "data" / "seeds" / "small-world"
    assert resolve("seeds/small-world", tmp_path) == shipped
    own = tmp_path / "seeds" / "small-world"
    own.mkdir(parents=True)
    assert resolve("seeds/small-world", tmp_path) == own
    assert resolve(str(shipped), tmp_path) == shipped
    assert resolve("prompts/mine.txt", tmp_path) == tmp_path / "prompts" / "mine.txt"
    assert resolve("/nowhere/model", tmp_path) == Path("/nowhere/model")


def test_the_data_root_is_what_mr_data_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MR_DATA", str(tmp_path))
    assert data_root() == tmp_path.resolve()
    monkeypatch.setenv("MR_DATA", "")
    assert data_root() == PROJECT / "data"


@pytest.mark.parametrize("url", ["gs://bucket", "file:///data", "https://example.org/d", "s3:/x"])
def test_a_url_is_no_data_root(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have been a folder called s3: in whatever folder the command is given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MR_DATA", url)
    with pytest.raises(UserError, match=f'MR_DATA = "{url}": expected a folder or s3://BUCKET/PREFIX'):
        data_root()
    assert list(tmp_path.iterdir()) == []
