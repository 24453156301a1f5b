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

    def shown(self, digits: int = 3) -> str:
        """As a person reads it: "2.57 (2.41 to 2.73)"."""
        if self.low is None or self.high is None:
            return f"{self.value:.{digits}g}"
        return f"{self.value:.{digits}g} ({self.low:.{digits}g} to {self.high:.{digits}g})"


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
