"""A reward model as a sampler: a whole conversation in, its reward out, as the text of a completion.

    sampler = RewardModel(folder, fingerprint, recipe.reward_model)
    sampler.add(Request("1.3f1c09aa72be.r4", encode.conversation_ids(prompt, response)), NOTHING_SAMPLED)
    sampler.step()      [("1.3f1c09aa72be.r4", [Completion("-1.8125", [], "stop")])]

It is a Hugging Face model for sequence classification with one label, as TRL's RewardTrainer and most others save them.
A reward is a real number without a scale: it is compared with those of other responses to the same prompt, and with
nothing else. It is a `Sampler` like the engine, so that rewards lie in the same shards, and a killed stage goes on.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mr_assets.errors import UserError
from mr_assets.model_folder import architectures, check_model_folder, most_positions
from mr_assets.processes import cores
from mr_assets.sampling.engine import Completion, Request
from mr_assets.sampling.settings import RewardSettings, SamplingSettings
from mr_assets.sampling.stats import EngineStats

NOTHING_SAMPLED = SamplingSettings(temperature=0.0, top_p=1.0, max_tokens=1)
"""What `sample_shards` is told of the completions, of which no token is sampled."""
CLASSIFIES = "ForSequenceClassification"
BATCHES = 8
"""So many batches are looked at together, so that each is of conversations of about the same length."""


def is_reward_model(folder: Path) -> bool:
    """Whether a model folder's config.json says that it classifies sequences, as a reward model does."""
    return any(name.endswith(CLASSIFIES) for name in architectures(folder))


def check_reward_model(folder: Path, max_length: int | None = None) -> int:
    """Raise `UserError` for a folder that is no whole reward model with a chat template; how many tokens it reads.

    max_length: the most tokens that the recipe wants read; None: as many as the model can.
    """
    from transformers import AutoConfig

    check_model_folder(folder)
    if not is_reward_model(folder):
        named = ", ".join(architectures(folder)) or "none"
        raise UserError(
            f"{folder / 'config.json'} names the architecture {named}; a reward model is one for sequence "
            f"classification (...{CLASSIFIES}). Name the folder of one, or let a language model judge."
        )
    try:
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the configuration's own code checks it, each in its way
        said = str(error).strip() or type(error).__name__
        raise UserError(
            f"{folder / 'config.json'} describes no model that can be loaded: {said}. Name another folder."
        ) from error
    if config.num_labels != 1:
        raise UserError(
            f"{folder / 'config.json'} has {config.num_labels} labels (id2label, num_labels), expected 1: the "
            "reward. Name the folder of a reward model."
        )
    most = most_positions(folder)
    if max_length is None and most is None:
        raise UserError(
            f"{folder / 'config.json'} does not say how many tokens the reward model reads at most. Set "
            "reward_model.max_length."
        )
    if max_length is not None and most is not None and max_length > most:
        raise UserError(f"reward_model.max_length = {max_length}: the model in {folder} reads {most} tokens at most.")
    return max_length or most or 0


class RewardModel:
    """Scores conversations, `settings.batch_size` at a time, the longest first; raises as `check_reward_model`.

    fingerprint: identifies the folder's contents. It takes the GPUs that there are, several if one is too small, and
    else the CPU's cores.
    """

    device = "cpu"
    """Wherever it computes: shards are scored one by one, so that a resumed stage equals an undisturbed one."""
    tokens_in_flight = 0
    stats = EngineStats()

    def __init__(self, folder: Path, fingerprint: str, settings: RewardSettings) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification
        from transformers.utils import logging

        self.max_model_len = check_reward_model(folder, settings.max_length) + NOTHING_SAMPLED.max_tokens
        self.folder, self.settings = folder, settings
        self.max_num_seqs = BATCHES * settings.batch_size
        self.signature: Mapping[str, Any] = {"reward_model": fingerprint, "dtype": settings.dtype}
        self._asked: list[Request] = []
        logging.disable_progress_bar()
        on_gpu = torch.cuda.is_available()
        if not on_gpu:
            torch.set_num_threads(cores())
        self._model, found = AutoModelForSequenceClassification.from_pretrained(
            str(folder),
            dtype=settings.dtype if settings.dtype == "auto" else getattr(torch, settings.dtype),
            device_map="auto" if on_gpu else None,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        if missing := sorted(found["missing_keys"]):
            raise UserError(
                f"reward model folder {folder} lacks the weights {', '.join(missing[:3])}: its rewards would be by "
                "chance. Copy the folder again, whole."
            )
        self._model.eval()
        self._padding_named = self._model.config.get_text_config().pad_token_id

    @property
    def in_flight(self) -> int:
        """Conversations without a reward yet."""
        return len(self._asked)

    def add(self, request: Request, settings: SamplingSettings) -> None:
        """Queue a conversation; one reward of it is all there is."""
        if request.n != 1:
            raise ValueError(f"a reward model gives the same reward every time, but {request.id} wants {request.n}")
        self._asked.append(request)

    def step(self) -> list[tuple[str, list[Completion]]]:
        """Score a batch of what is queued. Raises `UserError` for a reward that is no number, or too little memory."""
        self._asked.sort(key=lambda request: -len(request.prompt_ids))
        size = self.settings.batch_size
        batch, self._asked = self._asked[:size], self._asked[size:]
        rewards = self._rewards([request.prompt_ids for request in batch])
        done = []
        for request, reward in zip(batch, rewards, strict=True):
            if not math.isfinite(reward):
                raise UserError(
                    f"the reward model {self.folder} gives {request.id} the reward {reward}, expected a finite number. "
                    "Set reward_model.dtype to bfloat16 or float32, or take another one."
                )
            done.append((request.id, [Completion(f"{reward:.9g}", [], "stop")]))
        return done

    def reseed(self, seed: int) -> None:
        """Nothing: a reward is not drawn."""

    def close(self) -> None:
        """Give the memory back."""
        import torch

        self._model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _rewards(self, conversations: list[list[int]]) -> list[float]:
        """One per conversation: B of at most T tokens, padded on the right to (B, T)."""
        import torch

        longest, padding = max(map(len, conversations)), self._padding(conversations)
        ids = [tokens + [padding] * (longest - len(tokens)) for tokens in conversations]
        mask = [[1] * len(tokens) + [0] * (longest - len(tokens)) for tokens in conversations]
        where = self._model.device
        try:
            with torch.inference_mode():
                logits = self._model(
                    input_ids=torch.tensor(ids, device=where), attention_mask=torch.tensor(mask, device=where)
                ).logits
        except torch.cuda.OutOfMemoryError as error:
            raise UserError(
                f"the reward model {self.folder} has too little memory for {len(ids)} conversations of {longest} "
                f"tokens. Lower reward_model.batch_size (now {self.settings.batch_size}) or reward_model.max_length."
            ) from error
        return [float(reward) for reward in logits[:, 0].float()]

    def _padding(self, conversations: list[list[int]]) -> int:
        """The padding token. The model takes the reward at the last token that is another one.

        Where it names none, that is the last token of all: then one that no conversation of the batch has.
        """
        config = self._model.config.get_text_config()
        if self._padding_named is None:
            there = {token for tokens in conversations for token in tokens}
            config.pad_token_id = next(token for token in range(len(there) + 1) if token not in there)
        return int(config.pad_token_id)
