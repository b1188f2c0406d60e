"""Sequence to sequence: batches mean the same to the peers, what was learned is written, scores are the witnesses'."""

import pytest
import sacrebleu
import torch

from lmlib.finetuning.generative_qa import NO_ANSWER, answer_scores, source_of, target_of
from lmlib.finetuning.sequence_to_sequence import PairEncoder, collator, scores, write
from lmlib.models.transformer import Transformer, TransformerConfig
from lmlib.text.characters import Characters
from lmlib.text.tokenizer import Template
from tests.lmlib.decoding.tiny import READERS, pair
from tests.lmlib.models.parity import FLOAT32

LETTERS = "abcdefghijklmnop"
PAIRS = [("abc", "cba"), ("fgh", "hgf"), ("d", "d"), ("aceg", "geca")]


def letters(single: tuple[tuple[str, int], ...] = (("$A", 0), ("<end>", 0))) -> Characters:
    """Characters behind <pad>, <start>, <end> and <unk>, as ids 0 to 3; 20 tokens in all."""
    special = ("<pad>", "<unk>", "<end>", "<start>")
    found = Characters.train([LETTERS], special_tokens=special)
    found.template = Template(single=single)
    return found


@pytest.mark.parametrize("kind", READERS)
def test_the_collated_batch_has_the_peers_loss(kind: str, seed: int, tmp_path):
    peer, ours = pair(kind, seed, tmp_path)
    around = (("$A", 0), ("<end>", 0)) if kind == "t5" else (("<start>", 0), ("$A", 0), ("<end>", 0))
    encoder = PairEncoder(letters(around), letters(around), ours.config.eos_token_id)
    batch = collator(ours.config.pad_token_id)([encoder.example(*one) for one in PAIRS])
    assert batch["input_ids"].shape == (4, 5 if kind == "t5" else 6)
    reference = peer(**batch).loss.item()
    assert ours(**batch).loss.item() == pytest.approx(reference, abs=FLOAT32 * (1 + reference))


def test_targets_end_with_the_end_token_and_padding_is_no_label():
    encoder = PairEncoder(letters(), letters(), 2, prefix="a: ", max_source=4, max_target=3)
    batch = collator(0)([encoder.example("bcdef", "abcd"), encoder.example("b", "c")])
    tokenizer = letters()
    assert tokenizer.decode(batch["input_ids"][0].tolist()).endswith("<end>")
    assert batch["input_ids"][0].tolist()[0] == tokenizer.id_of("a")
    assert batch["labels"].tolist() == [
        [tokenizer.id_of("a"), tokenizer.id_of("b"), 2],
        [tokenizer.id_of("c"), 2, -100],
    ]
    assert encoder.text(batch["labels"][0].tolist()) == "ab"


def test_a_learned_task_is_written_greedily_and_with_beams_in_the_order_asked():
    torch.manual_seed(0)
    tokenizer = letters()
    encoder = PairEncoder(tokenizer, tokenizer, 2)
    sizes = {"d_model": 32, "n_layers": 1, "n_heads": 2, "d_ff": 64, "max_positions": 16, "dropout": 0.0}
    tokens = {"pad_token_id": 0, "bos_token_id": 3, "eos_token_id": 2, "decoder_start_token_id": 3}
    model = Transformer(TransformerConfig(vocab_size=len(tokenizer), **sizes, **tokens))
    batch = collator(0)([encoder.example(*one) for one in PAIRS])
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(80):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    model.eval()
    sources, targets = zip(*PAIRS, strict=True)
    for n_beams in (1, 3):
        assert write(model, encoder, sources, max_new_tokens=8, n_beams=n_beams, batch_size=2) == list(targets)


def test_scores_are_those_of_sacrebleu_and_by_hand():
    written = ["the cat sat on the mat", "a dog"]
    references = [["the cat is on the mat"], ["a dog", "one dog"]]
    found = scores(written, references, "en")
    padded = [[accepted[i % len(accepted)] for accepted in references] for i in range(2)]
    assert found["BLEU"] == pytest.approx(sacrebleu.corpus_bleu(written, padded).score)
    assert found["chrF"] == pytest.approx(sacrebleu.corpus_chrf(written, padded).score)
    assert found["exact match"] == 50
    assert found["ROUGE-1"] == pytest.approx(100 * (5 / 6 + 1) / 2)
    assert found["ROUGE-2"] == pytest.approx(100 * (3 / 5 + 1) / 2)
    assert found["ROUGE-L"] == pytest.approx(100 * (5 / 6 + 1) / 2)
    chinese = scores(["我喜欢猫"], [["我喜欢狗"]], "zh")
    assert chinese["BLEU"] == pytest.approx(sacrebleu.corpus_bleu(["我喜欢猫"], [["我喜欢狗"]], tokenize="zh").score)


def test_wrong_use_is_refused_with_a_reason():
    open_ended = letters((("$A", 0),))
    with pytest.raises(ValueError, match=r"must end with the model's end token 2.* never learns to stop"):
        PairEncoder(open_ended, open_ended, 2)
    with pytest.raises(ValueError, match="one of en, zh; got 'de'"):
        scores(["a"], [["a"]], "de")


# generative question answering


def test_answers_are_scored_by_the_rules_of_their_language_and_no_answer_is_an_answer():
    written = ["The red barn.", "no answer", "no answer", "at home"]
    answers = [["red barn"], [], ["in town"], []]
    assert answer_scores(written, answers, "en") == {"exact match": 50, "F1": 50}
    assert answer_scores(["《北京》", "没有答案"], [["北京"], []], "zh") == {"exact match": 100, "F1": 100}
    assert answer_scores(["big red barn"], [["red barn"]], "en")["F1"] == pytest.approx(100 * 2 * (2 / 3) / (5 / 3))


def test_a_question_is_read_with_its_passage_and_the_target_may_be_that_there_is_none():
    assert source_of("Who?", "Ann ran.") == "question: Who? context: Ann ran."
    assert target_of(["Ann", "she"], "en") == "Ann"
    assert target_of([], "zh") == NO_ANSWER["zh"]
    with pytest.raises(ValueError, match="one of en, zh; got 'fr'"):
        target_of([], "fr")
    with pytest.raises(ValueError, match="got 1 for 2 questions"):
        answer_scores(["a"], [["a"], ["b"]], "en")
