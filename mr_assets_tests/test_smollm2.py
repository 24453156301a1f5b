"""The folder that `make real-model` writes: what is special about it. Skipped where it is not there."""

import json

import pytest

from mr_assets.chat import ChatEncoder
from mr_assets.model_folder import check_model_folder, most_positions
from mr_assets.planning.shapes import shape_of_folder
from mr_assets_tests.smollm2 import FOLDER


@pytest.fixture(autouse=True)
def folder() -> None:
    """Looked for as late as may be: CI makes it meanwhile."""
    if not (FOLDER / "config.json").is_file():
        pytest.skip("make real-model writes it")


def test_it_is_a_model_folder_like_any_other() -> None:
    """134,515,008 weights of 49,152 tokens, as published; nothing says that they were packed once."""
    check_model_folder(FOLDER)
    shape = shape_of_folder(FOLDER)
    assert shape is not None
    assert shape.weights == 134_515_008
    assert most_positions(FOLDER) == 8192
    assert (
        not {"quantization_config", "_pre_quantization_dtype"} & json.loads((FOLDER / "config.json").read_text()).keys()
    )
    assert "Apache License" in (FOLDER / "LICENSE").read_text()


def test_digits_go_one_by_one() -> None:
    """The rule that transformers does not take from the file; with it "2024" is four tokens and not two."""
    encode = ChatEncoder.load(FOLDER)
    digits = [encode.completion_ids(digit)[0] for digit in "2024"]
    assert encode.completion_ids("2024")[:4] == digits
