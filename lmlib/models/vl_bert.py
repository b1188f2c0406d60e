"""VL-BERT: words and image regions in one encoder. Source: Su et al. 2020, section 3.

New in this family: every element, word or region, is the sum of four embeddings. Regions have the token [IMG]; words
have the whole image as their visual feature; a visual feature joins appearance and the geometry of the box; regions are
of a third segment and all stand at one position, for they have no order. The input is [CLS] words [SEP] regions [END].
Shapes: B batch, T words, R regions, F d_visual, G d_geometry, C d_model.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lmlib.models.base import Output, Stored, check_attention_mask, check_ids, linear
from lmlib.models.bert import Bert, BertConfig, BertEmbeddings
from lmlib.models.heads import MaskedHead, token_loss
from lmlib.models.visual_bert import check_regions, join_masks

REGION_SEGMENT = 2  # words of the first and second sentence have 0 and 1


@dataclass
class VlBertConfig(BertConfig):
    """Sizes of a VL-BERT; the defaults are those of the paper on BERT-base, with its first unused ids as new tokens."""

    MODEL_TYPE: ClassVar[str] = "vl_bert"
    PEER_NAMES: ClassVar[dict[str, str]] = BertConfig.PEER_NAMES

    n_segments: int = 3
    d_visual: int = 2048
    d_geometry: int = 2048
    n_region_classes: int = 1600
    image_token_id: int = 1
    end_token_id: int = 2

    def __post_init__(self) -> None:
        if self.n_segments <= REGION_SEGMENT:
            raise ValueError(f"VL-BERT needs 3 segments, the third for regions; got n_segments={self.n_segments}")
        if self.d_geometry % 8:
            raise ValueError(
                f"d_geometry={self.d_geometry} must be a multiple of 8: a sine and a cosine for each of 4 coordinates"
            )


@dataclass
class VlBertOutput(Output):
    """last_hidden_state holds T words, R regions and [END]; logits are for the words."""

    region_logits: Tensor | None = None  # (B, R, n_region_classes)


def box_geometry(boxes: Tensor, image_size: Tensor, width: int) -> Tensor:
    """Sines and cosines of a box's corners: boxes (..., 4), image_size (..., 2) → (..., width).

    boxes: left, top, right, bottom in the unit of image_size (its width and height). Each corner, in percent of the
    image, has width / 8 wavelengths, from 2π % on, growing up to a thousandfold. Source: section 3.2; the percent and
    the thousand are those of the authors' program.
    """
    dtype = torch.promote_types(boxes.dtype, torch.float32)  # 100 · 800 is beyond float16; bfloat16 loses the angle
    percent = 100 * boxes.to(dtype) / torch.cat([image_size, image_size], dim=-1)
    n = width // 8
    rates = 1000 ** (-torch.arange(n, device=boxes.device, dtype=dtype) / n)
    angles = percent[..., None] * rates  # (..., 4, n)
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)


class VlBertEmbeddings(BertEmbeddings):
    """Token + visual feature + segment + position, for words and regions: (B, T + R + 1, C)."""

    def __init__(self, config: VlBertConfig):
        super().__init__(config)
        self.visual = nn.Linear(config.d_visual + config.d_geometry, config.d_model)
        self.no_image = nn.Parameter(torch.zeros(config.d_model))  # the visual feature of text without an image
        self.image_token_id, self.end_token_id = config.image_token_id, config.end_token_id
        self.d_geometry = config.d_geometry

    def visual_feature(self, features: Tensor, boxes: Tensor, image_size: Tensor) -> Tensor:
        """Appearance (B, R, F) and the geometry of boxes (B, R, 4) → (B, R, C)."""
        geometry = box_geometry(boxes, image_size[:, None].expand(-1, boxes.size(1), -1), self.d_geometry)
        return self.visual(torch.cat([features, geometry.to(features.dtype)], dim=-1))

    def with_image(
        self, words: Tensor, n_words: Tensor, visual_embeds: Tensor, boxes: Tensor, image_embed: Tensor, size: Tensor
    ) -> Tensor:
        """Words already summed without a visual feature (B, T, C), and an image → (B, T + R + 1, C), normalised."""
        whole_box = torch.cat([torch.zeros_like(size), size], dim=-1)[:, None]  # (B, 1, 4)
        whole = self.visual_feature(image_embed[:, None], whole_box, size)  # (B, 1, C): the same for every word
        kind = self.segment.weight[REGION_SEGMENT]
        regions = self.visual_feature(visual_embeds, boxes, size) + self.word.weight[self.image_token_id] + kind
        regions = regions + self.position(n_words)[:, None]  # one position for all
        end = whole + self.word.weight[self.end_token_id] + kind + self.position(n_words + 1)[:, None]
        return self.dropout(self.norm(torch.cat([words + whole, regions, end], dim=1)))


class VlBert(Bert):
    """VL-BERT with a head: "pretraining" (masked words and masked regions), "classification", or none."""

    config: VlBertConfig
    embeddings: VlBertEmbeddings
    config_class = VlBertConfig
    HEADS: ClassVar[dict[str, str | None]] = {
        "VlBertModel": None,
        "VlBertForPreTraining": "pretraining",
        "VlBertForClassification": "classification",
    }
    PREFIX = "vl_bert."
    POOLED = (None, "classification")

    def make_embeddings(self) -> VlBertEmbeddings:
        return VlBertEmbeddings(self.config)

    def make_head(self) -> None:
        if self.head != "pretraining":
            return super().make_head()
        config = self.config  # no task on pairs: the authors found no use in it
        self.masked_head = MaskedHead(config.d_model, config.activation, config.norm_eps, self.embeddings.word)
        self.region_head = nn.Linear(config.d_model, config.n_region_classes)

    @property
    def max_length(self) -> int:
        return self.config.max_positions - 2  # one position for all regions, one for [END]

    def forward(  # type: ignore[override]  # it takes an image, and no labels of sentence pairs
        self,
        input_ids: Tensor,
        visual_embeds: Tensor | None = None,
        boxes: Tensor | None = None,
        image_embed: Tensor | None = None,
        image_size: Tensor | None = None,
        attention_mask: Tensor | None = None,
        visual_attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        region_labels: Tensor | None = None,
        inspect: bool = False,
    ) -> VlBertOutput:
        """Words (B, T) from [CLS] to [SEP], and either no image or all of it → `VlBertOutput`.

        visual_embeds (B, R, F) with boxes (B, R, 4): left, top, right, bottom; image_embed (B, F), the feature of the
        whole image; image_size (B, 2): width, height. Masks (B, T) and (B, R) hold 1 at real elements.
        labels: (B, T) words of "pretraining", (B,) classes; region_labels: (B, R) classes of masked regions.
        """
        check_ids(input_ids, self.config.vocab_size, self.max_length)
        words = self.embeddings.sum(input_ids, token_type_ids, position_ids)  # (B, T, C)
        image = (visual_embeds, boxes, image_embed, image_size)
        if visual_embeds is None or boxes is None or image_embed is None or image_size is None:
            if any(part is not None for part in (*image, visual_attention_mask, region_labels)):
                raise ValueError("an image needs visual_embeds, boxes, image_embed and image_size; some are missing")
            if attention_mask is not None:
                check_attention_mask(attention_mask, *input_ids.shape)
            x, mask = self.embeddings.dropout(self.embeddings.norm(words + self.embeddings.no_image)), attention_mask
        else:
            check_image(visual_embeds, boxes, image_embed, image_size, input_ids.size(0), self.config.d_visual)
            mask = join_masks(attention_mask, visual_attention_mask, input_ids, visual_embeds)
            n_words = mask[:, : input_ids.size(1)].sum(1)  # (B,)
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)  # [END]
            x = self.embeddings.with_image(words, n_words, visual_embeds, boxes, image_embed, image_size)
        out = VlBertOutput(**vars(self.encode(x, mask, inspect)))
        self.read_elements(out, input_ids.size(1))
        self.add_losses(out, labels, region_labels)
        return out

    def read_elements(self, out: VlBertOutput, n_words: int) -> None:
        """Set the logits: words and regions are read apart."""
        states = out.last_hidden_state
        if self.head == "pretraining":
            out.logits = self.masked_head(states[:, :n_words])  # (B, T, V)
            if states.size(1) > n_words:
                out.region_logits = self.region_head(states[:, n_words:-1])  # (B, R, n_region_classes)
        elif self.head == "classification":
            out.logits = self.label_head(self.dropout(out.pooled))  # (B, n_labels)

    def add_losses(self, out: VlBertOutput, labels: Tensor | None, region_labels: Tensor | None) -> None:
        """Set the loss: the sum over masked words and masked regions, whichever were given."""
        self.add_loss(out, labels, None)
        if region_labels is None:
            return
        if out.region_logits is None:
            raise ValueError(f"region_labels were given to a VlBert whose head={self.head!r} has none")
        loss = token_loss(out.region_logits, region_labels)
        out.loss = loss if out.loss is None else out.loss + loss

    @staticmethod
    def embedding_names() -> dict[str, Stored]:
        own: dict[str, Stored] = {"embeddings.no_image": "embeddings.no_image"}
        return Bert.embedding_names() | linear("embeddings.visual", "embeddings.visual_projection") | own

    def head_names(self) -> dict[str, Stored]:
        names = {ours: theirs for ours, theirs in super().head_names().items() if not ours.startswith("pair_head.")}
        return names | (linear("region_head", "region_classifier") if self.head == "pretraining" else {})


def check_image(
    visual_embeds: Tensor, boxes: Tensor, image_embed: Tensor, image_size: Tensor, n_rows: int, d_visual: int
) -> None:
    """Raise ValueError for features, boxes or sizes of the wrong shape, and for boxes that leave their image."""
    check_regions(visual_embeds, n_rows, d_visual)
    wanted = {
        "boxes": (boxes, (n_rows, visual_embeds.size(1), 4)),
        "image_embed": (image_embed, (n_rows, d_visual)),
        "image_size": (image_size, (n_rows, 2)),
    }
    for name, (tensor, shape) in wanted.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} must be {shape}; got {tuple(tensor.shape)}")
    if boxes.is_cuda or torch.compiler.is_compiling():  # on a GPU the look would wait for the device
        return
    first, last = boxes[..., :2], boxes[..., 2:]
    if not ((first >= 0) & (first <= last) & (last <= image_size[:, None])).all() or not (image_size > 0).all():
        raise ValueError(
            "boxes must be (left, top, right, bottom) with 0 ≤ left ≤ right ≤ width and 0 ≤ top ≤ bottom ≤ height "
            "of their image, whose image_size is (width, height) above 0"
        )
