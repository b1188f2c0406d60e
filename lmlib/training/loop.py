"""The training loop. Read `train`; every other function here is one of its lines."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lmlib.fast import TrainingPath
from lmlib.models.base import IGNORED_LABEL, PretrainedModel
from lmlib.training.config import TrainingConfig
from lmlib.training.log import Log
from lmlib.training.one_process import Batch, Loss, OneProcess
from lmlib.training.optimizers import make_optimizers, set_rate
from lmlib.training.progress import progress_bar
from lmlib.training.random_state import load_random_state, random_state, set_seed
from lmlib.training.run import Run
from lmlib.training.schedules import rate_at
from lmlib.training.throughput import Meter
from lmlib.transformer import Block

Count = Callable[[Any, Batch], int | Tensor]
Evaluate = Callable[[nn.Module], dict[str, float]]


class TrainingError(RuntimeError):
    """A run that cannot go on: at which step, why, what to do."""


def model_loss(model: Any, batch: Batch) -> Tensor:
    """The loss that the model computes itself. Raises ValueError when it has none for this batch."""
    loss = model(**batch).loss
    if loss is None:
        raise ValueError(f"the model returned no loss for a batch of {', '.join(batch)}; does it need labels?")
    return loss


def real_labels(model: Any, batch: Batch) -> Tensor:
    """Over how many labels `model_loss` is a mean. Raises ValueError when the batch has none."""
    if "labels" not in batch:
        raise ValueError(f"accumulation weighs a batch by its labels; this one has {', '.join(batch)}: give count=")
    labels = batch["labels"]
    if isinstance(model, PretrainedModel):
        labels = model.predicted_labels(labels)
    return (labels != IGNORED_LABEL).sum()


def train(
    model: nn.Module,
    batches: Iterable[Batch],
    config: TrainingConfig,
    *,
    loss: Loss = model_loss,
    count: Count | None = None,
    evaluate: Evaluate | None = None,
    processes: OneProcess | None = None,
) -> Log:
    """Train the model in place and return what happened; it ends in evaluation mode.

    batches: without end, each a dict of tensors. loss(model, batch) is a mean over count(model, batch) labels, which is
    asked for where several batches, or processes, make a step; if not given, loss.count or else `real_labels`.
    evaluate(model) gives named numbers, and cannot change the run. processes: those that run it together
    (`parallel.start`), if this one is not alone.
    With config.folder the run is kept there, and the same call goes on from its newest checkpoint, bit for bit.
    Raises TrainingError when the loss is not finite, CheckpointFileError when the run cannot be kept.
    """
    processes = processes or OneProcess(config.torch_device())
    count_labels: Count = count if count is not None else getattr(loss, "count", real_labels)
    processes.check(config)
    set_recompute(model, config.recompute)
    fast_path = TrainingPath(model, processes.device, config.precision) if config.fast else None
    meter = Meter(model, config.precision, processes)
    processes.divide(model).train()
    set_seed(config.seed + processes.row)  # each draws dropout of its own for the rows that it reads
    optimizers = make_optimizers(model, config)
    run = Run(model, optimizers, batches, config, processes)
    objective = processes.objective(model, torch.compile(loss) if config.compile else loss)
    source = iter(processes.share(batches))
    run.restore()
    log = run.log
    with progress_bar(log.n_steps, config.steps, processes.is_first) as bar:
        for step in range(log.n_steps, config.steps):
            share = rate_at(step, config.schedule, config.steps, config.warmup_steps, config.final_rate)
            set_rate(optimizers, share)
            meter.begin()
            parts = [next_batch(source, processes.device, step) for _ in range(config.accumulation)]
            weights = weights_of(parts, partial(count_labels, model), processes)
            with fast_path.step(rows_of(parts), length_of(parts)) if fast_path else nullcontext():
                own_value = add_gradients(objective, parts, weights, config.precision)
            own_norm = processes.clip_gradients(model, config.clip)
            value, norm = processes.mean(float(own_value)), float(own_norm)  # only here the loop waits for the device
            check_finite(value, norm, step)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            tokens, seconds = meter.end(parts, log)
            log.record(value, share * config.learning_rate, norm, tokens, seconds)
            bar.set_postfix_str(f"loss {value:.3f}, {tokens / seconds:,.0f} tokens/s", refresh=False)
            bar.update()
            if evaluate and is_due(step + 1, config.evaluate_every, config.steps):
                log.evaluations.append((step + 1, evaluated(model, evaluate)))
            if is_due(step + 1, config.checkpoint_every, config.steps):
                run.save()
    model.eval()
    return log


def set_recompute(model: nn.Module, recompute: bool) -> None:
    """Have every block keep all for backward, or only its input. Raises ValueError for a model that has no blocks."""
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    if recompute and not blocks:
        raise ValueError(f"recompute=True needs blocks of lmlib.transformer; {type(model).__name__} has none")
    for block in blocks:
        block.recompute = recompute


def next_batch(source: Iterator[Batch], device: torch.device, step: int) -> Batch:
    """The next batch, on the device. Raises TrainingError at the end of the batches, ValueError for another thing."""
    try:
        batch = next(source)
    except StopIteration:
        raise TrainingError(f"the batches ended at step {step}; a lmlib.data.batching.Loader never does") from None
    if not isinstance(batch, dict):
        raise ValueError(f"a batch is a dict of tensors that the model takes by name; got {type(batch).__name__}")
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def weights_of(parts: list[Batch], count: Callable[[Batch], int | Tensor], processes: OneProcess) -> list[float]:
    """The share of each part in the loss: its share of the labels. A mean of means favours those of short parts.

    With several processes that read different rows, whose losses are averaged, the weights of all have the mean 1.
    """
    if len(parts) == processes.n_rows == 1:
        return [1.0]
    counts = [float(count(part)) for part in parts]
    if not all(counts):
        raise ValueError(
            f"a batch, or this process's rows of one, has no label to learn from (labels: {counts}); take more rows, "
            "or leave out texts that have none"
        )
    all_counts = processes.mean(sum(counts))
    return [n / all_counts for n in counts]


def rows_of(parts: list[Batch]) -> int:
    """How many rows a linear layer multiplies in the smallest of the parts: all positions of all texts."""
    return min(max(tensor.numel() for tensor in part.values()) for part in parts)


def length_of(parts: list[Batch]) -> int:
    """How long the longest text of the parts is."""
    return max(tensor.size(1) if tensor.dim() > 1 else 1 for part in parts for tensor in part.values())


def add_gradients(
    objective: Callable[[Batch], Tensor], parts: list[Batch], weights: list[float], precision: str
) -> Tensor:
    """Add up the gradients of the weighted mean of the parts' losses, and return that mean, ()."""
    values = []
    for part, weight in zip(parts, weights, strict=True):
        device = next(iter(part.values())).device
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            value = objective(part) * weight
        value.backward()
        values.append(value.detach())
    return torch.stack(values).sum()


def check_finite(loss: float, norm: float, step: int) -> None:
    """Raise TrainingError unless loss and gradients are finite; the weights are still those of the step before."""
    for name, value in (("loss", loss), ("norm of the gradients", norm)):
        if not math.isfinite(value):
            raise TrainingError(
                f"at step {step} the {name} is {value}. Lower the learning rate, warm up for longer, or clip at a "
                "smaller norm; if it is step 0, look for a division by 0 or a log of 0 in the loss"
            )


def is_due(done: int, every: int | None, steps: int) -> bool:
    """Whether something that happens every so many steps, and at the end, happens now."""
    return done == steps or (every is not None and done % every == 0)


def evaluated(model: nn.Module, evaluate: Evaluate) -> dict[str, float]:
    """The numbers of `evaluate`, without dropout; what it draws at random changes nothing in the run."""
    before = random_state()
    model.eval()
    with torch.no_grad():
        values = evaluate(model)
    model.train()
    load_random_state(before)
    return {name: float(value) for name, value in values.items()}
