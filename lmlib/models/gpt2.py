"""GPT-2: GPT with the normalisation moved to the input of each sublayer, and one more at the end.

Source: Radford et al. 2019, section 2.3. New in this family: that move, which makes deep stacks trainable, and residual
projections that start smaller by 1/√(2 · n_layers).
"""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import nn

from lmlib.models.base import Stored, linear
from lmlib.models.causal import CausalModel
from lmlib.models.gpt import GptConfig, gpt_block_names
from lmlib.transformer import Shape


@dataclass
class Gpt2Config(GptConfig):
    """Sizes of a GPT-2; the defaults are its smallest, of 124 million parameters."""

    MODEL_TYPE: ClassVar[str] = "gpt2"
    PEER_NAMES: ClassVar[dict[str, str]] = GptConfig.PEER_NAMES | {
        "activation": "activation_function",
        "d_ff": "n_inner",
        "scaled": "scale_attn_weights",
    }

    vocab_size: int = 50257
    max_positions: int = 1024
    activation: str = "gelu_new"
    d_ff: int | None = None  # 4 · d_model if not given
    scaled: bool = True  # scores divided by √d_head
    eos_token_id: int | list[int] | None = 50256

    @classmethod
    def check_peer(cls, values: dict[str, Any]) -> None:
        for switch in ("add_cross_attention", "scale_attn_by_inverse_layer_idx"):
            if values.get(switch):
                raise ValueError(f"{cls.__name__} does not implement {switch}; the config asks for it")

    def shape(self) -> Shape:
        return replace(
            super().shape(),
            activation=self.activation,
            d_ff=self.d_ff or 4 * self.d_model,
            norm_first=True,
            final_norm=True,
            scale=None if self.scaled else 1.0,
        )


class Gpt2(CausalModel):
    """GPT-2 with one of its heads: "language_model", "classification", or none."""

    config: Gpt2Config
    config_class = Gpt2Config
    HEADS: ClassVar[dict[str, str | None]] = {
        "GPT2Model": None,
        "GPT2LMHeadModel": "language_model",
        "GPT2ForSequenceClassification": "classification",
    }
    DERIVED = (r"\.attn\.(bias|masked_bias)$",)

    def initialise(self) -> None:
        super().initialise()
        std = self.config.initializer_std / math.sqrt(2 * self.config.n_layers)
        for name, module in self.decoder.named_modules():
            if name.endswith((".attention.out", ".feed_forward.outer")) and isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=std)

    def stored_names(self) -> dict[str, Stored]:
        names: dict[str, Stored] = {
            "word.weight": "wte.weight",
            "position.weight": "wpe.weight",
            **linear("decoder.final_norm", "ln_f"),
        }
        for i in range(self.config.n_layers):
            names |= gpt_block_names(f"decoder.blocks.{i}", f"h.{i}")
        return names
