"""What the encoder-decoders share: encode once, decode against it, labels shifted right, a cache for both attentions.

A family says how tokens become vectors (`embed`), what biases its scores (`bias`) and how states become logits
(`project`); its two stacks are `self.encoder` and `self.decoder`.
Shapes: B batch, S source length, T target length, C d_model, V vocabulary.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.attention import KeyValueCache, padding_mask
from lmlib.models.base import (
    IGNORED_LABEL,
    Config,
    Output,
    PretrainedModel,
    check_attention_mask,
    check_cache,
    check_ids,
    check_labels,
    count_positions,
)
from lmlib.transformer import Shape, Stack, Trace


class EncoderDecoder(PretrainedModel):
    """An encoder that reads the source, and a decoder that writes the target and attends to what was read."""

    config: Any
    decoder: Stack

    def __init__(self, config: Config, head: str | None, encoder: Shape, decoder: Shape | None):
        super().__init__(config, head)
        self.encoder = Stack(encoder)
        self.encoder_only = decoder is None
        if decoder is not None:
            self.decoder = Stack(decoder)

    def embed(self, ids: Tensor, positions: Tensor, side: str) -> Tensor:
        """Token ids (B, T) at positions (B, T) or (T,) → (B, T, C), for the side "encoder" or "decoder"."""
        raise NotImplementedError

    def bias(self, n_queries: int, n_keys: int, side: str) -> Tensor | None:
        """What this family adds to the scores of self-attention: (1, H, T, S), or None."""
        return None

    def project(self, states: Tensor) -> Tensor | None:
        """Decoder states (B, T, C) → logits (B, T, V); None without a head."""
        raise NotImplementedError

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Read the source: ids (B, S) → (B, S, C), what `forward` takes as `encoder_output`."""
        return self._encode(input_ids, attention_mask).output

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_output: Tensor | None = None,
        cache: KeyValueCache | None = None,
        labels: Tensor | None = None,
        *,
        last_only: bool = False,
        inspect: bool = False,
    ) -> Output:
        """Source ids (B, S), or what `encode` made of them, and target ids (B, T) → `Output` of the decoder.

        Masks have 1 at real tokens; with a `cache`, only new target ids are given, and `decoder_attention_mask` covers
        old and new. labels (B, T), -100 where there is none; without decoder_input_ids they are shifted right to make
        them. `last_only` scores the last position alone; `inspect` also returns hidden_states and attentions of both
        sides.
        """
        if self.encoder_only and input_ids is not None:
            return self._encoder_output(self._encode(input_ids, attention_mask, inspect), inspect)
        decoder_input_ids = self.target(input_ids, decoder_input_ids, labels)
        read: Trace | None = None
        if encoder_output is None and input_ids is not None and not (cache and cache.memory):
            read = self._encode(input_ids, attention_mask, inspect)
            encoder_output = read.output
        trace = self._decode(decoder_input_ids, encoder_output, attention_mask, decoder_attention_mask, cache, inspect)
        out = Output(trace.output, encoder_output=encoder_output, cache=cache)
        if inspect:
            out.hidden_states, out.attentions = trace.hidden_states, trace.attentions
            out.cross_attentions = trace.cross_attentions
            if read is not None:
                out.encoder_hidden_states, out.encoder_attentions = read.hidden_states, read.attentions
        self.apply_head(out, input_ids, last_only)
        if labels is not None:
            out.loss = self.loss(out, labels)
        return out

    def apply_head(self, out: Output, input_ids: Tensor | None, last_only: bool) -> None:
        """Add the logits (B, T, V), or (B, 1, V) with `last_only`, to the output."""
        out.logits = self.project(out.last_hidden_state[:, -1:] if last_only else out.last_hidden_state)

    def loss(self, out: Output, labels: Tensor) -> Tensor:
        """Mean cross-entropy over the labels that count."""
        if out.logits is None:
            raise ValueError(f"labels were given to a {type(self).__name__} without a head; build it with head=")
        check_labels(labels, out.logits.shape[:2], self.config.vocab_size)
        logits = out.logits.to(torch.promote_types(out.logits.dtype, torch.float32))
        return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED_LABEL)

    def shift_right(self, labels: Tensor) -> Tensor:
        """The decoder's input for these labels (B, T): a start token, then all labels but the last."""
        start = labels.new_full((labels.size(0), 1), self.config.decoder_start_token_id)
        shifted = torch.cat([start, labels[:, :-1]], dim=1)
        return shifted.masked_fill(shifted == IGNORED_LABEL, self.config.pad_token_id)

    def target(self, input_ids: Tensor | None, decoder_input_ids: Tensor | None, labels: Tensor | None) -> Tensor:
        """The ids (B, T) that the decoder reads: given, or the labels shifted right."""
        if decoder_input_ids is not None:
            return decoder_input_ids
        if labels is None:
            raise ValueError(
                f"{type(self).__name__} needs decoder_input_ids (B, T), or labels from which to make them; "
                f"start a new target with the token {self.config.decoder_start_token_id}"
            )
        return self.shift_right(labels)

    @staticmethod
    def _encoder_output(read: Trace, inspect: bool) -> Output:
        states, weights = (read.hidden_states, read.attentions) if inspect else (None, None)
        return Output(read.output, hidden_states=states, attentions=weights)

    def _encode(self, input_ids: Tensor, attention_mask: Tensor | None, inspect: bool = False) -> Trace:
        n = input_ids.size(-1)
        check_ids(input_ids, self.config.source_vocab_size, self.config.max_positions)
        if attention_mask is not None:
            check_attention_mask(attention_mask, input_ids.size(0), n)
        x = self.embed(input_ids, count_positions(attention_mask, 0, n, input_ids.device), "encoder")
        mask = None if attention_mask is None else padding_mask(attention_mask)
        return self.encoder(x, mask, bias=self.bias(n, n, "encoder"), collect=inspect)

    def _decode(
        self,
        ids: Tensor,
        memory: Tensor | None,
        memory_mask: Tensor | None,
        attention_mask: Tensor | None,
        cache: KeyValueCache | None,
        inspect: bool,
    ) -> Trace:
        check_ids(ids, self.config.vocab_size)
        past, n_new = cache.length if cache else 0, ids.size(1)
        self._check_target(past + n_new, ids, attention_mask, cache)
        self._check_source(ids, memory, memory_mask, cache)
        x = self.embed(ids, count_positions(attention_mask, past, n_new, ids.device), "decoder")
        return self.decoder(
            x,
            None if attention_mask is None else padding_mask(attention_mask),
            causal=True,
            bias=self.bias(n_new, past + n_new, "decoder"),
            memory=memory,
            memory_mask=None if memory_mask is None else padding_mask(memory_mask),
            cache=cache,
            collect=inspect,
        )

    def _check_target(
        self, n_all: int, ids: Tensor, attention_mask: Tensor | None, cache: KeyValueCache | None
    ) -> None:
        limit = self.config.max_positions
        if limit is not None and n_all > limit:
            raise ValueError(f"the target has {n_all} tokens, the model has {limit} positions; stop earlier")
        if attention_mask is not None:
            check_attention_mask(attention_mask, ids.size(0), n_all)
        if cache is not None:
            check_cache(cache, self.decoder.shape.n_layers, ids.size(0))

    @staticmethod
    def _check_source(ids: Tensor, memory: Tensor | None, mask: Tensor | None, cache: KeyValueCache | None) -> None:
        length = cache.memory[0][0].size(2) if cache and cache.memory else None
        if memory is not None:
            if memory.dim() != 3 or memory.size(0) != ids.size(0):
                raise ValueError(
                    f"encoder_output must be ({ids.size(0)}, S, C), one row for each row of decoder_input_ids; "
                    f"got {tuple(memory.shape)}"
                )
            length = memory.size(1)
        if length is None:
            raise ValueError("the decoder needs a source: give input_ids (B, S) or the encoder_output of encode()")
        if mask is not None:
            check_attention_mask(mask, ids.size(0), length)
