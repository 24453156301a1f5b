"""The GPUs of this machine: what is made of NVML's answers, and silence where there are none."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from mr_assets.planning.devices import Device, devices, library, smallest


class Nvml(ModuleType):
    """Answers as NVML's module does, for GPUs of (name, UUID, total, free)."""

    class NVMLError(Exception):
        pass

    def __init__(self, *gpus: tuple[str, str, int, int], broken: bool = False) -> None:
        super().__init__("pynvml")
        self.gpus, self.broken, self.running = gpus, broken, 0

    def nvmlInit(self) -> None:
        if self.broken:
            raise self.NVMLError("NVML Shared Library Not Found")
        self.running += 1

    def nvmlShutdown(self) -> None:
        self.running -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetName(self, handle: int) -> bytes:
        return self.gpus[handle][0].encode()

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return self.gpus[handle][1]

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(total=self.gpus[handle][2], free=self.gpus[handle][3])


TWO = (("NVIDIA H200", "GPU-aa11", 150, 140), ("NVIDIA L4", "GPU-bb22", 24, 23))
H200, L4 = Device("NVIDIA H200", 150, 140), Device("NVIDIA L4", 24, 23)


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, [H200, L4]),
        ("1,0", [L4, H200]),
        ("1", [L4]),
        ("GPU-bb22,GPU-aa", [L4, H200]),
        ("0,7,1", [H200]),
        ("", []),
        ("-1", []),
    ],
)
def test_what_cuda_would_show(monkeypatch: pytest.MonkeyPatch, visible: str | None, found: list[Device]) -> None:
    """CUDA_VISIBLE_DEVICES by number or UUID; an unknown one hides what follows."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    nvml = Nvml(*TWO)
    nvml.nvmlInit()
    assert devices(nvml) == found
    assert nvml.running == 0


def test_of_gpus_that_differ_the_smallest_counts() -> None:
    assert smallest([H200, L4, H200]) == L4


def test_the_library_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(*TWO))
    assert devices() == [H200, L4]


def test_without_driver_or_module_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Nvml(broken=True))
    assert (library(), devices()) == (None, [])
    monkeypatch.setitem(sys.modules, "pynvml", None)  # as if it were not installed
    assert (library(), devices()) == (None, [])


def test_a_driver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml(*TWO)

    def lost(handle: int) -> bytes:
        raise nvml.NVMLError("GPU is lost")

    monkeypatch.setattr(nvml, "nvmlDeviceGetName", lost)
    assert devices(nvml) == []
