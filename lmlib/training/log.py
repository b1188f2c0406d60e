"""What happened in a run, step by step."""

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any

from matplotlib.figure import Figure

from lmlib import plots


@dataclass
class Log:
    """One entry a step; evaluations are (steps done, name → value).

    A step's loss is the one before the step. The learning rate is the share of the schedule times the highest rate.
    What differs from run to run, times and memory, is left out when two logs are compared.
    """

    losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)  # before clipping
    evaluations: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)  # real ones, of all processes together
    seconds: list[float] = field(default_factory=list, compare=False)  # without evaluations and checkpoints
    memory: int | None = field(default=None, compare=False)  # bytes, the most of this process: of its GPU, or else all
    operations_per_token: float | None = field(default=None, compare=False)  # see throughput.py
    peak: float | None = field(default=None, compare=False)  # operations per second of all devices; None: not known

    @property
    def n_steps(self) -> int:
        """Steps done."""
        return len(self.losses)

    def record(
        self, loss: float, learning_rate: float, gradient_norm: float, tokens: int = 0, seconds: float = 0.0
    ) -> None:
        """Add a step."""
        self.losses.append(loss)
        self.learning_rates.append(learning_rate)
        self.gradient_norms.append(gradient_norm)
        self.tokens.append(tokens)
        self.seconds.append(seconds)

    @property
    def tokens_per_second(self) -> float | None:
        """The median over the steps, so that a first one that compiles does not count; None without tokens."""
        rates = [n / seconds for n, seconds in zip(self.tokens, self.seconds, strict=True) if n and seconds]
        return statistics.median(rates) if rates else None

    @property
    def mfu(self) -> float | None:
        """Model FLOPs utilisation, the share of the devices' peak that went into the model; None where not known.

        Work that recomputing adds is not counted. Source: Chowdhery et al. 2022, section 4.1.
        """
        if self.tokens_per_second is None or self.operations_per_token is None or self.peak is None:
            return None
        return self.tokens_per_second * self.operations_per_token / self.peak

    def describe_speed(self) -> str:
        """Tokens a second, MFU and memory, as far as they are known; other at every run."""
        rate, mfu = self.tokens_per_second, self.mfu
        facts = ["tokens/s unknown" if rate is None else f"{rate:,.0f} tokens/s"]
        facts.append("MFU unknown" if mfu is None else f"MFU {mfu:.1%}")
        return ", ".join(facts + ([] if self.memory is None else [f"{self.memory / 2**30:.2f} GiB"]))

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
