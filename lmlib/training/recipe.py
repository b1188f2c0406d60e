"""A training run as a file: which model, which text, how it is trained, in how many processes.

    model: {family: gpt2, d_model: 128, n_layers: 4, n_heads: 4, max_positions: 64}
    data: {name: tiny_shakespeare, length: 64, batch_size: 12}
    training: {steps: 2000, learning_rate: 1.0e-3, folder: runs/shakespeare}
    parallel: {mode: fsdp+tensor, tensor: 2}

The model is a decoder-only family of `lmlib.models` with the fields of its config. Its tokens are the bytes of a text
that has a name, as here, or those of a file: `data: {file: tokens.bin, length: 64, batch_size: 12}`, which
`lmbook data tokens` writes.
`training` has the fields of `TrainingConfig`, `parallel` (absent for one process) those of `Parallelism`.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast, get_args

import torch
import yaml
from torch import Tensor, nn

from lmlib import data
from lmlib.data import world
from lmlib.data.batching import Batch, Loader, Windows, next_tokens
from lmlib.data.token_file import TokenFile, TokenLoader
from lmlib.models import FAMILIES, family_of
from lmlib.models.causal import CausalModel
from lmlib.text.bytes import Bytes
from lmlib.training.config import TrainingConfig
from lmlib.training.parallel import Parallelism

SMALL_WORLD = "world"
HELD_OUT = 0.1  # of the text, at its end
EVALUATED_WINDOWS = 256  # of the held-out text, at most


@dataclass(frozen=True)
class TextData:
    """Running text by name: a corpus of the registry that has one file, or "world", the small world."""

    name: str
    length: int  # tokens that the model reads at a time
    batch_size: int  # of all processes together
    language: str = "en"  # of the small world
    n_chars: int = 1_000_000  # of the small world
    seed: int = 0  # of the small world, and of the order of the batches

    def text(self) -> str:
        """The text. Raises DataError for a name that is not known."""
        if self.name == SMALL_WORLD:
            corpus = world.make(self.seed).corpus("train", self.language, self.n_chars)
            return "\n\n".join(text.text for text in corpus)
        return data.load(self.name).text()

    def vocab_size(self) -> int:
        """The tokens are bytes."""
        return len(Bytes())

    def make_batches(self) -> tuple[Loader, list[Batch]]:
        """The loader of the training text, and batches of the text that is held out."""
        ids = torch.tensor(Bytes().encode(self.text()))
        n_held_out = int(len(ids) * HELD_OUT)
        if n_held_out < self.length:
            raise ValueError(
                f"the text has {len(ids)} tokens, and of its end {n_held_out} are held out, which do not fill one "
                f"window of {self.length}; shorten the windows or take a longer text"
            )
        windows = Windows(ids[:-n_held_out], self.length)
        rows = ids[-n_held_out:].unfold(0, self.length, self.length)[:EVALUATED_WINDOWS]
        return Loader(windows, self.batch_size, next_tokens, self.seed), _batches(list(rows), self.batch_size)


@dataclass(frozen=True)
class FileData:
    """A file of tokens, as `lmlib.data.token_file` writes it; mapped, so that it may be larger than the memory."""

    file: str
    length: int  # tokens that the model reads at a time
    batch_size: int  # of all processes together
    seed: int = 0  # of the order of the batches

    def vocab_size(self) -> int:
        """That of the file. Raises DataError."""
        return TokenFile(self.file).vocab_size

    def make_batches(self) -> tuple[Loader, list[Batch]]:
        """The loader of the training tokens, and batches of those that are held out. Raises DataError, ValueError."""
        tokens = TokenFile(self.file)
        first_held_out = len(tokens) - int(len(tokens) * HELD_OUT)
        held_out = tokens.windows(self.length, first_held_out)
        rows = [held_out[i] for i in range(min(len(held_out), EVALUATED_WINDOWS))]
        windows = tokens.windows(self.length, 0, first_held_out)
        return TokenLoader(windows, self.batch_size, self.seed), _batches(rows, self.batch_size)


def _batches(windows: list[Tensor], batch_size: int) -> list[Batch]:
    return [next_tokens(windows[at : at + batch_size]) for at in range(0, len(windows), batch_size)]


@dataclass(frozen=True)
class Recipe:
    """A run, read from a file and checked: `from_file`."""

    model: dict[str, Any]
    data: TextData | FileData
    training: TrainingConfig
    parallel: Parallelism | None = None

    @classmethod
    def from_file(cls, path: str | Path) -> "Recipe":
        """Read a YAML file. Raises ValueError with the section and the key that is wrong, missing or unknown."""
        values = yaml.safe_load(Path(path).read_text("utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"{path} must hold the sections model, data, training and, if wanted, parallel")
        for name in values.keys() ^ {"model", "data", "training"}:
            if name != "parallel":
                raise ValueError(f"{path}: the section {name!r} is {'unknown' if name in values else 'missing'}")
        model = values["model"]
        if not isinstance(model, dict) or "family" not in model:
            raise ValueError(f"{path}: model needs its family, one of {', '.join(causal_families())}")
        kind = FileData if isinstance(values["data"], dict) and "file" in values["data"] else TextData
        parallel = values.get("parallel")
        return cls(
            model,
            filled(kind, values["data"], "data"),
            filled(TrainingConfig, values["training"], "training"),
            None if parallel is None else filled(Parallelism, parallel, "parallel"),
        )

    def make_model(self) -> CausalModel:
        """The new model, its weights drawn. Raises ValueError for a family or a field that there is not."""
        family = self.model["family"]
        if family not in causal_families():
            raise ValueError(f"there is no decoder-only family {family!r}; there are: {', '.join(causal_families())}")
        kind = cast("type[CausalModel]", family_of(family))
        given = {"vocab_size": self.data.vocab_size()} | {
            key: value for key, value in self.model.items() if key != "family"
        }
        return kind(filled(kind.config_class, given, "model"), "language_model")


def held_out_loss(model: nn.Module, held_out: list[Batch], device: torch.device) -> dict[str, float]:
    """The mean loss over the windows of the held-out text."""
    total, n_rows = 0.0, 0
    for batch in held_out:
        loss = model(**{name: tensor.to(device) for name, tensor in batch.items()}).loss
        total, n_rows = total + float(loss) * len(batch["labels"]), n_rows + len(batch["labels"])
    return {"held-out loss": total / n_rows}


def causal_families() -> list[str]:
    """The names of the decoder-only families."""
    return [name for name in FAMILIES if issubclass(family_of(name), CausalModel)]


def filled(kind: type, values: Any, section: str) -> Any:
    """A dataclass made of a section of the file. Raises ValueError for keys that it has not, or that are missing."""
    known = {field.name for field in fields(kind)}
    if not isinstance(values, dict):
        raise ValueError(f"{section} must be keys with values, of {', '.join(sorted(known))}; got {values!r}")
    if values.keys() - known:
        wrong = ", ".join(sorted(values.keys() - known))
        raise ValueError(f"{section} has no key {wrong}; it has: {', '.join(sorted(known))}")
    for field in fields(kind):
        value = values.get(field.name)
        if isinstance(value, str) and str not in (field.type, *get_args(field.type)):
            raise ValueError(f"{section}: {field.name} is the text {value!r}; YAML reads a number as 3 or 1.0e-3")
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{section}: {error}") from error
