"""What GPUs can do by their vendor's data sheets, and how much of it is reached.

    h200    141 GB, 4.8 TB/s, 989 bf16 TFLOP/s

GB are 10^9 bytes. A card has a few percent more than its name says; CUDA itself takes about that.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mr_assets.errors import UserError, did_you_mean

SAMPLING_EFFICIENCY = 0.45
"""Share of the roofline that sampling is assumed to reach: the two limits overlap badly, batches drain, steps wait."""
TRAINING_EFFICIENCY = 0.4
"""Share of the bf16 peak that training is assumed to reach, padding and what several GPUs tell each other included."""
RANGE = 0.25
"""By how much an efficiency may be off, up and down: hours are given as a range."""


@dataclass(frozen=True)
class Card:
    """One GPU, of which a driver tells this much. memory: GB."""

    name: str
    title: str
    memory: float


@dataclass(frozen=True)
class Gpu(Card):
    """One GPU with a data sheet. bandwidth: GB/s of its memory; tflops: dense bf16 with fp32 sums, 10^12 per second."""

    bandwidth: float
    tflops: float
    source: str


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("b200", "NVIDIA B200", 180, 7700, 2250, "DGX B200 data sheet: 1,440 GB and 64 TB/s of 8; dense"),
        Gpu("h200", "NVIDIA H200", 141, 4800, 989, "H200 data sheet: 1,979 with sparsity"),
        Gpu("h100", "NVIDIA H100 80GB HBM3", 80, 3350, 989, "H100 data sheet, SXM: 1,979 with sparsity"),
        Gpu("h100-nvl", "NVIDIA H100 NVL", 94, 3900, 835, "H100 data sheet, NVL: 1,671 with sparsity"),
        Gpu("h100-pcie", "NVIDIA H100 PCIe", 80, 2000, 756, "H100 PCIe product brief: 1,513 with sparsity"),
        Gpu("a100", "NVIDIA A100 80GB", 80, 2039, 312, "A100 data sheet, 80GB SXM"),
        Gpu("a100-40", "NVIDIA A100 40GB", 40, 1555, 312, "A100 data sheet, 40GB"),
        Gpu("l40s", "NVIDIA L40S", 48, 864, 362, "L40S data sheet: 733 with sparsity"),
        Gpu("a6000", "NVIDIA RTX A6000", 48, 768, 155, "RTX A6000 data sheet: 310 with sparsity"),
        Gpu("l4", "NVIDIA L4", 24, 300, 121, "L4 data sheet: 242 with sparsity"),
        Gpu("a10", "NVIDIA A10", 24, 600, 125, "A10 data sheet"),
        Gpu("5090", "NVIDIA GeForce RTX 5090", 32, 1792, 209, "RTX Blackwell architecture paper"),
        Gpu("4090", "NVIDIA GeForce RTX 4090", 24, 1008, 165, "Ada architecture paper"),
        Gpu("3090", "NVIDIA GeForce RTX 3090", 24, 936, 71, "Ampere GA102 architecture paper"),
    )
}


MAKER = ("nvidia", "geforce", "rtx", "tesla")
"""Words that may stand before a GPU's own, also without a gap: rtx4090."""
NO_OTHER = {*MAKER, "gpu", "gb", "sxm", "sxm4", "sxm5", "pcie", "nvl", "hbm2", "hbm2e", "hbm3", "hbm3e"}
"""Words that tell no GPU from another one, unless they are in the name of one here."""


def known_gpu(name: str) -> Gpu:
    """The GPU of that name, such as h200, a100-40, A100 40GB or its title. Raises `UserError` with the list."""
    if (found := _named(name)) is None:
        key = "-".join(word for word in _words(name) if word not in MAKER)
        raise UserError(f"GPU {name!r} is not known.{did_you_mean(key, list(GPUS))} Name one of {', '.join(GPUS)}.")
    return found


def gpu_of_device(title: str, memory: int) -> Gpu | None:
    """The GPU that a driver calls `title`, with `memory` bytes; None if it is none of the known ones.

    NVIDIA A100-SXM4-40GB and -80GB differ in their memory alone.
    """
    return _named(title, memory / 1e9)


def _words(name: str) -> list[str]:
    return re.findall(rf"{'|'.join(MAKER)}|[a-z0-9]+", name.lower())


def _sizes(words: Iterable[str]) -> dict[str, int]:
    """GB by the words that say a card's memory: 40, 80gb."""
    return {word: int(found[1]) for word in words if (found := re.fullmatch(r"(\d{2,3})(?:gb)?", word))}


def _named(name: str, *memory: float) -> Gpu | None:
    """The GPU whose words are all in the name, the one with most of them, if no word beside them names another one.

    memory: GB that it is known to have, besides those that the name says.
    """
    words = set(_words(name))
    sizes, found = _sizes(words), {}
    for key, gpu in GPUS.items():
        own = set(key.split("-")) - _sizes(key.split("-")).keys()
        as_large = all(0.9 <= size / gpu.memory < 1.15 for size in (*memory, *sizes.values()))
        if own <= words <= own | NO_OTHER | sizes.keys() and as_large:
            found[gpu] = len(own)
    return max(found, key=lambda gpu: found[gpu], default=None)
