"""LLaMA's shape, training and greedy decoding: ours against transformers and, where it is installed, litgpt.

litgpt asks for other versions of other packages, so it needs an environment of its own; RESULTS.md says how.
"""

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig as PeerConfig
from transformers import LlamaForCausalLM

from lmlib.decoding import Stop, generate
from lmlib.models.llama import Llama, LlamaConfig
from tests.benchmarks.interleaved import Program, Ratio, measure
from tests.benchmarks.peers import Size
from tests.benchmarks.training import steps_of

TRAINING = (Size(384, 6, 6, 256, 65), 8)  # and the batch
DECODING = {"124M": Size(768, 12, 12, 1024, 50257), "tiny": Size(64, 2, 2, 128, 500)}
PROMPT_LENGTH = 16


def compare_training(rounds: int, device: str, steps: int = 5) -> list[Ratio]:
    """Ratios of times for some steps in float32. Raises AssertionError when the first losses differ."""
    size, batch = TRAINING
    ids = torch.randint(0, size.vocab_size, (batch, size.context), generator=torch.Generator().manual_seed(1))
    ids = ids.to(device)
    programs: dict[str, Program] = {
        name: steps_of(model.train(), loss_of, ids, steps) for name, (model, loss_of) in _models(size, device).items()
    }
    first = [program() for program in programs.values()]
    torch.testing.assert_close(first, [first[0]] * len(first), rtol=1e-4, atol=1e-4)
    work = f"LLaMA, training, {steps} steps, 6 × 384, context {size.context}, batch {batch}, float32"
    return measure(work, programs.pop("ours"), programs, rounds)


def compare_decoding(size_name: str, dtype: torch.dtype, n_new: int, rounds: int, device: str) -> list[Ratio]:
    """Ratios of times for `n_new` tokens after one prompt. Raises AssertionError when the tokens differ."""
    size = DECODING[size_name]
    models = {name: model.to(dtype).eval() for name, (model, _) in _models(size, device).items()}
    ids = torch.randint(0, size.vocab_size, (1, PROMPT_LENGTH), generator=torch.Generator().manual_seed(1)).to(device)
    ours, peer = models["ours"], models["transformers"]
    options = {"max_new_tokens": n_new, "do_sample": False, "pad_token_id": 0, "attention_mask": torch.ones_like(ids)}
    programs: dict[str, Program] = {
        "ours": lambda: generate(ours, ids, n_new, stop=Stop(()))[0].tokens,
        "transformers": lambda: peer.generate(ids, **options)[0, PROMPT_LENGTH:].tolist(),
    }
    if "litgpt" in models:
        programs["litgpt"] = _litgpt_writes(models["litgpt"], ids[0], n_new, dtype)
    if dtype == torch.float32:  # in 16 bits scores tie, and the programs may then go different ways
        written = {name: program() for name, program in programs.items()}
        assert all(tokens == written["ours"] for tokens in written.values()), f"other tokens: {written}"
    work = f"LLaMA {size_name} shape, greedy, {n_new} tokens, batch 1, {str(dtype).removeprefix('torch.')}"
    return measure(work, programs.pop("ours"), programs, rounds)


def _models(size: Size, device: str) -> dict[str, tuple[Any, Callable[[Tensor], Tensor]]]:
    """Each library's model with the same weights, and how it computes the loss of ids (B, T)."""
    d_ff = 4 * size.d_model
    torch.manual_seed(0)
    peer = LlamaForCausalLM(
        PeerConfig(
            vocab_size=size.vocab_size,
            hidden_size=size.d_model,
            num_hidden_layers=size.n_layers,
            num_attention_heads=size.n_heads,
            intermediate_size=d_ff,
            max_position_embeddings=size.context,
            bos_token_id=None,
            eos_token_id=None,
        )
    )
    own = LlamaConfig(
        vocab_size=size.vocab_size,
        d_model=size.d_model,
        n_layers=size.n_layers,
        n_heads=size.n_heads,
        d_ff=d_ff,
        max_positions=size.context,
        eos_token_id=None,
    )
    ours = Llama(own, "language_model")
    stored = peer.state_dict()
    ours.load_stored(stored)
    models: dict[str, tuple[Any, Callable[[Tensor], Tensor]]] = {
        "ours": (ours, lambda ids: ours(ids, labels=ids).loss),
        "transformers": (peer, lambda ids: peer(ids, labels=ids).loss),
    }
    if importlib.util.find_spec("litgpt") is not None:
        models["litgpt"] = _litgpt(size, d_ff, stored)
    return {name: (model.to(device), loss_of) for name, (model, loss_of) in models.items()}


def _litgpt(size: Size, d_ff: int, stored: dict[str, Tensor]) -> tuple[Any, Callable[[Tensor], Tensor]]:
    from litgpt.config import Config
    from litgpt.model import GPT
    from litgpt.utils import chunked_cross_entropy

    config = Config(
        block_size=size.context,
        padded_vocab_size=size.vocab_size,
        n_layer=size.n_layers,
        n_embd=size.d_model,
        n_head=size.n_heads,
        n_query_groups=size.n_heads,
        intermediate_size=d_ff,
        rotary_percentage=1.0,
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        norm_eps=1e-6,
        mlp_class_name="LLaMAMLP",
    )
    model = GPT(config)
    own = {
        "lm_head.weight": stored["lm_head.weight"],
        "transformer.wte.weight": stored["model.embed_tokens.weight"],
        "transformer.ln_f.weight": stored["model.norm.weight"],
    }
    names = {
        "norm_1": ["input_layernorm"],
        "norm_2": ["post_attention_layernorm"],
        "attn.qkv": [f"self_attn.{part}_proj" for part in "qkv"],
        "attn.proj": ["self_attn.o_proj"],
        "mlp.fc_1": ["mlp.gate_proj"],
        "mlp.fc_2": ["mlp.up_proj"],
        "mlp.proj": ["mlp.down_proj"],
    }
    for i in range(size.n_layers):
        for mine, theirs in names.items():
            parts = [stored[f"model.layers.{i}.{name}.weight"] for name in theirs]
            own[f"transformer.h.{i}.{mine}.weight"] = torch.cat(parts)
    model.load_state_dict(own)

    def loss_of(ids: Tensor) -> Tensor:
        return chunked_cross_entropy(model(ids)[:, :-1], ids[:, 1:], chunk_size=0)

    return model, loss_of


def _litgpt_writes(model: Any, prompt: Tensor, n_new: int, dtype: torch.dtype) -> Callable[[], list[int]]:
    from litgpt.generate.base import generate as litgpt_generate

    model.set_kv_cache(batch_size=1, device=prompt.device, dtype=dtype)

    def run() -> list[int]:
        written = litgpt_generate(model, prompt, len(prompt) + n_new, temperature=0.0, top_p=0.0, include_prompt=False)
        return written.tolist()

    return run
