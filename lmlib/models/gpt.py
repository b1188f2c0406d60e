"""GPT: the decoder of the Transformer alone, trained to predict the next token. Source: Radford et al. 2018.

New in this family: no encoder and so no cross-attention, learned positions, GELU. Each block still normalises after its
sublayer, as in the Transformer of 2017.
"""

from dataclasses import dataclass
from typing import ClassVar

from lmlib.models.base import Stored, Turned, linear
from lmlib.models.causal import CausalConfig, CausalModel
from lmlib.transformer import Shape


@dataclass
class GptConfig(CausalConfig):
    """Sizes of a GPT; the defaults are the published one of 117 million parameters."""

    MODEL_TYPE: ClassVar[str] = "openai-gpt"
    PEER_NAMES: ClassVar[dict[str, str]] = {
        "d_model": "n_embd",
        "n_layers": "n_layer",
        "n_heads": "n_head",
        "max_positions": "n_positions",
        "activation": "afn",
        "norm_eps": "layer_norm_epsilon",
        "dropout": "embd_pdrop",
        "residual_dropout": "resid_pdrop",
        "attention_dropout": "attn_pdrop",
        "tied": "tie_word_embeddings",
        "initializer_std": "initializer_range",
    }

    vocab_size: int = 40478
    max_positions: int = 512
    activation: str = "gelu"
    norm_eps: float = 1e-5
    dropout: float = 0.1
    residual_dropout: float = 0.1
    attention_dropout: float = 0.1

    def shape(self) -> Shape:
        return Shape(
            d_model=self.d_model,
            n_layers=self.n_layers,
            n_heads=self.n_heads,
            d_ff=4 * self.d_model,
            activation="gelu_new" if self.activation == "gelu" else self.activation,  # "gelu" means the tanh form here
            norm_eps=self.norm_eps,
            dropout=self.residual_dropout,
            attention_dropout=self.attention_dropout,
        )


class Gpt(CausalModel):
    """GPT with one of its heads: "language_model", "classification", or none."""

    config: GptConfig
    config_class = GptConfig
    HEADS: ClassVar[dict[str, str | None]] = {
        "OpenAIGPTModel": None,
        "OpenAIGPTLMHeadModel": "language_model",
        "OpenAIGPTForSequenceClassification": "classification",
    }
    DERIVED = (r"\.attn\.bias$", r"position_ids$")

    def stored_names(self) -> dict[str, Stored]:
        names: dict[str, Stored] = {
            "word.weight": "tokens_embed.weight",
            "position.weight": "positions_embed.weight",
        }
        for i in range(self.config.n_layers):
            names |= gpt_block_names(f"decoder.blocks.{i}", f"h.{i}")
        return names


def gpt_block_names(ours: str, theirs: str) -> dict[str, Stored]:
    """One block under its names in the checkpoints of GPT and GPT-2, whose matrices are stored transposed."""
    matrices = {
        "attention.qkv": "attn.c_attn",
        "attention.out": "attn.c_proj",
        "feed_forward.inner": "mlp.c_fc",
        "feed_forward.outer": "mlp.c_proj",
    }
    names: dict[str, Stored] = {}
    for own, stored in matrices.items():
        names[f"{ours}.{own}.weight"] = Turned(f"{theirs}.{stored}.weight")
        names[f"{ours}.{own}.bias"] = f"{theirs}.{stored}.bias"
    return (
        names
        | linear(f"{ours}.attention_norm", f"{theirs}.ln_1")
        | linear(f"{ours}.feed_forward_norm", f"{theirs}.ln_2")
    )
