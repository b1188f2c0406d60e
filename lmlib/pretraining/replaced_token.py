"""Replaced token detection: which tokens did a small generator write? Source: Clark et al. 2020, section 2.

A small masked language model fills masked places with tokens drawn from its prediction; the discriminator, which is
kept, tells for every token whether it is the original one. It learns from all positions, not from 15 %.
Shapes: B batch, T length, C d_model, N masked tokens, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib.layers import activation_named
from lmlib.models.base import IGNORED_LABEL, Output
from lmlib.models.bert import Bert
from lmlib.pretraining.collator import Batch, SpecialTokens
from lmlib.pretraining.masked import Masked, Words


@dataclass(frozen=True)
class ReplacedToken:
    """Texts with their special tokens → input_ids with masks, attention_mask, labels (the originals), draws; (B, T).

    `draws`, from 0 to below 1, decide which token the generator writes: with them the loss is a function of the batch.
    """

    tokens: SpecialTokens
    rate: float = 0.15
    generator: torch.Generator | None = None

    def __call__(self, examples: Sequence[Sequence[int] | Words]) -> Batch:
        """Raises ValueError as `Masked` does; everything that is chosen becomes the mask token."""
        batch = Masked(self.tokens, self.rate, mask_share=1.0, random_share=0.0, generator=self.generator)(examples)
        return batch | {"draws": torch.rand(batch["input_ids"].shape, generator=self.generator)}


@dataclass
class ReplacedTokenOutput(Output):
    """The discriminator's states, logits (B, T) that a token was replaced, and the sum of both losses; its parts."""

    generator_loss: Tensor | None = None
    discriminator_loss: Tensor | None = None
    corrupted: Tensor | None = field(default=None)  # (B, T) ids, what the discriminator reads


class GeneratorAndDiscriminator(nn.Module):
    """Both models, and the loss: that of the generator, and 50 times that of the discriminator (section 3.1).

    generator: a `Bert` with head "masked_lm", a quarter to half the width; discriminator: one with head None.
    """

    def __init__(self, generator: Bert, discriminator: Bert, weight: float = 50.0):
        super().__init__()
        if generator.head != "masked_lm" or discriminator.head is not None:
            raise ValueError(
                "the generator needs head='masked_lm' and the discriminator head=None; "
                f"got {generator.head!r} and {discriminator.head!r}"
            )
        sizes = generator.config.vocab_size, discriminator.config.vocab_size
        if sizes[0] != sizes[1]:
            raise ValueError(f"generator and discriminator need one vocabulary; got {sizes[0]} and {sizes[1]} tokens")
        self.generator, self.discriminator, self.weight = generator, discriminator, weight
        width = discriminator.config.d_model
        self.dense = nn.Linear(width, width)
        self.activation = activation_named(discriminator.config.activation)
        self.replaced = nn.Linear(width, 1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor, draws: Tensor) -> ReplacedTokenOutput:
        """A batch of `ReplacedToken`, each (B, T) → the output with its loss; padding takes no part."""
        masked = labels != IGNORED_LABEL  # (B, T)
        written = self.generator(input_ids, attention_mask, labels=labels, labelled_only=True)  # logits (N, V)
        originals = torch.where(masked, labels, input_ids)
        corrupted = originals.clone()
        corrupted[masked] = inverse_sample(written.logits.detach(), draws[masked])
        states = self.discriminator(corrupted, attention_mask).last_hidden_state  # (B, T, C)
        logits = self.replaced(self.activation(self.dense(states))).squeeze(-1)  # (B, T)
        real = attention_mask.bool()
        is_replaced = (corrupted != originals)[real].to(logits.dtype)  # a token that was hit by chance is original
        loss = F.binary_cross_entropy_with_logits(logits[real], is_replaced)
        return ReplacedTokenOutput(
            last_hidden_state=states,
            logits=logits,
            loss=written.loss + self.weight * loss,
            generator_loss=written.loss,
            discriminator_loss=loss,
            corrupted=corrupted,
        )


def inverse_sample(logits: Tensor, draws: Tensor) -> Tensor:
    """The token (N,) at which the cumulated probabilities of logits (N, V) pass the draw (N,)."""
    cumulated = logits.float().softmax(-1).cumsum(-1)  # (N, V)
    scaled = draws.float()[:, None] * cumulated[:, -1:]  # the last is 1 but for rounding
    return torch.searchsorted(cumulated, scaled, right=True).squeeze(1).clamp(max=logits.size(-1) - 1)
