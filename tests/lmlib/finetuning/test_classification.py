"""Texts to classes: batches, predictions, scores, and that it learns."""

import random

import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from transformers import BertForSequenceClassification

from lmlib.data.batching import Loader
from lmlib.data.tasks.classification import LabelledText
from lmlib.finetuning.classification import Collator, classes, evaluate, predict, probabilities
from tests.lmlib.finetuning import tiny


def labelled(rng: random.Random, n: int) -> list[LabelledText]:
    """A text is about the film when "good" or "bad" stands in it; which one is the class."""
    found = []
    for _ in range(n):
        label = rng.choice(["bad", "good"])
        words = [word for word in tiny.sentence(rng, rng.randint(1, 9)) if word not in ("good", "bad")]
        words.insert(rng.randint(0, len(words)), label)
        found.append(LabelledText(" ".join(words), (label,)))
    return found


@pytest.fixture
def collator() -> Collator:
    return Collator(tiny.tokenizer(), ("bad", "good", "neither"), max_length=24)


def test_classes_are_numbered_in_the_order_given(collator):
    batch = collator([LabelledText("film", ("good",)), LabelledText("the film", ("bad",))])
    assert batch["labels"].tolist() == [1, 0]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert classes([LabelledText("x", ("b",)), LabelledText("y", ("a",)), LabelledText("z", ("b",))]) == ("a", "b")


def test_a_class_that_is_not_known_is_named(collator):
    with pytest.raises(ValueError, match="there is no class 'great'; there are: bad, good, neither"):
        collator([LabelledText("film", ("great",))])
    with pytest.raises(ValueError, match="there is no text to classify"):
        probabilities(tiny.model("classification", 3), collator, [])


def test_the_loss_is_the_peers(collator, seed, tmp_path):
    model = tiny.model("classification", 3, seed).eval()
    model.save_pretrained(tmp_path)
    peer = BertForSequenceClassification.from_pretrained(tmp_path).eval()
    batch = collator(labelled(random.Random(seed), 5))
    torch.testing.assert_close(model(**batch).loss, peer(**batch).loss, rtol=1e-5, atol=1e-5)


def test_a_prediction_does_not_depend_on_the_batch_it_is_made_in(collator, seed):
    model = tiny.model("classification", 3, seed).train()
    texts = [example.text for example in labelled(random.Random(seed), 20)]
    together = probabilities(model, collator, texts, batch_size=7)
    alone = torch.cat([probabilities(model, collator, [text]) for text in texts])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.sum(-1), torch.ones(20))
    assert model.training, "evaluation must leave the model as it was"


def test_scores_are_those_of_scikit_learn(collator, seed):
    model = tiny.model("classification", 3, seed)
    examples = labelled(random.Random(seed), 40)
    predicted = predict(model, collator, [example.text for example in examples])
    true = [example.label for example in examples]
    assert evaluate(model, collator, examples) == pytest.approx(
        {"accuracy": accuracy_score(true, predicted), "macro_f1": f1_score(true, predicted, average="macro")}
    )


def test_it_learns_which_word_decides():
    rng = random.Random(0)
    collator = Collator(tiny.tokenizer(), ("bad", "good"))
    model = tiny.model("classification", 2)
    held_out = labelled(rng, 100)
    assert evaluate(model, collator, held_out)["accuracy"] < 0.7
    tiny.fit(model, Loader(labelled(rng, 400), 32, collator), steps=80)
    assert evaluate(model, collator, held_out)["accuracy"] > 0.95
