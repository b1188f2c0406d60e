"""The objectives of pre-training, one file each: from texts to a batch that a model learns from without labels.

Each is a small frozen dataclass that is called with a list of examples and gives a batch for `model(**batch)`:

| objective | an example | for the families | file |
| --- | --- | --- | --- |
| `Causal` | token ids | GPT, LLaMA, Qwen, recurrent | causal.py |
| `Masked` | token ids, or `Words` | BERT, RoBERTa, ALBERT | masked.py |
| `NextSentence` | a document: its sentences' ids | BERT | next_sentence.py |
| `SentenceOrder` | a document | ALBERT | sentence_order.py |
| `Denoising` | a document | BART | denoising.py |
| `SpanCorruption` | token ids | T5 | span_corruption.py |
| `Permutation` | token ids | XLNet | permutation.py |
| `ReplacedToken` | token ids | a `GeneratorAndDiscriminator` | replaced_token.py |
| `Contrastive` | an anchor, a positive, perhaps negatives | a sentence encoder; `loss` | contrastive.py |

What is drawn comes from the `generator` of the objective, or without one from torch's own random state.
"""

from lmlib.pretraining.causal import Causal
from lmlib.pretraining.collator import SpecialTokens
from lmlib.pretraining.contrastive import Contrastive, info_nce
from lmlib.pretraining.denoising import Denoising
from lmlib.pretraining.masked import Masked, Words
from lmlib.pretraining.next_sentence import NextSentence
from lmlib.pretraining.permutation import Permutation
from lmlib.pretraining.replaced_token import GeneratorAndDiscriminator, ReplacedToken
from lmlib.pretraining.sentence_order import SentenceOrder
from lmlib.pretraining.span_corruption import SpanCorruption

__all__ = [
    "Causal",
    "Contrastive",
    "Denoising",
    "GeneratorAndDiscriminator",
    "Masked",
    "NextSentence",
    "Permutation",
    "ReplacedToken",
    "SentenceOrder",
    "SpanCorruption",
    "SpecialTokens",
    "Words",
    "info_nce",
]
