"""NanoChat: a small LLaMA tuned for little compute. Source: Karpathy 2025, the program nanochat.

New in this family: the feed-forward layer is plain, with a squared ReLU (So et al. 2021, Primer); no norm has a weight;
queries and keys are normalised; the embedding is normalised as well; and scores are bent to stay below a cap.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from lmlib.models.base import Stored, joined, linear
from lmlib.models.llama import Llama, LlamaConfig
from lmlib.transformer import Shape


@dataclass
class NanoChatConfig(LlamaConfig):
    """Sizes of a NanoChat; the defaults are those of the peer library."""

    MODEL_TYPE: ClassVar[str] = "nanochat"
    PEER_NAMES: ClassVar[dict[str, str]] = LlamaConfig.PEER_NAMES | {"score_cap": "final_logit_softcapping"}

    vocab_size: int = 50304
    d_model: int = 768
    n_layers: int = 12
    n_heads: int = 6
    d_ff: int = 8192
    activation: str = "relu2"
    eos_token_id: int | list[int] | None = 1
    score_cap: float | None = 15.0

    def shape(self) -> Shape:
        return replace(super().shape(), gated=False, norm="rms_plain", head_norm=True, ff_bias=False)


class NanoChat(Llama):
    """NanoChat with its head "language_model", or none."""

    config: NanoChatConfig
    config_class = NanoChatConfig
    HEADS: ClassVar[dict[str, str | None]] = {"NanoChatModel": None, "NanoChatForCausalLM": "language_model"}

    def initialise(self) -> None:
        """Each sublayer adds nothing at first, so that the first gradients pass the whole stack unchanged."""
        super().initialise()
        for name, module in self.decoder.named_modules():
            if name.endswith((".attention.out", ".feed_forward.outer")) and isinstance(module, nn.Linear):
                nn.init.zeros_(module.weight)

    def embed(self, input_ids: Tensor, position_ids: Tensor) -> Tensor:
        x = super().embed(input_ids, position_ids)
        return nn.functional.rms_norm(x, (x.size(-1),), eps=self.config.norm_eps)

    def rotary(self, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Turned the other way than LLaMA's, which only matters for weights that are loaded.

        The peer normalises after it turns; turning keeps lengths, so normalising first is the same.
        """
        cos, sin = super().rotary(position_ids)
        return cos, -sin

    def scores(self, hidden: Tensor) -> Tensor:
        cap, scores = self.config.score_cap, super().scores(hidden)
        return scores if cap is None else cap * torch.tanh(scores / cap)

    def stored_names(self) -> dict[str, Stored]:
        names: dict[str, Stored] = {"word.weight": "embed_tokens.weight"}
        for i in range(self.config.n_layers):
            names |= self.block_names(f"decoder.blocks.{i}", f"layers.{i}")
        return names

    def block_names(self, ours: str, theirs: str) -> dict[str, Stored]:
        heads = [f"{theirs}.self_attn.{part}_proj" for part in ("q", "k", "v")]
        attention = self.decoder.blocks[0].attention
        bias = self.config.attention_bias
        return {
            **joined(f"{ours}.attention.qkv", heads, attention.sizes, bias),
            **linear(f"{ours}.attention.out", f"{theirs}.self_attn.o_proj", bias),
            **linear(f"{ours}.feed_forward.inner", f"{theirs}.mlp.fc1", bias=False),
            **linear(f"{ours}.feed_forward.outer", f"{theirs}.mlp.fc2", bias=False),
        }
