"""Instruction tuning: only answers and their ends are learned, and a prompt is the beginning of its example."""

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from lmlib.finetuning.instructions import ChatTemplate, InstructionEncoder, Turn, collator
from lmlib.text.characters import Characters
from tests.lmlib.finetuning.families import build
from tests.lmlib.models.parity import loaded, randomised

TEXTS = ["Question: Answer:\n", "abcdefgh ijklmnop"]
TALK = [Turn("system", "be"), Turn("user", "abc"), Turn("assistant", "de"), Turn("user", "f"), Turn("assistant", "gh")]


@pytest.fixture
def tokenizer() -> Characters:
    return Characters.train(TEXTS, special_tokens=("<pad>", "<unk>", "<end>"))


@pytest.fixture
def encoder(tokenizer: Characters) -> InstructionEncoder:
    return InstructionEncoder(tokenizer, "<end>", max_length=200)


def test_all_answers_of_a_conversation_are_learned_with_their_ends_and_nothing_else(encoder, tokenizer):
    example = encoder.example(TALK)
    assert tokenizer.decode(example.input_ids) == ("be\nQuestion: abc\nAnswer: de<end>Question: f\nAnswer: gh<end>")
    learned = [label for label in example.labels if label != -100]
    assert tokenizer.decode(learned) == "de<end>gh<end>"
    assert all(label in (-100, token) for token, label in zip(example.input_ids, example.labels, strict=True))


def test_a_prompt_is_how_its_example_begins(encoder):
    for n in (1, 3):
        turns = TALK[: n + 1]
        prompt = encoder.prompt(turns)
        example = encoder.example([*turns, TALK[n + 1]])
        assert example.input_ids[: len(prompt)] == prompt
        assert example.labels[len(prompt)] != -100
    assert encoder.answer([*example.input_ids[len(prompt) :], 7, 7]) == "gh"
    assert encoder.answer(example.input_ids[len(prompt) : -1]) == "gh"


def test_loss_and_gradients_equal_the_peers_and_come_from_answers_alone(seed: int, tokenizer, encoder, tmp_path):
    """The peer's loss on the same batch; and a mean over the answers' tokens by hand in float64."""
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_head=2, n_layer=1, n_positions=80)
    peer = randomised(GPT2LMHeadModel(config), seed)
    model = loaded(peer, tmp_path)
    batch = collator(0)([encoder.example(TALK), encoder.example(TALK[1:3])])
    assert batch["input_ids"].shape == batch["labels"].shape == batch["attention_mask"].shape
    loss = model(**batch).loss
    assert loss.item() == pytest.approx(peer(**batch).loss.item(), rel=1e-5)
    with torch.no_grad():
        log_p = model(batch["input_ids"], batch["attention_mask"]).logits.double().log_softmax(-1).numpy()
    learned = [
        -log_p[row, t - 1, label]
        for row, labels in enumerate(batch["labels"].tolist())
        for t, label in enumerate(labels)
        if label != -100
    ]
    assert len(learned) == 9  # de<end> gh<end>, de<end>
    assert loss.item() == pytest.approx(np.mean(learned), rel=1e-5)


def test_padding_and_other_rows_change_nothing(seed: int, encoder):
    model = build("llama", seed, vocab_size=40)
    short, long = encoder.example(TALK[1:3]), encoder.example(TALK)
    alone, other = (model(**collator(0)([one])).loss for one in (short, long))
    both = model(**collator(0)([short, long])).loss
    torch.testing.assert_close(both, (3 * alone + 6 * other) / 9, rtol=1e-5, atol=1e-6)


def test_text_with_braces_is_taken_as_it_is():
    template = ChatTemplate(user="[{text}]", assistant="")
    plain = Characters.train([*TEXTS, "[]{}x"], special_tokens=("<pad>", "<unk>", "<end>"))
    encoder = InstructionEncoder(plain, "<end>", template)
    assert plain.decode(encoder.prompt([Turn("user", "a{text}{b}")])) == "[a{text}{b}]"


def test_wrong_use_is_refused_with_a_reason(tokenizer, encoder):
    with pytest.raises(ValueError, match="one of system, user, assistant; got 'robot'"):
        Turn("robot", "a")
    with pytest.raises(ValueError, match=r"hold \{text\}; got .* and 'Question'"):
        ChatTemplate(user="Question")
    with pytest.raises(ValueError, match="has a turn of the assistant"):
        encoder.example(TALK[:2])
    with pytest.raises(ValueError, match=r"ends with a turn of the user; got \['system', 'user', 'assistant'\]"):
        encoder.prompt(TALK[:3])
    with pytest.raises(ValueError, match="ends with a turn of the user"):
        encoder.prompt([])
    with pytest.raises(ValueError, match="has 17 tokens; max_length=10: shorten"):
        InstructionEncoder(tokenizer, "<end>", ChatTemplate(assistant=""), max_length=10).example(TALK[1:3])
    with pytest.raises(ValueError, match="<stop>"):
        InstructionEncoder(tokenizer, "<stop>")
