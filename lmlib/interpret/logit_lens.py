"""The logit lens: what a model would predict if it stopped after each layer. Source: nostalgebraist 2020.

Every layer writes into the same residual stream, so each layer's state can be read by the head that reads the last one.
Shapes: B batch, T length, L layers, C d_model, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor, nn

from lmlib.interpret.attention_maps import require_eval
from lmlib.models.bert import Bert
from lmlib.models.causal import CausalModel


@torch.inference_mode()
def logit_lens(model: nn.Module, **batch: Any) -> Tensor:
    """The logits read from the embeddings and from every layer, (L + 1, B, T, V); the last are the model's own.

    `batch` is what the model takes by keyword. Raises ValueError for a model without a head over the vocabulary.
    """
    require_eval(model)
    if not isinstance(model, CausalModel | Bert) or model.head not in ("language_model", "masked_lm", "pretraining"):
        raise ValueError(
            "the logit lens reads decoder-only models with a language-model head and encoders with a masked-token "
            f"head; got {type(model).__name__} with head={getattr(model, 'head', None)!r}"
        )
    out = model(**batch, inspect=True)
    states = (state[:, : out.logits.size(1)] for state in out.hidden_states[:-1])  # VL-BERT scores its words alone
    return torch.stack([*(read(model, state) for state in states), out.logits])


def read(model: CausalModel | Bert, state: Tensor) -> Tensor:
    """The head on the state between two layers, (B, T, C) → (B, T, V), after the final norm where there is one."""
    if isinstance(model, Bert):
        return model.masked_head(state)
    norm = model.decoder.final_norm
    return model.scores(state if norm is None else norm(state))


def top_tokens(logits: Tensor) -> tuple[Tensor, Tensor]:
    """(..., V) → the ids of the most likely tokens and their probabilities from 0 to 1, (...) each."""
    probability, ids = logits.float().softmax(-1).max(-1)
    return ids, probability


def rank_of(logits: Tensor, token_ids: Tensor) -> Tensor:
    """How many tokens are more likely than the given ones: logits (..., V), ids (...) → (...), 0 for the first."""
    own = logits.gather(-1, token_ids[..., None])
    return (logits > own).sum(-1)
