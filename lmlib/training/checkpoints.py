"""Checkpoints: all that a run needs to go on as if it had never stopped, in files that are whole or not there.

A file is written beside its place, forced to the disk and renamed: a rename happens or does not. What is read back is
tensors, numbers and text only, never code.
"""

import os
import pickle
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

NAME = "step-{:08d}.pt"
PATTERN = re.compile(r"step-(\d{8,})\.pt")
PARTIAL = ".partial"


class CheckpointFileError(RuntimeError):
    """A checkpoint that cannot be written or read: which file, why, what to do."""


def checkpoints(folder: str | Path) -> list[Path]:
    """The checkpoints of a folder, oldest first."""
    found = {int(match[1]): path for path in Path(folder).glob("*.pt") if (match := PATTERN.fullmatch(path.name))}
    return [found[step] for step in sorted(found)]


def save_checkpoint(folder: str | Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write the state after `step` steps, and delete all but the newest `keep`.

    Raises CheckpointFileError when it cannot be written; those that were there stay.
    """
    folder = Path(folder)
    path = folder / NAME.format(step)
    partial = path.with_suffix(PARTIAL)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*" + PARTIAL):  # of a run that was killed as it wrote
            left.unlink()
        with partial.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(folder)
    except (OSError, RuntimeError) as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        why = error.__context__ if isinstance(error.__context__, OSError) else error  # torch covers it by another
        raise CheckpointFileError(
            f"{path} cannot be written ({why}); the checkpoints before it are whole. Free some room and run again"
        ) from error
    for old in checkpoints(folder)[:-keep]:
        old.unlink()
    return path


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state that a checkpoint holds, on the CPU. Raises CheckpointFileError when the file is damaged."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointFileError(f"{path} is damaged ({error}); delete it to go on from the one before") from error


def _sync_folder(folder: Path) -> None:
    """Force the new name to the disk as well; only POSIX systems can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
