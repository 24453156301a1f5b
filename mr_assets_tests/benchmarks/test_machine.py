"""A result names its command, and no folder of the machine that it was made on."""

import sys

import pytest

from mr_assets_tests.benchmarks.machine import command


def test_a_command_names_no_folder_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/home/a/bench.py", "--data", "/home/a/real_model", "--prompts", "16"])
    assert command().endswith(" --data real_model --prompts 16")
    assert "/" not in command().removeprefix("python -m ")
