"""Text → tokens for scoring, with no vocabulary: Chinese by character, other scripts by word."""

import re

CHINESE = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
SEGMENT = re.compile(rf"[{CHINESE}]|[^\W_{CHINESE}]+")


def segments(text: str) -> list[str]:
    """Lower-case tokens: each Chinese character, each run of other letters or digits; punctuation is left out."""
    return SEGMENT.findall(text.lower())
