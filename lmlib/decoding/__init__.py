"""Decoding: from a model's scores to text, by one engine with a cache that is allocated once."""

from lmlib.decoding.beam import beam_search
from lmlib.decoding.constrained import OneOf, Regex, json_regex
from lmlib.decoding.contrastive import contrastive_search
from lmlib.decoding.engine import Constraint, generate, stream
from lmlib.decoding.sampling import Sampling
from lmlib.decoding.session import unpadded
from lmlib.decoding.speculative import Tally, speculative
from lmlib.decoding.stopping import Continuation, Stop

__all__ = [
    "Constraint",
    "Continuation",
    "OneOf",
    "Regex",
    "Sampling",
    "Stop",
    "Tally",
    "beam_search",
    "contrastive_search",
    "generate",
    "json_regex",
    "speculative",
    "stream",
    "unpadded",
]
