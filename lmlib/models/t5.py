"""T5: every task is text to text. Source: Raffel et al. 2020; version 1.1 with the gated layers of Shazeer 2020.

New in this family: scores are not scaled, a bias learned for each bucket of distances says where a token stands (one
table a side, shared by all layers), norms without mean come before each sublayer, and no linear layer has a bias.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lmlib.attention import MultiHeadAttention
from lmlib.layers import FeedForward, GatedFeedForward
from lmlib.models.base import Config, Joined, Stored, joined
from lmlib.models.encoder_decoder import EncoderDecoder
from lmlib.positions import relative_buckets
from lmlib.transformer import Shape


@dataclass
class T5Config(Config):
    """Sizes of a T5; the defaults are T5-small. Version 1.1: feed_forward="gated-gelu", tied=scaled_output=False."""

    MODEL_TYPE: ClassVar[str] = "t5"
    PEER_NAMES: ClassVar[dict[str, str]] = {
        "d_head": "d_kv",
        "n_layers": "num_layers",
        "n_decoder_layers": "num_decoder_layers",
        "n_heads": "num_heads",
        "feed_forward": "feed_forward_proj",
        "n_buckets": "relative_attention_num_buckets",
        "max_distance": "relative_attention_max_distance",
        "norm_eps": "layer_norm_epsilon",
        "dropout": "dropout_rate",
        "tied": "tie_word_embeddings",
        "scaled_output": "scale_decoder_outputs",
    }

    vocab_size: int = 32128
    d_model: int = 512
    d_head: int = 64
    d_ff: int = 2048
    n_layers: int = 6
    n_decoder_layers: int | None = None  # as many as the encoder has
    n_heads: int = 8
    feed_forward: str = "relu"  # or "gated-gelu", "gated-silu", ...
    n_buckets: int = 32
    max_distance: int = 128
    norm_eps: float = 1e-6
    dropout: float = 0.1
    initializer_factor: float = 1.0
    tied: bool = True  # the output layer is the embedding
    scaled_output: bool = True  # states are divided by √C before the output layer
    pad_token_id: int = 0
    eos_token_id: int = 1
    decoder_start_token_id: int = 0

    max_positions: ClassVar[None] = None  # only distances matter

    @classmethod
    def from_peer(cls, values: dict[str, Any]) -> "T5Config":
        # checkpoints of version 1.1 say only that they are not tied; that they are not scaled follows from it
        scaled = values.get("scale_decoder_outputs", values.get("tie_word_embeddings") is not False)
        return super().from_peer(values | {"scale_decoder_outputs": scaled})

    def to_peer(self) -> dict[str, Any]:
        return super().to_peer() | {"is_encoder_decoder": True}

    @property
    def source_vocab_size(self) -> int:
        return self.vocab_size

    def shape(self, side: str) -> Shape:
        """The stack of blocks of the "encoder" or the "decoder"."""
        gated, _, activation = self.feed_forward.rpartition("-")
        if gated not in ("", "gated"):
            raise ValueError(f"feed_forward is an activation, or gated- and an activation; got {self.feed_forward!r}")
        return Shape(
            d_model=self.d_model,
            n_layers=self.n_layers if side == "encoder" else (self.n_decoder_layers or self.n_layers),
            n_heads=self.n_heads,
            d_head=self.d_head,
            d_ff=self.d_ff,
            activation="gelu_new" if self.feed_forward == "gated-gelu" else activation,
            gated=gated == "gated",
            norm="rms",
            norm_eps=self.norm_eps,
            norm_first=True,
            final_norm=True,
            qkv_bias=False,
            out_bias=False,
            ff_bias=False,
            scale=1.0,
            cross_attention=side == "decoder",
            dropout=self.dropout,
            attention_dropout=self.dropout,
            ff_dropout=self.dropout,
            final_dropout=self.dropout,
        )


class T5(EncoderDecoder):
    """An encoder-decoder with relative positions. Heads: "language_model", "encoder" (no decoder), None (states)."""

    config_class = T5Config
    HEADS: ClassVar[dict[str, str | None]] = {
        "T5Model": None,
        "T5ForConditionalGeneration": "language_model",
        "T5EncoderModel": "encoder",
    }
    # a table that old checkpoints store and no model reads: attention to the source has no bias
    DERIVED = (r"^decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$",)

    def __init__(self, config: T5Config, head: str | None = None):
        super().__init__(config, head, config.shape("encoder"), None if head == "encoder" else config.shape("decoder"))
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        sides = ("encoder",) if head == "encoder" else ("encoder", "decoder")
        self.relative = nn.ModuleDict({side: nn.Embedding(config.n_buckets, config.n_heads) for side in sides})
        self.dropout = nn.Dropout(config.dropout)
        self.output = None
        if head == "language_model" and not config.tied:
            self.output = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.initialise()

    @classmethod
    def for_weights(cls, config: T5Config, head: str | None, stored: dict[str, Tensor], head_is_new: bool) -> "T5":
        """A stored output layer that differs from the embedding unties the two, whatever the config says."""
        both = {"lm_head.weight", "shared.weight"} <= stored.keys()
        if both and not head_is_new and not torch.equal(stored["lm_head.weight"], stored["shared.weight"]):
            config.tied = False
        return cls(config, head)

    @torch.no_grad()
    def initialise(self) -> None:
        """Start weights so that unscaled scores have variance 1: queries are smaller by √d_head."""
        factor, c, d = self.config.initializer_factor, self.config.d_model, self.config.d_head
        for module in self.modules():
            if isinstance(module, MultiHeadAttention):
                query, key_and_value = module.qkv.weight.split([module.sizes[0], sum(module.sizes[1:])])
                nn.init.normal_(query, std=factor * (c * d) ** -0.5)
                nn.init.normal_(key_and_value, std=factor * c**-0.5)
                nn.init.normal_(module.out.weight, std=factor * (self.config.n_heads * d) ** -0.5)
            elif isinstance(module, FeedForward | GatedFeedForward):
                inner = module.inner if isinstance(module, FeedForward) else module.gate_and_inner
                nn.init.normal_(inner.weight, std=factor * c**-0.5)
                nn.init.normal_(module.outer.weight, std=factor * self.config.d_ff**-0.5)
        nn.init.normal_(self.embedding.weight, std=factor)
        for table in self.relative.parameters():
            nn.init.normal_(table, std=factor * c**-0.5)
        if self.output is not None:
            nn.init.normal_(self.output.weight, std=factor)

    def embed(self, ids: Tensor, positions: Tensor, side: str) -> Tensor:
        return self.dropout(self.embedding(ids))

    def bias(self, n_queries: int, n_keys: int, side: str) -> Tensor:
        # The bias depends on the distance alone: look each one up once, then lay the row out for every query.
        apart = torch.arange(1 - n_keys, n_queries, device=self.embedding.weight.device)  # first key .. last key
        buckets = relative_buckets(apart, self.config.n_buckets, self.config.max_distance, side == "encoder")
        row = self.relative[side](buckets).T  # (H, S+T-1)
        return row.unfold(-1, n_keys, 1).flip(1)[None]  # (1, H, T, S)

    def project(self, states: Tensor) -> Tensor | None:
        if self.head is None:
            return None
        if self.config.scaled_output:
            states = states * self.config.d_model**-0.5
        weight = self.embedding.weight if self.output is None else self.output.weight
        return nn.functional.linear(states, weight)

    def tied_names(self) -> dict[str, str]:
        copies = ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"]
        if self.head == "language_model" and self.output is None:
            copies.append("lm_head.weight")
        return dict.fromkeys(copies, "embedding.weight")

    def stored_names(self) -> dict[str, Stored]:
        names: dict[str, Stored] = {"embedding.weight": "shared.weight"}
        for side in self.relative:
            theirs = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
            names[f"relative.{side}.weight"] = theirs
            names[f"{side}.final_norm.weight"] = f"{side}.final_layer_norm.weight"
            for i in range(self.config.shape(side).n_layers):
                names |= self._block_names(side, i)
        return names

    def _block_names(self, side: str, i: int) -> dict[str, Stored]:
        ours, theirs = f"{side}.blocks.{i}", f"{side}.block.{i}.layer"
        sublayers = [("attention", f"{theirs}.0.SelfAttention"), ("cross_attention", f"{theirs}.1.EncDecAttention")]
        names: dict[str, Stored] = {}
        for name, where in sublayers if side == "decoder" else sublayers[:1]:
            width = self.config.n_heads * self.config.d_head
            names |= joined(f"{ours}.{name}.qkv", [f"{where}.{part}" for part in "qkv"], [width] * 3, bias=False)
            names[f"{ours}.{name}.out.weight"] = f"{where}.o.weight"
            names[f"{ours}.{name}_norm.weight"] = f"{where.rpartition('.')[0]}.layer_norm.weight"
        last = f"{theirs}.{2 if side == 'decoder' else 1}"
        inner, dense = f"{ours}.feed_forward", f"{last}.DenseReluDense"
        if self.config.shape(side).gated:
            both = (f"{dense}.wi_0.weight", f"{dense}.wi_1.weight")
            names[f"{inner}.gate_and_inner.weight"] = Joined(both, (self.config.d_ff,) * 2)
        else:
            names[f"{inner}.inner.weight"] = f"{dense}.wi.weight"
        names[f"{inner}.outer.weight"] = f"{dense}.wo.weight"
        names[f"{inner}_norm.weight"] = f"{last}.layer_norm.weight"
        return names

    def head_names(self) -> dict[str, Stored]:
        return {} if self.output is None else {"output.weight": "lm_head.weight"}
