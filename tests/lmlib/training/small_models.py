"""Tiny models, one of each kind of block, and a batch for each whose rows are padded unequally."""

import torch
from torch import Tensor

from lmlib.models.albert import Albert, AlbertConfig
from lmlib.models.base import IGNORED_LABEL, PretrainedModel
from lmlib.models.bert import Bert, BertConfig
from lmlib.models.gpt2 import Gpt2, Gpt2Config
from lmlib.models.llama import Llama, LlamaConfig
from lmlib.models.qwen import Qwen3, Qwen3Config
from lmlib.models.t5 import T5, T5Config

VOCABULARY, ROWS, LENGTH = 24, 4, 7


def make(family: str, dropout: float = 0.0) -> PretrainedModel:
    """A model of this family; the same weights at every call."""
    torch.manual_seed(7)
    sizes = {"vocab_size": VOCABULARY, "d_model": 16, "n_layers": 2, "n_heads": 4}
    drops = {"dropout": dropout, "attention_dropout": dropout}
    model: PretrainedModel
    match family:
        case "gpt2":
            config = Gpt2Config(**sizes, **drops, residual_dropout=dropout, max_positions=16)
            model = Gpt2(config, "language_model")
        case "llama":
            model = Llama(LlamaConfig(**sizes, n_kv_heads=2, d_ff=24, max_positions=16), "language_model")
        case "qwen3":
            config = Qwen3Config(**sizes, n_kv_heads=2, d_head=6, d_ff=24, max_positions=16)
            model = Qwen3(config, "language_model")
        case "bert":
            model = Bert(BertConfig(**sizes, **drops, d_ff=24, max_positions=16), "masked_lm")
        case "albert":
            config = AlbertConfig(**sizes, **drops, d_ff=24, max_positions=16, d_embedding=8, head_dropout=dropout)
            model = Albert(config, "masked_lm")
        case "t5":
            model = T5(T5Config(**sizes, d_head=4, d_ff=24, dropout=dropout), "language_model")
    with torch.no_grad():
        for parameter in model.parameters():  # large enough that every gradient is far from round-off
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.train()


def batch_for(family: str, seed: int = 0) -> dict[str, Tensor]:
    """ROWS texts; each process's part holds another number of labels."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, VOCABULARY, (ROWS, LENGTH), generator=draw)
    real = torch.arange(LENGTH) < torch.tensor([[7], [6], [4], [3]])
    labels = torch.where(real, ids, IGNORED_LABEL)
    if family in ("bert", "albert"):
        labels[:, ::2] = IGNORED_LABEL
    return {"input_ids": ids, "attention_mask": real.long(), "labels": labels}
