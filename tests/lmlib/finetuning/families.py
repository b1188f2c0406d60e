"""Tiny models of every family, and batches for them, drawn from a seed."""

import random
from typing import Any

import torch
from torch import Tensor

from lmlib.models import family_of
from lmlib.models.base import PretrainedModel

VOCAB = 29
SIZES = {"vocab_size": VOCAB, "d_model": 16, "n_layers": 2, "n_heads": 2, "d_ff": 24, "dropout": 0.0}
SIDES = {f"{side}_d_ff": 24 for side in ("encoder", "decoder")} | {
    f"n_{side}_{part}": 2 for side in ("encoder", "decoder") for part in ("layers", "heads")
}
# model_type → what its config needs besides SIZES, and the head that is tuned
OWN: dict[str, tuple[dict[str, Any], str | None]] = {
    "albert": ({"d_embedding": 8}, "classification"),
    "bart": (SIDES, "language_model"),
    "bert": ({}, "tagging"),
    "gpt2": ({}, "language_model"),
    "gpt3": ({"band_width": 3}, "language_model"),
    "gpt_neo": ({"band_width": 3}, "language_model"),
    "llama": ({"n_kv_heads": 1}, "language_model"),
    "nanochat": ({"n_kv_heads": 1}, "language_model"),
    "openai-gpt": ({}, "language_model"),
    "qwen2": ({"n_kv_heads": 1}, "language_model"),
    "qwen3": ({"n_kv_heads": 1, "d_head": 8}, "classification"),
    "recurrent": ({}, None),
    "roberta": ({}, "span"),
    "t5": ({"d_head": 8, "feed_forward": "gated-gelu"}, "language_model"),
    "transformer": ({}, "language_model"),
    "visual_bert": ({"d_visual": 6}, "pretraining"),
    "vl_bert": ({"d_visual": 6, "d_geometry": 8}, "classification"),
    "xlnet": ({}, "lm"),
}
UNLIKE = {  # fields of SIZES that a config has not
    "bart": ("n_layers", "n_heads", "d_ff"),
    "nanochat": ({"n_kv_heads": 1}, "language_model"),
    "openai-gpt": ("d_ff",),
    "recurrent": ("n_heads", "d_ff"),
}


def build(model_type: str, seed: int, head: str | None = "default", **changes: Any) -> PretrainedModel:
    """A tiny model with every parameter drawn, in eval mode; its head is that of OWN if none is given."""
    family = family_of(model_type)
    more, own_head = OWN[model_type]
    values = {name: value for name, value in SIZES.items() if name not in UNLIKE.get(model_type, ())}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = family(family.config_class(**(values | more | changes)), own_head if head == "default" else head)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def inputs(model_type: str, seed: int) -> dict[str, Tensor]:
    """Three texts of different lengths, padded at the right; with targets for an encoder-decoder."""
    draw = random.Random(seed)
    lengths = [6, 3, draw.randint(1, 6)]
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCAB, (3, 6), generator=generator)
    mask = (torch.arange(6) < torch.tensor(lengths)[:, None]).long()
    batch = {"input_ids": ids * mask, "attention_mask": mask}
    if model_type in ("bart", "t5", "transformer"):
        batch["decoder_input_ids"] = torch.randint(3, VOCAB, (3, 4), generator=generator)
    return batch
