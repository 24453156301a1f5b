"""What asks a reward model: conversations to rewards, in shards that a killed run finds again."""

from collections.abc import Iterable

from mr_assets.chat import ChatEncoder
from mr_assets.files import fingerprint
from mr_assets.inputs.reward_model import reward_model_folder
from mr_assets.method.conversations import Prompt
from mr_assets.runs.settings import CONTENT
from mr_assets.sampling.engine import Request
from mr_assets.sampling.live import close_engine
from mr_assets.sampling.reward_model import NOTHING_SAMPLED, RewardModel
from mr_assets.sampling.settings import RewardSettings
from mr_assets.wiring.materialization import Materialization
from mr_assets.wiring.sampling import Samples, sample_by


def rewarded(
    work: Materialization,
    settings: RewardSettings,
    field: str,
    asked: Iterable[tuple[str, Prompt, str]],
    total: int,
) -> Samples:
    """The reward of each response of `asked` (id, prompt, response; `total` of them).

    settings: of the reward model, which the recipe's `field` names. The engine ends before, so that the reward model
    has its memory. No policy wrote what comes of it.
    """
    folder = reward_model_folder(work.recipe, settings, work.run.data, field)
    content = work.settings.get(CONTENT + field) or fingerprint(folder)
    encode = ChatEncoder.load(folder, date=work.recipe.model.date)
    requests = (Request(id, encode.conversation_ids(prompt, response)) for id, prompt, response in asked)
    work.announce(f"{work.asset}: {total:,} responses for the reward model {folder.name}, as soon as it is loaded")
    close_engine()
    work.policy = None
    scorer = RewardModel(folder, content, settings)
    try:
        return sample_by(work, scorer, requests, total, NOTHING_SAMPLED, n=1)
    finally:
        scorer.close()
