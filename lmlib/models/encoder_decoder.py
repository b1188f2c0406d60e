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
from lmlib.models.base import IGNORED_LABEL, Config, Output, PretrainedModel, check_ids
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

    def new_cache(self, batch_size: int, max_length: int) -> KeyValueCache:
        """Room for `max_length` target tokens; the keys and values of the source join it at the first step."""
        shape, weight = self.decoder.shape, next(self.parameters())
        d_head = shape.d_head or shape.d_model // shape.n_heads
        return KeyValueCache.allocate(
            shape.n_layers, batch_size, shape.n_heads, max_length, d_head, weight.device, weight.dtype
        )

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        encoder_output: Tensor | None = None,
        cache: KeyValueCache | None = None,
        labels: Tensor | None = None,
        inspect: bool = False,
    ) -> Output:
        """Source ids (B, S), or what `encode` made of them, and target ids (B, T) → `Output` of the decoder.

        Masks have 1 at real tokens; with a `cache`, only new target ids are given, and `decoder_attention_mask` covers
        old and new. labels (B, T), -100 where there is none; without decoder_input_ids they are shifted right to make
        them. `inspect` also returns hidden_states and attentions of both sides.
        """
        if self.encoder_only and input_ids is not None:
            return self._encoder_output(self._encode(input_ids, attention_mask, inspect), inspect)
        decoder_input_ids = self.target(input_ids, decoder_input_ids, labels)
        read: Trace | None = None
        if encoder_output is None and input_ids is not None:
            read = self._encode(input_ids, attention_mask, inspect)
            encoder_output = read.output
        trace = self._decode(decoder_input_ids, encoder_output, attention_mask, decoder_attention_mask, cache, inspect)
        out = Output(trace.output, encoder_output=encoder_output, cache=cache)
        if inspect:
            out.hidden_states, out.attentions = trace.hidden_states, trace.attentions
            out.cross_attentions = trace.cross_attentions
            if read is not None:
                out.encoder_hidden_states, out.encoder_attentions = read.hidden_states, read.attentions
        self.apply_head(out, input_ids)
        if labels is not None:
            out.loss = self.loss(out, labels)
        return out

    def apply_head(self, out: Output, input_ids: Tensor | None) -> None:
        """Add the logits (B, T, V) to the output."""
        out.logits = self.project(out.last_hidden_state)

    def loss(self, out: Output, labels: Tensor) -> Tensor:
        """Mean cross-entropy over the labels that count."""
        if out.logits is None:
            raise ValueError(f"labels were given to a {type(self).__name__} without a head; build it with head=")
        if out.logits.shape[:2] != labels.shape:
            raise ValueError(f"logits {tuple(out.logits.shape)} need labels (B, T); got {tuple(labels.shape)}")
        return F.cross_entropy(out.logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED_LABEL)

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
        positions = real_positions(n, 0, attention_mask, input_ids)
        x = self.embed(input_ids, positions, "encoder")
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
        start = cache.length if cache else 0
        end = start + ids.size(1)
        self._check_target(end, ids, memory, cache)
        x = self.embed(ids, real_positions(ids.size(1), start, attention_mask, ids), "decoder")
        return self.decoder(
            x,
            None if attention_mask is None else padding_mask(attention_mask),
            causal=True,
            bias=self.bias(ids.size(1), end, "decoder"),
            memory=memory,
            memory_mask=None if memory_mask is None else padding_mask(memory_mask),
            cache=cache,
            collect=inspect,
        )

    def _check_target(self, end: int, ids: Tensor, memory: Tensor | None, cache: KeyValueCache | None) -> None:
        limit = self.config.max_positions
        if limit is not None and end > limit:
            raise ValueError(f"the target has {end} tokens, the model has {limit} positions; stop earlier")
        if memory is None and not (cache and cache.memory):
            raise ValueError("the decoder needs a source: give input_ids (B, S) or the encoder_output of encode()")
        if memory is not None and (memory.dim() != 3 or memory.size(0) != ids.size(0)):
            raise ValueError(
                f"encoder_output must be ({ids.size(0)}, S, C), one row for each row of decoder_input_ids; "
                f"got {tuple(memory.shape)}"
            )


def real_positions(n_new: int, start: int, attention_mask: Tensor | None, ids: Tensor) -> Tensor:
    """Positions of the last `n_new` of start + n_new tokens, (T,); (B, T) with a mask, counted from its first 1.

    So a row that is padded on the left gets the positions that it has alone.
    """
    positions = torch.arange(start, start + n_new, device=ids.device)
    if attention_mask is None:
        return positions
    if attention_mask.shape != (ids.size(0), start + n_new):
        raise ValueError(
            f"the attention mask of {ids.size(0)} rows of {start + n_new} tokens must be (B, length); "
            f"got {tuple(attention_mask.shape)}"
        )
    first = attention_mask.bool().byte().argmax(1, keepdim=True)  # (B, 1): how many are left padding
    return (positions - first).clamp(min=0)
