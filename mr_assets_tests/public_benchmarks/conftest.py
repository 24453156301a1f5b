"""The finished tiny run in a folder of its own, a fake engine that counts, and a judge who likes length."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest

from mr_assets.runs.run import Run
from mr_assets.sampling.engine import Request
from mr_assets.sampling.settings import SamplingSettings
from mr_assets_tests.chat_server import Answer, said
from mr_assets_tests.fakes import WorldSampler
from mr_assets_tests.tiny import copied, tiny_run

SEED = Path(__file__).parents[2] / "data" / "seeds" / "small-world"
LOGPROBS = {"m": -0.105, "M": -2.303}
"""Of a judge who is nine tenths sure of the first."""


def longer_wins(number: int, body: dict[str, Any]) -> Answer:
    """AlpacaEval's judge who is nine tenths sure that the longer output is the better one, the first of equal ones."""
    first, second = re.findall(r'"output": """(.*?)"""', body["messages"][1]["content"], re.DOTALL)
    names = ("m", "M") if len(first) >= len(second) else ("M", "m")
    sure = dict(zip(names, LOGPROBS.values(), strict=True))
    return said(names[0], usage=(100, 1), logprobs=sure)


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Run:
    """Two iterations and the models seed, M0, M1 and M2, all made."""
    return tiny_run(copied(finished.data, tmp_path / "data"))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the requests that the engine, a fake, was given."""
    asked: list[str] = []

    class Sampler(WorldSampler):
        def add(self, request: Request, settings: SamplingSettings) -> None:
            asked.append(request.id)
            super().add(request, settings)

    opened: Callable[..., Sampler] = lambda folder, policy, settings, **_: Sampler(folder, policy)  # noqa: E731
    monkeypatch.setattr("mr_assets.public_benchmarks.local.open_engine", opened)
    return asked


@pytest.fixture(scope="module")
def vllm_server() -> Iterator[str]:
    """The address of vLLM's own OpenAI server on the small model, which is called small and reads 4,096 tokens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/v1"
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(SEED)),
        *("--served-model-name", "small", "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"),
        *("--hf-overrides", '{"max_position_embeddings": 4096}', "--max-model-len", "4096", "--max-num-seqs", "8"),
        *("--max-logprobs", "1000", "--enforce-eager"),
    ]
    offline = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, env=os.environ | offline, stdout=log, stderr=log, start_new_session=True) as server,
    ):
        try:
            while not _serves(url):
                assert server.poll() is None, _end_of(log)
                time.sleep(0.2)
            yield url
        finally:
            os.killpg(server.pid, signal.SIGKILL)


def _serves(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{url}/models", timeout=5):
        return True
    return False


def _end_of(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")[-3000:]
