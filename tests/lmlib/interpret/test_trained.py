"""What training puts into a model is found again: planted bias, and induction heads where there are layers for them."""

import pytest

from lmlib.data import world
from lmlib.interpret.induction import head_scores, losses_of_copies, repeated_sequences
from tests.learning import bias, inside


@pytest.mark.long
def test_planted_bias_is_found_in_word_vectors_and_has_its_sign() -> None:
    effects = {}
    for strength in (-1.0, 1.0):
        source = world.make(seed=0, size="large", bias=strength)
        sentences = [bias.words(one.text) for one in source.profiles(bias.N_PROFILES)]
        effects[strength] = bias.planted_vectors(source, sentences, seed=0)
    for against, towards in zip(effects[-1.0], effects[1.0], strict=True):  # words for women and men, and names
        assert against.size < 0 < towards.size
        assert towards.p < 0.05


@pytest.mark.long
def test_two_layers_learn_induction_and_one_does_not() -> None:
    ids = repeated_sequences(64, inside.TEST_PERIOD, inside.N_TOKENS + 1, start_id=inside.START, seed=10**6)
    one, two = (inside.trained_copier(n_layers, seed=0, steps=300) for n_layers in (1, 2))
    loss_of_one, loss_of_two = (losses_of_copies(model, ids, inside.TEST_PERIOD)[1] for model in (one, two))
    assert loss_of_one > 1.5  # it knows which tokens occur: ln 12 is 2.5 nats
    assert loss_of_two < 1.0
    scores = head_scores(two, ids, inside.TEST_PERIOD)
    assert scores.induction[1].max() > 0.25 > head_scores(one, ids, inside.TEST_PERIOD).induction.max()
    assert scores.previous[0].max() > 0.2
