"""Tokens for scoring: Chinese by character, the rest by word."""

from lmlib.text.segments import segments


def test_chinese_is_split_by_character_and_the_rest_by_word():
    assert segments("我在 GPT-4 里，用了 3 次 Ünïcode_名字。") == [
        *"我在",
        "gpt",
        "4",
        *"里用了",
        "3",
        "次",
        "ünïcode",
        *"名字",
    ]
    assert segments("𠀀字") == ["𠀀", "字"]  # a character beyond 16 bits
    assert segments(" ,。! ") == []
