"""``mr run --dry-run`` of inputs that cannot be used: one message, no traceback, and a data folder as it was."""

import gzip
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from mr_assets.cli.main import main
from mr_assets.templates import FOLDER
from mr_assets_tests.tiny import NAME, SMALL, files

ROWS = "".join(f'{{"prompt": "prompt {n}"}}\n' for n in range(12))
EFT = '{"prompt": "Rate.", "completion": "Score: 4"}\n'
SETS = ("prompts.count=null", "iterations.all.prompts=3")


def said(data: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """The message of a refused dry run."""
    monkeypatch.setenv("MR_DATA", str(data))
    before = contents(data)
    result = CliRunner().invoke(main, ["run", *arguments, "--dry-run"])
    assert result.exit_code not in (0, None), result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.output.count("Error: ") == 1 and "Traceback" not in result.output
    assert contents(data) == before
    return result.output


def contents(data: Path) -> object:
    """All that is there; of what is no regular file the name."""
    return files(data), sorted(str(p) for p in data.rglob("*"))


def with_sets(*sets: str) -> list[str]:
    return [NAME, "--name", "tiny", *(part for text in (*SMALL, *sets) for part in ("--set", text))]


@pytest.mark.parametrize(
    ("field", "name", "content", "part"),
    [
        ("prompts", "p.jsonl", ROWS + '{"prompt": [{"role": "system", "content": "x"}]}\n', "line 13"),
        ("prompts", "p.jsonl", ROWS + '\n{"prompt": "\\ud83d"}\n', "line 14"),
        ("prompts", "p.jsonl.gz", gzip.compress(ROWS.encode(), mtime=0)[:-9], "cut off"),
        ("prompts", "p.txt.gz", gzip.compress(bytes(1 << 25), mtime=0), "16,777,216 bytes"),
        ("prompts", "p.csv", "prompt\nGr\u00fc\u00dfe\n".encode("latin-1"), "line 2"),
        ("prompts", "p.txt", "a\nb\n".encode("utf-16"), "UTF-16"),
        ("prompts", "p.txt", "a\nb\n\nc\n", "on line 3"),
        ("prompts", "[p] %s {x}.parquet", "no parquet", "cannot be read"),
        ("eft", "e.jsonl", EFT + '{"messages": []}\n', "line 2"),
        ("eft", "e.jsonl", EFT.replace("Score: 4", "Good."), "none of 1 judgments"),
    ],
)
def test_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str, name: str, content: str | bytes, part: str
) -> None:
    """The file is named, and the line."""
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    sets = [f"{field}.source='{name}'", *(SETS if field == "prompts" else ())]
    message = said(tmp_path, monkeypatch, *with_sets(*sets))
    assert part in message and name in message


def test_a_fifo_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for a writer."""
    os.mkfifo(tmp_path / "p.txt")
    assert "there is no file" in said(tmp_path, monkeypatch, *with_sets("prompts.source=p.txt", *SETS))
    for key in ("judgments.template", "meta_judgments.template", "dpo.accelerate_config"):
        assert "no regular file" in said(tmp_path, monkeypatch, *with_sets(f"{key}=p.txt"))


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([NAME, "--iterations", "100000"], "at most 1,000"),
        ([NAME, "--set", "engine.extra.trust_remote_code=true"], "engine.extra.trust_remote_code"),
        ([NAME, "--set", "engine.extra.model=/elsewhere"], "engine.extra.model"),
        ([NAME, "--set", "engine.quantization=fp9"], "fp9"),
        ([NAME, "--set", "responses.temperature=0"], "all be the same"),
        ([NAME, "--set", "title=!!python/object/apply:os.getcwd []"], "constructor"),
        ([NAME, "--set", "description=" + "[" * 5000], "levels deep"),
        ([NAME, "--set", "prompts.source=~no_such_user/p.txt"], "no_such_user"),
        ([NAME, "--set", "x" * 5000 + "=1"], "no field"),
        (["~no_such_user/x.yaml"], "no_such_user"),
        (["x" * 5000 + ".yaml"], "at most 255"),
        (["a/\0.yaml"], "NUL"),
    ],
)
def test_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], part: str) -> None:
    message = said(tmp_path, monkeypatch, *arguments)
    assert part in " ".join(message.split()) and len(message) < 2000


@pytest.mark.parametrize("folder", ["in {put} %s", "größe #1;"])
def test_any_name_of_a_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """But for those that vLLM takes for a pattern; files may have these too, and are found."""
    data = tmp_path / folder
    data.mkdir()
    (data / "p [1].jsonl").write_text(ROWS)
    (data / "e {1}.jsonl").write_text(EFT)
    shipped = FOLDER / "judge.txt"
    (data / "t %s.txt").write_bytes(shipped.read_bytes())
    monkeypatch.setenv("MR_DATA", str(data))
    sets = ["prompts.source='p [1].jsonl'", "eft.source='e {1}.jsonl'", "judgments.template='t %s.txt'", *SETS]
    result = CliRunner().invoke(main, ["run", *with_sets(*sets), "--dry-run"])
    assert result.exit_code == 0, result.output
