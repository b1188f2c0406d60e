"""BART: an encoder-decoder trained to restore damaged text. Source: Lewis et al. 2020.

New in this family: learned positions on both sides, stored with two unused rows in front; a norm right after the
embeddings; one embedding for source, target and output; and without a target, the decoder copies the source.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib.models.base import Output, Stored, joined, linear
from lmlib.models.encoder_decoder import EncoderDecoder
from lmlib.models.heads import LabelledConfig, class_loss
from lmlib.transformer import Shape

UNUSED_POSITIONS = 2  # rows in front of the position tables, from a time when positions counted from the padding id


@dataclass
class BartConfig(LabelledConfig):
    """Sizes of a BART; the defaults are BART-large."""

    MODEL_TYPE: ClassVar[str] = "bart"
    PEER_NAMES: ClassVar[dict[str, str]] = {
        "n_encoder_layers": "encoder_layers",
        "n_decoder_layers": "decoder_layers",
        "n_encoder_heads": "encoder_attention_heads",
        "n_decoder_heads": "decoder_attention_heads",
        "encoder_d_ff": "encoder_ffn_dim",
        "decoder_d_ff": "decoder_ffn_dim",
        "max_positions": "max_position_embeddings",
        "activation": "activation_function",
        "ff_dropout": "activation_dropout",
        "initializer_std": "init_std",
        "scaled_embedding": "scale_embedding",
    }

    vocab_size: int = 50265
    d_model: int = 1024
    n_encoder_layers: int = 12
    n_decoder_layers: int = 12
    n_encoder_heads: int = 16
    n_decoder_heads: int = 16
    encoder_d_ff: int = 4096
    decoder_d_ff: int = 4096
    max_positions: int = 1024
    activation: str = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.0
    ff_dropout: float = 0.0
    classifier_dropout: float = 0.0
    initializer_std: float = 0.02
    scaled_embedding: bool = False  # token vectors times √C
    pad_token_id: int = 1
    bos_token_id: int = 0
    eos_token_id: int = 2
    decoder_start_token_id: int = 2
    n_labels: int = field(default=3, kw_only=True)

    @classmethod
    def check_peer(cls, values: dict[str, Any]) -> None:
        if values.get("tie_word_embeddings") is False or values.get("normalize_before"):
            raise ValueError("this BART ties its output layer to its embedding and normalises after each sublayer")

    def to_peer(self) -> dict[str, Any]:
        return super().to_peer() | {"is_encoder_decoder": True}

    @property
    def source_vocab_size(self) -> int:
        return self.vocab_size

    def shape(self, side: str) -> Shape:
        """The stack of blocks of the "encoder" or the "decoder"."""
        encoder = side == "encoder"
        return Shape(
            d_model=self.d_model,
            n_layers=self.n_encoder_layers if encoder else self.n_decoder_layers,
            n_heads=self.n_encoder_heads if encoder else self.n_decoder_heads,
            d_ff=self.encoder_d_ff if encoder else self.decoder_d_ff,
            activation=self.activation,
            cross_attention=not encoder,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
            ff_dropout=self.ff_dropout,
        )


class ClassificationHead(nn.Module):
    """Two layers on the state of the last end token: (B, C) → (B, n_labels)."""

    def __init__(self, d_model: int, n_labels: int, dropout: float):
        super().__init__()
        self.dense = nn.Linear(d_model, d_model)
        self.out = nn.Linear(d_model, n_labels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.dropout(torch.tanh(self.dense(self.dropout(x)))))


class Bart(EncoderDecoder):
    """A denoising encoder-decoder. Heads: "language_model", "classification", and None (states only)."""

    config_class = BartConfig
    HEADS: ClassVar[dict[str, str | None]] = {
        "BartModel": None,
        "BartForConditionalGeneration": "language_model",
        "BartForSequenceClassification": "classification",
    }
    PREFIX = "model."

    def __init__(self, config: BartConfig, head: str | None = None):
        super().__init__(config, head, config.shape("encoder"), config.shape("decoder"))
        sides, c = ("encoder", "decoder"), config.d_model
        rows = config.max_positions + UNUSED_POSITIONS
        self.embedding = nn.Embedding(config.vocab_size, c)
        self.positions = nn.ModuleDict({side: nn.Embedding(rows, c) for side in sides})
        self.embedding_norm = nn.ModuleDict({side: nn.LayerNorm(c) for side in sides})
        self.dropout = nn.Dropout(config.dropout)
        if head == "language_model":
            self.output_bias = nn.Parameter(torch.zeros(1, config.vocab_size), requires_grad=False)  # never trained
        if head == "classification":
            self.classifier = ClassificationHead(c, config.n_labels, config.classifier_dropout)
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_std)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)

    def apply_head(self, out: Output, input_ids: Tensor | None, last_only: bool) -> None:
        """As in the base class; for "classification" logits (B, n_labels) from the last end token."""
        if self.head != "classification":
            return super().apply_head(out, input_ids, last_only)
        states = out.last_hidden_state
        if input_ids is None or input_ids.shape != states.shape[:2]:
            raise ValueError("to classify, BART reads the same ids on both sides: give input_ids and no other target")
        ends = (input_ids == self.config.eos_token_id).int()  # (B, T)
        if not bool(ends.any(1).all()):
            raise ValueError(f"every row must hold the end token {self.config.eos_token_id}; its state is classified")
        last = ends.size(1) - 1 - ends.flip(1).argmax(1)  # (B,)
        out.pooled = states[torch.arange(len(last), device=states.device), last]  # (B, C)
        out.logits = self.classifier(out.pooled)

    def loss(self, out: Output, labels: Tensor) -> Tensor:
        """Mean cross-entropy; for "classification" labels are those of `class_loss`."""
        if self.head == "classification" and out.logits is not None:
            return class_loss(out.logits, labels)
        return super().loss(out, labels)

    def target(self, input_ids: Tensor | None, decoder_input_ids: Tensor | None, labels: Tensor | None) -> Tensor:
        """As in the base class; with no target given, the source itself is shifted right."""
        if decoder_input_ids is None and input_ids is not None and (labels is None or self.head == "classification"):
            return self.shift_right(input_ids)
        return super().target(input_ids, decoder_input_ids, labels)

    def embed(self, ids: Tensor, positions: Tensor, side: str) -> Tensor:
        x = self.embedding(ids) * (self.config.d_model**0.5 if self.config.scaled_embedding else 1.0)
        x = x + self.positions[side](positions + UNUSED_POSITIONS)
        return self.dropout(self.embedding_norm[side](x))

    def project(self, states: Tensor) -> Tensor | None:
        if self.head != "language_model":
            return None
        return F.linear(states, self.embedding.weight) + self.output_bias

    def tied_names(self) -> dict[str, str]:
        copies = ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"]
        return dict.fromkeys([*copies, "lm_head.weight"], "embedding.weight")

    def stored_names(self) -> dict[str, Stored]:
        names: dict[str, Stored] = {"embedding.weight": "shared.weight"}
        for side in ("encoder", "decoder"):
            names[f"positions.{side}.weight"] = f"{side}.embed_positions.weight"
            names |= linear(f"embedding_norm.{side}", f"{side}.layernorm_embedding")
            for i in range(self.config.shape(side).n_layers):
                names |= self._block_names(f"{side}.blocks.{i}", f"{side}.layers.{i}", side)
        return names

    def _block_names(self, ours: str, theirs: str, side: str) -> dict[str, Stored]:
        names = {
            **linear(f"{ours}.feed_forward.inner", f"{theirs}.fc1"),
            **linear(f"{ours}.feed_forward.outer", f"{theirs}.fc2"),
            **linear(f"{ours}.feed_forward_norm", f"{theirs}.final_layer_norm"),
        }
        pairs = [("attention", "self_attn"), ("cross_attention", "encoder_attn")]
        for name, where in pairs if side == "decoder" else pairs[:1]:
            parts = [f"{theirs}.{where}.{part}_proj" for part in "qkv"]
            names |= joined(f"{ours}.{name}.qkv", parts, [self.config.d_model] * 3)
            names |= linear(f"{ours}.{name}.out", f"{theirs}.{where}.out_proj")
            names |= linear(f"{ours}.{name}_norm", f"{theirs}.{where}_layer_norm")
        return names

    def head_names(self) -> dict[str, Stored]:
        if self.head == "language_model":
            return {"output_bias": "final_logits_bias"}
        if self.head == "classification":
            head = "classification_head"
            return linear("classifier.dense", f"{head}.dense") | linear("classifier.out", f"{head}.out_proj")
        return {}
