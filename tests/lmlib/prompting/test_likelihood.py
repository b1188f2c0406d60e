"""Answers scored by a causal model, against the peer library one by one, in float64, and against numbers by hand."""

import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from lmlib.decoding import session
from lmlib.prompting import Demonstration, Prompt, Template, Verbaliser, answer_log_probabilities, causal_scores
from lmlib.prompting.likelihood import split_tokens
from tests.lmlib.decoding import tiny
from tests.lmlib.models.parity import FLOAT32, assert_close
from tests.lmlib.prompting.words import decode, encode

VERBALISER = Verbaliser({"no": ("bad", "so bad"), "yes": "very very good"})
PROMPT = Prompt(Template("The film: {text} Answer: {answer}."), VERBALISER)
EXAMPLES = [{"text": text} for text in ("The film is good.", "bad", "", "so very very bad film.", "The.")]


def peer_score(peer, prompt: list[int], answer: list[int]) -> float:
    """ln P of one answer: the peer's logits, the softmax in float64 NumPy, one text at a time and no cache."""
    with torch.no_grad():
        logits = peer(torch.tensor([prompt + answer])).logits[0].double().numpy()
    shifted = logits - logits.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return sum(log_p[len(prompt) + i - 1, token] for i, token in enumerate(answer))


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gpt_neo"])
def test_batched_answers_score_as_the_peer_scores_each_alone(kind: str, seed: int, tmp_path):
    peer, model = tiny.pair(kind, seed, tmp_path)
    draw = random.Random(seed)
    prompts = tiny.prompts_of(seed, n=7, longest=9)
    answers = [[[draw.randrange(tiny.VOCAB) for _ in range(draw.randint(1, 5))] for _ in range(3)] for _ in prompts]
    scores = answer_log_probabilities(model, prompts, answers, batch_size=3)
    expected = [[peer_score(peer, p, a) for a in row] for p, row in zip(prompts, answers, strict=True)]
    assert_close(scores.total, torch.tensor(expected), FLOAT32)
    assert scores.lengths.tolist() == [[len(a) for a in row] for row in answers]
    assert_close(scores.mean, torch.tensor(expected) / scores.lengths, FLOAT32)


def test_answers_of_one_token_are_scored_without_a_second_pass(seed: int, tmp_path, monkeypatch):
    peer, model = tiny.pair("llama", seed, tmp_path)
    passes = []
    feed = session.Session.feed
    monkeypatch.setattr(
        session.Session, "feed", lambda self, ids, **given: passes.append(ids.shape) or feed(self, ids, **given)
    )
    scores = answer_log_probabilities(model, [[3, 4]], [[[i] for i in range(tiny.VOCAB)]])
    assert passes == [(1, 2)]
    assert float(scores.total.exp().sum()) == pytest.approx(1, abs=1e-5)
    assert float(scores.total[0, 7]) == pytest.approx(peer_score(peer, [3, 4], [7]), abs=1e-5)


def test_a_prompt_is_read_once_for_all_its_answers(seed: int, tmp_path, monkeypatch):
    _, model = tiny.pair("gpt2", seed, tmp_path)
    passes = []
    feed = session.Session.feed
    monkeypatch.setattr(
        session.Session, "feed", lambda self, ids, **given: passes.append(tuple(ids.shape)) or feed(self, ids, **given)
    )
    answer_log_probabilities(model, [[3, 4, 5, 6]], [[[7, 8, 9], [8], [9, 9], [4, 5]]])
    assert passes == [(1, 4), (4, 2)]  # the prompt for one row, then all answers but their last token


class ByHand(torch.nn.Module):
    """Next-token probabilities 1/2, 1/4, 1/8, 1/8 after an even token, the same backwards after an odd one."""

    config = SimpleNamespace(max_positions=50)

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.decoder = SimpleNamespace(allocate_cache=lambda rows, length: SimpleNamespace(length=0, repeat=self.kept))
        self.eval()

    def kept(self, times: int, length: int) -> SimpleNamespace:
        return self.decoder.allocate_cache(0, 0)

    def forward(self, ids: Tensor, mask=None, positions=None, *, cache, last_only: bool) -> SimpleNamespace:
        cache.layers = [SimpleNamespace(key=torch.zeros(1, 1, 50, 1))]
        probs = torch.tensor([0.5, 0.25, 0.125, 0.125])
        logits = torch.where(ids[..., None] % 2 == 0, probs, probs.flip(0)).log()
        return SimpleNamespace(logits=logits[:, -1:] if last_only else logits, last_hidden_state=logits)


def test_scores_of_a_model_worked_by_hand():
    scores = answer_log_probabilities(ByHand(), [[0], [2, 1]], [[[0], [1, 3, 0]], [[0], [1, 3, 0]]])
    by_hand = [[1 / 2, 1 / 4 * 1 / 2 * 1 / 8], [1 / 8, 1 / 8 * 1 / 2 * 1 / 8]]
    assert scores.total.exp().tolist() == [pytest.approx(row) for row in by_hand]
    assert scores.mean[0, 1].item() == pytest.approx(math.log(1 / 64) / 3)


def test_a_label_sums_the_probabilities_of_its_words_each_scored_with_what_follows(seed: int, tmp_path):
    peer, model = tiny.pair("llama", seed, tmp_path)
    scores = causal_scores(model, encode, PROMPT, EXAMPLES, batch_size=2)
    for example, row in zip(EXAMPLES, scores, strict=True):
        start = encode(f"The film: {example['text']} Answer:")
        ends = [encode(" bad."), encode(" so bad."), encode(" very very good.")]
        words = [peer_score(peer, start, end) for end in ends]
        expected = [np.logaddexp(words[0], words[1]), words[2]]
        assert row.tolist() == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_by_mean_a_long_answer_is_not_punished_for_its_length(seed: int, tmp_path):
    peer, model = tiny.pair("gpt2", seed, tmp_path)
    scores = causal_scores(model, encode, PROMPT, EXAMPLES[:1], by="mean")
    start = encode("The film: The film is good. Answer:")
    assert float(scores[0, 1]) == pytest.approx(peer_score(peer, start, encode(" very very good.")) / 4, abs=1e-5)


def test_few_shot_scores_are_those_of_the_written_out_text(seed: int, tmp_path):
    _, model = tiny.pair("llama", seed, tmp_path)
    shown = Prompt(
        Template("{text}:{answer}"), Verbaliser({0: " bad", 1: " good"}), [Demonstration({"text": "The film"}, 1)], "\n"
    )
    by_hand = Prompt(Template("The film: good\n{text}:{answer}"), shown.verbaliser)
    examples = [{"text": "so very"}, {"text": "The"}]
    assert_close(causal_scores(model, encode, shown, examples), causal_scores(model, encode, by_hand, examples))


def test_the_space_before_a_word_goes_to_the_answer():
    shared, answers = split_tokens(encode, "Answer: ", ["good", "very good"])
    assert (decode(shared), [decode(ids) for ids in answers]) == ("Answer:", [" good", " very good"])
    assert encode("Answer: ") != shared  # there the space is a token of its own


def test_a_prompt_whose_end_melts_into_one_answer_is_cut_for_all():
    merged = {"ab": 1, "a": 2, "b": 3, "c": 4}

    def greedy(text: str) -> list[int]:
        ids = []
        while text:
            piece = next(p for p in merged if text.startswith(p))
            ids, text = [*ids, merged[piece]], text[len(piece) :]
        return ids

    assert split_tokens(greedy, "ca", ["b", "c"]) == ([4], [[1], [2, 4]])


def test_bfloat16_scores_stay_near_those_of_float32(tmp_path):
    _, model = tiny.pair("llama", 0, tmp_path)
    exact = causal_scores(model, encode, PROMPT, EXAMPLES)
    rounded = causal_scores(model.bfloat16(), encode, PROMPT, EXAMPLES)
    assert rounded.dtype == torch.float32
    assert_close(rounded, exact, 4e-2)


@pytest.mark.gpu
def test_scores_on_a_gpu_equal_those_on_the_cpu(tmp_path):
    _, model = tiny.pair("llama", 0, tmp_path)
    exact = causal_scores(model, encode, PROMPT, EXAMPLES)
    assert_close(causal_scores(model.cuda(), encode, PROMPT, EXAMPLES), exact, 1e-4)


TINY = ByHand()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: answer_log_probabilities(TINY, [], []), "got 0 prompts and 0 lists of answers"),
        (lambda: answer_log_probabilities(TINY, [[1]], []), "got 1 prompts and 0 lists of answers"),
        (lambda: answer_log_probabilities(TINY, [[1], [2]], [[[1]], [[1], [2]]]), r"same number .* got \[1, 2\]"),
        (lambda: answer_log_probabilities(TINY, [[1]], [[]]), r"one or more; got \[0\]"),
        (lambda: answer_log_probabilities(TINY, [[1]], [[[1], []]]), "an answer has no tokens"),
        (lambda: answer_log_probabilities(TINY, [[]], [[[1]]]), r"at least one token; got empty prompts \[0\]"),
        (lambda: answer_log_probabilities(TINY, [[1] * 48], [[[1] * 4]]), "need 51 positions; the model has 50"),
        (lambda: answer_log_probabilities(ByHand().train(), [[1]], [[[1]]]), r"call model.eval\(\) first"),
        (lambda: causal_scores(TINY, encode, PROMPT, []), "got 0 prompts"),
        (lambda: causal_scores(TINY, encode, PROMPT, EXAMPLES, by="max"), "by must be .* got 'max'"),
        (lambda: split_tokens(encode, "The", [" film", " actor", " plot"]), "' actor' and ' plot' the same tokens"),
        (lambda: split_tokens(lambda text: [1], "The", ["a", "b"]), "the answer 'a' has no token of its own"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_reason(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_encoder_decoder_is_refused(tmp_path):
    _, model = tiny.pair("t5", 0, tmp_path)
    with pytest.raises(ValueError, match="T5 reads a source first"):
        answer_log_probabilities(model, [[3]], [[[4]]])


def test_broken_weights_are_an_error_and_not_a_label(tmp_path):
    _, model = tiny.pair("gpt2", 0, tmp_path)
    torch.nn.init.constant_(model.decoder.final_norm.weight, math.nan)
    with pytest.raises(ValueError, match="NaN"):
        causal_scores(model, encode, PROMPT, EXAMPLES)
