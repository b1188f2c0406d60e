"""JSON that somebody else wrote, read so that its texts can be stored and shown."""

import json
import re
from typing import Any

ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def loads(text: str) -> Any:
    """The data of a JSON text; half a character ("\\ud800", which no file and no database takes) becomes "?".

    Raises ValueError for what is no JSON, and also when it is too deep to be read.
    """
    try:
        data = json.loads(text)
        if ESCAPED_SURROGATE.search(text):
            data = json.loads(json.dumps(data, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("lists in lists, too deep to be read") from None
    return data
