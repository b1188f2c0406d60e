"""Steps before an answer: how they are written, how the answer is found, and how several chains vote."""

import pytest

from lmlib.decoding import Sampling
from lmlib.prompting import Solution, Working, solve
from tests.lmlib.decoding import tiny
from tests.lmlib.prompting.words import decode, encode

WORKING = Working(marker="Answer:", end=".")


def test_an_answer_is_found_where_it_was_written():
    text = WORKING.shown("How many?", "Two and two make four", " four")
    assert text == "How many?\nTwo and two make four\nAnswer: four."
    assert WORKING.answer_of(text.removeprefix(WORKING.asked("How many?"))) == "four"
    assert WORKING.shown("How many?", "", " four") == "How many?\nAnswer: four."


def test_what_comes_after_the_first_answer_is_left_out():
    assert WORKING.answer_of("Answer: one.\nAnswer: two.") == "one"
    assert WORKING.answer_of("no end to it") is None


def test_chains_vote_and_those_without_an_answer_do_not():
    solution = Solution(("", "", "", "", ""), (None, "5", "7", "7", None))
    assert (solution.answer, solution.agreement) == ("7", 0.4)
    assert Solution(("", ""), ("8", "3")).answer == "8"  # of equals the first
    assert (Solution(("",), (None,)).answer, Solution(("",), (None,)).agreement) == (None, 0.0)


class Script:
    """A model that writes given tokens after any prompt, the same to each row."""

    def __init__(self, tokens: list[int], folder):
        _, self.model = tiny.pair("llama", 0, folder)
        self.forward, self.tokens, self.model.forward = self.model.forward, tokens, self.write
        self.prompts: list[list[int]] = []

    def write(self, ids, *rest, cache, **given):
        if cache.length == 0:
            self.prompts += ids.tolist()
            self.at = 0
        out = self.forward(ids, *rest, cache=cache, **given)
        out.logits = out.logits * 0
        out.logits[:, -1, self.tokens[self.at]] = 99.0
        self.at += 1
        return out


def test_chains_end_at_the_end_and_keep_their_steps(tmp_path):
    script = Script(encode(" so\nAnswer: very good. film"), tmp_path)
    (solution, other) = solve(script.model, encode, decode, ["The", "film"], 12, working=WORKING, shown="\n")
    assert solution == other == Solution((" so\nAnswer: very good",), ("very good",))
    assert script.prompts == [encode("\nThe\n"), encode("\nfilm\n")]


def test_an_answer_that_the_length_cuts_off_does_not_count(tmp_path):
    script = Script(encode("Answer: very very good."), tmp_path)
    assert solve(script.model, encode, decode, ["The"], 6, working=WORKING)[0].answer == "very very good"
    assert solve(script.model, encode, decode, ["The"], 4, working=WORKING)[0].answer is None


def test_sampled_chains_differ_and_come_again_with_their_seed(tmp_path):
    _, model = tiny.pair("gpt2", 0, tmp_path)
    asked = {"working": WORKING, "sampling": Sampling(), "n": 6, "batch_size": 2}
    first, again, other = (
        solve(model, encode, decode, ["The", "film", "The film"], 5, seed=seed, **asked) for seed in (1, 1, 2)
    )
    assert [len(one.chains) for one in first] == [6, 6, 6]
    assert len(set(first[0].chains)) > 1
    assert first == again != other


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: WORKING.asked("Really?\nAnswer: yes"), "'Answer:' marks where an answer begins or ends"),
        (lambda: WORKING.shown("How", "One. Two", "3"), r"'\.' marks .* stands in 'One\. Two'"),
        (lambda: WORKING.shown("How", "", "3."), r"'\.' marks .* stands in '3\.'"),
        (lambda: solve(None, encode, decode, [], 5), "no question to solve"),
        (lambda: Working(marker=""), "marker and end must be texts"),
        (lambda: Working(end=""), "marker and end must be texts"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()
