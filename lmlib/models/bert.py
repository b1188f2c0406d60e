"""BERT: a bidirectional encoder with masked-language and next-sentence heads. Source: Devlin et al. 2019.

New in this family: three embeddings are added (word, position, segment), every block normalises after its sublayer, and
a pooler reads the first token.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from lmlib.attention import padding_mask
from lmlib.models.base import (
    IGNORED_LABEL,
    Output,
    PretrainedModel,
    Stored,
    check_attention_mask,
    check_ids,
    check_index,
    check_labels,
    joined,
    linear,
)
from lmlib.models.heads import LabelledConfig, MaskedHead, class_loss, span_loss, token_loss
from lmlib.transformer import Shape, Stack


@dataclass
class BertConfig(LabelledConfig):
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

    @classmethod
    def check_peer(cls, values: dict[str, Any]) -> None:
        kind = values.get("position_embedding_type", "absolute")
        if kind != "absolute" or values.get("is_decoder"):
            raise ValueError(f"this BERT is an encoder with absolute positions; the config asks for {kind}, decoder")

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

    def __init__(self, config: BertConfig, width: int | None = None):
        super().__init__()
        width = config.d_model if width is None else width
        self.word = nn.Embedding(config.vocab_size, width)
        self.position = nn.Embedding(config.max_positions, width)
        self.segment = nn.Embedding(config.n_segments, width)
        self.norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None, position_ids: Tensor | None) -> Tensor:
        return self.dropout(self.norm(self.sum(input_ids, token_type_ids, position_ids)))

    def sum(self, input_ids: Tensor, token_type_ids: Tensor | None, position_ids: Tensor | None) -> Tensor:
        """The three embeddings added, before the norm: (B, T, C)."""
        n_rows, length = input_ids.shape
        if position_ids is None:
            position_ids = torch.arange(length, device=input_ids.device)
        else:
            check_index("position_ids", position_ids, (n_rows, length), self.position.num_embeddings)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        else:
            check_index("token_type_ids", token_type_ids, (n_rows, length), self.segment.num_embeddings)
        return self.word(input_ids) + self.segment(token_type_ids) + self.position(position_ids)


class Bert(PretrainedModel):
    """BERT with a head: "pretraining", "masked_lm", "next_sentence", "classification", "tagging", "span", or none."""

    config: BertConfig
    config_class = BertConfig
    HEADS: ClassVar[dict[str, str | None]] = {
        "BertModel": None,
        "BertForPreTraining": "pretraining",
        "BertForMaskedLM": "masked_lm",
        "BertForNextSentencePrediction": "next_sentence",
        "BertForSequenceClassification": "classification",
        "BertForTokenClassification": "tagging",
        "BertForQuestionAnswering": "span",
    }
    PREFIX = "bert."
    DERIVED = (r"position_ids$",)
    POOLED: ClassVar[tuple[str | None, ...]] = (None, "pretraining", "next_sentence", "classification")
    PAIR_HEAD: ClassVar[str] = "cls.seq_relationship"

    def __init__(self, config: BertConfig, head: str | None = None, pooler: bool | None = None):
        super().__init__(config, head)
        self.embeddings = self.make_embeddings()
        self.encoder = self.make_encoder()
        has_pooler = head in self.POOLED if pooler is None else pooler
        self.pooler = nn.Linear(config.d_model, config.d_model) if has_pooler else None
        self.pooler_is_new = False
        self.dropout = nn.Dropout(config.dropout)  # before the layers of the head
        self.make_head()
        self.apply(self._initialise)

    @classmethod
    def for_weights(cls, config: Any, head: str | None, stored: dict[str, Tensor], head_is_new: bool) -> Self:
        """Take the pooler, and the second head of the pre-training, as they are stored: hub files vary in both."""
        stored_pooler = any("pooler." in name for name in stored)
        stored_pair_head = any(name.startswith(cls.PAIR_HEAD) for name in stored)
        if head == "masked_lm" and stored_pair_head and not head_is_new:
            head = "pretraining"
        needed = head in cls.POOLED and head is not None
        model = cls(config, head, stored_pooler or needed)
        model.pooler_is_new = head_is_new and not stored_pooler
        return model

    def load_stored(self, stored: dict[str, Tensor], skip_head: bool = False, source: str = "the checkpoint") -> None:
        # the first checkpoints call a norm's weight and bias gamma and beta
        old = {"gamma": "weight", "beta": "bias"}
        parts = ((name.rpartition("."), tensor) for name, tensor in stored.items())
        renamed = {f"{start}{dot}{old.get(last, last)}": tensor for (start, dot, last), tensor in parts}
        super().load_stored(renamed, skip_head, source)
        self.pooler_is_new = False  # from now on it is a part of the backbone and is saved as such

    @property
    def max_length(self) -> int:
        """The longest sequence in tokens."""
        return self.config.max_positions

    def make_embeddings(self) -> BertEmbeddings:
        """What turns ids into vectors; a family that adds to it says so here."""
        return BertEmbeddings(self.config)

    def make_encoder(self) -> Stack:
        """The blocks; a family that shares them says so here."""
        return Stack(self.config.shape())

    def make_head(self) -> None:
        """The layers of the head."""
        config, head = self.config, self.head
        if head in ("pretraining", "masked_lm"):
            self.masked_head = MaskedHead(config.d_model, config.activation, config.norm_eps, self.embeddings.word)
        if head in ("pretraining", "next_sentence"):
            self.pair_head = nn.Linear(config.d_model, 2)
        if head in ("classification", "tagging", "span"):
            self.label_head = nn.Linear(config.d_model, 2 if head == "span" else config.n_labels)

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
        pair_labels: Tensor | None = None,
        inspect: bool = False,
        labelled_only: bool = False,
    ) -> Output:
        """input_ids (B, T), attention_mask (B, T) with 1 at real tokens → `Output`.

        labels: (B, T) tokens or tags, with -100 where there is none; (B,) classes; for "span" (B, 2) first and last
        position. pair_labels (B,): 1 when the second sentence does not follow (ALBERT: when the two are swapped).
        `inspect` also returns hidden_states and attentions. `labelled_only`: the masked head scores only the N
        positions with a label, logits (N, V); the loss is the same, for a fraction of the work.
        """
        check_ids(input_ids, self.config.vocab_size, self.max_length)
        if attention_mask is not None:
            check_attention_mask(attention_mask, *input_ids.shape)
        scored = self.labelled(labels, input_ids.shape) if labelled_only else None
        out = self.encode(self.embeddings(input_ids, token_type_ids, position_ids), attention_mask, inspect)
        self.apply_head(out, scored)
        self.add_loss(out, labels if labels is None or scored is None else labels[scored], pair_labels)
        return out

    def encode(self, x: Tensor, attention_mask: Tensor | None, inspect: bool) -> Output:
        """Embeddings (B, T, C) through the blocks and the pooler."""
        mask = None if attention_mask is None else padding_mask(attention_mask)
        trace = self.encoder(x, mask, collect=inspect)
        out = Output(trace.output)
        if inspect:
            out.hidden_states, out.attentions = trace.hidden_states, trace.attentions
        if self.pooler is not None:
            out.pooled = torch.tanh(self.pooler(trace.output[:, 0]))  # (B, C)
        return out

    def labelled(self, labels: Tensor | None, shape: torch.Size) -> Tensor:
        """(B, T) True at positions with a label. Raises ValueError where no masked head could score them."""
        if labels is None or self.head not in ("pretraining", "masked_lm"):
            given = "no labels" if labels is None else f"head={self.head!r}"
            raise ValueError(f"labelled_only needs labels, and the head 'masked_lm' or 'pretraining'; got {given}")
        check_labels(labels, shape, self.config.vocab_size)
        return labels != IGNORED_LABEL

    def apply_head(self, out: Output, scored: Tensor | None = None) -> None:
        """Set the logits; the masked head scores the positions `scored` (B, T), or all."""
        if self.head in ("pretraining", "masked_lm"):
            states = out.last_hidden_state
            out.logits = self.masked_head(states if scored is None else states[scored])  # (B, T, V) or (N, V)
        elif self.head == "classification":
            out.logits = self.label_head(self.dropout(out.pooled))  # (B, n_labels)
        elif self.head in ("tagging", "span"):
            out.logits = self.label_head(self.dropout(out.last_hidden_state))  # (B, T, n_labels or 2)
        if self.head in ("pretraining", "next_sentence"):
            out.pair_logits = self.pair_head(out.pooled)  # (B, 2)

    def add_loss(self, out: Output, labels: Tensor | None, pair_labels: Tensor | None) -> None:
        """Set the loss: the sum over the kinds of labels that were given."""
        for name, given, logits in (("labels", labels, out.logits), ("pair_labels", pair_labels, out.pair_logits)):
            if given is not None and logits is None:
                raise ValueError(f"{name} were given to a {type(self).__name__} whose head={self.head!r} has none")
        losses = []
        if labels is not None and out.logits is not None:
            loss = {"classification": class_loss, "span": span_loss}.get(self.head or "", token_loss)
            losses.append(loss(out.logits, labels))
        if pair_labels is not None and out.pair_logits is not None:
            losses.append(class_loss(out.pair_logits, pair_labels))
        if losses:
            out.loss = torch.stack(losses).sum()

    def stored_names(self) -> dict[str, Stored]:
        names = self.embedding_names()
        for i in range(self.config.n_layers):
            names |= encoder_layer_names(f"encoder.blocks.{i}", f"encoder.layer.{i}", self.config.d_model)
        if self.pooler is not None and not self.pooler_is_new:
            names |= self.pooler_names()
        return names

    @staticmethod
    def pooler_names() -> dict[str, Stored]:
        """The dense layer on the first token."""
        return linear("pooler", "pooler.dense")

    @staticmethod
    def embedding_names() -> dict[str, Stored]:
        """The weights of the three embeddings and their norm."""
        return {
            "embeddings.word.weight": "embeddings.word_embeddings.weight",
            "embeddings.position.weight": "embeddings.position_embeddings.weight",
            "embeddings.segment.weight": "embeddings.token_type_embeddings.weight",
            **linear("embeddings.norm", "embeddings.LayerNorm"),
        }

    def head_names(self) -> dict[str, Stored]:
        names: dict[str, Stored] = self.pooler_names() if self.pooler is not None and self.pooler_is_new else {}
        if self.head in ("pretraining", "masked_lm"):
            names |= linear("masked_head.dense", "cls.predictions.transform.dense")
            names |= linear("masked_head.norm", "cls.predictions.transform.LayerNorm")
            names["masked_head.bias"] = "cls.predictions.bias"
        if self.head in ("pretraining", "next_sentence"):
            names |= linear("pair_head", self.PAIR_HEAD)
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
