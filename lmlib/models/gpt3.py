"""GPT-3: GPT-2 in which every second layer attends only to its neighbourhood. Source: Brown et al. 2020, section 2.1.

New in this family: dense layers alternate with layers of a causal band (Child et al. 2019), whose cost grows with the
length and not with its square. The weights were never published; a checkpoint of ours has the names of GPT-2's.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from lmlib.attention import band_mask
from lmlib.models.gpt2 import Gpt2, Gpt2Config


@dataclass
class Gpt3Config(Gpt2Config):
    """Sizes of a GPT-3; the defaults are its smallest, of 125 million parameters."""

    MODEL_TYPE: ClassVar[str] = "gpt3"

    max_positions: int = 2048
    band_width: int = 256  # tokens that a banded layer sees, its own included; the paper does not tell
    banded_layers: list[int] | None = None  # every second one if not given; none is GPT-2

    def __post_init__(self) -> None:
        wrong = [i for i in self.banded() if not 0 <= i < self.n_layers]
        if wrong or self.band_width < 1:
            raise ValueError(
                f"banded_layers {wrong} are not among the {self.n_layers} layers, or band_width "
                f"{self.band_width} is below 1"
            )

    def banded(self) -> list[int]:
        """The layers that see only a band."""
        return list(range(1, self.n_layers, 2)) if self.banded_layers is None else self.banded_layers


class Gpt3(Gpt2):
    """GPT-3 with one of its heads: "language_model", "classification", or none."""

    config: Gpt3Config
    config_class = Gpt3Config
    HEADS: ClassVar[dict[str, str | None]] = {
        "GPT3Model": None,
        "GPT3LMHeadModel": "language_model",
        "GPT3ForSequenceClassification": "classification",
    }

    band: Tensor

    def __init__(self, config: Gpt3Config, head: str | None = None):
        super().__init__(config, head)
        n = config.max_positions  # made once, so that a decoding step takes a row of it instead of a new mask
        self.register_buffer("band", band_mask(n, n, config.band_width), persistent=False)

    def layer_masks(self, mask: Tensor | None, past: int, n_new: int) -> list[Tensor | None]:
        """The band on some layers, and padding on all."""
        band = self.band[past : past + n_new, : past + n_new]  # (T, S)
        if mask is not None:
            band = band & mask  # (B, 1, T, S)
        banded = set(self.config.banded())
        return [band if i in banded else mask for i in range(self.config.n_layers)]
