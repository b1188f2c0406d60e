"""What happened in a run, step by step."""

from dataclasses import asdict, dataclass, field
from typing import Any

from matplotlib.figure import Figure

from lmlib import plots


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

    def plot(self) -> Figure:
        """Loss, learning rate and gradient norm against the step. Raises ValueError for a log without a step."""
        self._check_steps()
        names = dict.fromkeys(name for _, values in self.evaluations for name in values)
        curves = {name: self.evaluation(name) for name in names}
        return plots.training_curves(self.losses, self.learning_rates, self.gradient_norms, curves)

    def show(self) -> None:
        """Display the plot in a notebook, with a sentence that says what it shows."""
        plots.show(self.plot(), self.describe())

    def describe(self) -> str:
        """The run in a sentence."""
        self._check_steps()
        values = self.evaluations[-1][1] if self.evaluations else {}
        last = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
        return (
            f"Training loss over {self.n_steps} steps, from {self.losses[0]:.3f} to {self.losses[-1]:.3f}"
            f"{'; at the end ' + last if last else ''}. The learning rate was {max(self.learning_rates):.2g} at its "
            f"highest, the largest gradient norm {max(self.gradient_norms):.2g}."
        )

    def _check_steps(self) -> None:
        if not self.losses:
            raise ValueError("the log holds no step yet; train first")

    def state_dict(self) -> dict[str, Any]:
        """The log in plain lists and numbers."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become the log that was kept."""
        for name, value in state.items():
            setattr(self, name, value)
