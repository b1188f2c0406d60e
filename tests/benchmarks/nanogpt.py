"""A GPT-2 as short scripts write it: one file, modules called by position, loss inside `forward`, plain AdamW.

This is the yardstick for training. It reads the weights of the peer library, so that all programs start alike.
Shapes: B batch, T length, C d_model, H heads, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Layer(nn.Module):
    """One pre-norm block: attention, then feed-forward."""

    def __init__(self, d_model: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.ln_1, self.ln_2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.c_attn, self.c_proj = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.c_fc, self.c_out = nn.Linear(d_model, 4 * d_model), nn.Linear(4 * d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self._heads(part) for part in self.c_attn(self.ln_1(x)).split(x.size(-1), dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).contiguous().view(x.shape))
        return x + self.c_out(F.gelu(self.c_fc(self.ln_2(x))))

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.n_heads, -1).transpose(1, 2)  # (B, H, T, C / H)


class ScriptGpt(nn.Module):
    """Embeddings, layers and a tied output; called with ids and targets (-1 is ignored) it returns the loss."""

    def __init__(self, vocab_size: int, context: int, d_model: int, n_layers: int, n_heads: int):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab_size, d_model), nn.Embedding(context, d_model)
        self.h = nn.ModuleList(Layer(d_model, n_heads) for _ in range(n_layers))
        self.ln_f = nn.LayerNorm(d_model)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.size(1), device=ids.device))
        for layer in self.h:
            x = layer(x)
        logits = F.linear(self.ln_f(x), self.wte.weight)  # (B, T, V)
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)

    def load_peer(self, stored: dict[str, Tensor]) -> None:
        """Copy the weights of a GPT-2 of `transformers`, whose linear layers are stored transposed."""
        renamed = {"attn.c_attn": "c_attn", "attn.c_proj": "c_proj", "mlp.c_fc": "c_fc", "mlp.c_proj": "c_out"}
        own = {}
        for name, tensor in stored.items():
            if name == "lm_head.weight":
                continue
            name = name.removeprefix("transformer.")
            for theirs, ours in renamed.items():
                if theirs in name:
                    name, tensor = name.replace(theirs, ours), tensor.T if tensor.dim() == 2 else tensor
            own[name] = tensor
        self.load_state_dict(own)
