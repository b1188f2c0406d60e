"""GPT-Neo: an open reproduction of GPT-3's design. Source: Black et al. 2021.

New in this family: scores are not divided by √d_head, queries, keys and values have no bias, matrices are stored the
usual way round, and the config lists which layers are local.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from lmlib.models.base import Stored, joined, linear
from lmlib.models.gpt3 import Gpt3, Gpt3Config
from lmlib.transformer import Shape


@dataclass
class GptNeoConfig(Gpt3Config):
    """Sizes of a GPT-Neo; the defaults are the one of 1.3 billion parameters."""

    MODEL_TYPE: ClassVar[str] = "gpt_neo"
    PEER_NAMES: ClassVar[dict[str, str]] = {
        "d_model": "hidden_size",
        "n_layers": "num_layers",
        "n_heads": "num_heads",
        "d_ff": "intermediate_size",
        "max_positions": "max_position_embeddings",
        "band_width": "window_size",
        "activation": "activation_function",
        "norm_eps": "layer_norm_epsilon",
        "dropout": "embed_dropout",
        "residual_dropout": "resid_dropout",
        "tied": "tie_word_embeddings",
        "initializer_std": "initializer_range",
    }

    d_model: int = 2048
    n_layers: int = 24
    n_heads: int = 16
    scaled: bool = False
    dropout: float = 0.0
    residual_dropout: float = 0.0
    attention_dropout: float = 0.0

    @classmethod
    def from_peer(cls, values: dict[str, Any]) -> Self:
        """`attention_types` is a list of [kinds, times]: [[["global", "local"], 12]] alternates 12 times."""
        types = values.get("attention_types", [[["global", "local"], values.get("num_layers", 24) // 2]])
        kinds = [kind for pattern, times in types for _ in range(times) for kind in pattern]
        if len(kinds) != values.get("num_layers", 24) or set(kinds) - {"global", "local"}:
            raise ValueError(f"attention_types {types} must name global or local for each of the num_layers layers")
        config = super().from_peer(values | {"banded_layers": [i for i, kind in enumerate(kinds) if kind == "local"]})
        config.scaled = False
        return config

    def to_peer(self) -> dict[str, Any]:
        values = super().to_peer()
        values.pop("banded_layers")
        values.pop("scaled")
        local = set(self.banded())
        return values | {"attention_types": [[["local" if i in local else "global"], 1] for i in range(self.n_layers)]}

    def shape(self) -> Shape:
        return replace(super().shape(), qkv_bias=False, out_bias=True)


class GptNeo(Gpt3):
    """GPT-Neo with one of its heads: "language_model", "classification", or none."""

    config: GptNeoConfig
    config_class = GptNeoConfig
    HEADS: ClassVar[dict[str, str | None]] = {
        "GPTNeoModel": None,
        "GPTNeoForCausalLM": "language_model",
        "GPTNeoForSequenceClassification": "classification",
    }
    DERIVED = (r"\.attention\.(bias|masked_bias)$",)

    def stored_names(self) -> dict[str, Stored]:
        names: dict[str, Stored] = {
            "word.weight": "wte.weight",
            "position.weight": "wpe.weight",
            **linear("decoder.final_norm", "ln_f"),
        }
        for i in range(self.config.n_layers):
            ours, theirs = f"decoder.blocks.{i}", f"h.{i}"
            parts = [f"{theirs}.attn.attention.{part}_proj" for part in ("q", "k", "v")]
            names |= joined(f"{ours}.attention.qkv", parts, [self.config.d_model] * 3, bias=False)
            names |= linear(f"{ours}.attention.out", f"{theirs}.attn.attention.out_proj")
            names |= linear(f"{ours}.attention_norm", f"{theirs}.ln_1")
            names |= linear(f"{ours}.feed_forward.inner", f"{theirs}.mlp.c_fc")
            names |= linear(f"{ours}.feed_forward.outer", f"{theirs}.mlp.c_proj")
            names |= linear(f"{ours}.feed_forward_norm", f"{theirs}.ln_2")
        return names
