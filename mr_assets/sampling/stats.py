"""What an engine says of its work: prompt tokens that its prefix cache had, preemptions, its queue.

    EngineStats(running=448, waiting=31, prompt_tokens=92400, cached_tokens=75600, preemptions=0)

vLLM's scheduler counts all of it, wherever it is. Its front end would count every token again for each of some fifty
metrics, so that one stays off.
"""

from typing import Any, NamedTuple


class EngineStats(NamedTuple):
    """running, waiting: completions at the last step; the rest adds up from the engine's start.

    prompt_tokens: of every completion that was begun, whether computed or taken from the cache; cached_tokens: of
    these, taken from the cache; preemptions: completions that had to make room in the cache and were begun again.
    """

    running: int = 0
    waiting: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    preemptions: int = 0

    def since(self, before: "EngineStats") -> "EngineStats":
        """What has come since then, with the present queue."""
        return EngineStats(self.running, self.waiting, *(a - b for a, b in zip(self[2:], before[2:], strict=True)))

    def plus(self, other: "EngineStats") -> "EngineStats":
        """Of both engines together."""
        return EngineStats(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def hit_rate(self) -> float | None:
        """Share of the prompt tokens that the cache had; None if there were none."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None

    @property
    def said(self) -> str:
        """As a line, of what there is: "448 running, 31 waiting, 82% of prompt tokens cached, 2 preemptions"."""
        counts = {"running": self.running, "waiting": self.waiting, "preemptions": self.preemptions}
        running, waiting, preemptions = (f"{count:,} {what}" if count else "" for what, count in counts.items())
        cached = "" if self.hit_rate is None else f"{self.hit_rate:.0%} of prompt tokens cached"
        return ", ".join(filter(None, (running, waiting, cached, preemptions)))


class Tokens(NamedTuple):
    """Sampled tokens: of the completions that are done and of those in flight, and how many of each there are.

    A completion counts as done when all of its request's are.
    """

    done: int = 0
    in_flight: int = 0
    completions: int = 0
    completions_in_flight: int = 0

    @property
    def all(self) -> int:
        """Of both."""
        return self.done + self.in_flight

    def plus(self, other: "Tokens") -> "Tokens":
        """Of both engines together."""
        return Tokens(*(a + b for a, b in zip(self, other, strict=True)))

    def left(self, waiting: float, most: int) -> float:
        """Tokens to expect of what is in flight and of so many completions that wait; none is longer than `most`.

        Short completions are done first, so their mean would be too small: what is in flight counts, as if any token
        might be the last with the same chance. Before one is done, all are taken to be as long as they may be.
        """
        mean = min(self.all / self.completions, most) if self.completions else most
        running = self.completions_in_flight
        return waiting * mean + min(running * mean, max(0, running * most - self.in_flight))


class EngineCounter:
    """Adds up what vLLM's scheduler says at each step."""

    def __init__(self) -> None:
        self.stats = EngineStats()

    def note(self, step: Any) -> None:
        """Take the scheduler's figures of one step, of vLLM's kind; None says nothing."""
        if step is None:
            return
        cache = step.prefix_cache_stats
        self.stats = EngineStats(
            step.num_running_reqs,
            step.num_waiting_reqs + step.num_skipped_waiting_reqs,
            self.stats.prompt_tokens + cache.queries,
            self.stats.cached_tokens + cache.hits,
            self.stats.preemptions + cache.preempted_requests,
        )
