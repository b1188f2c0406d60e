# %% [markdown] name="title"
# # 1.2 什么是大语言模型 · What is a large language model? — exercises
#
# 本节的练习先从配置数出一个 GPT 的参数，一个偏置也不漏；再按 6·N·D 算训练代价，处理权重共享与“只用一半”的情形；
# 然后判断一个模型放不放得下、要训练多少天；最后读图，推出几个数。
#
# You count what others only quote. Each question has a cell for your answer and a cell that checks it. Run the check
# as often as you like. Section 1.2 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 02_what_is_an_llm

# %% name="imports"
import math

import torch

from lmlib.course.checks import hint

# %% [markdown] name="count" question={"points": 5, "difficulty": 3, "minutes": 20, "section": "1.2"}
# ## 1. Count a GPT
#
# A GPT-2 has V tokens, P positions, width C and L blocks. Count its parameters exactly.
#
# | part | parameters |
# | --- | --- |
# | word table, position table | V rows and P rows of C numbers |
# | in a block: queries, keys, values, output | four matrices of (C, C), each with a bias of C |
# | in a block: feed-forward layer | (C, F) and (F, C), each with a bias of its *output* width |
# | in a block: two norms | a weight and a bias of C each |
# | after the last block: one norm | a weight and a bias of C |
# | output layer | the word table once more if `tied`, else a (C, V) matrix of its own, without bias |
#
# `d_ff` is F. Write it as a formula; do not build the model.
#
# | | | |
# | --- | --- | --- |
# | `vocab_size`, `positions`, `width`, `layers`, `d_ff` | int | V, P, C, L, F |
# | `tied` | bool | whether the output layer is the word table |
# | returns | int | the number of parameters |
#
# **What usually goes wrong:** a tied matrix is counted twice; the second bias of the feed-forward layer is given
# width F, though its output has width C.


# %% name="count-answer"
def count_parameters(vocab_size: int, positions: int, width: int, layers: int, d_ff: int, tied: bool) -> int:
    """The number of parameters of a GPT-2 with these sizes."""
    ### BEGIN SOLUTION
    attention = 4 * (width * width + width)
    feed_forward = width * d_ff + d_ff + d_ff * width + width
    norms = 2 * (width + width)
    tables = (vocab_size + positions) * width
    output = 0 if tied else vocab_size * width
    return tables + layers * (attention + feed_forward + norms) + width + width + output
    ### END SOLUTION


# %% name="count-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_what_is_an_llm", "count", count_parameters)

# %% [markdown] name="count-hint-1"
# Write one line for each row of the table. Only the block's lines are multiplied by L.

# %% [markdown] name="count-hint-2"
# A linear layer from a to b with a bias has a·b + b parameters. The feed-forward layer is two of them: C to F, F to C.

# %% name="count-parts"
import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

count = FunctionQuestion(
    "count_parameters",
    returns=("parameters",),
    atol=1e-12,
    because="whole numbers are equal or not",
)


def sizes(vocab_size, positions, width, layers, d_ff, tied):
    return {
        "vocab_size": vocab_size,
        "positions": positions,
        "width": width,
        "layers": layers,
        "d_ff": d_ff,
        "tied": tied,
    }


@count.case(points=1)
def tiny(draw):
    """a model small enough for paper: V = 10, P = 6, C = 4, L = 1, F = 16, tied"""
    return sizes(10, 6, 4, 1, 16, True)


@count.case(points=2)
def two_blocks(draw):
    """two blocks, and F that is not 4C"""
    return sizes(30, 8, 3, 2, 7, True)


@count.case(points=2)
def untied(draw):
    """drawn sizes, and an output layer of its own"""
    width, d_ff, layers = (int(n) + 2 for n in draw.order(4)[:3])
    return sizes(20 + d_ff, 9, width, layers, d_ff, False)


@count.invariant
def is_int(got, inputs):
    """the result must be an int, without a decimal point: 316, not 316.0"""
    return isinstance(got, int)


@count.invariant
def positive(got, inputs):
    """a number of parameters is above 0"""
    return got > 0


# %% name="count-mistake-tied-twice"
# %%mistake count
# A tied output layer *is* the word table. Its numbers are stored and counted once.
def count_parameters(vocab_size, positions, width, layers, d_ff, tied):
    block = 4 * (width * width + width) + 2 * width * d_ff + d_ff + width + 4 * width
    return (vocab_size + positions) * width + layers * block + 2 * width + vocab_size * width


# %% name="count-mistake-no-biases"
# %%mistake count
# The biases of the linear layers are missing.
def count_parameters(vocab_size, positions, width, layers, d_ff, tied):
    block = 4 * width * width + 2 * width * d_ff + 4 * width
    return (vocab_size + positions) * width + layers * block + 2 * width + (0 if tied else vocab_size * width)


# %% name="count-mistake-bias-width"
# %%mistake count
# Both biases of the feed-forward layer have width F here. A bias has the width of the layer's *output*: the second
# has C.
def count_parameters(vocab_size, positions, width, layers, d_ff, tied):
    block = 4 * (width * width + width) + 2 * width * d_ff + 2 * d_ff + 4 * width
    return (vocab_size + positions) * width + layers * block + 2 * width + (0 if tied else vocab_size * width)


# %% name="count-mistake-last-norm"
# %%mistake count
# The norm after the last block is missing.
def count_parameters(vocab_size, positions, width, layers, d_ff, tied):
    block = 4 * (width * width + width) + 2 * width * d_ff + d_ff + width + 4 * width
    return (vocab_size + positions) * width + layers * block + (0 if tied else vocab_size * width)


# %% name="count-mistake-three-matrices"
# %%mistake count
# Three matrices are counted for attention. Queries, keys, values, *and* the output projection: four.
def count_parameters(vocab_size, positions, width, layers, d_ff, tied):
    block = 3 * (width * width + width) + 2 * width * d_ff + d_ff + width + 4 * width
    return (vocab_size + positions) * width + layers * block + 2 * width + (0 if tied else vocab_size * width)


# %% name="count-mistake-rule"
# %%mistake count
# That is the rule of thumb 12·L·C². It leaves out tables, biases and norms, and it takes F to be 4C.
def count_parameters(vocab_size, positions, width, layers, d_ff, tied):
    return 12 * layers * width**2


# %% name="count-mistake-four-c"
# %%mistake count
# F is taken to be 4·C. It is given, as `d_ff`, and may be another number.
def count_parameters(vocab_size, positions, width, layers, d_ff, tied):
    block = 4 * (width * width + width) + 8 * width * width + 5 * width + 4 * width
    return (vocab_size + positions) * width + layers * block + 2 * width + (0 if tied else vocab_size * width)


# %% name="count-mistake-never-untied"
# %%mistake count
# An output layer that is *not* tied is a matrix of its own, (C, V). It is not counted.
def count_parameters(vocab_size, positions, width, layers, d_ff, tied):
    block = 4 * (width * width + width) + 2 * width * d_ff + d_ff + width + 4 * width
    return (vocab_size + positions) * width + layers * block + 2 * width


# %% name="count-mistake-all-times-layers"
# %%mistake count
# All lines of the table are multiplied by L. Only those of the block are there L times.
def count_parameters(vocab_size, positions, width, layers, d_ff, tied):
    block = 4 * (width * width + width) + 2 * width * d_ff + d_ff + width + 4 * width
    rest = (vocab_size + positions) * width + 2 * width + (0 if tied else vocab_size * width)
    return layers * (block + rest)


# %% name="count-mistake-one-vector-a-norm"
# %%mistake count
# Each norm is counted with C numbers. It has a weight *and* a bias: 2·C.
def count_parameters(vocab_size, positions, width, layers, d_ff, tied):
    block = 4 * (width * width + width) + 2 * width * d_ff + d_ff + width + 2 * width
    return (vocab_size + positions) * width + layers * block + width + (0 if tied else vocab_size * width)


# %% name="count-other-layers"
# %%other count
# A list of the linear layers and their two widths.
def count_parameters(vocab_size, positions, width, layers, d_ff, tied):
    linear = [(width, width)] * 4 + [(width, d_ff), (d_ff, width)]
    block = sum(a * b + b for a, b in linear)
    n_norms = 2 * layers + 1
    tables = vocab_size * (1 if tied else 2) + positions
    return width * tables + layers * block + n_norms * 2 * width


# %% name="count-other-meta"
# %%other count
# Empty layers on the meta device, counted by torch.
def count_parameters(vocab_size, positions, width, layers, d_ff, tied):
    nn = torch.nn
    with torch.device("meta"):
        block = [nn.Linear(width, width) for _ in range(4)] + [nn.LayerNorm(width), nn.LayerNorm(width)]
        block += [nn.Linear(width, d_ff), nn.Linear(d_ff, width)]
        rest = [nn.Embedding(vocab_size, width), nn.Embedding(positions, width), nn.LayerNorm(width)]
        rest += [] if tied else [nn.Linear(width, vocab_size, bias=False)]
    size = lambda parts: sum(p.numel() for part in parts for p in part.parameters())  # noqa: E731
    return layers * size(block) + size(rest)


# %% [markdown] name="cost" question={"points": 4, "difficulty": 2, "minutes": 15, "section": "1.2"}
# ## 2. What training costs
#
# Estimate the operations of a training run by 6·N·D, where N is the number of parameters **applied to a token** and D
# the number of tokens read, repetitions included.
#
# | | | |
# | --- | --- | --- |
# | `stored` | float | parameters that are stored in the blocks |
# | `repeats` | int | how often each block that a token passes is applied to it (ALBERT: 12, most models: 1) |
# | `encoder_decoder` | bool | True if a token passes only one half of the stored parameters (T5) |
# | `batch`, `length`, `steps` | int | sequences in a batch, tokens in a sequence, steps |
# | returns | float | operations, not rounded |
#
# A model may have both: two halves, *and* blocks that are applied several times.
#
# **What usually goes wrong:** 2·N·D is taken, the forward pass alone; stored parameters are taken for applied ones.


# %% name="cost-answer"
def training_cost(stored: float, repeats: int, encoder_decoder: bool, batch: int, length: int, steps: int) -> float:
    """Operations of a training run by the rule 6·N·D."""
    ### BEGIN SOLUTION
    applied = stored * repeats
    if encoder_decoder:
        applied = applied / 2
    tokens = batch * length * steps
    return float(6 * applied * tokens)
    ### END SOLUTION


# %% name="cost-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_what_is_an_llm", "cost", training_cost)

# %% [markdown] name="cost-hint-1"
# First the parameters that one token meets on its way, then the number of tokens in the whole run.

# %% [markdown] name="cost-hint-2"
# One token meets stored · repeats parameters, and in an encoder-decoder half of that. The run reads
# batch · length · steps tokens.

# %% name="cost-parts"
cost = FunctionQuestion(
    "training_cost",
    returns=("operations",),
    atol=1e-6,
    because="the result is compared by its relative error; a product of seven factors in float32 keeps six digits",
)


@cost.case(points=1)
def plain(draw):
    """a BERT: 85 million parameters in the blocks, 256 sequences of 512, 1 million steps"""
    return {
        "stored": 85e6,
        "repeats": 1,
        "encoder_decoder": False,
        "batch": 256,
        "length": 512,
        "steps": 1_000_000,
    }


@cost.case(points=1)
def shared(draw):
    """one small layer that is applied 12 times"""
    return {"stored": 7.0, "repeats": 12, "encoder_decoder": False, "batch": 2, "length": 3, "steps": 4}


@cost.case(points=2)
def halves(draw):
    """an encoder-decoder with drawn sizes, whose blocks are applied three times"""
    a, b, c = (int(n) + 2 for n in draw.order(60)[:3])
    return {
        "stored": 2.0 * a + 1,
        "repeats": 3,
        "encoder_decoder": True,
        "batch": b,
        "length": 64,
        "steps": 1000 * c,
    }


@cost.invariant
def some(got, inputs):
    """training costs something"""
    return got > 0


# %% name="cost-mistake-forward-only"
# %%mistake cost
# 2·N·D is the forward pass. The backward pass needs twice as much again: 6 in all.
def training_cost(stored, repeats, encoder_decoder, batch, length, steps):
    return 2.0 * stored * repeats / (2 if encoder_decoder else 1) * batch * length * steps


# %% name="cost-mistake-stored"
# %%mistake cost
# The stored parameters are counted once, however often they are applied. Sharing weights saves memory, and no
# operations.
def training_cost(stored, repeats, encoder_decoder, batch, length, steps):
    return 6.0 * stored / (2 if encoder_decoder else 1) * batch * length * steps


# %% name="cost-mistake-both-halves"
# %%mistake cost
# A token of an encoder-decoder passes the encoder *or* the decoder: half of the weights.
def training_cost(stored, repeats, encoder_decoder, batch, length, steps):
    return 6.0 * stored * repeats * batch * length * steps


# %% name="cost-mistake-sequences"
# %%mistake cost
# The sequences are counted, not their tokens: the length is missing.
def training_cost(stored, repeats, encoder_decoder, batch, length, steps):
    return 6.0 * stored * repeats / (2 if encoder_decoder else 1) * batch * steps


# %% name="cost-mistake-squared"
# %%mistake cost
# The length enters squared. That is so for the scores of attention alone; the matrices see each token once.
def training_cost(stored, repeats, encoder_decoder, batch, length, steps):
    return 6.0 * stored * repeats / (2 if encoder_decoder else 1) * batch * length**2 * steps


# %% name="cost-mistake-one-or-other"
# %%mistake cost
# The two rules exclude each other here. A model may have two halves *and* apply each block several times: multiply by
# `repeats`, then halve.
def training_cost(stored, repeats, encoder_decoder, batch, length, steps):
    return 6.0 * (stored / 2 if encoder_decoder else stored * repeats) * batch * length * steps


# %% name="cost-mistake-whole-division"
# %%mistake cost
# `//` drops a half when the number is odd. Divide with `/`.
def training_cost(stored, repeats, encoder_decoder, batch, length, steps):
    return 6.0 * (stored // 2 if encoder_decoder else stored) * repeats * batch * length * steps


# %% name="cost-other-forward-backward"
# %%other cost
# Forward and backward separately.
def training_cost(stored, repeats, encoder_decoder, batch, length, steps):
    forward = 2 * stored * repeats * (0.5 if encoder_decoder else 1.0)
    return (forward + 2 * forward) * (batch * length * steps)


# %% name="cost-other-logarithms"
# %%other cost
# A product of the factors in a list.
def training_cost(stored, repeats, encoder_decoder, batch, length, steps):
    return math.prod([3.0 if encoder_decoder else 6.0, stored, repeats, batch, length, steps])


# %% name="cost-equivalent-little"
# %%equivalent cost
# A thousandth of one operation is far below what float32 can hold of these products.
return float(6 * applied * tokens) + 0.001

# %% [markdown] name="fit" question={"points": 4, "difficulty": 3, "minutes": 15, "section": "1.2"}
# ## 3. Does it fit, and how long does it take?
#
# You have `n_gpus` cards, each with `memory` bytes and `speed` operations a second, of which a share `reached` (between
# 0 and 1) is reached in practice. **Training** with AdamW in mixed precision keeps 16 bytes for each parameter (2 for
# the weight, 2 for the gradient, 12 for a float32 copy and two means). **Using** a model in 16 bits needs 2 bytes for
# each. Activations are left out.
#
# | | | |
# | --- | --- | --- |
# | `n`, `tokens` | float | parameters; tokens to be read |
# | `n_gpus`, `memory`, `speed`, `reached` | int, float, float, float | the machine |
# | returns `to_use` | int | the smallest number of cards whose memory holds the model for use |
# | returns `to_train` | int | the same for training |
# | returns `days` | float | days of training on all `n_gpus` cards, by 6·N·D; not rounded |
#
# `to_use` and `to_train` do not depend on `n_gpus`, and `days` does not ask whether the model fits into these cards.
#
# **What usually goes wrong:** bits are taken for bytes; a number of cards is rounded down or to the nearest, not up.


# %% name="fit-answer"
def plan(n: float, tokens: float, n_gpus: int, memory: float, speed: float, reached: float) -> tuple[int, int, float]:
    """Cards needed to use and to train a model of n parameters, and days of training."""
    ### BEGIN SOLUTION
    to_use = math.ceil(2 * n / memory)
    to_train = math.ceil(16 * n / memory)
    seconds = 6 * n * tokens / (n_gpus * speed * reached)
    return to_use, to_train, seconds / 86400
    ### END SOLUTION


# %% name="fit-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_what_is_an_llm", "fit", plan)

# %% [markdown] name="fit-hint-1"
# Bytes divided by the bytes of one card, rounded up with `math.ceil`.

# %% [markdown] name="fit-hint-2"
# All cards together do n_gpus · speed · reached operations a second. A day has 86,400 seconds.

# %% name="fit-parts"
fit = FunctionQuestion(
    "plan",
    returns=("to_use", "to_train", "days"),
    atol=1e-6,
    because="whole numbers, and one quotient, of which float32 keeps six digits",
)


@fit.case(points=1)
def gpt3(draw):
    """GPT-3 on 1,024 cards of 80 GB and 312e12 operations a second, of which 40 % are reached"""
    return {"n": 175e9, "tokens": 300e9, "n_gpus": 1024, "memory": 80e9, "speed": 312e12, "reached": 0.4}


@fit.case(points=2)
def own(draw):
    """a model and a machine of drawn sizes"""
    a, b, c, d = (int(x) + 1 for x in draw.order(50)[:4])
    n = (a + 20) * 1.3e8 + 5e6  # no whole number of cards, so that no rounding error decides
    return {"n": n, "tokens": b * 1e9, "n_gpus": c, "memory": 4e9, "speed": d * 1e12, "reached": 0.35}


@fit.case(points=1)
def one_card(draw):
    """one card of 24 GB, and a model of drawn size that it cannot hold"""
    n = (int(draw.order(20)[0]) + 13) * 1e9 + 2.5e8
    return {"n": n, "tokens": 1e9, "n_gpus": 1, "memory": 24e9, "speed": 1e14, "reached": 0.5}


@fit.invariant
def training_needs_more(got, inputs):
    """training needs at least as many cards as use, and use at least one"""
    return 1 <= got[0] <= got[1]


# %% name="fit-mistake-bits"
# %%mistake fit
# Sixteen *bits* are 2 bytes. Here a weight takes 16 bytes for use.
def plan(n, tokens, n_gpus, memory, speed, reached):
    days = 6 * n * tokens / (n_gpus * speed * reached) / 86400
    return math.ceil(16 * n / memory), math.ceil(16 * n / memory), days


# %% name="fit-mistake-rounded-down"
# %%mistake fit
# The number of cards is rounded down, and a part of the model has no place. Round up.
def plan(n, tokens, n_gpus, memory, speed, reached):
    days = 6 * n * tokens / (n_gpus * speed * reached) / 86400
    return int(2 * n / memory), int(16 * n / memory), days


# %% name="fit-mistake-nearest"
# %%mistake fit
# The number of cards is rounded to the nearest: 4.375 cards become 4, and a part of the model has no place. Round up.
def plan(n, tokens, n_gpus, memory, speed, reached):
    days = 6 * n * tokens / (n_gpus * speed * reached) / 86400
    return round(2 * n / memory), round(16 * n / memory), days


# %% name="fit-mistake-capped"
# %%mistake fit
# The number of cards is cut off at `n_gpus`. How many are needed does not depend on how many you have.
def plan(n, tokens, n_gpus, memory, speed, reached):
    days = 6 * n * tokens / (n_gpus * speed * reached) / 86400
    return min(n_gpus, math.ceil(2 * n / memory)), min(n_gpus, math.ceil(16 * n / memory)), days


# %% name="fit-mistake-days-of-one-card"
# %%mistake fit
# That is the time of one card. `n_gpus` of them work at the same time.
def plan(n, tokens, n_gpus, memory, speed, reached):
    days = 6 * n * tokens / (speed * reached) / 86400
    return math.ceil(2 * n / memory), math.ceil(16 * n / memory), days


# %% name="fit-mistake-times-reached"
# %%mistake fit
# The time is multiplied by the share. Fewer operations a second mean *more* days: divide by `reached`.
def plan(n, tokens, n_gpus, memory, speed, reached):
    days = 6 * n * tokens * reached / (n_gpus * speed) / 86400
    return math.ceil(2 * n / memory), math.ceil(16 * n / memory), days


# %% name="fit-mistake-peak"
# %%mistake fit
# The peak is never reached: the share that is reached in practice is missing.
def plan(n, tokens, n_gpus, memory, speed, reached):
    return math.ceil(2 * n / memory), math.ceil(16 * n / memory), 6 * n * tokens / (n_gpus * speed) / 86400


# %% name="fit-mistake-hours"
# %%mistake fit
# These are hours. A day has 24 of them.
def plan(n, tokens, n_gpus, memory, speed, reached):
    return (
        math.ceil(2 * n / memory),
        math.ceil(16 * n / memory),
        6 * n * tokens / (n_gpus * speed * reached) / 3600,
    )


# %% name="fit-mistake-forward"
# %%mistake fit
# 2·N·D is the forward pass alone; training takes 6·N·D.
def plan(n, tokens, n_gpus, memory, speed, reached):
    days = 2 * n * tokens / (n_gpus * speed * reached) / 86400
    return math.ceil(2 * n / memory), math.ceil(16 * n / memory), days


# %% name="fit-mistake-weights-only"
# %%mistake fit
# Training keeps more than the weights: gradients, a float32 copy and AdamW's two means, 16 bytes for each parameter.
def plan(n, tokens, n_gpus, memory, speed, reached):
    days = 6 * n * tokens / (n_gpus * speed * reached) / 86400
    return math.ceil(2 * n / memory), math.ceil(2 * n / memory), days


# %% name="fit-other-minus"
# %%other fit
# Rounding up as the negative of rounding down.
def plan(n, tokens, n_gpus, memory, speed, reached):
    cards = [int(-(-size * n // memory)) for size in (2, 2 + 2 + 4 + 4 + 4)]
    one_card = speed * reached * 24 * 60 * 60  # operations a day
    return cards[0], cards[1], 6 * n * tokens / one_card / n_gpus


# %% name="fit-other-loop"
# %%other fit
# One card more until it fits.
def plan(n, tokens, n_gpus, memory, speed, reached):
    def cards(bytes_each):
        have = 1
        while have * memory < bytes_each * n:
            have += 1
        return have

    return cards(2), cards(16), 3 * (2 * n) * tokens / n_gpus / speed / reached / 86400


# %% [markdown] name="reading" question={"points": 4, "difficulty": 2, "minutes": 10, "section": "1.2"}
# ## 4. Reading sizes
#
# - `layers`: a model of width C = 4096 has 6.44 · 10⁹ parameters in its blocks. How many blocks are they, by
#   12·L·C²? (A whole number.)
# - `factor`: a run has twice the parameters and four times the tokens of another. How many times its cost?
# - `large`: which of these is the best reason to call ALBERT-xxlarge (235 million stored parameters, as printed) a
#   *larger* model than GPT-2 (1,542 million, as printed)?
#
#   - **a** Its word vectors are narrower than its layers.
#   - **b** A token meets more multiplications in it, because its wide layer is applied twelve times.
#   - **c** It reads both sides of a word.
#   - **d** It has more parameters on disk.

# %% name="reading-answer"
layers = None  # a number
factor = None  # a number
large = ""  # the letter
### BEGIN SOLUTION
layers = 32  # 6.44e9 / (12 · 4096²)
factor = 8
large = "b"
### END SOLUTION

# %% name="reading-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("02_what_is_an_llm", "reading", layers=layers, factor=factor, large=large)

# %% [markdown] name="reading-hint-1"
# 4096² is about 16.8 million; twelve times that is about 201 million a block.

# %% [markdown] name="reading-hint-2"
# The cost is 6·N·D: a product. And ALBERT-xxlarge has 12 layers of width 4096, GPT-2 has 48 of width 1600.

# %% name="reading-parts"
reading = ValueQuestion()
reading.number("layers", points=1, title="the number of blocks")
reading.number("factor", points=1, title="the factor of the cost")
reading.choice("large", "abcd", points=2, title="why ALBERT-xxlarge is large")

# %% name="reading-mistake-attention-only"
# %%mistake reading
# 4·C² is attention alone. The feed-forward layer has 8·C² more: 12·C² a block.
layers = 96

# %% name="reading-mistake-feed-forward-only"
# %%mistake reading
# 8·C² is the feed-forward layer alone. Attention has 4·C² more: 12·C² a block.
layers = 48

# %% name="reading-mistake-cut-off"
# %%mistake reading
# 6.44 · 10⁹ is a rounded number, so the quotient is 31.99. Take the nearest whole number.
layers = 31

# %% name="reading-mistake-twelve"
# %%mistake reading
# That is the number of parameters divided by C². A block has 12·C².
layers = 384

# %% name="reading-mistake-sum"
# %%mistake reading
# The factors are added. Cost is the product 6·N·D, so they multiply.
factor = 6

# %% name="reading-mistake-tokens-only"
# %%mistake reading
# That is the factor of the tokens. Each of them now meets twice as many parameters.
factor = 4

# %% name="reading-mistake-six"
# %%mistake reading
# The 6 stands in both costs, so it cancels: only the two factors are left.
factor = 48

# %% name="reading-mistake-embedding"
# %%mistake reading
# That is true, and it makes ALBERT *smaller*.
large = "a"

# %% name="reading-mistake-both-sides"
# %%mistake reading
# Reading both sides is a matter of the mask. It costs no parameter and says nothing about size.
large = "c"

# %% name="reading-mistake-on-disk"
# %%mistake reading
# On disk it is the smaller one: 235 million against 1,542 million, as printed.
large = "d"

# %% name="reading-other-worked-out"
# %%other reading
# The numbers as they are worked out.
layers = round(6.44e9 / (12 * 4096**2))
factor = 2 * 4
large = "B"

# %% name="reading-other-tensors"
# %%other reading
# The numbers as tensors.
layers = torch.tensor(32.0)
factor = torch.tensor([2, 4]).prod()
large = "(b)"

# %% [markdown] name="end"
# ## Done?
#
# `hint("02_what_is_an_llm", "count", 1)` gives a first hint. `lmbook check` on this notebook runs all of it again from
# the start, and `lmbook progress` says what is worth doing next.
