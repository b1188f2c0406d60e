"""The comparison of objectives in small: every loss goes down, the table and the figure come out."""

import json

import pytest

from tests.learning import objectives
from tests.learning._backbones import LENGTH, NOTHING, OBJECTIVES, Corpus, pretrain


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus.read(n_characters=15_000, vocab_size=300)


def test_documents_are_stretches_of_sentences_that_fit(corpus):
    assert all(len(document) > 1 for document in corpus.documents)
    assert max(sum(map(len, document)) for document in corpus.documents) <= LENGTH - 3
    assert corpus.encode(["The", "zebrafish"]) == [corpus.ids["the"], corpus.ids["[UNK]"]]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_loss_of_every_objective_goes_down_in_a_few_steps(name, corpus):
    _, losses = pretrain(name, corpus, seed=0, steps=12)
    assert sum(losses[-3:]) / 3 < 0.95 * sum(losses[:2]) / 2


def test_the_trunk_has_as_many_weights_for_every_objective_but_permutation(corpus):
    sizes = {name: pretrain(name, corpus, 0, steps=1)[0].n_trunk for name in OBJECTIVES}
    assert len({n for name, n in sizes.items() if name != "permutation"}) == 1
    assert sizes["permutation"] < 1.15 * sizes["causal"]


def test_one_command_measures_prints_draws_and_goes_on_where_it_stopped(monkeypatch, tmp_path, capsys):
    for name, value in {"CORPUS": 15_000, "N_TRAIN": 20, "N_TEST": 20, "N_SUMMARIES": 10, "TUNING_STEPS": 2}.items():
        monkeypatch.setattr(objectives, name, value)
    monkeypatch.setattr(objectives, "OBJECTIVES", {name: OBJECTIVES[name] for name in ("masked", "span corruption")})
    kept, figure = tmp_path / "kept.jsonl", tmp_path / "figure.png"
    arguments = ["--seeds", "0", "--steps", "2", "--kept", str(kept), "--figure", str(figure)]
    objectives.run(arguments)
    first = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in first[-3:]] == ["masked", "span corruption", NOTHING]
    assert figure.stat().st_size < 60_000
    rows = [json.loads(line) for line in kept.read_text("utf-8").splitlines()]
    assert all(0 <= row["scores"][column] <= 1 for row in rows for column in objectives.COLUMNS)
    objectives.run(arguments)
    assert capsys.readouterr().out.splitlines() == first[-5:]  # nothing was measured again


def test_the_table_gives_the_mean_and_the_range_over_seeds():
    seeds = [dict.fromkeys(objectives.COLUMNS, value) for value in (0.2, 0.3, 0.7)]
    assert objectives.table({"one": seeds}).splitlines()[-1].startswith("| one | 0.40 (0.20–0.70) |")
