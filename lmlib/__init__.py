"""lmlib: the models, objectives and tools of the book, each in a file that can be read in one sitting.

`import lmlib` is light: a room is loaded when it is first used.
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

_ROOMS = (
    "hub",
    "text",
    "data",
    "attention",
    "positions",
    "layers",
    "transformer",
    "models",
    "decoding",
    "evaluation",
    "plots",
    "interpret",
    "course",
)


def __getattr__(name: str) -> ModuleType:
    if name in _ROOMS:
        return importlib.import_module(f"lmlib.{name}")
    raise AttributeError(f"lmlib has no room {name!r}; there are: {', '.join(_ROOMS)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS])
