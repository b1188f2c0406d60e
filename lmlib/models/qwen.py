"""Qwen (通义千问): LLaMA with small changes. Source: Yang et al. 2024 (Qwen2), section 2.2; Yang et al. 2025 (Qwen3).

New in Qwen2: queries, keys and values have a bias. New in Qwen3: the bias is gone again, and queries and keys are
normalised in each head, which keeps the scores from growing.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from lmlib.models.base import Stored
from lmlib.models.llama import Llama, LlamaConfig
from lmlib.transformer import Shape


@dataclass
class Qwen2Config(LlamaConfig):
    """Sizes of a Qwen2; the defaults are the one of 7 billion parameters."""

    MODEL_TYPE: ClassVar[str] = "qwen2"

    vocab_size: int = 151936
    d_ff: int = 22016
    max_positions: int = 32768
    n_kv_heads: int | None = 32
    eos_token_id: int | list[int] | None = None

    @classmethod
    def check_peer(cls, values: dict[str, Any]) -> None:
        kinds = set(values.get("layer_types") or ["full_attention"])
        if values.get("use_sliding_window") or kinds != {"full_attention"}:
            raise ValueError(
                f"{cls.__name__} attends to all tokens in every layer; the config asks for a sliding window"
            )

    def shape(self) -> Shape:
        return replace(super().shape(), qkv_bias=True, out_bias=False)


class Qwen2(Llama):
    """Qwen2 with one of its heads: "language_model", "classification", or none."""

    config: Qwen2Config
    config_class = Qwen2Config
    HEADS: ClassVar[dict[str, str | None]] = {
        "Qwen2Model": None,
        "Qwen2ForCausalLM": "language_model",
        "Qwen2ForSequenceClassification": "classification",
    }


@dataclass
class Qwen3Config(Qwen2Config):
    """Sizes of a Qwen3."""

    MODEL_TYPE: ClassVar[str] = "qwen3"

    d_head: int | None = 128

    def shape(self) -> Shape:
        return replace(super().shape(), head_norm=True, qkv_bias=self.attention_bias, out_bias=self.attention_bias)


class Qwen3(Qwen2):
    """Qwen3 with one of its heads: "language_model", "classification", or none."""

    config: Qwen3Config
    config_class = Qwen3Config
    HEADS: ClassVar[dict[str, str | None]] = {
        "Qwen3Model": None,
        "Qwen3ForCausalLM": "language_model",
        "Qwen3ForSequenceClassification": "classification",
    }

    def block_names(self, ours: str, theirs: str) -> dict[str, Stored]:
        norms: dict[str, Stored] = {
            f"{ours}.attention.query_norm.weight": f"{theirs}.self_attn.q_norm.weight",
            f"{ours}.attention.key_norm.weight": f"{theirs}.self_attn.k_norm.weight",
        }
        return super().block_names(ours, theirs) | norms
