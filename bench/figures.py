"""What is made of measured values: medians, spreads, ratios, and whether a target is reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Measured = Mapping[str, Mapping[str, Sequence[float]]]
"""Contender → figure → its value in each round."""


@dataclass(frozen=True)
class Figure:
    """Something that is measured, and how it is shown."""

    key: str
    label: str
    digits: int = 0
    is_worst: bool = False
    """Whether the largest value of all rounds counts, and not the median."""

    def of(self, values: Sequence[float]) -> float:
        """The one value that stands for all rounds."""
        return max(values) if self.is_worst else median(values)

    def show(self, value: float) -> str:
        """As it is written in tables."""
        return f"{value:,.{self.digits}f}"


@dataclass(frozen=True)
class Target:
    """What a case must reach, or what it is only compared with.

    `figure` of `subject` is compared with that of the contender `against`: their ratio must be at
    least `bound`, or at most with `at_most`. `against` may be "others", the best of all others in
    each round, or "", when the figure itself must keep to `bound`. Without `bound` there is
    nothing to reach.
    """

    title: str
    figure: str
    bound: float | None
    against: str = ""
    at_most: bool = False
    subject: str = "ours"


@dataclass(frozen=True)
class Verdict:
    """How a target stands. What was not measured is None."""

    value: float | None
    ratio: float | None
    is_reached: bool | None


def ratios(values: Sequence[float], others: Sequence[float]) -> list[float]:
    """The ratio in each round; rounds in which the other is 0 are left out."""
    return [value / other for value, other in zip(values, others, strict=True) if other]


def best_of_others(target: Target, measured: Measured) -> list[float]:
    """In each round, the best value of those that are not the measured server."""
    rounds = [
        figures[target.figure]
        for name, figures in measured.items()
        if not name.startswith("ours") and target.figure in figures
    ]
    best = min if target.at_most else max
    return [best(values) for values in zip(*rounds, strict=True)]


def judge(target: Target, figure: Figure, measured: Measured) -> Verdict:
    """Whether `measured` reaches the target. The ratio is the median of the rounds' ratios."""
    values = measured.get(target.subject, {}).get(target.figure)
    if not values:
        return Verdict(None, None, None)
    value = figure.of(values)
    if not target.against:
        return Verdict(value, None, _keeps(value, target))
    if target.against == "others":
        others: Sequence[float] = best_of_others(target, measured)
    else:
        others = measured.get(target.against, {}).get(target.figure, ())
    found = ratios(values, others) if others else []
    if not found:
        return Verdict(value, None, None)
    ratio = median(found)
    return Verdict(value, ratio, _keeps(ratio, target))


def _keeps(value: float, target: Target) -> bool | None:
    if target.bound is None:
        return None
    return value <= target.bound if target.at_most else value >= target.bound
