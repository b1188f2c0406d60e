"""Train as a file says: `python -m lmlib.training FILE`, or `torchrun --nproc-per-node N -m lmlib.training FILE`."""

import argparse
import os
from pathlib import Path

import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record

from lmlib.training.loop import train
from lmlib.training.one_process import OneProcess
from lmlib.training.parallel import start
from lmlib.training.random_state import set_seed
from lmlib.training.recipe import Recipe, held_out_loss


@record  # torchrun then shows the error of the process that failed first
def main() -> None:
    """Read the file and run it, alone or as one of the processes that torchrun started."""
    parser = argparse.ArgumentParser(prog="python -m lmlib.training", description=__doc__)
    parser.add_argument("file", type=Path, help="a YAML file with the sections model, data, training, parallel")
    recipe = Recipe.from_file(parser.parse_args().file)
    run(recipe, processes_for(recipe))
    if dist.is_initialized():
        dist.destroy_process_group()


def processes_for(recipe: Recipe) -> OneProcess:
    """This process alone, or joined with the others. Raises ValueError when their number is not what the file says."""
    plan, device = recipe.parallel, recipe.training.torch_device()
    n_started = int(os.environ.get("WORLD_SIZE", "1"))  # torchrun sets it
    if plan is not None and n_started > 1:
        return start(plan, device)
    if plan is not None:
        plan.table(1)
    elif n_started > 1:
        raise ValueError(f"{n_started} processes were started, but the file has no section parallel that says for what")
    return OneProcess(device)


def run(recipe: Recipe, processes: OneProcess) -> None:
    """Train, print how it ended, and write the whole model to the run's folder, where `from_pretrained` reads it."""
    set_seed(recipe.training.seed)
    model = recipe.make_model()
    batches, held_out = recipe.data.make_batches()
    log = train(
        model,
        batches,
        recipe.training,
        evaluate=lambda trained: held_out_loss(trained, held_out, processes.device),
        processes=processes,
    )
    weights = processes.model_state(model)
    if not processes.is_first:
        return
    step, values = log.evaluations[-1]
    shown = {"loss": log.losses[-1], **values}
    print(
        f"after {step} steps:",
        ", ".join(f"{name} {value:.4f}" for name, value in shown.items()) + "; " + log.describe_speed(),
    )
    if recipe.training.folder is not None:
        whole = recipe.make_model()
        whole.load_state_dict(weights)
        whole.save_pretrained(Path(recipe.training.folder) / "model")


if __name__ == "__main__":
    main()
