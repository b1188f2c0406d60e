"""VL-BERT: its embeddings worked by hand from the paper, the rest equal to VisualBERT's where the two coincide."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor

from lmlib.models import from_pretrained
from lmlib.models.base import CheckpointError
from lmlib.models.vl_bert import VlBert, VlBertConfig, box_geometry
from tests.lmlib.models import parity

SIZES: dict[str, int] = {
    "vocab_size": 30,
    "d_model": 8,
    "n_layers": 2,
    "n_heads": 2,
    "d_ff": 12,
    "max_positions": 12,
    "d_visual": 3,
    "d_geometry": 16,
    "n_region_classes": 7,
    "n_labels": 4,
}


def drawn(seed: int, head: str | None = "pretraining", **changes: Any) -> Any:
    return parity.randomised(VlBert(VlBertConfig(**(SIZES | changes)), head), seed)


def image_of(seed: int, n_rows: int = 3, n_regions: int = 4) -> dict[str, Tensor]:
    """Features and boxes of regions, and the whole image."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([[200.0, 100.0]]).expand(n_rows, 2)
    corners = torch.rand(n_rows, n_regions, 2, 2, generator=generator).sort(dim=2).values.flatten(2)
    return {
        "visual_embeds": torch.randn(n_rows, n_regions, 3, generator=generator),
        "boxes": corners * torch.cat([size, size], dim=1)[:, None],
        "image_embed": torch.randn(n_rows, 3, generator=generator),
        "image_size": size,
    }


def test_geometry_of_a_box_worked_by_hand() -> None:
    """A box from (20, 10) to (100, 50) in an image of 200 by 100, with two wavelengths: 2π and 2π · √1000 percent."""
    geometry = box_geometry(torch.tensor([[20.0, 10.0, 100.0, 50.0]]), torch.tensor([[200.0, 100.0]]), 16)
    expected = []
    for percent in (10, 10, 50, 50):  # left / width, top / height, right / width, bottom / height
        angles = (percent, percent / math.sqrt(1000))
        expected += [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]
    assert torch.allclose(geometry, torch.tensor([expected]), atol=1e-5)


def test_the_sum_of_embeddings_worked_by_hand() -> None:
    """Section 3.2 with numbers that show where they come from: one word row, two regions, [END]."""
    config = VlBertConfig(**(SIZES | {"d_model": 1, "n_heads": 1, "d_visual": 1, "d_geometry": 8}))
    embeddings = VlBert(config).embeddings.eval()
    embeddings.norm = torch.nn.Identity()  # LayerNorm over one number would leave nothing
    with torch.no_grad():
        embeddings.word.weight.copy_(torch.arange(30.0)[:, None] * 1000)  # token t: 1000 t
        embeddings.segment.weight.copy_(torch.tensor([[100.0], [200.0], [300.0]]))
        embeddings.position.weight.copy_(torch.arange(12.0)[:, None] * 10)  # position p: 10 p
        embeddings.visual.weight.zero_()
        embeddings.visual.weight[0, 0] = 1.0  # the feature
        embeddings.visual.weight[0, 1] = 0.5  # and half of the sine of left / width
        embeddings.visual.bias.fill_(0.25)
    words = embeddings.sum(torch.tensor([[5, 6, 7]]), torch.tensor([[0, 0, 1]]), None)
    size = torch.tensor([[200.0, 100.0]])
    boxes = torch.tensor([[[0.0, 0.0, 50.0, 50.0], [20.0, 0.0, 40.0, 9.0]]])
    features, whole = torch.tensor([[[2.0], [3.0]]]), torch.tensor([[4.0]])
    x = embeddings.with_image(words, torch.tensor([3]), features, boxes, whole, size)
    on_words = 4 + 0.25  # the whole image: its feature, the sine of 0, the bias
    expected = [
        5000 + 100 + 0 + on_words,
        6000 + 100 + 10 + on_words,
        7000 + 200 + 20 + on_words,
        1000 + 300 + 30 + 2 + 0.25,  # [IMG] has id 1; regions are of segment 2, and all at position 3
        1000 + 300 + 30 + 3 + 0.25 + 0.5 * math.sin(10),  # 20 of 200 is 10 percent
        2000 + 300 + 40 + on_words,  # [END] has id 2
    ]
    assert torch.allclose(x[0, :, 0], torch.tensor(expected), atol=1e-3)


def as_visual_bert(ours: Any, image: dict[str, Tensor], n_words: int, folder: Path) -> tuple[Any, Tensor]:
    """The peer that coincides with `ours` on texts of n_words beside one image, and its features (B, R + 1, ...).

    What the peer lacks is folded into what it has: the whole image on words into their segments; [IMG], the third
    segment and the place of regions into the type of visual tokens 1; [END] becomes a visual token of type 0.
    """
    config = ours.config
    peer = transformers.VisualBertForPreTraining(
        transformers.VisualBertConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.d_model,
            visual_embedding_dim=config.d_visual + config.d_geometry,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            intermediate_size=config.d_ff,
            max_position_embeddings=config.max_positions,
            attn_implementation="eager",
        )
    ).eval()
    regions = torch.cat(
        [image["visual_embeds"], box_geometry(image["boxes"], image["image_size"][:, None], 16)], dim=-1
    )
    box = torch.cat([torch.zeros(3, 2), image["image_size"]], dim=1)
    whole = torch.cat([image["image_embed"], box_geometry(box, image["image_size"], 16)], dim=-1)[:, None]
    shared = ours.embeddings
    ours.save_pretrained(folder)
    saved = load_file(folder / "model.safetensors")
    stored = {name.replace("vl_bert.", "visual_bert."): tensor for name, tensor in saved.items()}
    prefix = "visual_bert.embeddings."
    third, place = shared.segment.weight[2], shared.position.weight[n_words]
    stored |= {
        prefix + "token_type_embeddings.weight": shared.segment.weight[:2] + shared.visual(whole[0]),
        prefix + "visual_projection.weight": shared.visual.weight,
        prefix + "visual_projection.bias": shared.visual.bias,
        prefix + "visual_position_embeddings.weight": torch.zeros(config.max_positions, config.d_model),
        prefix + "visual_token_type_embeddings.weight": torch.stack(
            [
                third + shared.word.weight[config.end_token_id] + shared.position.weight[n_words + 1],
                third + shared.word.weight[config.image_token_id] + place,
            ]
        ),
    }
    state = peer.state_dict()
    taken = {name: tensor for name, tensor in stored.items() if name in state}
    assert all(re.search("pooler|seq_relationship|decoder", name) for name in set(state) - set(taken))
    peer.load_state_dict(taken, strict=False)
    peer.tie_weights()
    return peer, torch.cat([regions, whole], dim=1)


def test_words_and_regions_equal_visual_bert_where_the_two_coincide(seed: int, tmp_path: Path) -> None:
    ours = drawn(seed)
    image = image_of(seed)
    image["image_embed"] = image["image_embed"][:1].expand(3, 3)  # one image beside three texts and sets of regions
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 30, (3, 5), generator=generator)
    segments = torch.randint(2, (3, 5), generator=generator)
    region_mask = parity.padded_batch(seed, 9, [4, 2, 3], "right")[1]
    peer, features = as_visual_bert(ours, image, n_words=5, folder=tmp_path)
    mask = torch.cat([region_mask, torch.ones(3, 1, dtype=torch.long)], dim=1)
    kinds = torch.tensor([[1, 1, 1, 1, 0]]).expand(3, 5)  # regions, then [END]
    reference = peer(
        ids,
        token_type_ids=segments,
        visual_embeds=features,
        visual_attention_mask=mask,
        visual_token_type_ids=kinds,
        output_hidden_states=True,
        output_attentions=True,
    )
    out = ours(ids, **image, visual_attention_mask=region_mask, token_type_ids=segments, inspect=True)
    real = torch.cat([torch.ones(3, 5, dtype=torch.long), mask], dim=1)
    parity.assert_close(out.hidden_states, list(reference.hidden_states), where=real)
    parity.assert_close(out.last_hidden_state, reference.hidden_states[-1], where=real)
    weights = [[w.transpose(1, 2) for w in both] for both in (out.attentions, reference.attentions)]
    parity.assert_close(*weights, where=real)
    parity.assert_close(out.logits, reference.prediction_logits[:, :5])


def test_the_loss_is_the_sum_over_masked_words_and_masked_regions(seed: int) -> None:
    ours = drawn(seed)
    image = image_of(seed)
    ids = torch.randint(3, 30, (3, 5), generator=torch.Generator().manual_seed(seed))
    labels, region_labels = torch.full((3, 5), -100), torch.full((3, 4), -100)
    labels[0, 2], labels[2, 1], region_labels[1, 3] = 9, 4, 6
    out = ours(ids, **image, labels=labels, region_labels=region_labels)
    of_words = -(out.logits.log_softmax(-1)[0, 2, 9] + out.logits.log_softmax(-1)[2, 1, 4]) / 2
    of_regions = -out.region_logits.log_softmax(-1)[1, 3, 6]
    assert torch.isclose(out.loss, of_words + of_regions)
    assert torch.isclose(ours(ids, **image, labels=labels).loss, of_words)
    assert torch.isclose(ours(ids, **image, region_labels=region_labels).loss, of_regions)


def test_regions_have_no_order(seed: int) -> None:
    ours = drawn(seed)
    image = image_of(seed)
    ids = torch.randint(3, 30, (3, 5), generator=torch.Generator().manual_seed(seed))
    order = torch.randperm(4, generator=torch.Generator().manual_seed(seed))
    turned = image | {"visual_embeds": image["visual_embeds"][:, order], "boxes": image["boxes"][:, order]}
    before, after = ours(ids, **image), ours(ids, **turned)
    parity.assert_close(after.logits, before.logits)
    parity.assert_close(after.region_logits, before.region_logits[:, order])


def test_a_padded_batch_equals_one_by_one(seed: int) -> None:
    ours = drawn(seed)
    image = image_of(seed)
    ids, mask, _ = parity.padded_batch(seed, 30, [6, 3, 2], "right", low=3)
    region_mask = parity.padded_batch(seed, 9, [1, 4, 2], "right")[1]
    together = ours(ids, **image, attention_mask=mask, visual_attention_mask=region_mask)
    for row in range(3):
        words, regions = mask[row].bool(), region_mask[row].bool()
        one = {name: value[row : row + 1] for name, value in image.items()}
        one |= {"visual_embeds": one["visual_embeds"][:, regions], "boxes": one["boxes"][:, regions]}
        alone = ours(ids[row : row + 1, words], **one)
        parity.assert_close(together.logits[row : row + 1, words], alone.logits)
        parity.assert_close(together.region_logits[row : row + 1, regions], alone.region_logits)


def test_words_see_the_image_and_text_without_one_is_possible(seed: int) -> None:
    ours = drawn(seed)
    ids = torch.randint(3, 30, (3, 5), generator=torch.Generator().manual_seed(seed))
    image = image_of(seed)
    other = image | {"image_embed": image["image_embed"] + 1}
    assert not torch.allclose(ours(ids, **image).logits, ours(ids, **other).logits)
    text = ours(ids)
    assert text.last_hidden_state.shape == (3, 5, 8)
    assert text.region_logits is None
    with torch.no_grad():
        ours.embeddings.no_image += torch.randn(8, generator=torch.Generator().manual_seed(seed))
    assert not torch.allclose(ours(ids).logits, text.logits)


def test_every_head_is_saved_and_loaded(seed: int, tmp_path: Path) -> None:
    ids = torch.randint(3, 30, (3, 5), generator=torch.Generator().manual_seed(seed))
    for head in (None, "pretraining", "classification"):
        ours = drawn(seed, head)
        ours.save_pretrained(tmp_path / str(head))
        again = from_pretrained(tmp_path / str(head))
        assert again.head == head
        assert again.config.to_peer() == ours.config.to_peer()
        parity.assert_close(
            again(ids, **image_of(seed)).last_hidden_state, ours(ids, **image_of(seed)).last_hidden_state
        )
    parity.assert_strict(tmp_path / "pretraining", seed)
    config = (tmp_path / "pretraining" / "config.json").read_text("utf-8")
    changed = config.replace("VlBertForPreTraining", "VlBertForClassification")
    (tmp_path / "pretraining" / "config.json").write_text(changed, "utf-8")
    with pytest.raises(CheckpointError, match=r"missing: vl_bert.pooler.dense.weight"):
        from_pretrained(tmp_path / "pretraining")


def test_gradients_agree_with_finite_differences(seed: int) -> None:
    ours = drawn(seed, n_layers=1).double()
    image = {name: value.double() for name, value in image_of(seed, 1, 2).items()}
    own = dict(ours.named_parameters())
    names = ["embeddings.visual.weight", "embeddings.segment.weight", "region_head.bias"]

    def loss(*values: Tensor) -> Tensor:
        changed = dict(zip(names, values, strict=True))
        inputs = image | {"labels": torch.tensor([[4, -100]]), "region_labels": torch.tensor([[-100, 3]])}
        return torch.func.functional_call(ours, changed, (torch.tensor([[5, 6]]),), inputs).loss

    assert torch.autograd.gradcheck(loss, [own[name].detach().requires_grad_() for name in names], fast_mode=True)


def test_half_precision_stays_near_float32(seed: int) -> None:
    ours = drawn(seed).bfloat16().float()
    image = image_of(seed) | {
        name: image_of(seed)[name].bfloat16().float() for name in ("visual_embeds", "image_embed")
    }
    ids = torch.randint(3, 30, (3, 5), generator=torch.Generator().manual_seed(seed))
    reference = ours(ids, **image).logits
    half = image | {name: image[name].bfloat16() for name in ("visual_embeds", "image_embed")}
    parity.assert_close_in_half(ours.bfloat16()(ids, **half).logits, reference)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"visual_embeds": torch.zeros(3, 4, 9)}, r"visual_embeds must be \(3, R, 3\)"),
        ({"boxes": torch.zeros(3, 5, 4)}, r"boxes must be \(3, 4, 4\); got \(3, 5, 4\)"),
        ({"image_embed": torch.zeros(3, 4)}, r"image_embed must be \(3, 3\); got \(3, 4\)"),
        ({"image_size": torch.zeros(2)}, r"image_size must be \(3, 2\); got \(2,\)"),
        ({"image_size": torch.zeros(3, 2)}, "image_size is .* above 0"),
        ({"boxes": torch.tensor([9.0, 0, 3, 3]).expand(3, 4, 4)}, "0 ≤ left ≤ right"),
        ({"boxes": torch.tensor([0.0, 0, 201, 3]).expand(3, 4, 4)}, "right ≤ width"),
        ({"boxes": None}, "an image needs .* some are missing"),
        ({"visual_attention_mask": torch.ones(3, 3)}, r"attention_mask must be \(3, 4\)"),
        ({"input_ids": torch.ones(3, 11).long()}, "11 tokens, the model has 10 positions"),
        ({"region_labels": torch.full((3, 4), 7)}, r"labels must lie in 0..6"),
    ],
)
def test_wrong_input_is_refused_with_a_reason(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        drawn(0)(**({"input_ids": torch.ones(3, 5).long()} | image_of(0) | change))


def test_wrong_settings_are_refused_with_a_reason() -> None:
    with pytest.raises(ValueError, match="3 segments, the third for regions; got n_segments=2"):
        VlBertConfig(n_segments=2)
    with pytest.raises(ValueError, match="d_geometry=12 must be a multiple of 8"):
        VlBertConfig(d_geometry=12)
    with pytest.raises(ValueError, match=r"region_labels were given to a VlBert whose head=None has none"):
        drawn(0, None)(torch.ones(3, 5).long(), **image_of(0), region_labels=torch.zeros(3, 4).long())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_geometry_of_half_precision_boxes(dtype: torch.dtype) -> None:
    boxes = torch.tensor([[0.0, 0, 800, 600], [96, 48, 704, 400]]).to(dtype)
    size = torch.tensor([[800.0, 600.0]]).expand(2, 2).to(dtype)
    reference = box_geometry(boxes.float(), size.float(), 64)
    torch.testing.assert_close(box_geometry(boxes, size, 64).float(), reference, rtol=0, atol=1e-2)
