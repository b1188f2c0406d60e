"""Real data: a pretrained encoder fine-tuned on four tasks, beside simple baselines and a small model from scratch.

`python -m tests.learning real_data [sentence_polarity] [wnut17] [xquad] [stsb_images]`: all without a name. The
baselines are tuned on the validation split for the same measure; the encoders are trained once, at settings that are
usual. Splits: those of the sources for wnut17 and stsb_images; drawn with a fixed seed for sentence_polarity and, by
article, for xquad, which has no part for training.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import nn

from lmlib import hub
from lmlib.data.batching import Loader
from lmlib.data.tasks import classification, question_answering, similarity, tagging
from lmlib.evaluation.classification import accuracy
from lmlib.evaluation.tagging import span_f1
from lmlib.evaluation.word_vectors import spearman
from lmlib.finetuning import classification as classify
from lmlib.finetuning import question_answering as answer
from lmlib.finetuning import similarity as compare
from lmlib.finetuning import tagging as tag
from lmlib.models import from_pretrained
from lmlib.models.bert import Bert, BertConfig
from lmlib.text.wordpiece import WordPiece
from lmlib.training import TrainingConfig, set_seed, train

BACKBONE = "all-MiniLM-L6-v2"
N_FROZEN = 4  # layers of its 6 that stay as they are
Scores = tuple[float, float]  # on the validation split, on the test split
Systems = dict[str, Callable[[], Scores]]  # what it is called, and what trains and measures it


def run(arguments: list[str]) -> None:
    """Print the table of each task that is named, or of all."""
    unknown = set(arguments) - TASKS.keys()
    if unknown:
        raise SystemExit(f"there is no task {', '.join(unknown)}; there are: {', '.join(TASKS)}")
    for name in arguments or TASKS:
        measure, systems = TASKS[name]()
        print(f"\n{name}: {measure}\n\n| system | validation | test | seconds of one core |\n| --- | --- | --- | --- |")
        for system, work in systems.items():
            start = time.process_time()
            on_validation, on_test = work()
            seconds = time.process_time() - start
            print(f"| {system} | {100 * on_validation:.1f} | {100 * on_test:.1f} | {seconds:.0f} |", flush=True)


def tokenizer() -> WordPiece:
    """The pieces of the backbone; the small models from scratch use the same."""
    return WordPiece.from_folder(hub.find_model(BACKBONE))


def small(head: str, n_labels: int, vocab_size: int) -> Bert:
    """Two layers of 128, from random weights: what a few thousand examples can still move."""
    set_seed(0)
    config = BertConfig(vocab_size=vocab_size, d_model=128, n_layers=2, n_heads=2, d_ff=512, n_labels=n_labels)
    return Bert(config, head)


def pretrained(head: str, n_labels: int) -> nn.Module:
    """The backbone with a new head. Only its upper layers learn: nearly as good at half the price (Lee et al. 2019)."""
    set_seed(0)
    model = from_pretrained(BACKBONE, new_head=head, n_labels=n_labels)
    for part in (model.embeddings, *model.encoder.blocks[:N_FROZEN]):
        part.requires_grad_(False)
    return model


def fit(
    model: nn.Module,
    examples: Sequence[Any],
    collator: Any,
    length: Callable[[Any], int],
    epochs: int,
    rate: float,
    batch_size: int = 32,
    **options: Any,
) -> None:
    """Fine-tune with AdamW, a warm-up of a tenth, and a cosine to zero."""
    loader = Loader(examples, batch_size, collator, seed=0, bucket_by=length)
    steps = epochs * loader.batches_per_epoch
    config = TrainingConfig(
        steps=steps, learning_rate=rate, warmup_steps=steps // 10, betas=(0.9, 0.999), weight_decay=0.01
    )
    train(model, loader, config, **options)


def sentence_polarity() -> tuple[str, Systems]:
    """Two classes: is a snippet of a film review for or against the film?"""
    parts = classification.load("sentence_polarity")
    collator = classify.Collator(tokenizer(), classify.classes(parts["train"]), max_length=64)

    def majority() -> Scores:
        common = Counter(example.label for example in parts["train"]).most_common(1)[0][0]
        return tuple(
            accuracy([common] * len(parts[part]), [example.label for example in parts[part]])
            for part in ("validation", "test")
        )

    def tuned(model: nn.Module, epochs: int, rate: float) -> Scores:
        fit(model, parts["train"], collator, lambda example: len(example.text), epochs, rate)
        return tuple(classify.evaluate(model, collator, parts[part])["accuracy"] for part in ("validation", "test"))

    return "accuracy in %", {
        "majority": majority,
        "TF-IDF and logistic regression": lambda: tfidf_classifier(parts),
        "all-MiniLM fine-tuned, 1 epoch": lambda: tuned(pretrained("classification", 2), 1, 1e-4),
        "two layers from scratch, 5 epochs": lambda: tuned(
            small("classification", 2, len(collator.tokenizer.vocabulary)), 5, 1e-3
        ),
    }


def tfidf_classifier(parts: dict[str, list[classification.LabelledText]]) -> Scores:
    """Words or words and pairs of words, and how much to regularise: the best on the validation split."""
    x = {part: [example.text for example in examples] for part, examples in parts.items()}
    y = {part: [example.label for example in examples] for part, examples in parts.items()}
    found = []
    for longest in (1, 2):
        vectors = TfidfVectorizer(ngram_range=(1, longest), sublinear_tf=True, token_pattern=r"\S+")
        features = vectors.fit_transform(x["train"])
        for strength in (0.3, 1.0, 3.0, 10.0, 30.0):
            model = LogisticRegression(C=strength, max_iter=1000).fit(features, y["train"])
            scores = [accuracy(model.predict(vectors.transform(x[p])).tolist(), y[p]) for p in ("validation", "test")]
            found.append(tuple(scores))
    return max(found, key=lambda scores: scores[0])


def wnut17() -> tuple[str, Systems]:
    """Named entities that are new: those of the test part do not occur in training."""
    parts = tagging.load("wnut17")
    tags = tag.tags_of(parts["train"])
    collator = tag.Collator(tokenizer(), tags, max_length=96)

    def remembered() -> Scores:
        guess = majority_tags(parts["train"])
        return tuple(
            span_f1(
                [tag.repaired([guess.get(word.lower(), "O") for word in example.words]) for example in parts[part]],
                [example.tags for example in parts[part]],
            )
            for part in ("validation", "test")
        )

    def tuned(model: nn.Module, epochs: int, rate: float) -> Scores:
        fit(model, parts["train"], collator, lambda example: len(example.words), epochs, rate)
        return tuple(tag.evaluate(model, collator, parts[part])["span_f1"] for part in ("validation", "test"))

    return "F1 of entities in %", {
        "the most frequent tag of each word": remembered,
        "all-MiniLM fine-tuned, 3 epochs": lambda: tuned(pretrained("tagging", len(tags)), 3, 2e-4),
        "two layers from scratch, 10 epochs": lambda: tuned(
            small("tagging", len(tags), len(collator.tokenizer.vocabulary)), 10, 1e-3
        ),
    }


def majority_tags(examples: Sequence[tagging.TaggedSentence]) -> dict[str, str]:
    """The tag that each word bore most often."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        for word, its_tag in zip(example.words, example.tags, strict=True):
            counts[word.lower()][its_tag] += 1
    return {word: of_word.most_common(1)[0][0] for word, of_word in counts.items()}


def xquad() -> tuple[str, Systems]:
    """Questions on paragraphs of Wikipedia, in English; training, validation and test have other articles."""
    parts = question_answering.load("xquad", "en")
    collator = answer.Collator(tokenizer(), max_length=384, stride=128)
    windows = answer.training_windows(collator, parts["train"])

    def tuned(model: nn.Module, epochs: int, rate: float) -> Scores:
        fit(model, windows, collator, lambda window: len(window.ids), epochs, rate, batch_size=8)
        return tuple(answer.evaluate(model, collator, parts[part])["f1"] for part in ("validation", "test"))

    return "F1 of words in %", {
        "the span amid most words of the question": lambda: sliding_window(parts),
        "all-MiniLM fine-tuned, 2 epochs": lambda: tuned(pretrained("span", 2), 2, 2e-4),
        "two layers from scratch, 3 epochs": lambda: tuned(
            small("span", 2, len(collator.tokenizer.vocabulary)), 3, 5e-4
        ),
    }


def sliding_window(parts: dict[str, list[question_answering.Question]]) -> Scores:
    """A span of so many words scores by the words of the question near it; both numbers are tuned on validation."""
    found = []
    for n_words in (1, 2, 3, 4):
        for reach in (4, 8, 16):
            scores = [
                answer.scores([amid(question, n_words, reach) for question in parts[part]], parts[part])["f1"]
                for part in ("validation", "test")
            ]
            found.append(tuple(scores))
    return max(found, key=lambda scores: scores[0])


def amid(question: question_answering.Question, n_words: int, reach: int) -> str:
    """The span without a word of the question that has the most different ones within `reach` words."""
    asked = {word.lower().strip(".,?!()\"'") for word in question.question.split()}
    context = question.context.split()
    plain = [word.lower().strip(".,?!()\"'") for word in context]
    best, span = -1, ""
    for start in range(len(context) - n_words + 1):
        if asked & set(plain[start : start + n_words]):
            continue
        near = asked & set(plain[max(0, start - reach) : start + n_words + reach])
        if len(near) > best:
            best, span = len(near), " ".join(context[start : start + n_words])
    return span


def stsb_images() -> tuple[str, Systems]:
    """Descriptions of pictures: how alike are two? The English pairs of the "images" part of STS-B."""
    parts = similarity.load("stsb_images", "en")
    collator = compare.Collator(tokenizer(), highest=5.0, max_length=64)

    def correlation(score: Callable[[Sequence[similarity.ScoredPair]], Sequence[float]]) -> Scores:
        return tuple(
            spearman(score(parts[part]), [pair.score for pair in parts[part]]) for part in ("validation", "test")
        )

    def tuned(epochs: int, rate: float) -> Scores:
        set_seed(0)
        model = from_pretrained(BACKBONE)
        if epochs:
            length = lambda pair: len(pair.first)  # noqa: E731
            fit(model, parts["train"], collator, length, epochs, rate, loss=compare.cosine_loss)
        return correlation(lambda pairs: compare.predict(model, pairs))

    return "Spearman's correlation with people's scores, times 100", {
        "cosine of TF-IDF": lambda: tfidf_cosine(parts, correlation),
        "all-MiniLM as it is": lambda: tuned(0, 0.0),
        "all-MiniLM fine-tuned, 2 epochs": lambda: tuned(2, 5e-5),
    }


def tfidf_cosine(parts: dict[str, list[similarity.ScoredPair]], correlation: Callable) -> Scores:
    """Words, or stretches of letters: the better on the validation split."""
    found = []
    train_texts = [text for pair in parts["train"] for text in (pair.first, pair.second)]
    for options in ({"analyzer": "word"}, {"analyzer": "char_wb", "ngram_range": (2, 4)}):
        vectors = TfidfVectorizer(sublinear_tf=True, **options).fit(train_texts)

        def score(pairs: Sequence[similarity.ScoredPair], vectors: TfidfVectorizer = vectors) -> list[float]:
            first = vectors.transform([pair.first for pair in pairs])
            second = vectors.transform([pair.second for pair in pairs])
            return first.multiply(second).sum(1).A1.tolist()

        found.append(correlation(score))
    return max(found, key=lambda scores: scores[0])


TASKS: dict[str, Callable[[], tuple[str, Systems]]] = {
    "sentence_polarity": sentence_polarity,
    "wnut17": wnut17,
    "xquad": xquad,
    "stsb_images": stsb_images,
}
