"""Denoising: damage a text and have the decoder write it anew. Source: Lewis et al. 2020, section 2.2."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lmlib.models.base import IGNORED_LABEL
from lmlib.pretraining.collator import (
    Batch,
    Document,
    SpecialTokens,
    check_at_least,
    check_rate,
    drawn,
    shuffled,
)

NOISES = ("token_mask", "token_deletion", "text_infilling", "sentence_permutation", "document_rotation")
Draw = torch.Generator | None


def mask_tokens(ids: Sequence[int], rate: float, mask: int, generator: Draw) -> list[int]:
    """Each token becomes the mask with probability `rate`."""
    return [mask if draw < rate else i for i, draw in zip(ids, drawn(len(ids), generator), strict=True)]


def delete_tokens(ids: Sequence[int], rate: float, generator: Draw) -> list[int]:
    """Each token goes with probability `rate`; the model must find where one is missing."""
    return [i for i, draw in zip(ids, drawn(len(ids), generator), strict=True) if draw >= rate]


def infill(ids: Sequence[int], rate: float, mean_length: float, mask: int, generator: Draw) -> list[int]:
    """Spans become one mask each, whatever their length, until a share `rate` of the tokens is hidden.

    Lengths are drawn from a Poisson distribution; the last is cut to fit. A span of length 0 puts a mask where nothing
    is missing. Every way to lay the spans between the tokens that stay is equally likely.
    """
    n_hidden = round(rate * len(ids))
    lengths = span_lengths(n_hidden, mean_length, generator)
    n_units = len(ids) - n_hidden + len(lengths)  # tokens that stay, and spans
    places = dict(zip(sorted(shuffled(n_units, generator)[: len(lengths)]), lengths, strict=True))
    damaged, at = [], 0
    for unit in range(n_units):
        damaged.append(mask if unit in places else ids[at])
        at += places.get(unit, 1)
    return damaged


def span_lengths(total: int, mean: float, generator: Draw) -> list[int]:
    """Poisson lengths until they sum up to `total`."""
    lengths: list[int] = []
    while (left := total - sum(lengths)) > 0:
        lengths.append(min(left, int(torch.poisson(torch.tensor(float(mean)), generator=generator))))
    return lengths


def permute_sentences(sentences: Document, generator: Draw) -> list[Sequence[int]]:
    """The sentences in random order."""
    return [sentences[i] for i in shuffled(len(sentences), generator)]


def rotate_document(ids: Sequence[int], generator: Draw) -> list[int]:
    """The text from a random token on, then what stood before it; the model must find the beginning."""
    at = int(torch.randint(len(ids), (1,), generator=generator))
    return [*ids[at:], *ids[:at]]


@dataclass(frozen=True)
class Denoising:
    """Documents → input_ids, attention_mask (B, S) of the damaged text, and labels (B, T), the whole text.

    Both sides stand between start and end. Whatever the order of `noises`, sentences are permuted first, then the text
    is rotated, then spans are infilled, tokens deleted, tokens masked. The default is what the paper trains its large
    model with. `rate` is the share of tokens that infilling, deletion and masking hit, each.
    """

    tokens: SpecialTokens
    noises: tuple[str, ...] = ("text_infilling", "sentence_permutation")
    rate: float = 0.3
    mean_length: float = 3.0
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        unknown = [noise for noise in self.noises if noise not in NOISES]
        if unknown or not self.noises:
            raise ValueError(f"noises are some of {', '.join(NOISES)}; got {', '.join(unknown) or 'none'}")
        check_rate(rate=self.rate)
        check_at_least(1, mean_length=self.mean_length)
        for name in ("start", "end", "mask"):
            self.tokens.need(name, "denoising")

    def __call__(self, documents: Sequence[Document]) -> Batch:
        """Raises ValueError for an empty batch, or a document without tokens."""
        lengths = [sum(map(len, document)) for document in documents]
        if not lengths or min(lengths) == 0:
            raise ValueError(
                f"a batch needs a document, and each at least one token; got documents of {lengths} tokens"
            )
        for document in documents:
            self.tokens.check_plain(i for sentence in document for i in sentence)
        start, end = self.tokens.need("start", "denoising"), self.tokens.need("end", "denoising")
        damaged = [[start, *self.damage(document), end] for document in documents]
        whole = [[start, *(i for sentence in document for i in sentence), end] for document in documents]
        input_ids, attention_mask = self.tokens.batch(damaged)
        labels, real = self.tokens.batch(whole)
        labels = labels.masked_fill(real == 0, IGNORED_LABEL)
        return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}

    def damage(self, document: Document) -> list[int]:
        """The tokens of a document after all noises."""
        mask = self.tokens.need("mask", "denoising")
        if "sentence_permutation" in self.noises:
            document = permute_sentences(document, self.generator)
        ids = [i for sentence in document for i in sentence]
        if "document_rotation" in self.noises:
            ids = rotate_document(ids, self.generator)
        if "text_infilling" in self.noises:
            ids = infill(ids, self.rate, self.mean_length, mask, self.generator)
        if "token_deletion" in self.noises:
            ids = delete_tokens(ids, self.rate, self.generator)
        if "token_mask" in self.noises:
            ids = mask_tokens(ids, self.rate, mask, self.generator)
        return ids
