"""One small backbone, ready for every pre-training objective on the documents of the small world."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lmlib.data.batching import Loader
from lmlib.data.world import make
from lmlib.models.bart import Bart, BartConfig
from lmlib.models.bert import Bert, BertConfig
from lmlib.models.gpt import Gpt, GptConfig
from lmlib.models.xlnet import Xlnet, XlnetConfig
from lmlib.pretraining import (
    Causal,
    Contrastive,
    Denoising,
    GeneratorAndDiscriminator,
    Masked,
    NextSentence,
    Permutation,
    ReplacedToken,
    SentenceOrder,
    SpanCorruption,
    SpecialTokens,
)
from lmlib.pretraining.masked import masked_loss
from lmlib.text.vocabulary import Vocabulary
from lmlib.training import TrainingConfig, model_loss, train

WIDTH, HEADS, LAYERS = 64, 4, 2
LENGTH = 48  # tokens of the longest text, special ones included
BATCH = 16
N_SENTINELS = 20
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]", *(f"[S{i}]" for i in range(N_SENTINELS))]
WORD = re.compile(r"'s|[\w-]+|[^\w\s]")  # as the small world splits its sentences
NOTHING = "none: random weights"
RATE = 2e-3
STD = 0.07  # of new weights: the usual 0.02 is for wider models; from it these learn slowly


@dataclass(frozen=True)
class Corpus:
    """The documents to train on, and the vocabulary: the most frequent words of the small world, in small letters."""

    ids: dict[str, int]
    tokens: SpecialTokens
    documents: list[list[list[int]]]

    @classmethod
    def read(cls, n_characters: int, vocab_size: int = 2000) -> "Corpus":
        texts = [[one.words for one in text.sentences] for text in make(0).corpus("train", "en", n_characters)]
        counts = Vocabulary.from_sentences(lower(sentence) for text in texts for sentence in text)
        ids = {word: i for i, word in enumerate(SPECIAL + counts.words[: vocab_size - len(SPECIAL)])}
        tokens = SpecialTokens(len(ids), pad=0, start=1, end=2, mask=3, others=frozenset(range(4, len(SPECIAL))))
        corpus = cls(ids, tokens, [])
        for text in texts:
            corpus.documents.extend(documents([corpus.encode(sentence) for sentence in text]))
        return corpus

    def encode(self, words: Sequence[str]) -> list[int]:
        """The ids of words, without special tokens, cut to what fits between two of them."""
        return [self.ids.get(word, self.ids["[UNK]"]) for word in lower(words)][: LENGTH - 2]


@dataclass(frozen=True)
class Setup:
    """How one objective is trained, and where the states of its backbone are."""

    model: nn.Module
    states: Callable[[Tensor, Tensor], Tensor]  # ids and mask (B, T) → states (B, T, C) of the backbone
    collate: Callable[[list[Any]], dict[str, Tensor]] | None = None
    loss: Callable[[Any, dict[str, Tensor]], Tensor] = model_loss
    of_documents: bool = False  # an example is a document, else one text in special tokens
    starts: bool = True  # texts begin with [CLS]

    @property
    def n_trunk(self) -> int:
        """How many weights the blocks have, that is all that is kept but the embeddings."""
        kept = self.model
        for name in ("model", "discriminator"):
            kept = getattr(kept, name, kept)
        blocks = next(getattr(kept, name) for name in ("encoder", "decoder", "blocks") if hasattr(kept, name))
        return sum(parameter.numel() for parameter in blocks.parameters())

    def framed(self, text: Sequence[int]) -> list[int]:
        """A text in the special tokens that this backbone knows."""
        return [1, *text, 2] if self.starts else list(text)


def lower(words: Sequence[str]) -> list[str]:
    """The words in small letters."""
    return [word.lower() for word in words]


def documents(sentences: list[list[int]]) -> list[list[list[int]]]:
    """Stretches of two or more consecutive sentences that fit into LENGTH tokens with three special ones."""
    found: list[list[list[int]]] = [[]]
    for sentence in sentences:
        if sum(map(len, found[-1])) + len(sentence) > LENGTH - 3:
            found.append([])
        found[-1].append(sentence)
    return [document for document in found if len(document) > 1]


# the objectives


def bert(n_tokens: int, head: str | None, width: int = WIDTH) -> Bert:
    """The backbone with a head of BERT's."""
    heads = HEADS * width // WIDTH
    return Bert(
        BertConfig(n_tokens, width, LAYERS, heads, 4 * width, max_positions=LENGTH, norm_eps=1e-5, initializer_std=STD),
        head,
    )


def bart(n_tokens: int) -> Bart:
    """The backbone as encoder, and a decoder of the same size that is thrown away."""
    sizes = {"n_encoder_layers": LAYERS, "n_decoder_layers": LAYERS, "n_encoder_heads": HEADS, "n_decoder_heads": HEADS}
    widths = {"encoder_d_ff": 4 * WIDTH, "decoder_d_ff": 4 * WIDTH, "max_positions": LENGTH}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    config = BartConfig(n_tokens, WIDTH, **sizes, **widths, attention_dropout=0.1, initializer_std=STD, **ids)
    return Bart(config, "language_model")


def of_bert(model: Bert) -> Callable[[Tensor, Tensor], Tensor]:
    """The states of a BERT without its head."""
    return lambda ids, mask: model.encode(model.embeddings(ids, None, None), mask, False).last_hidden_state


def of_output(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """The last states that a model returns."""
    return lambda ids, mask: model(ids, attention_mask=mask).last_hidden_state


def with_bert(tokens: SpecialTokens, head: str, collate: Any, of_documents: bool = False) -> Setup:
    model = bert(tokens.vocab_size, head)
    return Setup(model, of_bert(model), collate, masked_loss, of_documents)


def causal(tokens: SpecialTokens) -> Setup:
    model = Gpt(GptConfig(tokens.vocab_size, WIDTH, LAYERS, HEADS, LENGTH, initializer_std=STD), "language_model")
    return Setup(model, of_output(model), Causal(tokens))


def denoising(tokens: SpecialTokens) -> Setup:
    model = bart(tokens.vocab_size)
    return Setup(model, model.encode, Denoising(tokens), of_documents=True)


def span_corruption(tokens: SpecialTokens) -> Setup:
    model = bart(tokens.vocab_size)
    return Setup(model, model.encode, SpanCorruption(tokens, range(5, 5 + N_SENTINELS)), starts=False)


def permutation(tokens: SpecialTokens) -> Setup:
    model = Xlnet(
        XlnetConfig(tokens.vocab_size, WIDTH, LAYERS, HEADS, 4 * WIDTH, norm_eps=1e-5, initializer_std=STD), "lm"
    )
    return Setup(model, of_output(model), Permutation(tokens))


def replaced_token(tokens: SpecialTokens) -> Setup:
    kept = bert(tokens.vocab_size, None)
    model = GeneratorAndDiscriminator(bert(tokens.vocab_size, "masked_lm", WIDTH // 2), kept)
    return Setup(model, of_bert(kept), ReplacedToken(tokens))


class MeanState(nn.Module):
    """The mean of a backbone's states over a text: ids and mask (B, T) → (B, C)."""

    def __init__(self, model: nn.Module, states: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.model, self.states = model, states

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return (self.states(ids, mask) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def contrastive(tokens: SpecialTokens) -> Setup:
    """Each text with itself: dropout makes the two vectors differ."""
    model = bert(tokens.vocab_size, None)
    objective = Contrastive(tokens)
    mean = MeanState(model, of_bert(model))
    return Setup(mean, mean.states, lambda texts: objective([(text, text) for text in texts]), objective.loss)


OBJECTIVES: dict[str, Callable[[SpecialTokens], Setup]] = {
    "causal": causal,
    "masked": lambda tokens: with_bert(tokens, "masked_lm", Masked(tokens)),
    "masked + next sentence": lambda tokens: with_bert(
        tokens, "pretraining", NextSentence(tokens, LENGTH, Masked(tokens)), of_documents=True
    ),
    "masked + sentence order": lambda tokens: with_bert(
        tokens, "pretraining", SentenceOrder(tokens, LENGTH, Masked(tokens)), of_documents=True
    ),
    "denoising": denoising,
    "span corruption": span_corruption,
    "permutation": permutation,
    "replaced token": replaced_token,
    "contrastive": contrastive,
}


def pretrain(name: str, corpus: Corpus, seed: int, steps: int) -> tuple[Setup, list[float]]:
    """A backbone after `steps` steps of an objective, and the loss of each step; NOTHING trains nothing."""
    torch.manual_seed(seed)
    if name == NOTHING:
        model = bert(corpus.tokens.vocab_size, None)
        return Setup(model, of_bert(model)), []
    setup = OBJECTIVES[name](corpus.tokens)
    examples: list[Any] = corpus.documents
    if not setup.of_documents:
        examples = [setup.framed([i for sentence in document for i in sentence]) for document in corpus.documents]
    assert setup.collate is not None
    config = TrainingConfig(steps, RATE, warmup_steps=steps // 10, weight_decay=0.01, seed=seed, device="cpu")
    log = train(setup.model, Loader(examples, BATCH, setup.collate, seed), config, loss=setup.loss)
    return setup, log.losses
