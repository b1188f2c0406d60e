"""Faster ways to the same numbers, all in one place; each says within which bound it equals the plain way.

    with fast.decoding(model) as paths:            # or weights="int8"
        generate(model, prompts, 100, compiled=True)
    print(paths)                                   # which layer takes which path, and why others take the plain one

On a CPU the first call with compiled=True waits for a C++ compiler; for a few hundred tokens leave it out.

    TrainingConfig(steps=1000, fast=True)

The switch: LMLIB_FAST=0 in the environment turns all of them off, and then exactly the plain way runs.
"""

from lmlib.fast.products import WEIGHTS, Int8Weights, Paths, decoding
from lmlib.fast.switch import SWITCH, is_on
from lmlib.fast.training import TrainingPath

__all__ = ["SWITCH", "WEIGHTS", "Int8Weights", "Paths", "TrainingPath", "decoding", "is_on"]
