"""Texts that tokenizers trip over, for the tests of this folder."""

import unicodedata

from hypothesis import strategies as st

ENGLISH = "The quick brown fox can't outrun e-mail@example.com; naïve cafés cost $3.50 (or 20% more)."
CHINESE = "注意力机制(attention)让模型看见每一个词。𠀀𪜀豈㐀!?《三体》"
EMOJI = "👩‍👩‍👧‍👦 🇨🇳 ☕️ 👍🏽 ¯\\_(ツ)_/¯ ❤"
CONTROL = "a\x00b\x01c\td\u200be\u00adf\ufeffg\u2028h\u0085i\x7fj\u00a0k\u3000l\ue000m"
MALFORMED = "\ufffd \U000e0001 \u0301 e\u0301 \u1e9b\u0323 İstanbul ǅ ﬃ ſ ß \ud7a3 \u1112\u1161\u11ab"


def is_settled(char: str) -> bool:
    """Of the same category in an old and in this Python's Unicode: the peer's tables are older than ours."""
    return unicodedata.ucd_3_2_0.category(char) == unicodedata.category(char) != "Cn"


some_text = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]).filter(is_settled),
        st.sampled_from(ENGLISH + CHINESE + EMOJI + CONTROL + MALFORMED),
        st.characters(codec="ascii"),
    ),
    max_size=60,
)

# What each kind of tokenizer must cut as its peer does. A file is read with errors="replace" where it is no UTF-8.
SAMPLES = ["", " ", " \t\n", ENGLISH, CHINESE, EMOJI, CONTROL, MALFORMED, "don't  you'll\r\n\r\n 123½ x²", "a" * 300]
SAMPLES.append(b"caf\xe9 \xe4\xb8 \xff\xfe \xf0\x9f\x98".decode("utf-8", "replace"))
