"""LLaMA: a decoder with rotary positions, RMSNorm, gated feed-forward and shared key-value heads.

Source: Touvron et al. 2023, section 2.2; Grattafiori et al. 2024 (Llama 3) for grouped heads and long texts.
New in this family: positions turn queries and keys in every layer instead of being added once, nothing has a bias, and
the output matrix is its own.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from torch import Tensor

from lmlib.models.base import Stored, joined, linear
from lmlib.models.causal import CausalConfig, CausalModel
from lmlib.positions import rotary_rates, stretched_rates, turned
from lmlib.transformer import Shape

SCALINGS = ("default", "linear", "llama3")  # ways to stretch rotary positions over longer texts


@dataclass
class LlamaConfig(CausalConfig):
    """Sizes of a LLaMA; the defaults are the first one of 7 billion parameters."""

    MODEL_TYPE: ClassVar[str] = "llama"
    PEER_NAMES: ClassVar[dict[str, str]] = {
        "d_model": "hidden_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "n_kv_heads": "num_key_value_heads",
        "d_head": "head_dim",
        "d_ff": "intermediate_size",
        "max_positions": "max_position_embeddings",
        "activation": "hidden_act",
        "norm_eps": "rms_norm_eps",
        "tied": "tie_word_embeddings",
        "initializer_std": "initializer_range",
        "rotary": "rope_parameters",
    }

    vocab_size: int = 32000
    d_model: int = 4096
    n_layers: int = 32
    n_heads: int = 32
    n_kv_heads: int | None = None
    d_head: int | None = None
    d_ff: int = 11008
    max_positions: int = 2048
    activation: str = "silu"
    norm_eps: float = 1e-6
    attention_dropout: float = 0.0
    attention_bias: bool = False
    mlp_bias: bool = False
    tied: bool = False
    eos_token_id: int | list[int] | None = 2
    rotary: dict[str, Any] = field(default_factory=lambda: {"rope_type": "default", "rope_theta": 10_000.0})

    @classmethod
    def from_peer(cls, values: dict[str, Any]) -> Self:
        """Checkpoints before 2026 have rope_theta and rope_scaling beside each other, later ones rope_parameters."""
        given = values.get("rope_parameters") or values.get("rope_scaling") or {}
        rotary = {"rope_theta": values.get("rope_theta", 10_000.0), "rope_type": given.get("type", "default"), **given}
        rotary.pop("type", None)
        if rotary["rope_type"] not in SCALINGS:
            raise ValueError(
                f"{cls.__name__} stretches rotary positions by one of {', '.join(SCALINGS)}; "
                f"the config asks for {rotary['rope_type']!r}"
            )
        return super().from_peer(values | {"rope_parameters": rotary})

    def to_peer(self) -> dict[str, Any]:
        values = super().to_peer()
        return {name: value for name, value in values.items() if value is not None or name != "head_dim"}

    def shape(self) -> Shape:
        return Shape(
            d_model=self.d_model,
            n_layers=self.n_layers,
            n_heads=self.n_heads,
            n_kv_heads=self.n_kv_heads,
            d_head=self.d_head,
            d_ff=self.d_ff,
            activation=self.activation,
            gated=True,
            norm="rms",
            norm_eps=self.norm_eps,
            norm_first=True,
            final_norm=True,
            qkv_bias=self.attention_bias,
            out_bias=self.attention_bias,
            ff_bias=self.mlp_bias,
            attention_dropout=self.attention_dropout,
        )

    def rotary_rates(self) -> Tensor:
        """(D/2,) radians a position, stretched as the config says."""
        rates = rotary_rates(self.d_head or self.d_model // self.n_heads, self.rotary["rope_theta"])
        match self.rotary["rope_type"]:
            case "linear":
                return rates / self.rotary["factor"]
            case "llama3":
                low, high = self.rotary["low_freq_factor"], self.rotary["high_freq_factor"]
                trained = self.rotary.get("original_max_position_embeddings", self.max_positions)
                return stretched_rates(rates, self.rotary["factor"], low, high, trained)
        return rates


class Llama(CausalModel):
    """LLaMA with one of its heads: "language_model", "classification", or none."""

    config: LlamaConfig
    config_class = LlamaConfig
    HEADS: ClassVar[dict[str, str | None]] = {
        "LlamaModel": None,
        "LlamaForCausalLM": "language_model",
        "LlamaForSequenceClassification": "classification",
    }
    PREFIX = "model."
    DERIVED = (r"rotary_emb\.inv_freq$",)
    LEARNED_POSITIONS = False

    def __init__(self, config: LlamaConfig, head: str | None = None):
        super().__init__(config, head)
        self.rates = config.rotary_rates()  # no buffer: `model.bfloat16()` must not round them

    def rotary(self, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        self.rates = self.rates.to(position_ids.device)
        cos, sin = turned(position_ids, self.rates, self.word.weight.dtype)  # (B, T, D), or (T, D) for all rows
        return cos[..., None, :, :], sin[..., None, :, :]

    def stored_names(self) -> dict[str, Stored]:
        names: dict[str, Stored] = {"word.weight": "embed_tokens.weight", "decoder.final_norm.weight": "norm.weight"}
        for i in range(self.config.n_layers):
            names |= self.block_names(f"decoder.blocks.{i}", f"layers.{i}")
        return names

    def block_names(self, ours: str, theirs: str) -> dict[str, Stored]:
        """One block under its names in checkpoints."""
        shape = self.decoder.shape
        d_head = shape.d_head or shape.d_model // shape.n_heads
        n_kv = shape.n_kv_heads or shape.n_heads
        heads = [f"{theirs}.self_attn.{part}_proj" for part in ("q", "k", "v")]
        gates = [f"{theirs}.mlp.{part}_proj" for part in ("gate", "up")]
        return {
            **joined(f"{ours}.attention.qkv", heads, [n * d_head for n in (shape.n_heads, n_kv, n_kv)], shape.qkv_bias),
            **linear(f"{ours}.attention.out", f"{theirs}.self_attn.o_proj", shape.out_bias),
            f"{ours}.attention_norm.weight": f"{theirs}.input_layernorm.weight",
            **joined(f"{ours}.feed_forward.gate_and_inner", gates, [shape.d_ff] * 2, shape.ff_bias),
            **linear(f"{ours}.feed_forward.outer", f"{theirs}.mlp.down_proj", shape.ff_bias),
            f"{ours}.feed_forward_norm.weight": f"{theirs}.post_attention_layernorm.weight",
        }
