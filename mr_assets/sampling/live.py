"""The engine of this process: one at a time, in it or in processes of its own.

    engine = open_engine(folder, fingerprint, recipe.engine)
    sample_shards(engine, requests, recipe.responses, ...)
    close_engine()

Assets that sample from the same policy share it, another policy replaces it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mr_assets.sampling.engine import VLLMSampler, samples_on_cpu
from mr_assets.sampling.replicas import Replicas
from mr_assets.sampling.settings import EngineSettings


class _Key(NamedTuple):
    folder: Path
    fingerprint: str
    settings: EngineSettings
    stop_token_ids: tuple[int, ...]


@dataclass
class _Live:
    key: _Key
    engine: VLLMSampler | Replicas


_live: _Live | None = None


def open_engine(
    policy_folder: Path | str,
    fingerprint: str,
    settings: EngineSettings,
    *,
    stop_token_ids: tuple[int, ...] = (),
    log: Path | None = None,
) -> VLLMSampler | Replicas:
    """The process's engine on that policy: the live one if it is the same and idle, else a new one in its place.

    fingerprint: identifies the folder's contents, so that a policy that was replaced in place is loaded again.
    stop_token_ids: end a completion, as do those that the model's own settings name.
    log: gets what is printed at the start, of an engine in a process of its own also later; that of the second replica
    has 2 before its suffix, and so on. None: in this process it goes where it goes, else nowhere.
    Raises `UserError` with vLLM's own message if the engine cannot start.
    """
    global _live
    key = _Key(Path(policy_folder).resolve(), fingerprint, settings, stop_token_ids)
    if _live is None or _live.key != key or _live.engine.in_flight or _live.engine.closed:
        close_engine()
        elsewhere = settings.in_own_process("cpu" if samples_on_cpu() else "cuda")
        _live = _Live(key, (Replicas if elsewhere else VLLMSampler)(*key, log=log))
    return _live.engine


def is_open(policy_folder: Path | str, fingerprint: str) -> bool:
    """Whether the process's engine has that policy loaded, so that its folder is not read again."""
    return (
        _live is not None and not _live.engine.closed and _live.key[:2] == (Path(policy_folder).resolve(), fingerprint)
    )


def close_engine() -> None:
    """Stop the process's engine, if there is one, and give its memory back."""
    global _live
    if _live is not None:
        _live.engine.close()
        _live = None
