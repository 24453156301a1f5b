"""The NVIDIA GPUs of this machine, as its driver tells of them; none where there is no driver.

[Device("NVIDIA H200", 150754820096, 150081634304)]
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Device:
    """A GPU that this process may use: its name as the driver gives it, its memory and what of it is free, bytes."""

    name: str
    memory: int
    free: int


def smallest(found: Iterable[Device]) -> Device:
    """Of GPUs that differ, the one that counts: that with the least memory."""
    return min(found, key=lambda device: device.memory)


def library() -> Any:
    """NVML's Python module, started; None where NVML or its module is not there."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, or no GPU that it knows
        return None
    return pynvml


def devices(nvml: Any = None) -> list[Device]:
    """The GPUs that CUDA would show to this process, in its order; none where the driver cannot be asked.

    nvml: what `library` gives. CUDA_VISIBLE_DEVICES is honoured by number and by UUID; its first unknown entry hides
    what follows, as CUDA has it. A part of a GPU (MIG) is not looked at.
    """
    nvml = nvml or library()
    if nvml is None:
        return []
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        return [_device(nvml, handle) for handle in _visible(nvml, handles)]
    except nvml.NVMLError:
        return []
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _visible(nvml: Any, handles: list[Any]) -> list[Any]:
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return handles
    uuids = [_text(nvml.nvmlDeviceGetUUID(handle)) for handle in handles]
    found: list[Any] = []
    for entry in map(str.strip, wanted.split(",")):
        if entry.isdigit() and int(entry) < len(handles):
            found.append(handles[int(entry)])
        elif entry and any(uuid.startswith(entry) for uuid in uuids):
            found.append(handles[next(i for i, uuid in enumerate(uuids) if uuid.startswith(entry))])
        else:
            break
    return found


def _device(nvml: Any, handle: Any) -> Device:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Device(_text(nvml.nvmlDeviceGetName(handle)), int(memory.total), int(memory.free))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
