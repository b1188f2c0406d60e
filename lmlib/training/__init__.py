"""Training: one loop, and the parts it is made of."""

from lmlib.training.checkpoints import CheckpointFileError, checkpoints, load_checkpoint
from lmlib.training.config import TrainingConfig
from lmlib.training.log import Log
from lmlib.training.loop import TrainingError, model_loss, real_labels, train
from lmlib.training.random_state import set_seed

__all__ = [
    "CheckpointFileError",
    "Log",
    "TrainingConfig",
    "TrainingError",
    "checkpoints",
    "load_checkpoint",
    "model_loss",
    "real_labels",
    "set_seed",
    "train",
]
