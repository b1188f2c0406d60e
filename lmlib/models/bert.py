"""BERT: a bidirectional encoder with masked-language and next-sentence heads. Source: Devlin et al. 2019.

New in this family: three embeddings are added (word, position, segment), every block normalises after its sublayer, and
a pooler reads the first token.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib.attention import padding_mask
from lmlib.layers import activation_named
from lmlib.models.base import (
    IGNORED_LABEL,
    Config,
    Output,
    PretrainedModel,
    Stored,
    check_ids,
    joined,
    linear,
)
from lmlib.transformer import Shape, Stack


@dataclass
class BertConfig(Config):
    """Sizes of a BERT; the defaults are BERT-base, uncased."""

    MODEL_TYPE: ClassVar[str] = "bert"
    PEER_NAMES: ClassVar[dict[str, str]] = {
        "d_model": "hidden_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "d_ff": "intermediate_size",
        "max_positions": "max_position_embeddings",
        "n_segments": "type_vocab_size",
        "activation": "hidden_act",
        "norm_eps": "layer_norm_eps",
        "dropout": "hidden_dropout_prob",
        "attention_dropout": "attention_probs_dropout_prob",
        "initializer_std": "initializer_range",
    }

    vocab_size: int = 30522
    d_model: int = 768
    n_layers: int = 12
    n_heads: int = 12
    d_ff: int = 3072
    max_positions: int = 512
    n_segments: int = 2
    activation: str = "gelu"
    norm_eps: float = 1e-12
    dropout: float = 0.1
    attention_dropout: float = 0.1
    initializer_std: float = 0.02
    pad_token_id: int = 0
    n_labels: int = 2

    @classmethod
    def from_peer(cls, values: dict[str, Any]) -> "BertConfig":
        config = super().from_peer(values)
        config.n_labels = len(values.get("id2label") or {}) or values.get("num_labels", 2)
        return config

    @classmethod
    def check_peer(cls, values: dict[str, Any]) -> None:
        kind = values.get("position_embedding_type", "absolute")
        if kind != "absolute" or values.get("is_decoder"):
            raise ValueError(f"this BERT is an encoder with absolute positions; the config asks for {kind}, decoder")

    def to_peer(self) -> dict[str, Any]:
        values = super().to_peer()
        n_labels = values.pop("n_labels")
        return values | {"id2label": {str(i): f"LABEL_{i}" for i in range(n_labels)}}

    def shape(self) -> Shape:
        """The stack of blocks."""
        return Shape(
            d_model=self.d_model,
            n_layers=self.n_layers,
            n_heads=self.n_heads,
            d_ff=self.d_ff,
            activation=self.activation,
            norm_eps=self.norm_eps,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
        )


class BertEmbeddings(nn.Module):
    """Word + position + segment, normalised: (B, T) ids → (B, T, C)."""

    def __init__(self, config: BertConfig):
        super().__init__()
        self.word = nn.Embedding(config.vocab_size, config.d_model)
        self.position = nn.Embedding(config.max_positions, config.d_model)
        self.segment = nn.Embedding(config.n_segments, config.d_model)
        self.norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None, position_ids: Tensor | None) -> Tensor:
        if position_ids is None:
            position_ids = torch.arange(input_ids.size(1), device=input_ids.device)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        x = self.word(input_ids) + self.segment(token_type_ids) + self.position(position_ids)  # (B, T, C)
        return self.dropout(self.norm(x))


class MaskedHead(nn.Module):
    """Scores over the vocabulary: dense, activation, norm, then the word embedding as output matrix."""

    def __init__(self, config: BertConfig, word: nn.Embedding):
        super().__init__()
        self.dense = nn.Linear(config.d_model, config.d_model)
        self.activation = activation_named(config.activation)
        self.norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.weight = word.weight  # tied

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.norm(self.activation(self.dense(x))), self.weight, self.bias)  # (B, T, V)


class Bert(PretrainedModel):
    """BERT with one of its heads: "pretraining", "masked_lm", "classification", "tagging", "span", or none."""

    config: BertConfig
    config_class = BertConfig
    HEADS: ClassVar[dict[str, str | None]] = {
        "BertModel": None,
        "BertForPreTraining": "pretraining",
        "BertForMaskedLM": "masked_lm",
        "BertForSequenceClassification": "classification",
        "BertForTokenClassification": "tagging",
        "BertForQuestionAnswering": "span",
    }
    PREFIX = "bert."
    DERIVED = (r"position_ids$",)

    def __init__(self, config: BertConfig, head: str | None = None):
        super().__init__(config, head)
        self.embeddings = BertEmbeddings(config)
        self.encoder = Stack(config.shape())
        self.has_pooler = head in (None, "pretraining", "classification")
        if self.has_pooler:
            self.pooler = nn.Linear(config.d_model, config.d_model)
        if head in ("pretraining", "masked_lm"):
            self.masked_head = MaskedHead(config, self.embeddings.word)
        if head == "pretraining":
            self.pair_head = nn.Linear(config.d_model, 2)
        if head in ("classification", "tagging", "span"):
            self.label_head = nn.Linear(config.d_model, 2 if head == "span" else config.n_labels)
        self.dropout = nn.Dropout(config.dropout)
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.initializer_std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        next_sentence_label: Tensor | None = None,
        inspect: bool = False,
    ) -> Output:
        """input_ids (B, T), attention_mask (B, T) with 1 at real tokens → `Output`.

        labels: (B, T) tokens or tags, with -100 where there is none; (B,) classes; for "span" (B, 2) first and last
        position. `inspect` also returns hidden_states and attentions.
        """
        check_ids(input_ids, self.config.vocab_size, self.config.max_positions)
        x = self.embeddings(input_ids, token_type_ids, position_ids)
        mask = None if attention_mask is None else padding_mask(attention_mask)
        trace = self.encoder(x, mask, collect=inspect)
        out = Output(trace.output)
        if inspect:
            out.hidden_states, out.attentions = trace.hidden_states, trace.attentions
        if self.has_pooler:
            out.pooled = torch.tanh(self.pooler(trace.output[:, 0]))  # (B, C)
        self._apply_head(out)
        if labels is not None:
            out.loss = self._loss(out, labels, next_sentence_label)
        return out

    def _apply_head(self, out: Output) -> None:
        if self.head in ("pretraining", "masked_lm"):
            out.logits = self.masked_head(out.last_hidden_state)  # (B, T, V)
        elif self.head == "classification":
            out.logits = self.label_head(self.dropout(out.pooled))  # (B, n_labels)
        elif self.head in ("tagging", "span"):
            out.logits = self.label_head(self.dropout(out.last_hidden_state))  # (B, T, n_labels or 2)
        if self.head == "pretraining":
            out.pair_logits = self.pair_head(out.pooled)  # (B, 2)

    def _loss(self, out: Output, labels: Tensor, next_sentence_label: Tensor | None) -> Tensor:
        if out.logits is None:
            raise ValueError("labels were given to a BERT without a head; build it with head= or new_head=")
        if self.head == "span":
            return F.cross_entropy(out.logits.transpose(1, 2).flatten(0, 1), labels.flatten())
        loss = F.cross_entropy(out.logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED_LABEL)
        if next_sentence_label is not None and out.pair_logits is not None:
            loss = loss + F.cross_entropy(out.pair_logits, next_sentence_label)
        return loss

    def stored_names(self) -> dict[str, Stored]:
        names = {
            "embeddings.word.weight": "embeddings.word_embeddings.weight",
            "embeddings.position.weight": "embeddings.position_embeddings.weight",
            "embeddings.segment.weight": "embeddings.token_type_embeddings.weight",
            **linear("embeddings.norm", "embeddings.LayerNorm"),
        }
        for i in range(self.config.n_layers):
            names |= encoder_layer_names(f"encoder.blocks.{i}", f"encoder.layer.{i}", self.config.d_model)
        if self.has_pooler:
            names |= linear("pooler", "pooler.dense")
        return names

    def head_names(self) -> dict[str, Stored]:
        names: dict[str, Stored] = {}
        if self.head in ("pretraining", "masked_lm"):
            names |= linear("masked_head.dense", "cls.predictions.transform.dense")
            names |= linear("masked_head.norm", "cls.predictions.transform.LayerNorm")
            names["masked_head.bias"] = "cls.predictions.bias"
        if self.head == "pretraining":
            names |= linear("pair_head", "cls.seq_relationship")
        if self.head in ("classification", "tagging", "span"):
            names |= linear("label_head", "qa_outputs" if self.head == "span" else "classifier")
        return names

    def tied_names(self) -> dict[str, str]:
        if self.head not in ("pretraining", "masked_lm"):
            return {}
        decoder = "cls.predictions.decoder"
        return {f"{decoder}.weight": "embeddings.word.weight", f"{decoder}.bias": "masked_head.bias"}


def encoder_layer_names(ours: str, theirs: str, d_model: int) -> dict[str, Stored]:
    """One block under its names in BERT's checkpoints; RoBERTa and VL-BERT use the same."""
    parts = [f"{theirs}.attention.self.{part}" for part in ("query", "key", "value")]
    return {
        **joined(f"{ours}.attention.qkv", parts, [d_model] * 3),
        **linear(f"{ours}.attention.out", f"{theirs}.attention.output.dense"),
        **linear(f"{ours}.attention_norm", f"{theirs}.attention.output.LayerNorm"),
        **linear(f"{ours}.feed_forward.inner", f"{theirs}.intermediate.dense"),
        **linear(f"{ours}.feed_forward.outer", f"{theirs}.output.dense"),
        **linear(f"{ours}.feed_forward_norm", f"{theirs}.output.LayerNorm"),
    }
