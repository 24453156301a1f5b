"""Engines in processes of their own: what can be said without starting one."""

import pytest

from mr_assets.errors import UserError
from mr_assets.sampling.replicas import environments
from mr_assets.sampling.settings import EngineSettings
from mr_assets_tests.sampling.fake import engine_settings


def test_each_replica_sees_gpus_of_its_own() -> None:
    """Of those that this process sees, as many as share one model; where it is one, all of them."""
    two = engine_settings(replicas=2, tensor_parallel_size=2)

    def seen(ours: dict[str, str], settings: EngineSettings = two, cpu: bool = False) -> list[str | None]:
        return [each.get("CUDA_VISIBLE_DEVICES") for each in environments(settings, ours, cpu)]

    assert seen({}) == ["0,1", "2,3"]
    assert seen({"CUDA_VISIBLE_DEVICES": "3,5,6,7,8"}) == ["3,5", "6,7"]
    assert seen({"CUDA_VISIBLE_DEVICES": "3,5"}, engine_settings()) == ["3,5"]
    assert seen({}, engine_settings()) == [None]
    assert seen({"CUDA_VISIBLE_DEVICES": ""}, cpu=True) == ["", ""]
    with pytest.raises(UserError, match=r"engine\.replicas = 2: .* need 4, but CUDA_VISIBLE_DEVICES = 0,1,2 shows 3"):
        seen({"CUDA_VISIBLE_DEVICES": "0,1,2"})
