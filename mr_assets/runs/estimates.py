"""The figures of a record with how far each may be off: of the numbers X, X_low and X_high it makes one.

estimates({"true_score": 2.57, "true_score_low": 2.41, "true_score_high": 2.73, "battles": 300})
{"true_score": Estimate(2.57, 2.41, 2.73), "battles": Estimate(300, None, None)}
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mr_assets.method.intervals import Z


class Estimate(NamedTuple):
    """A figure with its 95% interval; None where it is not known."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def error(self) -> float | None:
        """The standard error that the interval stands for, as if it were a normal distribution's."""
        return None if self.low is None or self.high is None else (self.high - self.low) / (2 * Z)

    def shown(self, sign: str = "") -> str:
        """As a person reads it: "2.57 (2.41 to 2.73)"; sign: "+" for a difference."""
        ends = self.ends_shown(sign)
        return f"{number(self.value, sign)} ({ends})" if ends else number(self.value, sign)

    def ends_shown(self, sign: str = "") -> str:
        """The interval alone, "2.41 to 2.73"; "" without one."""
        if self.low is None or self.high is None:
            return ""
        return f"{number(self.low, sign)} to {number(self.high, sign)}"


def number(value: float, sign: str = "", beside: float = 0.0) -> str:
    """A number to about three digits: "1,204", "31.4", "2.57", "0.08", "0.0031", "0".

    beside: a number that stands beside it, such as its error: it has no more places than the larger of the two needs.
    """
    size = max(abs(value), abs(beside))
    if abs(value) < 1e-6:
        return "0"
    if size < 0.0095:
        return f"{value:{sign}.2g}"
    places = 0 if size >= 100 or value == int(value) else 1 if size >= 10 else 2
    rounded = round(value, places) + 0.0
    return f"{rounded:{sign},.{places}f}" if rounded else f"{value:{sign}.1g}"


def estimates(numbers: Mapping[str, Any]) -> dict[str, Estimate]:
    """Every figure that is a number, in the record's order, with the ends of its interval if they are there."""
    known = {name: value for name, value in numbers.items() if _is_number(value)}
    ends = {f"{name}_{end}" for name in known for end in ("low", "high")}
    return {
        name: Estimate(value, known.get(f"{name}_low"), known.get(f"{name}_high"))
        for name, value in known.items()
        if name not in ends
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
