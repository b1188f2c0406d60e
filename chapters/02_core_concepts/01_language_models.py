# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 2.1 语言模型 · Language models
#
# 本节从一门只有五个词的小语言开始：语言模型给每个句子一个概率，所有句子的概率之和为一。
# 我们用计数得到第一个模型，亲手算出困惑度，再看看分词方式不同的模型为何要用“每字节比特数”来比较。
# 最后用同一个网络分别做自回归和自编码训练，量一量谁从同样的文本里学得更多。
#
# After this section you can say what a language model is, compute its perplexity on paper, draw text from it, and
# compare two models that cut text into different tokens. You will also have measured what it costs to train one by
# hiding words, against one that predicts the next word.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import itertools
import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lmlib import plots
from lmlib.attention import attention, causal_mask
from lmlib.course import ledger, record, session
from lmlib.data.batching import Loader, Windows
from lmlib.data.world import make
from lmlib.evaluation.language_models import bits_per_byte, bits_per_character, perplexity, token_log_probabilities
from lmlib.models.ngram import AddK, KneserNey
from lmlib.text.byte_pair_encoding import BytePairEncoding
from lmlib.text.bytes import Bytes
from lmlib.text.characters import Characters
from lmlib.text.vocabulary import Vocabulary
from lmlib.training import TrainingConfig, train
from lmlib.transformer import Shape, Stack

device = session.start(seed, device, profile)

# %% [markdown] name="definition"
# ## 2.1.1 语言模型的定义 · A probability for every sentence
#
# A language of five words and an end mark. Somebody has said four sentences in it, and then a fifth, which is only
# *the fish*. How surprised should we be?

# %% name="tiny-corpus"
END = "."  # the end of a sentence is a word too
SAID = ["the cat sleeps .", "the cat eats the fish .", "the fish sleeps .", "the cat sleeps ."]
sentences = [sentence.split() for sentence in SAID]
words = sorted({word for sentence in sentences for word in sentence})
words

# %% [markdown] name="definition-idea"
# A **language model** (语言模型) answers with a number: it gives every sequence of words a probability, and the
# probabilities of all sequences sum to 1. There are endlessly many sequences, so nobody can keep a table of them. The
# **chain rule** (链式法则) makes the task small. It is exact, for any distribution:
#
# $$P(w_1, \dots, w_T) = \prod_{t=1}^{T} P(w_t \mid w_1, \dots, w_{t-1})$$
#
# | symbol | what it is |
# | --- | --- |
# | $w_t$ | the word at place t; the last, $w_T$, is the end mark |
# | $P(w_t \mid w_1, \dots, w_{t-1})$ | a distribution over the V words of the vocabulary, given the words before |
#
# So a model that can say what comes *next* is a model of whole texts. The simplest one forgets all but the last
# word. Such a **bigram** model (二元模型) is a table of counts.


# %% name="bigram-code"
def count_bigrams(sentences):
    """For each word, how often each word follows it; "" stands before a sentence."""
    follows = {}
    for sentence in sentences:
        for before, word in itertools.pairwise(["", *sentence]):
            follows.setdefault(before, Counter())[word] += 1
    return follows


def probability(sentence, follows):
    """P of a whole sentence, by the chain rule."""
    factors = [follows[before][word] / follows[before].total() for before, word in itertools.pairwise(["", *sentence])]
    return math.prod(factors)


follows = count_bigrams(sentences)

# %% name="bigram-table" tags=["nbval-check-output"]
print("after     " + "".join(f"{word:>9}" for word in words))
for before, counter in follows.items():
    shares = [f"{counter[word]}/{counter.total()}" if counter[word] else "0" for word in words]
    print(f"{before or '(start)':10}" + "".join(f"{share:>9}" for share in shares))

# %% [markdown] name="bigram-by-hand"
# Read the rows, and multiply on paper:
#
# $$P(\text{the cat sleeps .}) = 1 \cdot \tfrac35 \cdot \tfrac23 \cdot 1 = \tfrac25 \qquad
# P(\text{the fish .}) = 1 \cdot \tfrac25 \cdot \tfrac12 = \tfrac15$$
#
# Nobody ever said *the fish .* alone. The model has put it together from pairs that it knows.

# %% name="bigram-check" tags=["nbval-check-output"]
record.check("P(the cat sleeps .) = 2/5", math.isclose(probability(["the", "cat", "sleeps", "."], follows), 2 / 5))
record.check(
    "P(the fish .) = 1/5, though it was never said", math.isclose(probability(["the", "fish", "."], follows), 0.2)
)
ids = {word: i for i, word in enumerate(words)}
library = AddK([[ids[word] for word in sentence] for sentence in sentences], order=2, vocab_size=len(words), k=0)
ours = [probability(sentence, follows) for sentence in sentences]
theirs = [float(library.log_probabilities([ids[w] for w in s]).sum().exp()) for s in sentences]
record.check("lmlib's bigram model gives every sentence the same probability", np.allclose(ours, theirs))

# %% [markdown] name="sum-text"
# **Do all sentences sum to 1?** There is one way to go on for ever: *the cat eats the cat eats the ...* Each turn has
# probability $\tfrac35 \cdot \tfrac13 = \tfrac15$, so after n turns all but $\tfrac1{5^n}$ has come to an end. List the
# sentences, the most probable first, and add them up.


# %% name="sum-code"
def sentences_up_to(length, follows):
    """Every sentence of at most `length` words that has a probability above 0, with it."""
    unfinished, finished = {("",): 1.0}, {}
    for _ in range(length):
        longer = {}
        for begun, p in unfinished.items():
            for word, n in follows[begun[-1]].items():
                (finished if word == END else longer)[(*begun, word)] = p * n / follows[begun[-1]].total()
        unfinished = longer
    return {" ".join(sentence[1:]): p for sentence, p in finished.items()}


language = sentences_up_to(22, follows)
ranked = sorted(language.items(), key=lambda item: -item[1])

# %% name="sum-check" tags=["nbval-check-output"]
for sentence, p in ranked[:6]:
    print(f"{p:.3f}  {sentence}")
print(f"{len(ranked)} sentences of at most 22 words, together {sum(language.values()):.4f}")
record.check("what is missing to 1 is below 5⁻⁶", 1 - sum(language.values()) <= 5**-6)

# %% [markdown] name="types"
# ## 2.1.2 语言模型的类型 · Kinds of language models
#
# All kinds are asked for words and differ in **what they may see** when they answer.
#
# | kind | it predicts | it sees | examples |
# | --- | --- | --- | --- |
# | n-gram (n元模型) | the next word | the n - 1 words before | counts, Kneser–Ney |
# | autoregressive (自回归) | the next word | all words before | GPT, LLaMA |
# | auto-encoding (自编码) | hidden words | all other words, on both sides | BERT |
# | encoder-decoder (编码器-解码器) | the next word of the target | the whole source, and the target so far | T5, BART |
#
# In a Transformer "may see" is a mask (section 2.2): row = who asks, column = who is seen.

# %% name="visible-maps"
T = 6
places = torch.arange(T)
trigram = causal_mask(T) & (places[:, None] - places < 2)
prefix = causal_mask(T) | (places < 3)  # three source words, which all may see
kinds = {
    "Trigram": trigram,
    "Autoregressive": causal_mask(T),
    "Auto-encoding": torch.ones(T, T),
    "Encoder-decoder": prefix,
}
fig, axes = plots.figure(*kinds, width=9.2, height=2.7)
for ax, seen in zip(axes, kinds.values(), strict=True):
    labels = [str(i + 1) for i in range(T)]
    plots.heat_map(ax, 0.8 * seen.float().reshape(T, T), labels, labels, x_label="seen", y_label="who asks")
plots.show(
    fig,
    alt="Four maps of 6 by 6. Trigram: a band of two along the diagonal. Autoregressive: the lower triangle. "
    "Auto-encoding: everything is filled. Encoder-decoder: the first three columns and the lower triangle.",
)

# %% name="visible-check" tags=["nbval-check-output"]
for name, seen in kinds.items():
    print(f"{name:16} {int(torch.as_tensor(seen).sum()):2} of {T * T} places are seen")
record.check(
    "the encoder-decoder's mask is neither of the two before it",
    not torch.equal(prefix, causal_mask(T)) and not prefix.all(),
)

# %% [markdown] name="data-text"
# **An experiment: how far back must one look?** The text is the book's small world: people, trades, journeys,
# written by a seeded generator. The vocabulary has the words that occur three times or more; the rest become one
# unknown word.

# %% name="data"
N_CHARACTERS = {"quick": 400_000, "full": 4_000_000}[profile]
world = make(0)


def read(split, n_characters, language="en"):
    """The sentences of a split as lists of words in small letters, each with an end mark."""
    texts = world.corpus(split, language, n_characters)
    return [[*(word.lower() for word in one.words), "</s>"] for text in texts for one in text.sentences]


training, test = read("train", N_CHARACTERS), read("test", 40_000)
vocabulary = Vocabulary.from_sentences(training, min_count=3, unknown="<unk>")
V = len(vocabulary)
train_ids, test_ids = (torch.tensor([i for s in part for i in vocabulary.encode(s)]) for part in (training, test))
print(len(train_ids), "words to learn from,", len(test_ids), "to test on,", V, "in the vocabulary")

# %% [markdown] name="neural-text"
# Beside the n-grams stands a neural model: word vectors, positions, two Transformer blocks, and the word vectors
# once more as output. `causal` decides whether a word sees what follows; we need both forms later.


# %% name="backbone"
WIDTH, LENGTH = {"quick": (64, 32), "full": (256, 64)}[profile]


class Backbone(nn.Module):
    """A small Transformer over words: ids (B, T) -> logits (B, T, V + 1); the last id is the mask."""

    def __init__(self, causal):
        super().__init__()
        self.causal = causal
        self.words, self.places = nn.Embedding(V + 1, WIDTH), nn.Embedding(LENGTH, WIDTH)
        for table in (self.words, self.places):
            nn.init.normal_(table.weight, std=0.02)
        self.stack = Stack(Shape(WIDTH, 2, 4, 4 * WIDTH, activation="gelu", norm_first=True, final_norm=True))

    def forward(self, input_ids):
        x = self.words(input_ids) + self.places.weight[: input_ids.size(1)]  # (B, T, C)
        states = self.stack(x, causal=self.causal).output
        return SimpleNamespace(logits=F.linear(states, self.words.weight))  # (B, T, V + 1)


# %% name="causal-loss"
def causal_loss(model, batch):
    """Every word but the first from the words before it."""
    logits = model(batch["ids"]).logits[:, :-1]  # the state at t predicts the word at t + 1
    return F.cross_entropy(logits.flatten(0, 1), batch["ids"][:, 1:].flatten())


def taught(causal, loss, seed):
    """A trained backbone and its loss at each step."""
    torch.manual_seed(seed)
    model = Backbone(causal).to(device)
    batches = Loader(Windows(train_ids, LENGTH), 16, lambda rows: {"ids": torch.stack(rows)}, seed)
    steps = {"quick": 200, "full": 3000}[profile]
    config = TrainingConfig(steps, 6e-3, "muon", warmup_steps=12, weight_decay=0.01, device=str(device), seed=seed)
    return model, np.array(train(model, batches, config, loss=loss).losses)


autoregressive, causal_losses = taught(True, causal_loss, seed)

# %% name="orders"
orders = [1, 2, 3, 4, 5]
counted = {n: KneserNey([train_ids], n, V) for n in orders}
by_order = {n: perplexity(model.log_probabilities(test_ids)) for n, model in counted.items()}
neural_log_p = token_log_probabilities(
    autoregressive, test_ids.to(device), LENGTH, start_id=vocabulary.ids["</s>"], batch_size=64
)
neural = perplexity(neural_log_p)

# %% [markdown] name="orders-plot-text"
# **Perplexity** (困惑度) is the measure; the next part explains it. Lower is better: it is the number of words
# among which the model is in doubt. One word of context changes most. After three, longer counts add almost
# nothing: more than half of the test's contexts of four words never occurred in training.

# %% name="orders-plot"
fig, (ax,) = plots.figure("How far back must one look?", width=5.6, height=3.2)
plots.lines(
    ax,
    orders,
    {"n-gram": list(by_order.values())},
    x_label="n: words that are counted together",
    y_label="perplexity on new text",
)
ax.set_yscale("log")
ax.set_xticks(orders)
ax.set_ylim(10, 400)
ax.set_yticks([10, 30, 100, 300], ["10", "30", "100", "300"])
ax.minorticks_off()
plots.level(ax, neural, "the small Transformer")
plots.show(
    fig,
    alt="Perplexity against n on a logarithmic axis. It falls steeply from n = 1 to 2, less from 2 to 3, and is flat "
    "from there. A dotted line, the small Transformer, lies a little above the point of n = 2.",
)

# %% name="orders-check"
for n, value in by_order.items():
    record.metric(f"{n}-gram: perplexity", value)
record.metric("small Transformer: perplexity", neural)
record.check("one word of context divides the perplexity by more than 5", by_order[1] > 5 * by_order[2])
record.check("from n = 3 to 5 it falls by less than a tenth", by_order[5] > 0.9 * by_order[3])
contexts = [{tuple(four) for four in ids.unfold(0, 4, 1).tolist()} for ids in (train_ids, test_ids)]
if profile == "quick":
    record.check("most contexts of four words are new", len(contexts[1] - contexts[0]) > len(contexts[1]) / 2)
    record.check("and on so little text the 3-gram beats the small Transformer", by_order[3] < neural)
record.check("the Transformer is far better than no context: under a fifth of the unigram's", neural < by_order[1] / 5)

# %% [markdown] name="orders-lesson"
# Counting is hard to beat on so little text: one pass, and it forgets nothing. What an n-gram cannot do is to see
# that *opens a door* and *opens a window* are alike; it has no notion of similar contexts. A neural model can learn
# one, but it needs text and steps. Try it: the `full` profile reads ten times the text, with a wider model and
# fifteen times the steps. Where does the dotted line lie then?

# %% [markdown] name="evaluation"
# ## 2.1.3 语言模型的评估指标 · Cross-entropy, perplexity, bits per byte
#
# How good is a model? Let it read a text that it has not seen, and note the probability that it gave to each word that
# came. A model that gave high ones was seldom surprised. The **cross-entropy** (交叉熵) is the mean surprise:
#
# $$H = -\frac1T \sum_{t=1}^{T} \log P(w_t \mid w_{<t}), \qquad \mathrm{PPL} = e^{H}$$
#
# With the natural logarithm H is in nats, with $\log_2$ in bits. **Perplexity** undoes the logarithm: a model with
# perplexity 4 is as unsure as if it had to choose among four equally likely words. T counts the words, the end
# included.

# %% name="by-hand" tags=["nbval-check-output"]
given = [1 / 2, 1 / 4, 1 / 8, 1 / 4]  # what a model gave to four words in a row
bits = [-math.log2(p) for p in given]
print("surprise in bits:", bits, " mean:", sum(bits) / 4, " perplexity:", 2 ** (sum(bits) / 4))
nats = torch.tensor(given, dtype=torch.float64).log()
record.check("1, 2, 3 and 2 bits: the mean is 2, the perplexity 4", math.isclose(perplexity(nats), 4))
even = torch.full((7,), 1 / V, dtype=torch.float64).log()
record.check("guessing evenly among V words has perplexity V", math.isclose(perplexity(even), V, rel_tol=1e-9))
record.check("one word of probability 0 makes it infinite", perplexity(torch.tensor([0.0, -math.inf])) == math.inf)

# %% [markdown] name="cross-entropy-text"
# **Why the logarithm?** Because then the truth wins. Let a coin fall heads with p = 0.25, and let a model say q.
# Its mean surprise is $-p \log_2 q - (1-p) \log_2 (1-q)$. No q does better than q = p, and even that one pays the
# **entropy** (熵) of the coin. What a wrong q pays on top is the Kullback–Leibler divergence.

# %% name="cross-entropy-plot"
p, q = 0.25, np.linspace(0.02, 0.98, 97)
cross_entropy = -p * np.log2(q) - (1 - p) * np.log2(1 - q)
entropy = -p * np.log2(p) - (1 - p) * np.log2(1 - p)
fig, (ax,) = plots.figure("A dishonest q always costs bits", width=5.4, height=3.0)
plots.lines(
    ax, q, {"cross-entropy": cross_entropy}, x_label="q: what the model says", y_label="bits for a throw", markers=False
)
ax.fill_between(q, entropy, cross_entropy, color="#dddddd", linewidth=0)
ax.text(0.6, 1.02, "divergence", fontsize=8)
plots.level(ax, entropy, "entropy of the coin", below=True)
ax.axvline(p, color="#555555", linewidth=0.9, linestyle=":")
ax.set_ylim(0.5, 4)
plots.show(
    fig, alt="Cross-entropy against q: a valley with its lowest point at q = 0.25, where it touches the entropy."
)

# %% name="cross-entropy-check" tags=["nbval-check-output"]
print("lowest at q =", round(float(q[cross_entropy.argmin()]), 2), " entropy:", round(entropy, 3), "bits")
record.check("the lowest cross-entropy is at q = p", math.isclose(q[cross_entropy.argmin()], p))
record.check("there it is the entropy", math.isclose(cross_entropy.min(), entropy))

# %% [markdown] name="bytes-text"
# **Which tokenizer is best?** A model over bytes chooses among 257 tokens, one over word pieces among thousands.
# Perplexity counts doubt *for each token*, and a byte is a small step. So perplexities of different tokenizers
# cannot be compared. What can be compared is the price of the same text: all the bits, divided by its length in
# bytes.
#
# $$\text{bits per byte} = \frac{-\sum_t \log_2 P(w_t \mid w_{<t})}{\text{bytes of the text in UTF-8}}$$
#
# We train the same 6-gram model on the same text, cut in five ways.

# %% name="bytes-measure"
text, new_text = (" ".join(" ".join(s[:-1]) for s in part) for part in (training, test))
cuts = {"bytes": Bytes(), "characters": Characters.train([text])}
cuts |= {f"BPE {size}": BytePairEncoding.train([text], size) for size in (400, 1000, 2000)}
by_cut = {}
for name, tokenizer in cuts.items():
    log_p = KneserNey([tokenizer.encode(text)], 6, len(tokenizer)).log_probabilities(tokenizer.encode(new_text))
    by_cut[name] = perplexity(log_p), bits_per_byte(log_p, new_text)
doubt, price = np.array(list(by_cut.values())).T

# %% [markdown] name="bytes-plot-text"
# From characters to BPE 2000 the perplexity rises while the price falls. Part of the gain is context: five word pieces
# reach further back than five bytes. So this compares tokenizer and model together, not tokenizers alone.

# %% name="bytes-plot"
fig, (left, right) = plots.figure("Perplexity for each token", "Bits for each byte of the text", width=8.0, height=2.8)
for ax, values, form in ((left, doubt, "{:.1f}"), (right, price, "{:.2f}")):
    ax.barh(range(len(cuts)), values, height=0.6, color="#9db8d9", edgecolor=plots.COLOURS[0])
    for i, value in enumerate(values):
        ax.text(value, i, " " + form.format(value), va="center", fontsize=8)
    ax.set_yticks(range(len(cuts)), list(cuts))
    ax.set_ylim(len(cuts) - 0.5, -0.5)
    ax.set_xlim(0, 1.15 * values.max())
    ax.grid(visible=False, axis="y")
left.set_xlabel("perplexity (lower is better)")
right.set_xlabel("bits per byte (lower is better)")
plots.show(
    fig,
    alt="Two bar charts of five tokenizers. Perplexity is lowest for bytes and characters and highest for BPE 2000. "
    "Bits per byte is highest for bytes and characters and lowest for BPE 2000.",
)

# %% name="bytes-check"
for name, (one, other) in by_cut.items():
    record.metric(f"{name}: perplexity", one)
    record.metric(f"{name}: bits per byte", other)
record.check(
    "by perplexity bytes and characters would be best, by far",
    doubt[2:].min() > doubt[:2].max() and doubt.max() > 4 * doubt.min(),
)
record.check("by the price of the text they are the worst", price[2:].max() < price[:2].min())
if profile == "quick":
    opposite = (np.diff(doubt[1:]) > 0).all() and (np.diff(price[1:]) < 0).all()
    record.check("from characters to BPE 2000 the perplexity rises and the price falls", bool(opposite))

# %% [markdown] name="chinese-text"
# **中文 · Chinese** needs a further word of care. A Chinese character has three bytes in UTF-8, so the bits for
# each byte look three times as good as the bits for each character. Say which of the two you report. One model, one
# text, both numbers:

# %% name="chinese" tags=["nbval-check-output"]
chinese, new_chinese = (
    "\n".join(text.text for text in world.corpus(split, "zh", n)) for split, n in (("train", 60_000), ("test", 5_000))
)
tokenizer = Characters.train([chinese])
log_p = KneserNey([tokenizer.encode(chinese)], 4, len(tokenizer)).log_probabilities(tokenizer.encode(new_chinese))
ratio = bits_per_character(log_p, new_chinese) / bits_per_byte(log_p, new_chinese)
print(new_chinese[:24].replace("\n", " "), "...")
record.check("bits per character are 2.5 to 3 times the bits per byte", 2.5 < ratio < 3)

# %% [markdown] name="sampling"
# ### 采样 · Drawing text from a model
#
# A model that can score can also write: draw a word from $P(w \mid w_{<t})$, append it, and go on. This is **sampling**
# (采样), and it is the scoring turned round: a sentence of probability 2/5 is drawn in two of five cases.


# %% name="sampling-code"
def draw_sentence(follows, generator):
    """One sentence, word by word, until the end mark."""
    sentence = [""]
    while sentence[-1] != END:
        counter = follows[sentence[-1]]
        shares = torch.tensor(list(counter.values()), dtype=torch.float64)
        sentence.append(list(counter)[int(torch.multinomial(shares, 1, generator=generator))])
    return " ".join(sentence[1:])


generator = torch.Generator().manual_seed(seed)
N_DRAWS = 2000
drawn = Counter(draw_sentence(follows, generator) for _ in range(N_DRAWS))

# %% name="sampling-plot"
top = ranked[:8]
fig, (ax,) = plots.figure("What is drawn, and what the model says", width=6.4, height=3.0)
rows = np.arange(len(top))
ax.barh(rows, [p for _, p in top], height=0.7, color="#d8e2ef", edgecolor=plots.COLOURS[0], label="probability")
ax.plot([drawn[s] / N_DRAWS for s, _ in top], rows, "o", color=plots.COLOURS[1], label=f"share of {N_DRAWS} draws")
ax.set_yticks(rows, [s for s, _ in top])
ax.set_ylim(len(top) - 0.5, -0.5)
ax.set_xlabel("probability, share")
ax.grid(visible=False, axis="y")
ax.legend()
plots.show(
    fig, alt="Bars for the probabilities of eight sentences; a point on each bar's end for the share of the draws."
)

# %% name="sampling-check"
gap = max(abs(drawn[s] / N_DRAWS - p) for s, p in language.items())
record.check("no sentence is drawn more than 0.06 too often or too seldom", gap < 0.06)  # five standard deviations

# %% [markdown] name="samples-text"
# Now the models of the small world, each with the same random numbers. With n = 1 come words in their frequencies, with
# n = 2 pairs that fit, with n = 3 phrases. With n = 5 the pieces that fit can be longer; but after a word that does not
# fit, the context is new, and the model falls back on shorter ones.

# %% name="samples"
start = vocabulary.ids["</s>"]
for n in (1, 2, 3, 5):
    generator = torch.Generator().manual_seed(seed)
    print(f"n = {n}:", " ".join(vocabulary.decode(counted[n].sample(18, [start], generator))))


# %% [markdown] name="copied-text"
# By heart, or made up? For each model: what share of the five-word pieces that it writes stands word for word in the
# training text?


# %% name="copied" tags=["nbval-check-output"]
def pieces(ids, length=5):
    """All stretches of `length` ids."""
    return [tuple(ids[i : i + length]) for i in range(len(ids) - length + 1)]


known = set(pieces(train_ids.tolist()))
copied = {}
for n in orders:
    written = pieces(counted[n].sample(400, [start], torch.Generator().manual_seed(seed)))
    copied[n] = sum(piece in known for piece in written) / len(written)
    record.metric(f"{n}-gram: share of five-word pieces copied", copied[n])
record.check("the bigram model copies less than a fifth of its pieces", copied[2] < 1 / 5)
record.check("the 5-gram model copies more than twice as much", copied[5] > 2 * copied[2])

# %% [markdown] name="autoregressive"
# ## 自回归语言模型 · Autoregressive models: the next word, at all places at once
#
# Writing is one word after the other. Must training be so too? No. In training the whole text is there. Feed it in
# once, with a causal mask; the state at place t has seen words 1 to t, and predicts word t + 1. That is **teacher
# forcing** (教师强制): the model always reads the *true* past, never its own guesses. T predictions come from one
# pass.
#
# Check: the logits of one pass equal those of T passes over longer and longer beginnings.

# %% name="parallel-check" tags=["nbval-check-output"]
window = test_ids[None, :16].to(device)
with torch.no_grad():
    at_once = autoregressive(window).logits  # (1, 16, V + 1)
    one_by_one = torch.cat([autoregressive(window[:, : t + 1]).logits[:, -1:] for t in range(16)], dim=1)
record.check("one pass gives the logits of 16 passes", torch.allclose(at_once, one_by_one, atol=1e-4))

# %% [markdown] name="auto-encoding"
# ## 自编码语言模型 · Auto-encoding models: hidden words from both sides
#
# An auto-encoding model sees the whole text. Ask it for a word that it sees, and it would copy. So some words are
# hidden first, 15 % in BERT, and only those are asked for: **masked language modelling** (掩码语言模型, MLM).


# %% name="masked-loss"
def hide(ids, rate=0.15):
    """Which places are hidden, (B, T) bool; at least the first of a row in which none was drawn."""
    hidden = torch.rand(ids.shape, device=ids.device) < rate
    hidden[:, 0] |= ~hidden.any(1)
    return hidden


def masked_loss(model, batch):
    """The hidden words from all others. (BERT also leaves some in place; see chapter 3.)"""
    hidden = hide(batch["ids"])
    logits = model(batch["ids"].masked_fill(hidden, V)).logits  # V is the id of the mask
    return F.cross_entropy(logits[hidden], batch["ids"][hidden])


auto_encoding, masked_losses = taught(False, masked_loss, seed)

# %% [markdown] name="price-text"
# **What does a step cost, and what does it teach?** Count the operations of one forward pass, and the words that
# give a loss.


# %% name="price" tags=["nbval-check-output"]
def price_of(model, labels):
    """Operations of one forward pass over 16 rows, and how many words it is asked for."""
    rows = train_ids[: 16 * LENGTH].view(16, LENGTH).to(device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(rows)
    return counter.get_total_flops(), labels(rows)


causal_price = price_of(autoregressive, lambda rows: rows[:, 1:].numel())
masked_price = price_of(auto_encoding, lambda rows: sum(int(hide(rows).sum()) for _ in range(100)) / 100)
record.check("both passes cost the same operations", causal_price[0] == masked_price[0])
record.check("the next-word model is asked six times as often", 6 < causal_price[1] / masked_price[1] < 7)

# %% [markdown] name="race-text"
# Same network, same text, same number of steps. The losses themselves cannot be compared, for the two are asked
# different questions; and a hidden word, seen from both sides, should be the *easier* one. Compare how far each
# gets below the dotted line: the entropy of single words, which is what a model reaches that knows nothing but
# frequencies.

# %% name="race-plot"
shares = torch.bincount(train_ids, minlength=V).double() / len(train_ids)
frequencies = float(-(shares[shares > 0] * shares[shares > 0].log()).sum())  # nats
fig, (ax,) = plots.figure("The same network and text, two questions", width=6.6, height=3.4)
width = 20
curves = {name: np.convolve(run, np.ones(width) / width, mode="valid") for name, run in
          (("next word (autoregressive)", causal_losses), ("hidden word (auto-encoding)", masked_losses))}  # fmt: skip
plots.lines(
    ax,
    np.arange(len(causal_losses) - width + 1) + width,
    curves,
    x_label="step (16 rows each)",
    y_label="loss (nats)",
    markers=False,
)
plots.level(ax, frequencies, "frequencies alone", below=True)
plots.show(
    fig,
    alt="Loss against step. The next-word model falls through the level of single frequencies and goes on falling. The "
    "hidden-word model comes down to about that level and is still there after the last step.",
)

# %% name="race-check"
gains = {"causal": frequencies - causal_losses[-20:].mean(), "masked": frequencies - masked_losses[-20:].mean()}
record.metric("next word: nats below the frequencies", gains["causal"])
record.metric("hidden word: nats below the frequencies", gains["masked"])
record.check(
    "each starts near ln V (within 1.2 nats)",
    all(abs(run[0] - math.log(V)) < 1.2 for run in (causal_losses, masked_losses)),
)
record.check("the next-word model has learned contexts: over 1.5 nats below", gains["causal"] > 1.5)
if profile == "quick":  # with more steps the hidden-word model follows
    record.check("the hidden-word model has gained less than a third of that", gains["masked"] < gains["causal"] / 3)

# %% [markdown] name="race-lesson"
# So the document's sentence, that auto-encoding models train in parallel and autoregressive ones cost more, does
# not survive: both are parallel, a pass costs the same, and the model that hides words learns from a seventh of the
# places. What it buys with that is sight on both sides. A word that is settled by what *follows* can only be told
# by a model that looks there.

# %% [markdown] name="both-sides-text"
# **Is an auto-encoding model a language model?** It gives $P(w_t \mid \text{all others})$. Multiply these over a
# sentence, and you get a score that looks like a probability. It is not one. Take a language with two sentences,
# *aa* and *bb*, each with probability ½. On paper: what does each conditional say, and what do the products sum to?

# %% name="both-sides" tags=["nbval-check-output"]
joint = torch.tensor([[0.5, 0.0], [0.0, 0.5]])  # P(first, second)
given_second = joint / joint.sum(0)  # P(first | second)
given_first = joint / joint.sum(1, keepdim=True)  # P(second | first)
product = given_second * given_first
chain = joint.sum(1, keepdim=True) * given_first  # P(first) · P(second | first)
print("product of both conditionals:", product.tolist(), "sum", product.sum().item())
print("chain rule:                  ", chain.tolist(), "sum", chain.sum().item())
record.check("the products sum to 2, not to 1", product.sum() == 2)
record.check("the chain rule gives the distribution back", torch.equal(chain, joint))

# %% [markdown] name="both-sides-lesson"
# The product is called *pseudo-likelihood* (伪似然). It ranks sentences usefully, but perplexities made of it
# cannot be held against those of an autoregressive model, and one cannot simply draw a text from it.

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# What the documents state about language models, put to a test. Each cell below computes the document's version and
# the correct one, and checks both.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("02_core_concepts/01_language_models")

# %% name="ledger-data"
query, key, value = torch.randn(3, 1, 1, 12, 8).unbind()  # one head: (1, 1, T, D)
bigram = torch.rand(4, 4).softmax(-1)  # a bigram model of 4 words: row = the word before
same = [[0, 1, 0], [1, 0, 1], [0, 0, 0], [1, 1, 1]]  # a language whose first word is told by the third


# %% [markdown] name="ledger-cells-text"
# ### 逐条检验 · Claim by claim


# %% name="ledger-parallel-training" tags=["ledger"]
def document_version(length):
    """004 §2.3.1, §2.3.2: hidden words train in parallel, next words one by one: passes for a text, labels a pass."""
    return {"masked": (1, length), "next": (length, 1)}


def correct_version(length):
    """One pass each; the masked model is asked for 15 % of the words, the other for all but the first."""
    return {"masked": (1, round(0.15 * length)), "next": (1, length - 1)}


at_once = attention(query, key, value, causal_mask(12))[0]
steps = [attention(query[:, :, t : t + 1], key[:, :, : t + 1], value[:, :, : t + 1])[0] for t in range(12)]
needed = 1 if torch.allclose(at_once, torch.cat(steps, 2), atol=1e-6) else 12
asked = (torch.rand(2000, 12) < 0.15).float().sum(1).mean().round()
record.check(
    "one causal pass does the work of all", correct_version(12)["next"][0] == needed != document_version(12)["next"][0]
)
record.check(
    "the masked model is asked for few", correct_version(12)["masked"][1] == asked != document_version(12)["masked"][1]
)


# %% name="ledger-next-word-or-sequence" tags=["ledger"]
def document_version(model, ids):
    """003 §2.1: it predicts the next word, or the probability of a sequence. By next words: their product."""
    return torch.stack([model[a, b] for a, b in itertools.pairwise(ids)]).prod()


def correct_version(model, ids):
    """By the sequence: its share among all sequences with the same first word and length, by enumeration."""
    everyone = torch.stack([model[ids[0], b] * model[b, c] for b, c in itertools.product(range(4), repeat=2)])
    return everyone[4 * ids[1] + ids[2]] / everyone.sum()


for ids in ([0, 1, 2], [3, 3, 0]):
    agree = torch.allclose(document_version(bigram, ids), correct_version(bigram, ids), atol=1e-6)
    record.check(f"{ids}: both are the same number, by the chain rule", agree)


# %% name="ledger-reconstruct" tags=["ledger"]
def document_version(logits, ids, hidden):
    """004 §2.3.1: the model reconstructs the original sequence. A loss on all words."""
    return F.cross_entropy(logits, ids)


def correct_version(logits, ids, hidden):
    """Only the hidden words are asked for; the others would be copied."""
    return F.cross_entropy(logits[hidden], ids[hidden])


ids, hidden = torch.arange(20) % 10, torch.arange(20) % 7 == 0  # 3 of 20 are hidden
copy = 20 * F.one_hot(ids.masked_fill(hidden, 10), 11)[:, :10].float()  # knows what it sees, and nothing else
record.check("a model that only copies has a loss under 0.4 on all words", document_version(copy, ids, hidden) < 0.4)
record.check(
    "on the hidden words it has ln 10", math.isclose(correct_version(copy, ids, hidden), math.log(10), rel_tol=1e-5)
)


# %% name="ledger-prefix" tags=["ledger"]
def document_version(query, key, value):
    """004 §2.3.2: each word from the words before it."""
    return torch.cat(
        [attention(query[:, :, t : t + 1], key[:, :, : t + 1], value[:, :, : t + 1])[0] for t in range(12)], 2
    )


def correct_version(query, key, value):
    """PyTorch's causal attention."""
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


agree = torch.allclose(document_version(query, key, value), correct_version(query, key, value), atol=1e-6)
record.check("seeing the prefix only is what the causal mask does", agree)


# %% name="ledger-context" tags=["ledger"]
def document_version(sentences):
    """004 §2.3.2: next-word models capture the context better. Bits for the first word, from what they see of it."""
    ones = sum(s[0] for s in sentences) / len(sentences)
    return -ones * math.log2(ones) - (1 - ones) * math.log2(1 - ones)


def correct_version(sentences):
    """Seen from both sides: bits for the first word, given the third."""
    rest = [[s[0] for s in sentences if s[2] == third] for third in (0, 1)]
    return -sum(math.log2(group.count(w) / len(group)) for group in rest for w in group) / len(sentences)


record.check("from the left alone the first word costs a whole bit", document_version(same) == 1)
record.check("from both sides it costs nothing", correct_version(same) == 0)


# %% name="ledger-writes" tags=["ledger"]
def document_version(joint):
    """004 §2.3.2: next-word models often write better. The share of drawn texts that are texts of the language."""
    first = torch.multinomial(joint.sum(1), 1000, replacement=True)
    second = torch.multinomial(joint[first], 1)[:, 0]  # the second word has seen the first
    return (joint[first, second] > 0).float().mean()


def correct_version(joint):
    """By hand: a word of probability 0 is never drawn."""
    return torch.tensor(1.0)


joint = torch.tensor([[0.5, 0.0], [0.0, 0.5]])  # two texts: aa and bb
same = torch.equal(document_version(joint), correct_version(joint))
record.check("word by word, every text is of the language", same)
first, second = (torch.multinomial(joint.sum(axis), 1000, replacement=True) for axis in (1, 0))
share = (joint[first, second] == 0).float().mean()
record.check("two hidden words, filled at once: about half are none", abs(share - 0.5) < 0.1)


# %% name="ledger-two-kinds" tags=["ledger"]
def document_version(n_source, n_target):
    """004 §2.3.1: two kinds, auto-encoding or autoregressive. The masks of the two."""
    n = n_source + n_target
    return [torch.ones(n, n, dtype=torch.bool), causal_mask(n)]


def correct_version(n_source, n_target):
    """A third one: the encoder-decoder sees the source whole and the target causally."""
    third = causal_mask(n_source + n_target)
    third[:, :n_source] = True
    return [third]


def fits(masks):
    """Whether a mask shows source word 1 the source word 3, and hides target word 3 from target word 1."""
    return any(bool(mask[0, 2]) and not mask[3, 5] for mask in masks)


record.check("neither of the two masks is that of a translator", not fits(document_version(3, 3)))
record.check("the third is", fits(correct_version(3, 3)))

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/02_core_concepts/01_language_models.ipynb), about 60 minutes, four
# questions:
#
# 1. the chain rule: the log probability of a sentence from a table of bigrams;
# 2. perplexity and bits per byte, with padding;
# 3. two losses: the next word, and hidden words;
# 4. numbers to derive, and the price of hiding words.
#
# To go on: 2.2 builds the layer that looks back, 3.4 trains with these objectives at length, 4.1 derives the formulas.
