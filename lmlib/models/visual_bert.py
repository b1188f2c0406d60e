"""VisualBERT: BERT that reads image regions behind the words. Source: Li et al. 2019.

New in this family: the feature vector of each region is projected to d_model and gets a segment and a position
embedding of its own kind; words and regions then attend to each other in one encoder.
Shapes: B batch, T words, R regions, C d_model.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lmlib.models.base import Output, Stored, check_attention_mask, check_ids, check_index, linear
from lmlib.models.bert import Bert, BertConfig, BertEmbeddings


@dataclass
class VisualBertConfig(BertConfig):
    """Sizes of a VisualBERT; `d_visual` is the width of a region's feature vector."""

    MODEL_TYPE: ClassVar[str] = "visual_bert"
    PEER_NAMES: ClassVar[dict[str, str]] = BertConfig.PEER_NAMES | {"d_visual": "visual_embedding_dim"}

    d_visual: int = 512
    pad_token_id: int = 1

    @classmethod
    def check_peer(cls, values: dict[str, Any]) -> None:
        super().check_peer(values)
        if values.get("bypass_transformer"):
            raise ValueError("in this VisualBERT regions pass through every layer; the config asks to bypass them")


class VisualBertEmbeddings(BertEmbeddings):
    """Words (B, T) and the features of regions (B, R, d_visual) → (B, T + R, C)."""

    def __init__(self, config: VisualBertConfig):
        super().__init__(config)
        self.visual = nn.Linear(config.d_visual, config.d_model)
        self.visual_position = nn.Embedding(config.max_positions, config.d_model)
        self.visual_segment = nn.Embedding(config.n_segments, config.d_model)

    def regions(self, visual_embeds: Tensor, visual_token_type_ids: Tensor | None) -> Tensor:
        """Projected feature + position + segment, before the norm: (B, R, C). All regions stand at position 0."""
        if visual_token_type_ids is None:
            visual_token_type_ids = torch.ones(visual_embeds.shape[:2], dtype=torch.long, device=visual_embeds.device)
        n_rows, n_regions = visual_embeds.shape[:2]
        n_segments = self.visual_segment.num_embeddings
        check_index("visual_token_type_ids", visual_token_type_ids, (n_rows, n_regions), n_segments)
        x = self.visual(visual_embeds) + self.visual_segment(visual_token_type_ids)
        return x + self.visual_position.weight[0]


class VisualBert(Bert):
    """VisualBERT with a head: "pretraining", "classification" (of text and image together), or none."""

    config: VisualBertConfig
    embeddings: VisualBertEmbeddings
    config_class = VisualBertConfig
    HEADS: ClassVar[dict[str, str | None]] = {
        "VisualBertModel": None,
        "VisualBertForPreTraining": "pretraining",
        "VisualBertForVisualReasoning": "classification",
    }
    PREFIX = "visual_bert."
    POOLED = (None, "pretraining", "classification")

    def make_embeddings(self) -> VisualBertEmbeddings:
        return VisualBertEmbeddings(self.config)

    def forward(  # type: ignore[override]  # it takes an image, and scores every position
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        pair_labels: Tensor | None = None,
        inspect: bool = False,
        visual_embeds: Tensor | None = None,
        visual_attention_mask: Tensor | None = None,
        visual_token_type_ids: Tensor | None = None,
    ) -> Output:
        """Words as in `Bert`, and regions: visual_embeds (B, R, d_visual), visual_attention_mask (B, R) → `Output`.

        Every state and weight is over T + R elements, words first, and so are the labels of "pretraining", (B, T + R).
        pair_labels (B,): 1 when the text does not describe the image.
        """
        if visual_embeds is None:
            if visual_attention_mask is not None or visual_token_type_ids is not None:
                raise ValueError("a mask or types of regions were given without visual_embeds")
            return super().forward(
                input_ids, attention_mask, token_type_ids, position_ids, labels, pair_labels, inspect
            )
        check_ids(input_ids, self.config.vocab_size, self.max_length)
        check_regions(visual_embeds, input_ids.size(0), self.config.d_visual)
        mask = join_masks(attention_mask, visual_attention_mask, input_ids, visual_embeds)
        words = self.embeddings.sum(input_ids, token_type_ids, position_ids)  # (B, T, C)
        x = torch.cat([words, self.embeddings.regions(visual_embeds, visual_token_type_ids)], dim=1)
        out = self.encode(self.embeddings.dropout(self.embeddings.norm(x)), mask, inspect)
        self.apply_head(out)
        self.add_loss(out, labels, pair_labels)
        return out

    @staticmethod
    def embedding_names() -> dict[str, Stored]:
        return {
            **Bert.embedding_names(),
            **linear("embeddings.visual", "embeddings.visual_projection"),
            "embeddings.visual_position.weight": "embeddings.visual_position_embeddings.weight",
            "embeddings.visual_segment.weight": "embeddings.visual_token_type_embeddings.weight",
        }

    def head_names(self) -> dict[str, Stored]:
        names = super().head_names()
        return names | (linear("label_head", "cls") if self.head == "classification" else {})


def check_regions(visual_embeds: Tensor, n_rows: int, d_visual: int) -> None:
    """Raise ValueError unless the features of regions are (B, R, d_visual) with at least one region."""
    wanted = (n_rows, max(visual_embeds.size(1), 1), d_visual) if visual_embeds.dim() == 3 else None
    if tuple(visual_embeds.shape) != wanted or not visual_embeds.is_floating_point():
        raise ValueError(
            f"visual_embeds must be ({n_rows}, R, {d_visual}) floats, a row for each text, a vector for each region; "
            f"got {visual_embeds.dtype} {tuple(visual_embeds.shape)}"
        )


def join_masks(attention_mask: Tensor | None, visual_mask: Tensor | None, words: Tensor, regions: Tensor) -> Tensor:
    """The mask over words (B, T) and regions (B, R, ...) together, (B, T + R); one that is None is all ones."""
    masks = []
    for mask, elements in ((attention_mask, words), (visual_mask, regions)):
        if mask is None:
            mask = torch.ones(elements.shape[:2], dtype=torch.bool, device=words.device)
        check_attention_mask(mask, *elements.shape[:2])
        masks.append(mask.bool())
    return torch.cat(masks, dim=1)
