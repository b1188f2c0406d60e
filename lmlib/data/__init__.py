"""Real corpora by name. `load("tiny_shakespeare").text()` is the text of the plays."""

from lmlib.data.errors import DataError
from lmlib.data.registry import Corpus, corpora, load

__all__ = ["Corpus", "DataError", "corpora", "load"]
