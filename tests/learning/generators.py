"""Generators fine-tuned: translation, summaries, instructions, LoRA, preferences, each beside a simple baseline.

`python -m tests.learning generators` makes all tables, with names only those: tatoeba, pairs, summaries, answers,
preferences.
"""

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import nn

from lmlib.data.batching import Loader, pack
from lmlib.data.tasks import translation
from lmlib.data.world import make
from lmlib.decoding import Stop, generate
from lmlib.finetuning import dpo, instructions
from lmlib.finetuning import sequence_to_sequence as seq2seq
from lmlib.finetuning.instructions import InstructionEncoder, Turn
from lmlib.finetuning.lora import LoraConfig, add_adapters
from lmlib.models.llama import Llama, LlamaConfig
from lmlib.models.transformer import Transformer, TransformerConfig
from lmlib.text.byte_pair_encoding import BytePairEncoding
from lmlib.text.characters import Characters
from lmlib.text.tokenizer import Template, Tokenizer
from lmlib.training import TrainingConfig, train

PAD, START, END, UNKNOWN = "<pad>", "<start>", "<end>", "<unk>"
Pair = tuple[str, str]
TF_IDF = [{"analyzer": "word", "ngram_range": (1, n)} for n in (1, 2)] + [
    {"analyzer": "char_wb", "ngram_range": (2, n)} for n in (4, 5)
]


def run(arguments: list[str]) -> None:
    """Make the tables that are named, or all."""
    for name in arguments or list(TABLES):
        print(f"\n{name}: {(TABLES[name].__doc__ or '').partition(chr(10))[0]}", flush=True)
        TABLES[name]()


def row(label: str, scores: dict[str, float]) -> None:
    """One line of a table."""
    print(f"  {label:<44}" + "".join(f"{name} {value:>7.2f}   " for name, value in scores.items()), flush=True)


# an encoder-decoder from scratch


def english(texts: Sequence[str], vocab_size: int) -> BytePairEncoding:
    """Byte-pair encoding, with an end token behind each text."""
    found = BytePairEncoding.train(texts, vocab_size, (PAD, START, END))
    found.template = Template(single=(("$A", 0), (END, 0)))
    return found


def chinese(texts: Sequence[str]) -> Characters:
    """Characters, with an end token behind each text."""
    found = Characters.train(texts, special_tokens=(PAD, UNKNOWN, START, END))
    found.template = Template(single=(("$A", 0), (END, 0)))
    return found


def trained_on_pairs(
    pairs: Sequence[Pair], source: Tokenizer, target: Tokenizer, steps: int, batch_size: int, max_source: int = 64
) -> tuple[Transformer, seq2seq.PairEncoder]:
    """A small Transformer after `steps` batches of pairs."""
    end, start, pad = (target.id_of(token) for token in (END, START, PAD))
    encoder = seq2seq.PairEncoder(source, target, end, max_source=max_source, max_target=64)
    torch.manual_seed(0)
    config = TransformerConfig(
        vocab_size=len(target),
        source_vocab=None if source is target else len(source),
        d_model=128,
        n_layers=2,
        n_heads=4,
        d_ff=512,
        max_positions=256,
        norm_first=True,
        final_norm=True,
        pad_token_id=pad,
        bos_token_id=start,
        eos_token_id=end,
        decoder_start_token_id=start,
    )
    model = Transformer(config)
    examples = [encoder.example(*pair) for pair in pairs]
    loader = Loader(examples, batch_size, seq2seq.collator(pad), bucket_by=lambda e: len(e.source) + len(e.target))
    rate = TrainingConfig(steps, learning_rate=2e-3, optimizer="muon", warmup_steps=50, weight_decay=0.01)
    log = train(model, loader, rate)
    print(f"  ({len(pairs)} pairs, {steps} steps of {batch_size}, last loss {log.losses[-1]:.2f})", flush=True)
    return model, encoder


def nearest(pairs: Sequence[Pair], sources: Sequence[str], how: dict) -> list[str]:
    """For each source the target of the training source that is most like it by TF-IDF."""
    vectorizer = TfidfVectorizer(sublinear_tf=True, **how)
    known = vectorizer.fit_transform([source for source, _ in pairs])
    found: list[str] = []
    for at in range(0, len(sources), 200):
        likeness = vectorizer.transform(sources[at : at + 200]) @ known.T
        found += [pairs[i][1] for i in likeness.toarray().argmax(1)]
    return found


def few(scores: dict[str, float], *names: str) -> dict[str, float]:
    """Only these scores."""
    return {name: scores[name] for name in names}


def tatoeba() -> None:
    """Tatoeba, English to Chinese, scored on the whole test split; both systems are chosen by chrF in validation."""
    splits = {
        name: [(pair.source, pair.target) for pair in pairs]
        for name, pairs in translation.load("tatoeba_en_zh").items()
    }
    check, test = splits["validation"][:500], splits["test"]

    def of(system: Callable[[list[str]], list[str]], part: Sequence[Pair]) -> dict[str, float]:
        written = system([source for source, _ in part])
        return few(seq2seq.scores(written, [[target] for _, target in part], "zh"), "BLEU", "chrF", "exact match")

    ways = [lambda sources, how=how: nearest(splits["train"], sources, how) for how in TF_IDF]
    best = max(ways, key=lambda way: of(way, check)["chrF"])
    row("nearest training sentence by TF-IDF", of(best, test))
    source = english([source for source, _ in splits["train"]], 4000)
    target = chinese([target for _, target in splits["train"]])
    model, encoder = trained_on_pairs(splits["train"], source, target, steps=1500, batch_size=64)

    def translated(sources: list[str], n_beams: int) -> list[str]:
        return seq2seq.write(model, encoder, sources, max_new_tokens=48, n_beams=n_beams)

    searches = [lambda sources, n=n: translated(sources, n) for n in (1, 4)]
    best = max(searches, key=lambda search: of(search, check)["chrF"])
    row(f"Transformer, {'beam search' if best is searches[1] else 'greedy'}", of(best, test))
    for source_text, _ in test[:: len(test) // 5][:5]:
        print(f"    {source_text} → {best([source_text])[0]}")


def pairs() -> None:
    """The small world, English to Chinese; many test sentences have skeletons that training never shows."""
    world = make(seed=0)
    learned = [(one.en, one.zh) for one in world.pairs(8000, "train")]
    test = [(one.en, one.zh) for one in world.pairs(400, "test")]
    sources, references = [source for source, _ in test], [[target] for _, target in test]

    def show(label: str, written: list[str]) -> None:
        row(label, few(seq2seq.scores(written, references, "zh"), "BLEU", "chrF", "exact match"))

    common = Counter(target for _, target in learned).most_common(1)[0][0]
    show("most frequent target", [common] * len(test))
    show("nearest training sentence by TF-IDF", nearest(learned, sources, TF_IDF[0]))
    source, target = english([en for en, _ in learned], 3000), chinese([zh for _, zh in learned])
    model, encoder = trained_on_pairs(learned, source, target, steps=900, batch_size=48)
    show("Transformer, greedy", seq2seq.write(model, encoder, sources, max_new_tokens=60))


def summaries() -> None:
    """The small world's English summaries; lead-1 is the first sentence of the document."""
    world = make(seed=0)
    learned = [(one.document.text, one.summary) for one in world.summaries(4000, "train")]
    test = world.summaries(200, "test")
    references = [[one.summary] for one in test]

    def show(label: str, written: list[str]) -> None:
        row(label, few(seq2seq.scores(written, references, "en"), "ROUGE-1", "ROUGE-2", "ROUGE-L"))

    show("lead-1", [one.document.sentences[0].text for one in test])
    show("lead-2", [" ".join(sentence.text for sentence in one.document.sentences[:2]) for one in test])
    both = english([text for pair in learned for text in pair], 3000)
    model, encoder = trained_on_pairs(learned, both, both, steps=700, batch_size=24, max_source=192)
    show("Transformer, greedy", seq2seq.write(model, encoder, [one.document.text for one in test], max_new_tokens=60))


# a causal model, pretrained on the small world and not


def backbone(vocab_size: int) -> Llama:
    """A new small LLaMA, always with the same weights."""
    torch.manual_seed(0)
    sizes = {"d_model": 128, "n_layers": 3, "n_heads": 4, "d_ff": 352, "max_positions": 320, "tied": True}
    return Llama(LlamaConfig(vocab_size=vocab_size, eos_token_id=None, **sizes), head="language_model")


@cache
def pretrained(steps: int = 1000) -> tuple[Llama, BytePairEncoding]:
    """The backbone after `steps` batches of the world's English corpus, and the tokenizer; not to be changed."""
    texts = [text.text for text in make(seed=0).corpus("train", "en", 1_200_000)]
    tokenizer = BytePairEncoding.train(texts, 3000, (PAD, END))
    rows = pack([tokenizer.encode(text) for text in texts], 128, tokenizer.id_of(END))
    model = backbone(len(tokenizer))

    def collate(chosen: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        ids = torch.stack(chosen)
        return {"input_ids": ids, "labels": ids}

    rate = TrainingConfig(steps, learning_rate=4e-3, optimizer="muon", warmup_steps=30)
    log = train(model, Loader(rows, 16, collate), rate)
    print(f"  (pretrained on {rows.numel()} tokens, {steps} steps, last loss {log.losses[-1]:.2f})", flush=True)
    return model, tokenizer


def answers() -> None:
    """Instructions of 18 tasks: answers exactly right on 500 held-out instructions, and numbers trained."""
    world = make(seed=0)
    model, tokenizer = pretrained()
    encoder = InstructionEncoder(tokenizer, END, max_length=256)
    learned = [
        encoder.example([Turn("user", one.instruction), Turn("assistant", one.answer)])
        for one in world.instructions(6000, "train")
    ]
    test = world.instructions(500, "test")
    common: dict[str, Counter[str]] = {}
    for one in world.instructions(6000, "train"):
        common.setdefault(one.task, Counter())[one.answer] += 1
    guessed = [common[one.task].most_common(1)[0][0] == one.answer for one in test]
    row("most frequent answer of the task", {"right %": 100 * sum(guessed) / len(test)})

    def tuned(label: str, start: Llama, learning_rate: float, optimizer: str) -> None:
        loader = Loader(learned, 32, instructions.collator(0), bucket_by=lambda e: len(e.input_ids))
        rate = TrainingConfig(800, learning_rate=learning_rate, optimizer=optimizer, warmup_steps=30)
        train(start, loader, rate)
        right = [wrote == one.answer for wrote, one in zip(replies(start, encoder, test), test, strict=True)]
        n_trained = sum(p.numel() for p in start.parameters() if p.requires_grad)
        row(label, {"right %": 100 * sum(right) / len(test), "numbers trained": n_trained})

    tuned("not pretrained, all weights", backbone(len(tokenizer)), 2e-3, "adamw")
    tuned("pretrained, all weights", copy.deepcopy(model), 2e-3, "adamw")
    adapted = copy.deepcopy(model)
    add_adapters(adapted, LoraConfig(rank=8, alpha=16, targets=("qkv", "out", "gate_and_inner", "outer")))
    tuned("pretrained, LoRA of rank 8", adapted, 1e-2, "adamw")


def replies(model: nn.Module, encoder: InstructionEncoder, asked: Sequence) -> list[str]:
    """What the model answers to each instruction."""
    prompts = [encoder.prompt([Turn("user", one.instruction)]) for one in asked]
    stop = Stop(tokens=(encoder.end_id,))
    found = [
        one for at in range(0, len(prompts), 100) for one in generate(model, prompts[at : at + 100], 40, stop=stop)
    ]
    return [encoder.answer(one.tokens) for one in found]


def preferences() -> None:
    """DPO with LoRA on the small world: the share of 200 held-out pairs whose chosen answer is the likelier one."""
    world = make(seed=0)
    model, tokenizer = pretrained()
    model = copy.deepcopy(model)
    encoder = InstructionEncoder(tokenizer, END, instructions.ChatTemplate(user="{text} ", assistant=""), 320)
    collate = dpo.preference_collator(instructions.collator(0))

    def encoded(records: Sequence) -> list[tuple[instructions.Example, instructions.Example]]:
        return [
            (
                encoder.example([Turn("user", one.prompt), Turn("assistant", one.chosen)]),
                encoder.example([Turn("user", one.prompt), Turn("assistant", one.rejected)]),
            )
            for one in records
        ]

    test = world.preferences(200, "test")
    reasons = sorted({one.reason for one in test})

    def shares() -> dict[str, float]:
        found = {"all %": 100 * dpo.share_preferred(model, batched(encoded(test), collate))}
        for reason in reasons:
            some = encoded([one for one in test if one.reason == reason])
            found[f"{reason} %"] = 100 * dpo.share_preferred(model, batched(some, collate))
        return found

    model.eval()
    row("pretrained", shares())
    add_adapters(model, LoraConfig(rank=8, alpha=16, targets=("qkv", "out", "gate_and_inner", "outer")))
    loader = Loader(
        encoded(world.preferences(1500, "train")), 8, collate, bucket_by=lambda pair: len(pair[0].input_ids)
    )
    rate = TrainingConfig(120, learning_rate=2e-3, warmup_steps=20)
    log = train(model, loader, rate, loss=dpo.PreferenceLoss(beta=0.1))
    print(f"  (120 steps of 8 pairs; loss {log.losses[0]:.3f} → {sum(log.losses[-20:]) / 20:.3f})", flush=True)
    row("after DPO", shares())


def batched(examples: Sequence, collate: Callable) -> list[dict[str, torch.Tensor]]:
    """All examples, 20 a batch."""
    return [collate(examples[at : at + 20]) for at in range(0, len(examples), 20)]


TABLES: dict[str, Callable[[], None]] = {
    "tatoeba": tatoeba,
    "pairs": pairs,
    "summaries": summaries,
    "answers": answers,
    "preferences": preferences,
}
