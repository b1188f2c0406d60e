"""Text → tokens for scoring, with no vocabulary: Chinese by character, other scripts by word."""

import re

# The blocks of ideographs that BERT's tokenizer sets apart, as a character class of a regular expression.
CHINESE = (
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b73f"
    "\U0002b740-\U0002b81f\U0002b820-\U0002ceaf\U0002f800-\U0002fa1f"
)
SEGMENT = re.compile(rf"[{CHINESE}]|[^\W_{CHINESE}]+")


def segments(text: str) -> list[str]:
    """Lower-case tokens: each Chinese character, each run of other letters or digits; punctuation is left out."""
    return SEGMENT.findall(text.lower())
