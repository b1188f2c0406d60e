"""What happened in a run, step by step."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Log:
    """One entry a step; evaluations are (steps done, name → value).

    A step's loss is the one before the step. The learning rate is the share of the schedule times the highest rate.
    """

    losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)  # before clipping
    evaluations: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    @property
    def n_steps(self) -> int:
        """Steps done."""
        return len(self.losses)

    def record(self, loss: float, learning_rate: float, gradient_norm: float) -> None:
        """Add a step."""
        self.losses.append(loss)
        self.learning_rates.append(learning_rate)
        self.gradient_norms.append(gradient_norm)

    def evaluation(self, name: str) -> tuple[list[int], list[float]]:
        """The steps at which `name` was evaluated, and its values. Raises ValueError for a name that never was."""
        found = [(step, values[name]) for step, values in self.evaluations if name in values]
        if not found:
            known = sorted({known for _, values in self.evaluations for known in values})
            raise ValueError(f"nothing named {name!r} was evaluated; there are: {', '.join(known) or 'none'}")
        steps, values = zip(*found, strict=True)
        return list(steps), list(values)

    def state_dict(self) -> dict[str, Any]:
        """The log in plain lists and numbers."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become the log that was kept."""
        for name, value in state.items():
            setattr(self, name, value)
