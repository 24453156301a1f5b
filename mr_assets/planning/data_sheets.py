"""What GPUs can do by their vendor's data sheets, and how much of it is reached.

    h200    141 GB, 4.8 TB/s, 989 bf16 TFLOP/s

GB are 10^9 bytes. A card has a few percent more than its name says; CUDA itself takes about that.
"""

import re
from dataclasses import dataclass

from mr_assets.errors import UserError, did_you_mean

SAMPLING_EFFICIENCY = 0.45
"""Share of the roofline that sampling is assumed to reach: the two limits overlap badly, batches drain, steps wait."""
TRAINING_EFFICIENCY = 0.4
"""Share of the bf16 peak that training is assumed to reach, padding and what several GPUs tell each other included."""
RANGE = 0.25
"""By how much an efficiency may be off, up and down: hours are given as a range."""


@dataclass(frozen=True)
class Gpu:
    """One GPU. memory: GB; bandwidth: GB/s of its memory; tflops: dense bf16 with fp32 sums, 10^12 per second."""

    name: str
    title: str
    memory: float
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


def known_gpu(name: str) -> Gpu:
    """The GPU of that name, such as h200 or a100-40. Raises `UserError` with the list."""
    key = re.sub(r"^(nvidia|geforce|rtx)[- ]*", "", name.lower().strip().replace("_", "-").replace(" ", "-"))
    if (found := GPUS.get(key)) is None:
        raise UserError(f"GPU {name!r} is not known.{did_you_mean(key, list(GPUS))} Name one of {', '.join(GPUS)}.")
    return found


def gpu_of_device(title: str, memory: int) -> Gpu | None:
    """The GPU that a driver calls `title`, with `memory` bytes; None if it is none of the known ones.

    NVIDIA A100-SXM4-40GB and -80GB differ in their memory alone.
    """
    words = set(re.findall(r"[a-z0-9]+", title.lower()))
    for name, gpu in sorted(GPUS.items(), key=lambda item: -len(item[0])):
        model, *kind = name.split("-")
        variant = [word for word in kind if not word.isdigit()]
        if {model, *variant} <= words and 0.9 <= memory / (gpu.memory * 1e9) < 1.15:
            return gpu
    return None
