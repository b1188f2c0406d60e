"""RoBERTa: BERT trained longer, on more text, without the next-sentence task. Source: Liu et al. 2019.

New in this family: positions are counted from the padding id on, over real tokens only; there is no task on sentence
pairs; the masked head and the classification head keep their weights under names, and with layers, of their own.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib.models.base import Output, Stored, linear
from lmlib.models.bert import Bert, BertConfig, BertEmbeddings


@dataclass
class RobertaConfig(BertConfig):
    """Sizes of a RoBERTa. Of `max_positions` (RoBERTa-base: 514), the first `pad_token_id` + 1 hold no token."""

    MODEL_TYPE: ClassVar[str] = "roberta"

    vocab_size: int = 50265
    pad_token_id: int = 1


class RobertaEmbeddings(BertEmbeddings):
    """Word + position + segment, where padding keeps the position of the padding id: (B, T) ids → (B, T, C)."""

    def __init__(self, config: RobertaConfig):
        super().__init__(config)
        self.pad_token_id = config.pad_token_id

    def sum(self, input_ids: Tensor, token_type_ids: Tensor | None, position_ids: Tensor | None) -> Tensor:
        if position_ids is None:
            real = (input_ids != self.pad_token_id).long()  # (B, T)
            position_ids = real.cumsum(1) * real + self.pad_token_id
        return super().sum(input_ids, token_type_ids, position_ids)


class Roberta(Bert):
    """RoBERTa with a head: "masked_lm", "classification", "tagging", "span", or none."""

    config: RobertaConfig
    config_class = RobertaConfig
    HEADS: ClassVar[dict[str, str | None]] = {
        "RobertaModel": None,
        "RobertaForMaskedLM": "masked_lm",
        "RobertaForSequenceClassification": "classification",
        "RobertaForTokenClassification": "tagging",
        "RobertaForQuestionAnswering": "span",
    }
    PREFIX = "roberta."
    POOLED = (None,)

    @property
    def max_length(self) -> int:
        return self.config.max_positions - self.config.pad_token_id - 1

    def make_embeddings(self) -> RobertaEmbeddings:
        return RobertaEmbeddings(self.config)

    def make_head(self) -> None:
        super().make_head()
        if self.head == "masked_lm":
            self.masked_head.activation = F.gelu  # whatever the blocks have
        if self.head == "classification":
            self.label_dense = nn.Linear(self.config.d_model, self.config.d_model)

    def apply_head(self, out: Output, scored: Tensor | None = None) -> None:
        if self.head != "classification":
            return super().apply_head(out, scored)
        first = self.dropout(out.last_hidden_state[:, 0])  # (B, C)
        out.logits = self.label_head(self.dropout(torch.tanh(self.label_dense(first))))  # (B, n_labels)

    def head_names(self) -> dict[str, Stored]:
        if self.head == "masked_lm":
            names: dict[str, Stored] = {"masked_head.bias": "lm_head.bias"}
            return (
                names | linear("masked_head.dense", "lm_head.dense") | linear("masked_head.norm", "lm_head.layer_norm")
            )
        if self.head == "classification":
            return linear("label_dense", "classifier.dense") | linear("label_head", "classifier.out_proj")
        return super().head_names()

    def tied_names(self) -> dict[str, str]:
        if self.head != "masked_lm":
            return {}
        return {"lm_head.decoder.weight": "embeddings.word.weight", "lm_head.decoder.bias": "masked_head.bias"}
