"""The table of GPUs, by the names that people and drivers give them."""

import pytest

from mr_assets.errors import UserError
from mr_assets.planning.data_sheets import GPUS, gpu_of_device, known_gpu


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("h200", "h200"),
        ("H100", "h100"),
        ("h100 nvl", "h100-nvl"),
        ("A100-40", "a100-40"),
        ("A100 40GB", "a100-40"),
        ("a100-80", "a100"),
        ("NVIDIA A100-SXM4-80 GB", "a100"),
        ("RTX 4090", "4090"),
        ("rtx4090", "4090"),
        ("geforce rtx 4090", "4090"),
        ("nvidia_l40s", "l40s"),
        *((gpu.title, gpu.name) for gpu in GPUS.values()),
    ],
)
def test_a_gpu_by_its_name(said: str, name: str) -> None:
    """By the words that tell it from others, in any order and spelling; the title that a plan gives it is one, too."""
    assert known_gpu(said).name == name


@pytest.mark.parametrize(
    "said", ["h20", "a100 60gb", "h200 mig 1g.18gb", "rtx 4090 laptop", "rtx 6000 ada", "a10g", "h200 h100", "rtx", ""]
)
def test_what_is_another_gpu_is_not_taken_for_one(said: str) -> None:
    with pytest.raises(UserError, match="is not known"):
        known_gpu(said)


def test_an_unknown_gpu_is_refused_with_the_list() -> None:
    with pytest.raises(UserError, match=r"GPU 'h20' is not known\. Did you mean h200.* Name one of b200, h200, h100"):
        known_gpu("h20")


@pytest.mark.parametrize(
    ("title", "mebibytes", "name"),
    [
        ("NVIDIA H200", 143771, "h200"),
        ("NVIDIA H100 80GB HBM3", 81559, "h100"),
        ("NVIDIA H100 PCIe", 81559, "h100-pcie"),
        ("NVIDIA H100 NVL", 95830, "h100-nvl"),
        ("NVIDIA A100-SXM4-80GB", 81920, "a100"),
        ("NVIDIA A100-SXM4-40GB", 40960, "a100-40"),
        ("NVIDIA L40S", 46068, "l40s"),
        ("NVIDIA L4", 23034, "l4"),
        ("NVIDIA GeForce RTX 4090", 24564, "4090"),
        ("NVIDIA RTX A6000", 49140, "a6000"),
        ("NVIDIA H200 MIG 1g.18gb", 16384, None),
        ("NVIDIA A10G", 23028, None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 16376, None),
        ("Tesla T4", 15360, None),
    ],
)
def test_a_gpu_by_what_its_driver_says(title: str, mebibytes: int, name: str | None) -> None:
    """Variants are told by a word of the name, or by the memory alone."""
    assert gpu_of_device(title, mebibytes * 2**20) == (GPUS[name] if name else None)


def test_a_name_promises_no_more_than_there_is() -> None:
    """A card's memory in units of 10^9 bytes is at least the number in its name: plans are on the safe side."""
    told = {"h200": 143771, "h100": 81559, "a100": 81920, "a100-40": 40960, "l40s": 46068, "l4": 23034, "4090": 24564}
    for name, mebibytes in told.items():
        assert GPUS[name].memory * 1e9 <= mebibytes * 2**20
