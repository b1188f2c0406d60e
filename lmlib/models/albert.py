"""ALBERT: BERT with far fewer weights. Source: Lan et al. 2020.

New in this family: words have narrow embeddings that one matrix widens to d_model (section 3.1, factorised embedding);
all layers of a group are the same layer, applied again and again (cross-layer sharing); and the pair head tells whether
two consecutive sentences were swapped (sentence-order prediction), not whether they belong together.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor, nn

from lmlib.models.base import Stored, joined, linear
from lmlib.models.bert import Bert, BertConfig, BertEmbeddings
from lmlib.transformer import Stack


@dataclass
class AlbertConfig(BertConfig):
    """Sizes of an ALBERT; the defaults are ALBERT-xxlarge."""

    MODEL_TYPE: ClassVar[str] = "albert"
    PEER_NAMES: ClassVar[dict[str, str]] = BertConfig.PEER_NAMES | {
        "d_embedding": "embedding_size",
        "n_groups": "num_hidden_groups",
        "layers_per_group": "inner_group_num",
        "head_dropout": "classifier_dropout_prob",
    }

    vocab_size: int = 30000
    d_embedding: int = 128
    d_model: int = 4096
    n_heads: int = 64
    d_ff: int = 16384
    n_groups: int = 1  # groups of layers with weights of their own
    layers_per_group: int = 1  # layers that are run, one after the other, each time a group is used
    activation: str = "gelu_new"
    dropout: float = 0.0
    attention_dropout: float = 0.0
    head_dropout: float = 0.1

    def __post_init__(self) -> None:
        if not 1 <= self.n_groups <= self.n_layers:
            raise ValueError(f"n_groups must lie in 1..{self.n_layers}, the number of layers; got {self.n_groups}")


class AlbertEmbeddings(BertEmbeddings):
    """Narrow word + position + segment, normalised, then widened: (B, T) ids → (B, T, E) → (B, T, C)."""

    def __init__(self, config: AlbertConfig):
        super().__init__(config, config.d_embedding)
        self.widen = nn.Linear(config.d_embedding, config.d_model)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None, position_ids: Tensor | None) -> Tensor:
        return self.widen(super().forward(input_ids, token_type_ids, position_ids))


class Albert(Bert):
    """ALBERT with a head: "pretraining", "masked_lm", "classification", "tagging", "span", or none."""

    config: AlbertConfig
    config_class = AlbertConfig
    HEADS: ClassVar[dict[str, str | None]] = {
        "AlbertModel": None,
        "AlbertForPreTraining": "pretraining",
        "AlbertForMaskedLM": "masked_lm",
        "AlbertForSequenceClassification": "classification",
        "AlbertForTokenClassification": "tagging",
        "AlbertForQuestionAnswering": "span",
    }
    PREFIX = "albert."
    PAIR_HEAD = "sop_classifier.classifier"
    POOLED = (None, "pretraining", "classification")

    def make_embeddings(self) -> AlbertEmbeddings:
        return AlbertEmbeddings(self.config)

    def make_encoder(self) -> Stack:
        config = self.config
        stack = Stack(replace(config.shape(), n_layers=config.n_groups * config.layers_per_group))
        stack.blocks = nn.ModuleList(stack.blocks[i] for i in self.run_order())
        return stack

    def make_head(self) -> None:
        super().make_head()
        self.dropout = nn.Dropout(self.config.head_dropout)

    def run_order(self) -> list[int]:
        """Which of the distinct blocks stands at each step: the groups in equal shares of n_layers."""
        config, order = self.config, []
        for i in range(config.n_layers):
            group = i * config.n_groups // config.n_layers
            order += [group * config.layers_per_group + j for j in range(config.layers_per_group)]
        return order

    def stored_names(self) -> dict[str, Stored]:
        names = self.embedding_names() | linear("embeddings.widen", "encoder.embedding_hidden_mapping_in")
        order = self.run_order()
        for block in range(self.config.n_groups * self.config.layers_per_group):
            group, layer = divmod(block, self.config.layers_per_group)
            theirs = f"encoder.albert_layer_groups.{group}.albert_layers.{layer}"
            names |= layer_names(f"encoder.blocks.{order.index(block)}", theirs, self.config.d_model)
        if self.pooler is not None and not self.pooler_is_new:
            names |= self.pooler_names()
        return names

    @staticmethod
    def pooler_names() -> dict[str, Stored]:
        return linear("pooler", "pooler")

    def head_names(self) -> dict[str, Stored]:
        names = super().head_names()
        if self.head in ("pretraining", "masked_lm"):
            names |= linear("masked_head.dense", "predictions.dense") | linear(
                "masked_head.norm", "predictions.LayerNorm"
            )
            names["masked_head.bias"] = "predictions.bias"
        return names

    def tied_names(self) -> dict[str, str]:
        return {name.removeprefix("cls."): source for name, source in super().tied_names().items()}


def layer_names(ours: str, theirs: str, d_model: int) -> dict[str, Stored]:
    """One block under its names in ALBERT's checkpoints."""
    parts = [f"{theirs}.attention.{part}" for part in ("query", "key", "value")]
    return {
        **joined(f"{ours}.attention.qkv", parts, [d_model] * 3),
        **linear(f"{ours}.attention.out", f"{theirs}.attention.dense"),
        **linear(f"{ours}.attention_norm", f"{theirs}.attention.LayerNorm"),
        **linear(f"{ours}.feed_forward.inner", f"{theirs}.ffn"),
        **linear(f"{ours}.feed_forward.outer", f"{theirs}.ffn_output"),
        **linear(f"{ours}.feed_forward_norm", f"{theirs}.full_layer_layer_norm"),
    }
