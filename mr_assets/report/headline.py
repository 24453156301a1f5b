"""The few figures of a run that tell it from others at a glance, read from its records alone.

{"true score": {"seed": Estimate(2.57, ...), "M0": ..., "M4": ...}, "reliability": {"1": Estimate(0.94), ...}}
"""

from collections.abc import Mapping

from mr_assets.ids import model_id
from mr_assets.loop import Place
from mr_assets.runs.estimates import Estimate, estimates
from mr_assets.runs.figures import rows
from mr_assets.runs.run import Run
from mr_assets.words import worded

OF_MODELS = {"evaluation": ("true_score", "judge_exact"), "win_rates": ("win_rate",)}
"""By asset, of those that there is one of for each model."""
OF_ITERATIONS = ("reliability", "characters")


def headline(run: Run, old: Mapping[Place, str]) -> dict[str, dict[str, Estimate]]:
    """By the figure's name its values by model or iteration. What is stale, as `old` says, is left out."""
    found: dict[str, dict[str, Estimate]] = {}
    for asset, names in OF_MODELS.items():
        for key in run.models if asset in run.loop else ():
            record = run.record(asset, key)
            known = estimates(record.numbers) if record and (asset, key) not in old else {}
            for name in names:
                if name in known:
                    found.setdefault(worded(name), {})[model_id(key)] = known[name]
    for row in rows(run, old):
        for name in OF_ITERATIONS:
            if (value := row.values[name]) is not None and name not in row.stale:
                found.setdefault(name, {})[row.iteration] = Estimate(value)
    return found
