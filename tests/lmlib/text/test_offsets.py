"""Each piece stands for the characters that the `tokenizers` library says, on text of every kind."""

import random

import pytest
from tokenizers import Tokenizer as Peer

from lmlib import hub
from lmlib.text.offsets import Piece, pieces
from lmlib.text.wordpiece import WordPiece

FOLDER = hub.find_model("all-MiniLM-L6-v2")
PARTS = [
    *(
        "The ",
        "unaffable",
        "ness",
        " naïve",
        " Ångström",
        "İstanbul",
        "ΣΟΦΙΑΣ",
        "ﬁne",
        "straße",
        " don't",
        "3.14%",
        "—",
    ),
    *(
        "中文",
        "句子，",
        "한국어",
        "日本語の",
        "👩‍🚀",
        "☕",
        "é",
        "e\u0301",
        "\u00ad",
        "\u200b",
        "\x07",
        "\t",
        "\n",
        " ",
        "\u3000",
    ),
    *("[SEP]", "[MASK] ", "[sep]", "##ing", "a" * 120, "\ufffd", "ا\u064e", "ไทย"),
]


@pytest.fixture(scope="module")
def ours() -> WordPiece:
    return WordPiece.from_folder(FOLDER)


@pytest.fixture(scope="module")
def peer() -> Peer:
    peer = Peer.from_file(str(FOLDER / "tokenizer.json"))
    peer.no_truncation()
    peer.no_padding()
    return peer


def test_offsets_are_those_of_the_peer(ours, peer, seed):
    rng = random.Random(seed)
    for _ in range(300):
        text = "".join(rng.choice(PARTS) for _ in range(rng.randint(1, 12)))
        theirs = peer.encode(text, add_special_tokens=False)
        found = pieces(ours, text)
        assert [piece.id for piece in found] == theirs.ids, repr(text)
        assert [(piece.start, piece.end) for piece in found] == theirs.offsets, repr(text)


def test_pieces_have_the_ids_of_the_tokenizer(ours, seed):
    rng = random.Random(seed)
    text = "".join(rng.choice(PARTS) for _ in range(200))
    assert [piece.id for piece in pieces(ours, text)] == ours.encode(text)[1:-1]


def test_a_worked_case(ours):
    found = pieces(ours, "  Café—[SEP]")
    assert [(ours.pieces[piece.id], piece.start, piece.end) for piece in found] == [
        ("cafe", 2, 6),
        ("—", 6, 7),
        ("[SEP]", 7, 12),
    ]
    assert pieces(ours, " \x07 ") == []


def test_an_unknown_word_stands_for_all_its_characters(ours):
    assert pieces(ours, f"x {'a' * 101}") == [Piece(ours.id_of("x"), 0, 1), Piece(ours.id_of("[UNK]"), 2, 103)]
