"""Looking inside: induction heads need two layers; what probes read from each layer of all-MiniLM.

Induction: models with attention of one or two layers learn sequences of random tokens that come twice. Probes: entity
types of words (UNER English) from frozen states, beside the control task of Hewitt & Liang 2019.
"""

import argparse
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lmlib.data.tasks import tagging
from lmlib.interpret.induction import head_scores, losses_of_copies, repeated_sequences
from lmlib.interpret.probes import probe_layers
from lmlib.models import from_pretrained
from lmlib.models.base import IGNORED_LABEL
from lmlib.models.llama import Llama, LlamaConfig
from lmlib.models.sentence_encoder import SentenceEncoder
from lmlib.training import TrainingConfig, set_seed, train

N_TOKENS = 32  # random ones, and one more that stands at the start
START = N_TOKENS
PERIODS = range(6, 17)  # drawn anew for each batch, so that no fixed distance can be learned
LONGEST = 2 * PERIODS[-1] + 1
TEST_PERIOD = 12
KINDS = ("O", "PER", "LOC", "ORG")


def repeated_batches(seed: int, batch_size: int = 32) -> Iterator[dict[str, Tensor]]:
    """Without end; only the second copy has labels, for the first cannot be predicted."""
    draw = torch.Generator().manual_seed(seed)
    while True:
        period = PERIODS[int(torch.randint(len(PERIODS), (), generator=draw))]
        row_seed = int(torch.randint(2**31, (), generator=draw))
        ids = repeated_sequences(batch_size, period, N_TOKENS + 1, start_id=START, seed=row_seed)
        labels = ids.clone()
        labels[:, : period + 2] = IGNORED_LABEL  # nor the first token of the second copy
        yield {"input_ids": ids, "labels": labels}


def trained_copier(n_layers: int, seed: int, steps: int) -> Llama:
    """A model of `n_layers` layers, trained to go on with what came before."""
    set_seed(seed)
    config = LlamaConfig(N_TOKENS + 1, 64, n_layers, 4, d_ff=64, max_positions=LONGEST)
    model = Llama(config, "language_model")
    schedule = TrainingConfig(steps, learning_rate=4e-3, warmup_steps=steps // 10, device="cpu", seed=seed)
    train(model, repeated_batches(seed), schedule)
    return model


def show_induction(seeds: Sequence[int], steps: int) -> None:
    """Loss on the second copy and the best head of each kind, on sequences of a test seed."""
    ids = repeated_sequences(64, TEST_PERIOD, N_TOKENS + 1, start_id=START, seed=10**6)
    print("\n| layers | seed | loss on copy 1 | loss on copy 2 (nats) | induction | previous token | duplicate |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for n_layers in (1, 2):
        for seed in seeds:
            model = trained_copier(n_layers, seed, steps)
            first, second = losses_of_copies(model, ids, TEST_PERIOD)
            scores = head_scores(model, ids, TEST_PERIOD)
            best = " | ".join(_best(one) for one in (scores.induction, scores.previous, scores.duplicate))
            print(f"| {n_layers} | {seed} | {first:.2f} | {second:.2f} | {best} |", flush=True)


def _best(scores: Tensor) -> str:
    layer, head = divmod(int(scores.argmax()), scores.size(1))
    return f"{scores.max():.2f} (layer {layer + 1}, head {head + 1})"


@torch.inference_mode()
def word_states(encoder: SentenceEncoder, sentences: Sequence[Sequence[str]]) -> list[Tensor]:
    """The state of each word's first piece, at each layer from the embeddings on: L + 1 of (N, C)."""
    tokenizer = encoder.tokenizer
    cls, sep = (tokenizer.vocabulary[token] for token in ("[CLS]", "[SEP]"))
    found: list[list[Tensor]] = []
    for sentence in sentences:
        pieces = [tokenizer.encode(word)[1:-1] for word in sentence]
        starts = torch.tensor([1 + sum(map(len, pieces[:i])) for i in range(len(pieces))])
        ids = torch.tensor([[cls, *(i for word in pieces for i in word), sep]])
        states = encoder.encoder(ids, inspect=True).hidden_states
        found.append([layer[0, starts] for layer in states])
    return [torch.cat(layer) for layer in zip(*found, strict=True)]


def entity_words(n_sentences: int) -> list[tuple[list[str], list[int]]]:
    """Sentences in which an entity is named: words, and the place of each word's kind in KINDS."""
    sentences = [one for one in tagging.load("uner_en")["test"] if set(one.tags) != {"O"}]
    return [
        (list(one.words), [KINDS.index(tag.rpartition("-")[2]) for tag in one.tags]) for one in sentences[:n_sentences]
    ]


def show_probes(n_sentences: int, seed: int = 0) -> None:
    """Accuracy on the task and the control task by layer; of the words outside entities as many as inside."""
    encoder = from_pretrained("all-MiniLM-L6-v2")
    assert isinstance(encoder, SentenceEncoder)
    sentences = [pair for pair in entity_words(n_sentences) if all(encoder.tokenizer.words(w) for w in pair[0])]
    labels = torch.tensor([kind for _, kinds in sentences for kind in kinds])
    words = [word.lower() for one, _ in sentences for word in one]
    is_train = torch.tensor([i % 3 > 0 for i, (one, _) in enumerate(sentences) for _ in one])
    outside = (labels == 0).nonzero()[:, 0]
    kept_outside = outside[torch.randperm(len(outside), generator=torch.Generator().manual_seed(seed))]
    chosen = torch.cat([(labels > 0).nonzero()[:, 0], kept_outside[: int((labels > 0).sum())]]).sort().values
    layers = [states[chosen] for states in word_states(encoder, [one for one, _ in sentences])]
    results = probe_layers(layers, [words[i] for i in chosen], labels[chosen], is_train[chosen], seed=seed)
    print(f"\n{len(chosen)} words of {len(sentences)} sentences; most frequent label {results[0].majority:.3f}")
    print("| layer of all-MiniLM | entity type | control task | selectivity |")
    print("| --- | --- | --- | --- |")
    for layer, one in enumerate(results):
        name = "embeddings" if layer == 0 else layer
        print(f"| {name} | {one.accuracy:.3f} | {one.control:.3f} | {one.selectivity:+.3f} |")


def run(arguments: Sequence[str]) -> None:
    """Print both tables, or the one that is named."""
    parser = argparse.ArgumentParser(prog="python -m tests.learning inside", description=__doc__)
    parser.add_argument("--tables", nargs="+", default=["induction", "probes"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--sentences", type=int, default=600)
    given = parser.parse_args(arguments)
    if "induction" in given.tables:
        show_induction(given.seeds, given.steps)
    if "probes" in given.tables:
        show_probes(given.sentences)
