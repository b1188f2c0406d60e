"""Sequence to sequence: read a source, write a target. Translation, summarisation, and answers in own words.

The tokenizers' templates say what stands around a text: an end token behind a target (T5 puts one behind the source,
too; BART has a start and an end token around both). The model makes the decoder's input from the labels.
Source: Sutskever et al. 2014; Raffel et al. 2020, section 2.4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lmlib.data.batching import pad
from lmlib.decoding import Stop, beam_search, generate
from lmlib.evaluation.generation import rouge_l, rouge_n
from lmlib.evaluation.translation import bleu, chrf, tokenize_13a, tokenize_zh
from lmlib.models.base import IGNORED_LABEL
from lmlib.text.tokenizer import Tokenizer

TOKENIZERS = {"en": tokenize_13a, "zh": tokenize_zh}  # for BLEU


@dataclass(frozen=True)
class Example:
    """Token ids of what is read and of what is to be written, its end token included."""

    source: list[int]
    target: list[int]


class PairEncoder:
    """Pairs of texts ↔ examples for one model; `prefix` names the task to a model that has several, as T5 has it."""

    def __init__(
        self,
        source: Tokenizer,
        target: Tokenizer,
        end_id: int,
        *,
        prefix: str = "",
        max_source: int = 512,
        max_target: int = 512,
    ):
        if target.encode("")[-1:] != [end_id]:
            raise ValueError(
                f"the template of the target's tokenizer must end with the model's end token {end_id}, or the model "
                f"never learns to stop; an empty text is encoded as {target.encode('')}"
            )
        self.source, self.target, self.end_id, self.prefix = source, target, end_id, prefix
        self.max_source, self.max_target = max_source, max_target

    def example(self, source: str, target: str) -> Example:
        """A pair to learn from; what is longer than the limits is cut."""
        return Example(self.prompt(source), self.target.encode(target, self.max_target))

    def prompt(self, source: str) -> list[int]:
        """What the model reads of a source."""
        return self.source.encode(self.prefix + source, self.max_source)

    def text(self, ids: Sequence[int]) -> str:
        """What the model wrote as text."""
        return self.target.decode(ids, skip_special_tokens=True).strip()


def collator(pad_id: int) -> Callable[[Sequence[Example]], dict[str, Tensor]]:
    """Examples → a batch: input_ids and attention_mask (B, S), labels (B, T) with -100 at padding."""

    def collate(examples: Sequence[Example]) -> dict[str, Tensor]:
        input_ids, mask = pad([example.source for example in examples], pad_id)
        labels, _ = pad([example.target for example in examples], IGNORED_LABEL)
        return {"input_ids": input_ids, "attention_mask": mask, "labels": labels}

    return collate


def write(
    model: Any,
    encoder: PairEncoder,
    sources: Sequence[str],
    *,
    max_new_tokens: int,
    n_beams: int = 1,
    length_penalty: float = 1.0,
    batch_size: int = 64,
) -> list[str]:
    """What the model writes for each source, greedily or, with several beams, by beam search."""
    prompts = [encoder.prompt(source) for source in sources]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # like lengths share a batch
    texts: dict[int, str] = {}
    for at in range(0, len(order), batch_size):
        rows = order[at : at + batch_size]
        given = [prompts[i] for i in rows]
        stop = Stop(tokens=(encoder.end_id,))
        if n_beams == 1:
            found = generate(model, given, max_new_tokens, stop=stop)
        else:
            found = beam_search(model, given, max_new_tokens, n_beams=n_beams, length_penalty=length_penalty, stop=stop)
        texts |= {i: encoder.text(one.tokens) for i, one in zip(rows, found, strict=True)}
    return [texts[i] for i in range(len(sources))]


def scores(written: Sequence[str], references: Sequence[Sequence[str]], language: str) -> dict[str, float]:
    """BLEU, chrF, ROUGE-1, -2 and -L (F1; of several references the best counts) and exact match, each 0 to 100.

    `language` ("en" or "zh") says how BLEU sets words apart. Raises ValueError.
    """
    if language not in TOKENIZERS:
        raise ValueError(f"the language is one of {', '.join(TOKENIZERS)}; got {language!r}")
    pairs = list(zip(written, references, strict=True))

    def mean(score: Callable[[str, str], float]) -> float:
        return 100 * sum(max(score(ours, theirs) for theirs in accepted) for ours, accepted in pairs) / len(pairs)

    return {
        "BLEU": bleu(written, references, TOKENIZERS[language]).score,
        "chrF": chrf(written, references),
        "ROUGE-1": mean(lambda ours, theirs: rouge_n(ours, theirs, 1).f1),
        "ROUGE-2": mean(lambda ours, theirs: rouge_n(ours, theirs, 2).f1),
        "ROUGE-L": mean(lambda ours, theirs: rouge_l(ours, theirs).f1),
        "exact match": mean(lambda ours, theirs: float(ours.strip() == theirs.strip())),
    }
