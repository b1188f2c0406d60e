"""Decoder-only language models: what GPT, GPT-2, GPT-3, GPT-Neo, LLaMA and Qwen share.

Tokens are embedded, a causal stack of blocks reads them from left to right, and a head scores the next token, or
classifies the text by its last token. A family's file says only how its stack and its weights' names differ.
Shapes: B batch, T new tokens, S all tokens (cached and new), C d_model, V vocabulary.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lmlib.attention import KeyValueCache, padding_mask
from lmlib.models.base import (
    Output,
    PretrainedModel,
    Stored,
    check_attention_mask,
    check_cache,
    check_ids,
    check_index,
    count_positions,
)
from lmlib.models.heads import LabelledConfig, class_loss, next_token_loss
from lmlib.transformer import Shape, Stack


@dataclass
class CausalConfig(LabelledConfig):
    """What every decoder-only family has; each sets its own defaults."""

    vocab_size: int = 50257
    d_model: int = 768
    n_layers: int = 12
    n_heads: int = 12
    max_positions: int = 1024
    dropout: float = 0.0
    tied: bool = True  # the word embedding is the output matrix as well
    initializer_std: float = 0.02
    pad_token_id: int | None = None
    eos_token_id: int | list[int] | None = None

    def shape(self) -> Shape:
        """The stack of blocks."""
        raise NotImplementedError


class CausalModel(PretrainedModel):
    """A decoder-only model with one of its heads: "language_model", "classification", or none."""

    config: CausalConfig
    PREFIX = "transformer."
    LEARNED_POSITIONS: ClassVar[bool] = True

    def __init__(self, config: CausalConfig, head: str | None = None):
        super().__init__(config, head)
        self.word = nn.Embedding(config.vocab_size, config.d_model)
        self.position = nn.Embedding(config.max_positions, config.d_model) if self.LEARNED_POSITIONS else None
        self.dropout = nn.Dropout(config.dropout)
        self.decoder = Stack(config.shape())
        if head == "language_model":
            self.output = nn.Linear(config.d_model, config.vocab_size, bias=False)
        elif head == "classification":
            self.label_head = nn.Linear(config.d_model, config.n_labels, bias=False)
        self.initialise()
        if head == "language_model" and config.tied:
            self.output.weight = self.word.weight

    def initialise(self) -> None:
        """Draw new weights: normal with `initializer_std`, biases 0."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=self.config.initializer_std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        cache: KeyValueCache | None = None,
        last_only: bool = False,
        inspect: bool = False,
    ) -> Output:
        """input_ids (B, T) → `Output` with logits (B, T, V), or (B, n_labels).

        attention_mask (B, S) is 1 at real tokens; padding may stand left or right. position_ids (B, T) count the real
        tokens if not given. labels: (B, T) tokens, moved by one place in here, -100 where there is none; or (B,)
        classes. With `cache` only new tokens are given, S - T are cached. `last_only` scores the last position alone.
        """
        self._check(input_ids, attention_mask, position_ids, cache)
        past, n_new = cache.length if cache else 0, input_ids.size(1)
        if position_ids is None:
            position_ids = count_positions(attention_mask, past, n_new, input_ids.device)
        mask = None if attention_mask is None else padding_mask(attention_mask)  # (B, 1, 1, S)
        trace = self.decoder(
            self.embed(input_ids, position_ids),
            self.layer_masks(mask, past, n_new),
            causal=True,
            rotary=self.rotary(position_ids),
            cache=cache,
            collect=inspect,
        )
        out = Output(trace.output, cache=cache)
        if inspect:
            out.hidden_states, out.attentions = trace.hidden_states, trace.attentions
        if self.head == "language_model":
            out.logits = self.scores(trace.output[:, -1:] if last_only else trace.output)  # (B, T or 1, V)
        elif self.head == "classification":
            last = self._last_tokens(input_ids, attention_mask)
            out.logits = self.label_head(trace.output[torch.arange(len(last), device=last.device), last])
        if labels is not None:
            out.loss = self._loss(out.logits, labels)
        return out

    def embed(self, input_ids: Tensor, position_ids: Tensor) -> Tensor:
        """(B, T) ids and positions → (B, T, C)."""
        x = self.word(input_ids)
        if self.position is not None:
            x = x + self.position(position_ids)
        return self.dropout(x)

    def scores(self, hidden: Tensor) -> Tensor:
        """(B, T, C) → (B, T, V)."""
        return self.output(hidden)

    def rotary(self, position_ids: Tensor) -> tuple[Tensor, Tensor] | None:
        """The cos and sin, (B, 1, T, D), that turn queries and keys; None in a family that turns nothing."""
        return None

    def layer_masks(self, mask: Tensor | None, past: int, n_new: int) -> Tensor | list[Tensor | None] | None:
        """The mask of each layer besides the causal one: padding, where no family restricts a layer further."""
        return mask

    def _check(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        position_ids: Tensor | None,
        cache: KeyValueCache | None,
    ) -> None:
        check_ids(input_ids, self.config.vocab_size, self.config.max_positions)
        batch, n_all = input_ids.size(0), input_ids.size(1) + (cache.length if cache else 0)
        if n_all > self.config.max_positions:
            raise ValueError(
                f"{n_all} tokens, cached ones included, are more than the model's {self.config.max_positions} positions"
            )
        if cache is not None:
            check_cache(cache, self.config.n_layers, batch)
        if attention_mask is not None:
            check_attention_mask(attention_mask, batch, n_all)
        if position_ids is not None:
            check_index("position_ids", position_ids, (batch, input_ids.size(1)), self.config.max_positions)

    def _last_tokens(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """(B,) index of the last real token: by the mask, or by `pad_token_id`, or the last of all."""
        real = attention_mask
        if real is None:
            real = (
                torch.ones_like(input_ids)
                if self.config.pad_token_id is None
                else input_ids != self.config.pad_token_id
            )
        return (real.long() * torch.arange(input_ids.size(1), device=input_ids.device)).argmax(1)

    def _loss(self, logits: Tensor | None, labels: Tensor) -> Tensor:
        if logits is None:
            raise ValueError(f"labels were given to a {type(self).__name__} without a head; give head= or new_head=")
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if self.head == "classification":
            return class_loss(logits, labels)
        return next_token_loss(logits, labels)

    def predicted_labels(self, labels: Tensor) -> Tensor:
        """All but the first token of each text, which nothing predicts."""
        return labels[:, 1:] if self.head == "language_model" else labels

    def head_names(self) -> dict[str, Stored]:
        if self.head == "classification":
            return {"label_head.weight": "score.weight"}
        untied = self.head == "language_model" and not self.config.tied
        return {"output.weight": "lm_head.weight"} if untied else {}

    def tied_names(self) -> dict[str, str]:
        tied = self.head == "language_model" and self.config.tied
        return {"lm_head.weight": "word.weight"} if tied else {}
