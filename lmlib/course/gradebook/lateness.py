"""What being late costs: pure arithmetic on moments."""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

DAY = timedelta(days=1)


@dataclass(frozen=True)
class LateRule:
    """`penalty_per_day` is a share of the maximum, for each day begun; after `days_accepted` nothing is earned."""

    due: datetime | None = None
    penalty_per_day: float = 0.0
    days_accepted: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.penalty_per_day <= 1:
            raise ValueError(f"the penalty is a share of the maximum, 0..1 a day; got {self.penalty_per_day:g}")
        if self.days_accepted is not None and self.days_accepted < 0:
            raise ValueError(f"late work is accepted for 0 days or more; got {self.days_accepted}")


def days_late(received: datetime, due: datetime | None) -> int:
    """Days begun after the deadline; 0 in time, and on the very second of the deadline."""
    return 0 if due is None or received <= due else math.ceil((received - due) / DAY)


def penalty(points: float, maximum: float, days: int, rule: LateRule) -> float:
    """The points that are taken off: never more than there are."""
    if rule.days_accepted is not None and days > rule.days_accepted:
        return points
    return min(points, days * rule.penalty_per_day * maximum)
