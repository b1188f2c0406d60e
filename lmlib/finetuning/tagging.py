"""A tag for each word: its first piece bears the tag, the others none. Source: Devlin et al. 2019, section 5.3."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lmlib.data.batching import pad
from lmlib.data.tasks.tagging import TaggedSentence
from lmlib.evaluation.tagging import OUTSIDE, span_f1, span_scores
from lmlib.finetuning.prediction import logits_of
from lmlib.models.base import IGNORED_LABEL
from lmlib.text.offsets import pieces
from lmlib.text.wordpiece import WordPiece


@dataclass(frozen=True)
class Aligned:
    """The tokens of a sentence with [CLS] and [SEP], and for each word the place of its first piece.

    Words that were cut off at the end have no place: `first` is shorter than the sentence.
    """

    ids: list[int]
    first: list[int]


@dataclass(frozen=True)
class Collator:
    """Tagged sentences → a batch: input_ids, attention_mask and labels (B, T), -100 where no word begins.

    `tags` are the tags in the order of their numbers. Longer sentences are cut at `max_length` tokens.
    """

    tokenizer: WordPiece
    tags: tuple[str, ...]
    max_length: int = 128

    def __call__(self, examples: Sequence[TaggedSentence]) -> dict[str, Tensor]:
        rows = [self.align(example.words) for example in examples]
        batch = self.pad(rows)
        labels = torch.full_like(batch["input_ids"], IGNORED_LABEL)
        for i, (row, example) in enumerate(zip(rows, examples, strict=True)):
            for place, tag in zip(row.first, example.tags, strict=False):  # words may have been cut off
                labels[i, place] = self.number(tag)
        return batch | {"labels": labels}

    def align(self, words: Sequence[str]) -> Aligned:
        """The pieces of each word in turn; a word of which nothing is left (a control character) is [UNK]."""
        vocabulary = self.tokenizer.vocabulary
        ids, first = [vocabulary["[CLS]"]], []
        for word in words:
            of_word = [piece.id for piece in pieces(self.tokenizer, word)] or [vocabulary["[UNK]"]]
            if len(ids) + len(of_word) + 1 > self.max_length:
                break
            first.append(len(ids))
            ids += of_word
        return Aligned([*ids, vocabulary["[SEP]"]], first)

    def pad(self, rows: Sequence[Aligned]) -> dict[str, Tensor]:
        """input_ids and attention_mask of aligned sentences."""
        ids, mask = pad([row.ids for row in rows], self.tokenizer.vocabulary["[PAD]"])
        return {"input_ids": ids, "attention_mask": mask}

    def number(self, tag: str) -> int:
        """The number of a tag. Raises ValueError for one that is not among them."""
        if tag not in self.tags:
            raise ValueError(f"there is no tag {tag!r}; there are: {', '.join(self.tags)}")
        return self.tags.index(tag)


def tags_of(examples: Sequence[TaggedSentence]) -> tuple[str, ...]:
    """O, and B- and I- of each kind of entity that occurs, sorted."""
    kinds = sorted({tag[2:] for example in examples for tag in example.tags if tag != OUTSIDE})
    return (OUTSIDE, *(f"{part}-{kind}" for kind in kinds for part in "BI"))


def repaired(tags: Sequence[str]) -> list[str]:
    """The same entities in tags without fault: an I- that continues nothing of its kind becomes a B-."""
    found: list[str] = []
    for tag in tags:
        before = found[-1] if found else OUTSIDE
        continues = tag.startswith("I-") and before[2:] == tag[2:]
        found.append(tag if continues or tag == OUTSIDE else f"B-{tag[2:]}")
    return found


def predict(
    model: nn.Module, collator: Collator, sentences: Sequence[Sequence[str]], batch_size: int = 64
) -> list[list[str]]:
    """A tag for each word of each sentence, repaired; words beyond `max_length` are outside."""
    rows = [collator.align(words) for words in sentences]
    logits = logits_of(model, rows, collator.pad, lambda row: len(row.ids), batch_size)  # each (T, n_labels)
    found = []
    for words, row, of_tokens in zip(sentences, rows, logits, strict=True):
        tags = [collator.tags[i] for i in of_tokens[row.first].argmax(-1).tolist()]
        found.append(repaired([*tags, *[OUTSIDE] * (len(words) - len(tags))]))
    return found


def evaluate(model: nn.Module, collator: Collator, examples: Sequence[TaggedSentence]) -> dict[str, float]:
    """F1 of all entities, and of each kind of entity."""
    predicted = predict(model, collator, [example.words for example in examples])
    true = [example.tags for example in examples]
    by_kind = {kind: scores.f1 for kind, scores in span_scores(predicted, true).items()}
    return {"span_f1": span_f1(predicted, true), **by_kind}
