"""A model that is being decoded: its cache, which is allocated once, and where each row stands.

Decoder-only models and encoder-decoders look the same from here: `Session.start` reads the prompts, `Session.feed`
takes new tokens and gives the scores of the next one.
Shapes: R rows (prompts, or several for each), T new tokens, S cached and new ones, C d_model, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmlib.attention import KeyValueCache
from lmlib.models.base import Output

Prompts = Sequence[Sequence[int]] | Tensor


@dataclass
class Session:
    """Rows of a batch in the middle of decoding."""

    model: Any
    cache: KeyValueCache
    scores: Tensor  # (R, V) float32, of the token that comes next
    states: Tensor  # (R, T, C) of the tokens fed last
    prompt_length: int  # positions that are equal in all rows of one prompt
    real: Tensor | None = None  # (R, most) bool: which cached positions are tokens; None when no row is padded
    positions: Tensor | None = None  # (R, 1) position of the next token, when rows are padded
    memory: Tensor | None = None  # (R, S, C) of an encoder
    memory_mask: Tensor | None = None  # (R, S)

    @classmethod
    @torch.inference_mode()
    def start(cls, model: Any, prompts: Prompts, max_new_tokens: int) -> "Session":
        """Read the prompts in one pass. Raises ValueError for prompts that are empty, too long, or no token ids."""
        rows = checked_prompts(model, prompts, max_new_tokens)
        device = next(model.parameters()).device
        if is_encoder_decoder(model):
            ids, mask = padded(rows, "right", device)
            given = {"memory": model.encode(ids, mask), "memory_mask": None if mask is None else mask.long()}
            ids = torch.full((len(rows), 1), model.config.decoder_start_token_id, device=device)
            mask = None
        else:
            ids, mask = padded(rows, "left", device)
            given = {}
        n = ids.size(1)
        cache = model.decoder.allocate_cache(len(rows), n + max_new_tokens)
        session = cls(model, cache, torch.empty(0), torch.empty(0), n, **given)
        if mask is not None:
            session.real = torch.cat([mask, mask.new_ones(len(rows), max_new_tokens)], dim=1)
        session.feed(ids)
        if mask is not None:
            session.positions = mask.sum(1, keepdim=True)
        return session

    @torch.inference_mode()
    def feed(self, tokens: Tensor, all_scores: bool = False) -> Tensor:
        """Add tokens (R, T) to the rows; returns, and keeps, the scores (R, V) of the next one.

        With `all_scores` it returns those after each of the T tokens, (R, T, V).
        """
        end = self.cache.length + tokens.size(1)
        real = None if self.real is None else self.real[:, :end]
        if is_encoder_decoder(self.model):
            out: Output = self.model(
                decoder_input_ids=tokens,
                encoder_output=self.memory,
                attention_mask=self.memory_mask,
                cache=self.cache,
            )
        else:
            out = self.model(tokens, real, self._next_positions(tokens), cache=self.cache, last_only=not all_scores)
        if out.logits is None:
            raise ValueError(f"{type(self.model).__name__} has no language model head; it cannot write")
        logits = out.logits.to(torch.promote_types(out.logits.dtype, torch.float32))
        self.scores, self.states = logits[:, -1], out.last_hidden_state
        return logits if all_scores else self.scores

    def _next_positions(self, tokens: Tensor) -> Tensor | None:
        if self.positions is None:
            return None
        positions = self.positions + torch.arange(tokens.size(1), device=tokens.device)
        self.positions = self.positions + tokens.size(1)
        return positions  # (R, T)

    @torch.inference_mode()
    def repeat(self, times: int) -> None:
        """Each row becomes `times` equal rows, one after the other."""
        if times == 1:
            return
        most = self.cache.layers[0].key.size(2)
        self.cache = self.cache.repeat(times, most)
        for name in ("scores", "states", "real", "positions", "memory", "memory_mask"):
            tensor = getattr(self, name)
            if tensor is not None:
                setattr(self, name, tensor.repeat_interleave(times, dim=0))

    @torch.inference_mode()
    def reorder(self, rows: Tensor, shared: int | None = None) -> None:
        """Row b goes on from where row rows[b], of the same prompt, stands; `shared` positions are equal in both."""
        self.cache.reorder(rows, self.prompt_length if shared is None else shared)
        self.scores, self.states = self.scores[rows], self.states[rows]

    def crop(self, length: int) -> None:
        """Forget the tokens after the first `length`; for rows without padding."""
        self.cache.crop(length)


def is_encoder_decoder(model: Any) -> bool:
    """Whether the model reads a source first."""
    return hasattr(model, "encode")


def checked_prompts(model: Any, prompts: Prompts, max_new_tokens: int) -> list[list[int]]:
    """The prompts as lists of ids. Raises ValueError with what is wrong with them or with the other two."""
    if isinstance(max_new_tokens, bool) or not isinstance(max_new_tokens, int) or max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be a whole number of 1 or more; got {max_new_tokens!r}")
    if model.training:
        raise ValueError("the model is in training mode, so dropout would blur what it writes: call model.eval() first")
    if isinstance(prompts, Tensor) and (prompts.dim() != 2 or prompts.is_floating_point()):
        raise ValueError(f"prompts must be integers (B, T); got {prompts.dtype} {tuple(prompts.shape)}")
    if isinstance(prompts, str) or (len(prompts) and not isinstance(prompts, Tensor) and _is_flat(prompts)):
        raise ValueError("prompts must be lists of token ids, one list for each prompt; encode the text first")
    rows = prompts.tolist() if isinstance(prompts, Tensor) else [[int(i) for i in prompt] for prompt in prompts]
    empty = [i for i, row in enumerate(rows) if not row]
    if not rows or empty:
        raise ValueError(f"each prompt needs at least one token; got {f'empty prompts {empty}' if rows else 'none'}")
    limit = getattr(model.config, "max_positions", None)
    n = 1 if is_encoder_decoder(model) else max(map(len, rows))
    if limit is not None and n + max_new_tokens > limit:
        raise ValueError(
            f"a prompt of {n} tokens and {max_new_tokens} new ones need {n + max_new_tokens} positions; "
            f"the model has {limit}: shorten the prompt or lower max_new_tokens"
        )
    return rows


def _is_flat(prompts: Sequence[Any]) -> bool:
    return any(isinstance(prompt, str | int) for prompt in prompts)


def padded(rows: list[list[int]], side: str, device: torch.device) -> tuple[Tensor, Tensor | None]:
    """ids (R, T), and which of them are real, (R, T) bool, or None when all are. Padding takes id 0; it is masked."""
    longest = max(map(len, rows))
    fill = [[0] * (longest - len(row)) for row in rows]
    joined = [gap + row if side == "left" else row + gap for row, gap in zip(rows, fill, strict=True)]
    ids = torch.tensor(joined, device=device)
    if not any(fill):
        return ids, None
    lengths = torch.tensor([len(row) for row in rows], device=device)[:, None]
    place = torch.arange(longest, device=device)
    return ids, (place >= longest - lengths) if side == "left" else (place < lengths)


def unpadded(input_ids: Tensor, attention_mask: Tensor) -> list[list[int]]:
    """The prompts in a padded batch, (B, T) ids and mask: its real tokens, row by row."""
    if input_ids.shape != attention_mask.shape:
        raise ValueError(
            f"input_ids and attention_mask must have one shape; got {tuple(input_ids.shape)} "
            f"and {tuple(attention_mask.shape)}"
        )
    return [row[mask.bool()].tolist() for row, mask in zip(input_ids, attention_mask, strict=True)]
