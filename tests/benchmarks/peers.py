"""The same GPT-2 in every library: one set of random weights, and for each library a model that holds it.

All use the exact GELU, for x-transformers has no other by default; biases of the projections are 0 at the start, where
some libraries have none.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2Config as PeerConfig
from transformers import GPT2LMHeadModel
from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper

from lmlib.models.gpt2 import Gpt2, Gpt2Config
from tests.benchmarks.nanogpt import ScriptGpt


@dataclass(frozen=True)
class Size:
    """A GPT-2 by its sizes."""

    d_model: int
    n_layers: int
    n_heads: int
    context: int
    vocab_size: int


def transformers_gpt2(size: Size) -> Any:
    """The peer that all weights come from, drawn from seed 0."""
    torch.manual_seed(0)
    sizes = {"n_embd": size.d_model, "n_layer": size.n_layers, "n_head": size.n_heads, "n_positions": size.context}
    no_dropout = {"resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0}
    ends = {"bos_token_id": None, "eos_token_id": None}
    return GPT2LMHeadModel(
        PeerConfig(vocab_size=size.vocab_size, activation_function="gelu", **sizes, **no_dropout, **ends)
    )


def untrained(size: Size) -> Gpt2:
    """lmlib's GPT-2 with weights of its own."""
    dropout = {"dropout": 0.0, "residual_dropout": 0.0, "attention_dropout": 0.0}
    config = Gpt2Config(
        vocab_size=size.vocab_size,
        d_model=size.d_model,
        n_layers=size.n_layers,
        n_heads=size.n_heads,
        max_positions=size.context,
        activation="gelu",
        eos_token_id=None,
        **dropout,
    )
    return Gpt2(config, "language_model")


def ours(size: Size, stored: dict[str, Tensor]) -> Gpt2:
    """lmlib's GPT-2 with these weights."""
    model = untrained(size)
    model.load_stored(stored)
    return model


def script(size: Size, stored: dict[str, Tensor]) -> ScriptGpt:
    """The GPT-2 of a short script with these weights."""
    model = ScriptGpt(size.vocab_size, size.context, size.d_model, size.n_layers, size.n_heads)
    model.load_peer(stored)
    return model


def x_transformers(size: Size, stored: dict[str, Tensor]) -> AutoregressiveWrapper:
    """x-transformers' decoder with these weights: positions are scaled by 1/√d_model, gains are 1 + gamma."""
    decoder = Decoder(
        dim=size.d_model,
        depth=size.n_layers,
        heads=size.n_heads,
        attn_dim_head=size.d_model // size.n_heads,
        attn_flash=True,
    )
    model = TransformerWrapper(
        num_tokens=size.vocab_size,
        max_seq_len=size.context,
        tie_embedding=True,
        tie_embedding_scale=1.0,
        attn_layers=decoder,
    )
    own = {
        "token_emb.emb.weight": stored["transformer.wte.weight"],
        "pos_emb.emb.weight": stored["transformer.wpe.weight"] * size.d_model**0.5,
        "attn_layers.final_norm.gamma": stored["transformer.ln_f.weight"] - 1,
    }
    for i in range(size.n_layers):
        theirs = f"transformer.h.{i}"
        attention, feed_forward = (f"attn_layers.layers.{2 * i + j}" for j in (0, 1))
        heads = stored[f"{theirs}.attn.c_attn.weight"].T.chunk(3)
        own |= {f"{attention}.1.to_{part}.weight": w for part, w in zip("qkv", heads, strict=True)}
        own[f"{attention}.0.0.gamma"] = stored[f"{theirs}.ln_1.weight"] - 1
        own[f"{attention}.1.to_out.weight"] = stored[f"{theirs}.attn.c_proj.weight"].T
        own[f"{feed_forward}.0.0.gamma"] = stored[f"{theirs}.ln_2.weight"] - 1
        for ours_name, layer in (("ff.0.0", "mlp.c_fc"), ("ff.2", "mlp.c_proj")):
            own[f"{feed_forward}.1.{ours_name}.weight"] = stored[f"{theirs}.{layer}.weight"].T
            own[f"{feed_forward}.1.{ours_name}.bias"] = stored[f"{theirs}.{layer}.bias"]
    missing, unexpected = model.load_state_dict(own, strict=False)
    learned = {name for name, _ in model.named_parameters()}
    if unexpected or learned & set(missing):
        raise ValueError(f"x-transformers has other weights: {sorted(learned & set(missing))}, {unexpected}")
    return AutoregressiveWrapper(model)


class TorchGpt(nn.Module):
    """torch.nn.TransformerEncoder with a causal mask, embeddings and a tied output around it."""

    def __init__(self, size: Size, stored: dict[str, Tensor]):
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            size.d_model, size.n_heads, 4 * size.d_model, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.word, self.position = (nn.Embedding(n, size.d_model) for n in (size.vocab_size, size.context))
        norm = nn.LayerNorm(size.d_model)
        self.stack = nn.TransformerEncoder(layer, size.n_layers, norm, enable_nested_tensor=False)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(size.context))
        self.load_state_dict({"mask": self.mask, **self._renamed(size, stored)})

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) → logits (B, T, V)."""
        n = ids.size(1)
        x = self.word(ids) + self.position(torch.arange(n, device=ids.device))
        return self.stack(x, mask=self.mask[:n, :n], is_causal=True) @ self.word.weight.T

    @staticmethod
    def _renamed(size: Size, stored: dict[str, Tensor]) -> dict[str, Tensor]:
        own = {"word.weight": stored["transformer.wte.weight"], "position.weight": stored["transformer.wpe.weight"]}
        linear = {
            "self_attn.in_proj_": "attn.c_attn.",
            "self_attn.out_proj.": "attn.c_proj.",
            "linear1.": "mlp.c_fc.",
            "linear2.": "mlp.c_proj.",
        }
        norms = {"norm1.": "ln_1.", "norm2.": "ln_2."}
        for part in ("weight", "bias"):
            own[f"stack.norm.{part}"] = stored[f"transformer.ln_f.{part}"]
            for i in range(size.n_layers):
                mine, theirs = f"stack.layers.{i}.", f"transformer.h.{i}."
                own |= {f"{mine}{a}{part}": stored[f"{theirs}{b}{part}"] for a, b in norms.items()}
                own |= {f"{mine}{a}{part}": _turned(stored[f"{theirs}{b}{part}"]) for a, b in linear.items()}
        return own


def _turned(tensor: Tensor) -> Tensor:
    """A matrix transposed, a bias as it is: GPT-2 stores its linear layers as (inputs, outputs)."""
    return tensor.T if tensor.dim() == 2 else tensor
