"""A decoder-only model whose weights are set by hand to copy: a previous-token head, then an induction head."""

import torch

from lmlib.models.gpt2 import Gpt2, Gpt2Config

VOCAB, PERIOD = 13, 6
START = VOCAB - 1  # stands before the repeated tokens
LENGTH = 2 * PERIOD + 1
TOKEN, PLACE, BEFORE = 0, VOCAB, VOCAB + LENGTH  # where in the residual stream each of the three one-hot parts begins
D_MODEL = 2 * VOCAB + LENGTH
SHARP = 40.0  # so large that the softmax is 1 at one place


@torch.no_grad()
def copying_model() -> Gpt2:
    """Layer 0 writes which token came before; layer 1 looks for where this token came before, and writes what is there.

    Each layer has one head as wide as the model, and a feed-forward of 0.
    """
    config = Gpt2Config(VOCAB, D_MODEL, 2, 1, LENGTH, d_ff=1, tied=False)
    model = Gpt2(config, "language_model").eval()
    for name, parameter in model.decoder.named_parameters():
        parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
    model.word.weight.copy_(torch.eye(VOCAB, D_MODEL))
    model.position.weight.zero_()
    model.position.weight[:, PLACE : PLACE + LENGTH] = torch.eye(LENGTH)
    token, before = torch.arange(TOKEN, TOKEN + VOCAB), torch.arange(BEFORE, BEFORE + VOCAB)
    place = torch.arange(PLACE, PLACE + LENGTH)
    _set_head(model, 0, query=(place[1:], place[1:]), key=(place[:-1], place[1:]), value=(token, before))
    _set_head(model, 1, query=(token, token), key=(before, token), value=(token, token))
    model.output.weight.copy_(5 * torch.eye(VOCAB, D_MODEL))
    return model


def _set_head(model: Gpt2, layer: int, **parts: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Each part reads the features of its first index and writes them where its second says."""
    attention = model.decoder.blocks[layer].attention
    for i, (name, (reads, writes)) in enumerate(parts.items()):
        attention.qkv.weight[i * D_MODEL + writes, reads] = 1.0 if name == "value" else SHARP
    attention.out.weight.copy_((0.3, 4.0)[layer] * torch.eye(D_MODEL))  # the second is to outweigh the token itself
