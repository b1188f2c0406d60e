"""Decoding: from a model's scores to text, by one engine with a cache that is allocated once."""

from lmlib.decoding.beam import beam_search
from lmlib.decoding.engine import Constraint, generate, stream
from lmlib.decoding.sampling import Sampling
from lmlib.decoding.session import unpadded
from lmlib.decoding.stopping import Continuation, Stop

__all__ = ["Constraint", "Continuation", "Sampling", "Stop", "beam_search", "generate", "stream", "unpadded"]
