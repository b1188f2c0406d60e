"""`python -m tests.benchmarks.gpu`: the share of a GPU's arithmetic that training uses, and of its bandwidth, decoding.

Training counts operations as `lmlib.training.throughput` does; decoding counts the bytes of all weights that a step
must read. Both are divided by what the maker states.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import nn
from transformers import LlamaConfig as PeerConfig
from transformers import LlamaForCausalLM

from lmlib import fast
from lmlib.decoding import Stop, generate, stream
from lmlib.models.causal import CausalConfig
from lmlib.models.gpt2 import Gpt2, Gpt2Config
from lmlib.models.llama import Llama, LlamaConfig
from lmlib.training import TrainingConfig, train

BANDWIDTHS = {"H200": 4.8e12, "H100": 3.35e12, "A100": 2.04e12}  # bytes per second, by the maker's data sheets
GPT2 = Gpt2Config(vocab_size=50304, dropout=0.0, residual_dropout=0.0, attention_dropout=0.0, eos_token_id=None)
LLAMA_1B = LlamaConfig(d_model=2048, n_layers=22, n_kv_heads=4, d_ff=5632, eos_token_id=None)
LLAMA_7B = LlamaConfig(eos_token_id=None)
PROMPT = 16


def main() -> None:
    """Print a line for each measurement, as soon as it is made. Raises SystemExit without a GPU of BANDWIDTHS."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = {"train-124M": train_gpt2, "train-1B": train_llama, "decode-1B": decode_1b, "decode-7B": decode_7b}
    names |= {"batch-32": against_transformers}
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names)}; all if none is named")
    given = parser.parse_args().names or list(names)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    if not any(name in device for name in BANDWIDTHS):
        raise SystemExit(f"needs one of {', '.join(BANDWIDTHS)}; the GPU here is {device}")
    print(f"{device}; torch {torch.__version__}\n\n| work | measured | share of the peak |\n| --- | --- | --- |")
    for name in given:
        print(names[name](), flush=True)


def bandwidth() -> float:
    """Bytes a second of the GPU at hand."""
    return next(value for name, value in BANDWIDTHS.items() if name in torch.cuda.get_device_name())


def train_gpt2() -> str:
    """GPT-2 of 124 million weights, 1,024 tokens a row."""
    return training("training, GPT-2 124M, bfloat16, compiled", Gpt2(GPT2, "language_model"), 64, 1024)


def train_llama() -> str:
    """A LLaMA of 1.1 billion weights, 2,048 tokens a row."""
    return training("training, LLaMA 1.1B, bfloat16, compiled", Llama(LLAMA_1B, "language_model"), 8, 2048)


def training(work: str, model: nn.Module, batch: int, length: int, steps: int = 20) -> str:
    """Some steps of the training loop on random tokens, after others to warm up."""
    config = model.config
    ids = torch.randint(0, config.vocab_size, (batch, length), device="cuda")
    batches = [{"input_ids": ids, "labels": ids}] * steps
    told = TrainingConfig(steps, 1e-4, precision="bfloat16", compile=True, device="cuda")
    train(model, batches[:5], TrainingConfig(5, 1e-4, precision="bfloat16", compile=True, device="cuda"))
    log = train(model, batches, told)
    assert log.mfu is not None
    assert log.tokens_per_second is not None
    assert log.memory is not None
    measured = f"{log.tokens_per_second:,.0f} tokens/s, {log.memory / 2**30:.0f} GiB"
    return f"| {work}, {batch} × {length} | {measured} | {log.mfu:.1%} |"


def decode_1b() -> str:
    """Greedy decoding of one prompt, 1.1 billion weights."""
    return decoding("1.1B", LLAMA_1B)


def decode_7b() -> str:
    """Greedy decoding of one prompt, 6.7 billion weights."""
    return decoding("7B", LLAMA_7B)


def decoding(name: str, config: LlamaConfig, n_new: int = 256, warm_up: int = 32) -> str:
    """Seconds a token once the steps are compiled; the embedding is looked up, not read as a whole."""
    model = random_llama(config)
    with fast.decoding(model):
        tokens = stream(model, [list(range(PROMPT))], n_new, stop=Stop(()), compiled=True)
        for _ in range(warm_up):
            next(tokens)
        seconds = timed(lambda: list(tokens)) / (n_new - warm_up)
    n_bytes = sum(p.numel() * p.element_size() for p in model.parameters()) - 2 * model.word.weight.numel()
    share = n_bytes / seconds / bandwidth()
    return f"| greedy, LLaMA {name}, batch 1, bfloat16, CUDA graphs | {1 / seconds:.0f} tokens/s | {share:.1%} |"


def against_transformers(batch: int = 32, n_new: int = 128) -> str:
    """32 prompts at once: the time of `transformers` divided by ours."""
    model = random_llama(LLAMA_1B)
    ids = torch.randint(0, LLAMA_1B.vocab_size, (batch, PROMPT), device="cuda")
    sizes = {"hidden_size": 2048, "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4}
    with torch.device("cuda"):
        peer = LlamaForCausalLM(PeerConfig(**sizes, intermediate_size=5632, vocab_size=32000)).to(torch.bfloat16).eval()
    options = {"do_sample": False, "min_new_tokens": n_new, "pad_token_id": 0, "attention_mask": torch.ones_like(ids)}
    programs = {
        "plain": lambda: generate(model, ids, n_new, stop=Stop(())),
        "compiled": lambda: generate(model, ids, n_new, stop=Stop(()), compiled=True),
        "peer": lambda: peer.generate(ids, max_new_tokens=n_new, **options),
    }
    for program in programs.values():
        program()
    seconds = {name: min(timed(program) for _ in range(3)) for name, program in programs.items()}
    ratios = ", ".join(f"{name} {seconds['peer'] / seconds[name]:.2f}" for name in ("plain", "compiled"))
    return f"| greedy, LLaMA 1.1B, batch {batch}, {n_new} tokens, transformers' time to ours | {ratios} | - |"


def random_llama(config: CausalConfig) -> Llama:
    """A model with random weights, in bfloat16 on the GPU."""
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = Llama(config, "language_model").eval()
    torch.set_default_dtype(torch.float32)
    return model


def timed(program: Callable[[], object]) -> float:
    """Seconds until the GPU has done it."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    program()
    torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
