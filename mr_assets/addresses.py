"""Where the pages and the Dagster UI are, and the addresses in them: made of names and ids, so that they stay."""

import os
from urllib.parse import quote, urlencode

from mr_assets.ids import model_id
from mr_assets.loop import LOOP

UI, PAGES = "MR_UI_URL", "MR_EXPLORE_URL"
"""Environment variables that name the Dagster UI and the pages, where they are not on their usual ports."""
RAY = "RAY_API_SERVER_ADDRESS"
"""The environment variable by which Ray's own commands find where a cluster takes jobs."""


def runs_on_ray() -> bool:
    """Whether steps go to a Ray cluster."""
    return os.environ.get("MR_EXECUTOR") == "ray"


def ray_cluster() -> str | None:
    """Where the cluster that steps go to takes jobs; None if they go to none, or it is not said."""
    return os.environ.get(RAY) if runs_on_ray() else None


def ui_url() -> str:
    """The Dagster UI, without a slash at its end."""
    return os.environ.get(UI, "http://127.0.0.1:3000").rstrip("/")


def pages_url() -> str:
    """The pages that `mr explore` serves, without a slash at their end."""
    return os.environ.get(PAGES, "http://127.0.0.1:3001").rstrip("/")


def address(host: str, port: int) -> str:
    """Where a server that listens on `host` is found from this machine."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def page_of(run: str, identity: str = "") -> str:
    """The path of a run's list, or of the page of an id of it."""
    return f"/runs/{quote(run, safe='')}" + (f"/{quote(identity, safe='')}" if identity else "")


def listed(run: str, iteration: str, asset: str = "") -> str:
    """The path of the list of an iteration's pairs, of the kind that an asset is for."""
    side = LOOP[asset].side if asset else None
    asked = {"iteration": iteration} | ({"kind": side} if side else {})
    return f"{page_of(run)}?{urlencode(asked)}"


_INVALID, _CUT_OFF = {"invalid": "any"}, {"cut_off": "yes"}
LISTS = {
    "eft_judgments": {"those without a score": _INVALID, "those that were cut off": _CUT_OFF},
    "prompts": {},
    "responses": {"those that were cut off": _CUT_OFF},
    "judgments": {"those without a score": _INVALID, "those that were cut off": _CUT_OFF},
    "meta_judgments": {
        "those without a winner": _INVALID | {"sampled": "yes"},
        "those that were cut off": _CUT_OFF | {"sampled": "yes"},
    },
}
"""The assets whose texts have a list of their own, and what it is asked for to have those that are counted apart."""


def texts_listed(run: str, asset: str, iteration: str | None, **asked: str) -> str:
    """The path of the list of an asset's texts, of an iteration or made once."""
    return f"{page_of(run)}/{asset}" + _asking(iteration, **asked)


def drops_listed(run: str, asset: str, iteration: str | None) -> str:
    """The path of what an asset dropped in an iteration, or once for all, and why."""
    return f"{page_of(run)}/dropped" + _asking(iteration, asset=asset)


def _asking(iteration: str | None, **asked: str) -> str:
    asked = ({"iteration": iteration} if iteration else {}) | asked
    return f"?{urlencode(asked)}" if asked else ""


def pages_behind(run: str, asset: str, partition: str | None) -> dict[str, str]:
    """The whole addresses of an artifact's texts, of those that are counted apart, and of what it dropped."""
    apart = {"them": {}, **LISTS[asset]} if asset in LISTS else {}
    found = {f"read {title}": texts_listed(run, asset, partition, **asked) for title, asked in apart.items()}
    if LOOP[asset].selects:
        found["read what was dropped"] = drops_listed(run, asset, partition)
    return {title: pages_url() + path for title, path in found.items()}


COUNTED_BY = {
    "parse_rate": "read those without",
    "cut_off": "read those that were cut off",
    "pair_yield": "read what was dropped",
    "not_empty": "read what was dropped",
    **dict.fromkeys(("length_growth", "score_entropy", "top_score_share", "score_reliability"), "read them"),
    **dict.fromkeys(("position_bias", "score_bias"), "read them"),
}
"""How the title begins of the page that has what a check counted, by the check's name."""


def page_behind_check(run: str, asset: str, partition: str | None, check: str) -> str | None:
    """The whole address of what a check counted; None if no page has it."""
    begins = COUNTED_BY.get(check, "no page")
    pages = pages_behind(run, asset, partition).items()
    return next((page for title, page in pages if title.startswith(begins)), None)


def page_of_artifact(run: str, asset: str, partition: str | None) -> str | None:
    """The whole address of the page about an artifact; None if there is none."""
    row = LOOP[asset]
    if row.per == "family" and row.holds == "model":
        path = f"/id?id={model_id(0)}"
    elif partition is None or partition == "seed":
        return None
    elif row.holds != "table" or row.per == "model":
        path = page_of(run, model_id(int(partition) - (row.holds == "pointer")))
    else:
        path = listed(run, partition, asset)
    return pages_url() + path


def asset_in_ui(namespace: str, asset: str, partition: str | None) -> str:
    """The path of an artifact's page in the Dagster UI."""
    path = f"/assets/{quote(namespace, safe='')}/{quote(asset, safe='')}"
    return path + ("?" + urlencode({"view": "partitions", "partition": partition}) if partition else "")
