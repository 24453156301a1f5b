"""The spot check as a page: a pair shown blind as A and B, four buttons or keys. The one write of the pages.

    /spotcheck?token=...           the runs
    /spotcheck/RUN?token=...       the next pair without an answer; &kind=judge, &iteration=2 choose
    /spotcheck/RUN                 read-only: how often the judge agrees with you

Who may answer has the token of this start. It is in no page but those that were asked for with it. What a form says is
the pair and the key alone; which side was A is drawn again here, and so stands nowhere in the page.
"""

import hmac
import threading
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import Request

from mr_assets.errors import UserError, shown
from mr_assets.ids import PAIR_ASSETS, PairKind
from mr_assets.lineage.spotcheck import Agreement, Blind, Key, agreement, answered, to_ask
from mr_assets.runs.run import Run

KEYS: dict[Key, tuple[str, str]] = {
    "a": ("a", "A is better"),
    "b": ("b", "B is better"),
    "tie": ("t", "a tie"),
    "skip": ("s", "skip"),
}
"""By answer: the key, and the button."""
SCRIPT = (Path(__file__).parent / "spotcheck.js").read_text(encoding="utf-8")
ALLOWED_SCRIPT = f"script-src 'sha256-{b64encode(sha256(SCRIPT.encode()).digest()).decode()}'"
"""Of the policy of the page that asks: this script, by its content, and no other."""
LONGEST = 4096
"""Bytes of a form: an answer takes some 200."""


class RefusedError(UserError):
    """Who asks may not."""


@dataclass(frozen=True)
class Token:
    """What lets a person answer; "": nobody may. lock: one answer is looked up and written at a time."""

    text: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def given(self, values: Mapping[str, str]) -> bool:
        """Whether a request has the token; False if it names none. Raises `RefusedError` for another one."""
        if not (came := values.get("token", "")):
            return False
        if not self.text or not hmac.compare_digest(came.encode(), self.text.encode()):
            raise RefusedError(
                "This address is of another start of the server: each has a token of its own. Open the one that "
                "`mr explore --spotcheck` printed when it began."
            )
        return True


@dataclass(frozen=True)
class Wanted:
    """The pairs that are asked for: of a kind, of one iteration or of all (None)."""

    run: Run
    kind: PairKind
    iteration: str | None

    @classmethod
    def of(cls, run: Run, values: Mapping[str, str]) -> Self:
        """As an address or a form says. Raises `UserError` for an iteration that the run has not, or another kind."""
        kind, iteration = values.get("kind") or "actor", values.get("iteration") or None
        if kind not in PAIR_ASSETS:
            raise UserError(f"kind {shown(kind)}: expected {' or '.join(PAIR_ASSETS)}.")
        if iteration is not None and iteration not in run.iterations:
            raise UserError(f"iteration {shown(iteration)}: run {run.name} has iterations 1 to {run.iterations[-1]}.")
        return cls(run, "judge" if kind == "judge" else "actor", iteration)

    def next(self) -> Blind | None:
        """The next pair without an answer; None if all have one."""
        return next(to_ask(self.run, self.kind, [self.iteration] if self.iteration else None), None)

    def agreement(self) -> list[Agreement]:
        """How often the judge agreed, by iteration."""
        return agreement(self.run, self.kind)

    def address(self, token: str, **further: str) -> str:
        """The page that asks for these pairs."""
        given = {"token": token, "kind": self.kind, "iteration": self.iteration or "", **further}
        said = urlencode({name: value for name, value in given.items() if value})
        return f"/spotcheck/{quote(self.run.name)}{'?' * bool(said)}{said}"


async def posted(request: Request) -> dict[str, str]:
    """The fields of a form. Raises `UserError` if it is longer than any of ours."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST:
            raise UserError(f"a form of more than {LONGEST} bytes is none of these pages.")
    return dict(parse_qsl(body.decode("utf-8", errors="replace"), keep_blank_values=True))


def written(run: Run, form: Mapping[str, str]) -> bool:
    """Write down what a form answers; False if the pair has an answer, which stays. Raises `UserError`."""
    answer = next((key for key in KEYS if key == form.get("answer")), None)
    if answer is None:
        raise UserError(f"answer {shown(form.get('answer', ''))}: expected {', '.join(KEYS)}. Nothing was written.")
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return answered(run, form.get("pair", ""), form.get("version", ""), answer, at)
