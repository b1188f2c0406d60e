"""Templates, verbalisers and few-shot prompts: what stands where, and what is refused."""

import math

import pytest
import torch

from lmlib.prompting import Demonstration, Prompt, Template, Verbaliser

SENTIMENT = Verbaliser({0: ("bad", "poor"), 1: "good"})
SHOWN = (Demonstration({"text": "I cried."}, 0), Demonstration({"text": "I smiled."}, 1))


def test_a_filled_template_parts_at_the_answer():
    template = Template("{{{name}}} saw {thing}: {answer}, said {name}.")
    assert template.slots == ("name", "thing")
    assert template.fill({"name": "Ann", "thing": "it"}) == ("{Ann} saw it: ", ", said Ann.")


def test_braces_in_a_value_are_text():
    assert Template("{text} = {answer}").fill({"text": "{answer}"}) == ("{answer} = ", "")


def test_demonstrations_stand_first_in_their_order_each_with_the_first_word_of_its_label():
    prompt = Prompt(Template("{text} It was {answer}."), SENTIMENT, SHOWN, separator=" / ")
    assert prompt.fill({"text": "I slept."}) == (
        "I cried. It was bad. / I smiled. It was good. / I slept. It was ",
        ".",
    )
    assert prompt.ordered([1, 0]).fill({"text": "?"})[0] == "I smiled. It was good. / I cried. It was bad. / ? It was "
    assert prompt.ordered([0, 1]).fill({"text": "?"}) == prompt.fill({"text": "?"})


def test_content_free_inputs_fill_every_slot():
    prompt = Prompt(Template("{a} and {b}? {answer}"), SENTIMENT)
    assert prompt.content_free(["N/A", ""]) == [{"a": "N/A", "b": "N/A"}, {"a": "", "b": ""}]


def test_a_label_is_as_likely_as_its_words_together():
    scores = torch.tensor([[0.1, 0.2, 0.25]]).log()
    assert SENTIMENT.words == ("bad", "poor", "good")
    labels = SENTIMENT.label_scores(scores)
    assert labels.exp().tolist() == [pytest.approx([0.3, 0.25])]
    assert SENTIMENT.predictions(labels) == [0]


def test_words_that_cannot_be_leave_a_label_impossible_and_not_nan():
    scores = SENTIMENT.label_scores(torch.tensor([[-math.inf, -math.inf, -1.0]]))
    assert scores.tolist() == [[-math.inf, -1.0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Template("no slot"), r"needs the slot \{answer\} once; 'no slot' has it 0 times"),
        (lambda: Template("{answer} {answer}"), "has it 2 times"),
        (lambda: Template("{answer} {"), "do not match"),
        (lambda: Template("{answer} {0}"), "slots are plain names"),
        (lambda: Template("{answer} {x:>3}"), "slots are plain names"),
        (lambda: Template("{answer} {x!r}"), "slots are plain names"),
        (lambda: Template("{text} {answer}").fill({}), r"has the slots \['text'\]; values were given for \[\]"),
        (lambda: Template("{text} {answer}").fill({"text": "a", "txt": "b"}), r"given for \['text', 'txt'\]"),
        (lambda: Prompt(Template("{answer}"), SENTIMENT, SHOWN).ordered([0, 0]), r"of the 2 .* once; got \[0, 0\]"),
        (lambda: Verbaliser({0: "bad"}), "two labels or more"),
        (lambda: Verbaliser({0: "bad", 1: ()}), "two labels or more, and a word for each"),
        (lambda: Verbaliser({0: "bad", 1: ""}), "a word for each"),
        (lambda: Verbaliser({0: "bad", 1: ("good", "bad")}), "bad stands more than once"),
        (lambda: SENTIMENT.word(2), "has no label 2; it has 0, 1"),
        (lambda: SENTIMENT.label_scores(torch.zeros(2, 2)), r"must be \(N, 3\), one a word; got \(2, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()
