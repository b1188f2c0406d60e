# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown] name="title"
# # 3.1 数据预处理 · Data preprocessing
#
# 本节从一段文字走到模型读入的数字：先亲手写出字节对编码，再用英文和中文比较五种分词器，看词表大小怎样取舍。
# 然后清洗、去重、无泄漏地划分数据，最后填充、截断和打包。文档建议去掉停用词，我们用困惑度和采样来检验这条建议。
#
# After this section you can train a tokenizer by hand, compare tokenizers fairly, and build training rows without
# leaks, lost tokens or wasted padding.

# %% name="parameters" tags=["parameters"]
seed = 0
device = "auto"
profile = "quick"

# %% name="imports"
import re
import unicodedata
import zlib
from collections import Counter
from itertools import pairwise
from random import Random

import numpy as np
import torch
from torch import nn

from lmlib import plots
from lmlib.course import ledger, record, session
from lmlib.data.batching import bucket, pack, pad, truncate
from lmlib.data.world import make
from lmlib.evaluation.language_models import bits_per_byte, perplexity
from lmlib.models.gpt import Gpt, GptConfig
from lmlib.models.ngram import AddK, KneserNey
from lmlib.text.byte_pair_encoding import BytePairEncoding
from lmlib.text.bytes import Bytes
from lmlib.text.characters import Characters
from lmlib.text.unigram import Unigram
from lmlib.text.wordpiece import WordPiece

device = session.start(seed, device, profile)

# %% [markdown] name="tokens"
# ## 3.1.1 分词 · What is a token?
#
# A model reads numbers. So a text must be cut into pieces, **tokens** (词元), and each piece gets a number. How large
# should a piece be? Look at one sentence in two languages.

# %% name="pieces" tags=["nbval-check-output"]
english, chinese = "The baker's daughter is happy.", "面包师的女儿很高兴。"
for text in (english, chinese):
    units = {"words": text.split(), "characters": list(text), "bytes": list(text.encode("utf-8"))}
    print(text, {name: len(some) for name, some in units.items()})

# %% [markdown] name="pieces-lesson"
# Three natural units, and none is good alone.
#
# - **Words** make short sequences. But there is no end of words, and Chinese does not mark them with spaces.
# - **Characters** are few in English, about a hundred; Chinese has tens of thousands. Sequences are long.
# - **Bytes** (UTF-8) are 256 and cover everything. Sequences are longest: a Chinese character takes three.
#
# The answer of nearly all language models lies between: begin with the small units, and give *frequent* sequences a
# token of their own.

# %% [markdown] name="bpe-text"
# ### 字节对编码 · Byte-pair encoding from scratch
#
# **Byte-pair encoding** (BPE, 字节对编码): begin with the characters of all words; count all pairs of neighbours; make
# the most frequent pair a new token; repeat. (Sennrich et al. 2016.) With $c(w)$ the count of a word and
# $n_{ab}(w)$ how often $b$ follows $a$ in it, the next merge is
#
# $$(a, b)^* = \arg\max_{(a,b)} \sum_w c(w)\, n_{ab}(w)$$


# %% name="bpe-code"
def merge_pair(pieces, pair):
    """Write the pair as one piece wherever it stands, from left to right."""
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(pieces[i] + pieces[i + 1])
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def learn(words, n_merges):
    """The merges in their order; words is a Counter of strings. Of equal pairs, the first in the alphabet."""
    cut, merges = {word: list(word) for word in words}, []
    for _ in range(n_merges):
        pairs = Counter()
        for word, count in words.items():
            for pair in pairwise(cut[word]):
                pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        cut = {word: merge_pair(pieces, best) for word, pieces in cut.items()}
    return merges


# %% [markdown] name="bpe-example-text"
# Do the first step on paper: *her* 5 times, *hers* 2, *the* 4, *other* 3. Which pair comes most often? "he" stands in
# every word: 5 + 2 + 4 + 3 = 14 times.

# %% name="bpe-example" tags=["nbval-check-output"]
toy = Counter({"her": 5, "hers": 2, "the": 4, "other": 3})
merges = learn(toy, 4)
pieces = list("others")
print("merges:", merges)
for pair in merges:
    pieces = merge_pair(pieces, pair)
    print(f"{'+'.join(pair):8} others → {' '.join(pieces)}")
record.check("the first merge is h + e", merges[0] == ("h", "e"))
record.check("a new word is cut into known pieces", "".join(pieces) == "others")

# %% [markdown] name="bpe-library-text"
# `lmlib.text` has this in its tested form: on bytes, fast, with special tokens. Does it learn the same merges? It
# marks a space as Ġ, as GPT-2 does, and cuts words with a pattern. So we count the same words and compare.

# %% name="corpora"
world = make(0)
size = {"quick": 1, "full": 20}[profile]
EN = [text.text for text in world.corpus("train", "en", 120_000 * size)]
ZH = [text.text for text in world.corpus("train", "zh", 40_000 * size)]
TEST = {
    "English": [text.text for text in world.corpus("test", "en", 30_000)],
    "Chinese": [text.text for text in world.corpus("test", "zh", 10_000)],
}

# %% name="bpe-check" tags=["nbval-check-output"]
small = BytePairEncoding.train(EN[:20], 256 + 1 + 40, min_count=1)
counted = Counter(
    word.replace(" ", "Ġ").replace("\n", "Ċ") for text in EN[:20] for word in small.words(text) if word.isascii()
)
ours = learn(counted, 40)
print("first merges:", " ".join("".join(pair) for pair in ours[:12]))
same = len(set(ours) & set(small.merges))
record.check("at least 38 of 40 merges are lmlib's (ties may differ)", same >= 38)

# %% [markdown] name="round-trip-text"
# The most important property of a tokenizer: **nothing is lost**. Encode and decode must give back every text, also
# one with signs that it has never seen.

# %% name="round-trip" tags=["nbval-check-output"]
STRANGE = "Café ☕ costs 3 €,\n\tsaid 李雷: “naïve”!"
trained = {
    "bytes": Bytes(),
    "BPE": BytePairEncoding.train(EN, 1000),
    "characters": Characters.train(EN),
    "WordPiece": WordPiece.train(EN, 1000),
    "unigram": Unigram.train(EN, 1000),
}
for name, tokenizer in trained.items():
    back = tokenizer.decode(tokenizer.encode(STRANGE), skip_special_tokens=True)
    print(f"{name:10} {'exact' if back == STRANGE else 'lost something'}")
exact = {name for name, t in trained.items() if t.decode(t.encode(STRANGE), skip_special_tokens=True) == STRANGE}
record.check("only those that fall back to bytes lose nothing", exact == {"bytes", "BPE"})

# %% [markdown] name="fertility-text"
# ### 五种分词器 · Five tokenizers, two languages
#
# **Fertility** (生育率): how many tokens a unit of text takes. We count bytes for each token, so that the two languages
# can stand side by side: a long bar means short sequences. Every trained tokenizer has room for 2500 tokens, and each
# is trained once on English and once on Chinese.

# %% name="fertility"
KINDS = {"BPE": BytePairEncoding, "WordPiece": WordPiece, "unigram": Unigram}
V = {"quick": 2500, "full": 8000}[profile]
tokenizers = {"English": {}, "Chinese": {}}
for language, texts in (("English", EN), ("Chinese", ZH)):
    tokenizers[language] = {"bytes": Bytes(), "characters": Characters.train(texts)}
    tokenizers[language] |= {name: kind.train(texts, V) for name, kind in KINDS.items()}


def bytes_per_token(tokenizer, texts):
    """How many bytes of UTF-8 a token covers on average; special tokens are not counted."""
    n_tokens = sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in texts)
    return sum(len(text.encode("utf-8")) for text in texts) / n_tokens


table = {
    (language, name, read): bytes_per_token(tokenizer, TEST[read])
    for language, kinds in tokenizers.items()
    for name, tokenizer in kinds.items()
    for read in TEST
    if read == language or name == "BPE"
}

# %% name="fertility-plot"
fig, (left, right) = plots.figure("Its own language", "BPE on the other language", width=8.4, height=3.1)
names = list(tokenizers["English"])
for i, language in enumerate(TEST):
    own = [table[language, name, language] for name in names]
    style = {"color": ("#9db8d9", "white")[i], "edgecolor": plots.COLOURS[0], "hatch": ("", "///")[i], "height": 0.38}
    left.barh(np.arange(len(names)) + 0.4 * i - 0.2, own, label=language, **style)
    crossed = [table[of, "BPE", language] for of in TEST]
    right.barh(np.arange(2) + 0.4 * i - 0.2, crossed, label=f"reads {language}", **style)
left.set_yticks(range(len(names)), names)
right.set_yticks(range(2), [f"trained on\n{language}" for language in TEST])
for ax in (left, right):
    ax.invert_yaxis()
    ax.set_xlabel("bytes for each token")
    ax.legend(fontsize=8)
plots.show(
    fig,
    alt="Left: bytes for each token of five tokenizers in their own language; bytes have 1, characters 1 in English "
    "and nearly 3 in Chinese, BPE and unigram more, WordPiece more in English only. Right: BPE trained on one language "
    "needs far more tokens for the other.",
)

# %% name="fertility-check"
for language, other in (("English", "Chinese"), ("Chinese", "English")):
    loss = table[language, "BPE", language] / table[other, "BPE", language]
    print(f"{language} with the tokenizer of {other}: {loss:.1f} times as many tokens")
    record.metric(f"{language} read by the other's BPE, tokens", loss)
    record.check(f"{language} costs over 1.5 times as many tokens there", loss > 1.5)
record.check("a byte is a byte", table["English", "bytes", "English"] == 1)
own = {name: table["Chinese", name, "Chinese"] for name in names}
record.check("WordPiece on Chinese gains nothing over characters", abs(own["WordPiece"] - own["characters"]) < 0.1)
record.check("BPE and unigram do: over a byte for each token", min(own["BPE"], own["unigram"]) > own["characters"] + 1)

# %% [markdown] name="fertility-lesson"
# WordPiece cuts Chinese into single characters before it learns anything, as BERT does: it stays at 3 bytes.
#
# The right-hand panel is money. Services charge by the token, and a context window is counted in tokens. Who writes in
# a language that the tokenizer has hardly seen pays more for the same message and can say less at once. The model can
# do nothing about it: the tokenizer was fixed before training began. (Petrov et al. 2023 measure factors beyond 10.)

# %% [markdown] name="size-text"
# ### 词表大小 · How large should the vocabulary be?
#
# Each further merge shortens the text a little less, for the most frequent pairs come first. And each token needs a
# row of the embedding: $V \cdot C$ weights. BPE has a nice property here: its merges are ordered, so a smaller
# vocabulary is the beginning of a larger one. One training gives the whole curve.

# %% name="size"
SIZES = [257, 300, 400, 600, 1000, 1600, 2500]
curves = {}
for language in TEST:
    whole = tokenizers[language]["BPE"]
    cut = [
        BytePairEncoding({p: i for p, i in whole.vocabulary.items() if i < n}, whole.merges[: n - 257]) for n in SIZES
    ]
    curves[language] = [bytes_per_token(one, TEST[language][:40]) for one in cut]

# %% name="size-plot"
fig, (ax,) = plots.figure("Each further token of the vocabulary brings less", width=5.6, height=3.1)
plots.lines(ax, SIZES, curves, x_label="vocabulary size", y_label="bytes for each token")
plots.show(
    fig,
    alt="Bytes for each token against vocabulary size for English and Chinese; both curves rise from 1, steeply at "
    "first, then ever more slowly.",
)

# %% name="size-check"
for language, curve in curves.items():
    record.check(f"{language}: without a merge a token is a byte", curve[0] == 1)
    record.check(f"{language}: more merges, longer tokens", all(a < b for a, b in pairwise(curve)))
    first, last = (curve[2] - curve[1]) / (SIZES[2] - SIZES[1]), (curve[-1] - curve[-2]) / (SIZES[-1] - SIZES[-2])
    record.check(f"{language}: a late merge brings less than a third of an early one", last < first / 3)

# %% [markdown] name="bits-text"
# ### 每字节比特 · Comparing models with different tokenizers
#
# Perplexity is counted *for each token*. With longer tokens each is harder to guess, so perplexity rises although the
# model may be better. The fair measure divides by something that no tokenizer can change, the bytes of the text:
#
# $$\text{bits per byte} = \frac{-\sum_i \log_2 P(t_i \mid t_{<i})}{\text{number of bytes}}$$
#
# We test it with n-gram models (interpolated Kneser–Ney), of order 4 on characters and of order 3 on BPE tokens, which
# reach further back. Which of the two is better is not the point here. Do both measures say the same?

# %% name="bits"
scores = {}
for name, order in (("characters", 4), ("BPE", 3)):
    tokenizer = tokenizers["English"][name]
    rows = [tokenizer.encode(text) for text in EN]
    model = KneserNey(rows, order, len(tokenizer))
    log_p = torch.cat([model.log_probabilities(tokenizer.encode(text)) for text in TEST["English"]])
    scores[name] = perplexity(log_p), bits_per_byte(log_p, "".join(TEST["English"]))
    print(f"{name:10} perplexity {scores[name][0]:6.1f}   bits per byte {scores[name][1]:.2f}")

# %% name="bits-check"
(per_character, bits_character), (per_piece, bits_piece) = scores["characters"], scores["BPE"]
record.check("by perplexity the characters seem better", per_character < per_piece)
record.check("by bits per byte BPE is better", bits_piece < bits_character)

# %% [markdown] name="cleaning"
# ## 3.1.2 清洗与去重 · Cleaning, and taking out duplicates
#
# Real text is dirty: tags, control characters, the same letter in several codes, pages that occur a hundred times.
# What should be removed? A good rule: take out what a reader would not *see* or not miss, and keep what carries
# meaning. Before you look: which of these strings are equal for a reader, and which for Python?

# %% name="unicode" tags=["nbval-check-output"]
pairs = [("café", "cafe\u0301"), ("ﬁne", "fine"), ("１２", "12"), ("x\u200b", "x"), ("x²", "x2")]
for a, b in pairs:
    forms = {form: unicodedata.normalize(form, a) == unicodedata.normalize(form, b) for form in ("NFC", "NFKC")}
    print(f"{a!a:14} {b!a:14} equal: {a == b}   after {forms}")

# %% [markdown] name="unicode-lesson"
# **NFC** joins a letter and its accent: the reader sees no difference. **NFKC** goes further and makes x² to x2: that
# is a different formula. The zero-width space survives both. So cleaning is a list of decisions, each of which can
# harm. Ours is short, and it harms all the same: a tag becomes a space, so that two paragraphs do not grow together.
# Look what that does to the full stop below.


# %% name="clean-code"
TAG = re.compile(r"<[a-zA-Z/][^<>]*>")
INVISIBLE = re.compile("[\u200b\ufeff\u00ad]")  # not \u200c and \u200d: they change how letters and emoji look


def clean(text):
    """Without tags and invisible characters, in NFC, with single spaces and no empty lines."""
    text = unicodedata.normalize("NFC", INVISIBLE.sub("", text))
    while TAG.search(text):  # one that is taken out can leave another: <a<b>>
        text = TAG.sub(" ", text)
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


# %% name="clean-check" tags=["nbval-check-output"]
dirty = "<p>The  cafe\u0301 is <b>open</b>.\u200b</p>\n\n\n3 < 4,   and x² stays."
print(clean(dirty))
hard = [dirty, "<\u200bb>x", "<a<b>>x"]  # a tag that shows only when something else has gone
record.check("cleaning twice is cleaning once", all(clean(clean(text)) == clean(text) for text in hard))
record.check("a hidden sign does not hide an accent", clean("cafe\u200b\u0301") == "caf\u00e9")
record.check("clean text stays as it is", all(clean(text) == text for text in EN[:50]))
record.check("'3 < 4' is no tag", "3 < 4" in clean(dirty))

# %% [markdown] name="near-text"
# **Duplicates.** Equal texts are found by a hash. *Nearly* equal ones, with another date or name, need a measure. Cut
# each text into all runs of five words, its **shingles** (片段) $S$; the **Jaccard similarity** is the share that two
# sets have in common:
#
# $$J(A, B) = \frac{|S_A \cap S_B|}{|S_A \cup S_B|}$$
#
# Comparing all pairs is too slow for a web of texts. **MinHash** gives an estimate: with a random order of all
# shingles, the smallest of $A$ and the smallest of $B$ are the same with probability exactly $J$. (Broder 1997.)


# %% name="near-code"
def shingles(text, n=5):
    """All runs of n words."""
    words = text.split()
    return {" ".join(words[i : i + n]) for i in range(max(1, len(words) - n + 1))}


def jaccard(a, b):
    """The share of shingles that two sets have in common."""
    return len(a & b) / len(a | b)


def signature(some, salts):
    """For each salt, the smallest hash of a set of shingles."""
    numbers = np.array([zlib.crc32(s.encode("utf-8")) for s in some], dtype=np.uint64)
    mixed = (numbers[:, None] ^ salts) * np.uint64(0x9E3779B97F4A7C15)  # (shingles, salts), modulo 2^64
    return ((mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)).min(0)


# %% name="near"
random = Random(seed)
salts = np.random.default_rng(seed).integers(0, 2**63, 200).astype(np.uint64)
long_texts = [text for text in EN if len(text.split()) > 60][:60]
exact, estimated = [], []
for text in long_texts:
    words = text.split()
    for i in random.sample(range(len(words)), random.randint(0, 12)):
        words[i] = random.choice(["yesterday", "Anna", "seven", "Tuesday"])
    a, b = shingles(text), shingles(" ".join(words))
    exact.append(jaccard(a, b))
    estimated.append(float(np.mean(signature(a, salts) == signature(b, salts))))

# %% name="near-plot"
fig, (ax,) = plots.figure("200 numbers for each text are enough", width=4.4, height=3.4)
ax.plot([0, 1], [0, 1], color="#999999", linewidth=0.9)
ax.plot(exact, estimated, linestyle="", marker="o", color=plots.COLOURS[0], alpha=0.7)
ax.set_xlabel("Jaccard similarity")
ax.set_ylabel("share of equal MinHashes")
plots.show(
    fig, alt="Estimated similarity against the exact one for 60 edited texts: the points lie along the diagonal."
)

# %% name="near-check"
error = np.abs(np.array(exact) - np.array(estimated))
record.check("the mean error of MinHash is below 0.05", error.mean() < 0.05)
other = [jaccard(shingles(a), shingles(b)) for a, b in pairwise(long_texts)]
record.check("two texts of the world share less than 0.1", max(other) < 0.1)

# %% [markdown] name="split-text"
# ### 无泄漏的划分 · A split without leaks
#
# Now the reason to care. Suppose half of our documents occur three times, and we split **at random**. Then many test
# texts also stand in the training set. A model that has learned them by heart looks brilliant.

# %% name="split"
copied = [text for i, text in enumerate(EN[:160]) for _ in range(3 if i % 2 else 1)]
Random(seed).shuffle(copied)
unique = list(dict.fromkeys(copied))
tokenizer = tokenizers["English"]["BPE"]
LEAK = {"with duplicates": copied, "without": unique}
loss = {}
for name, texts in LEAK.items():
    n_test = len(texts) // 5
    held, train_rows = texts[:n_test], [tokenizer.encode(text) for text in texts[n_test:]]
    model = KneserNey(train_rows, 4, len(tokenizer))
    log_p = torch.cat([model.log_probabilities(tokenizer.encode(text)) for text in held])
    fresh = torch.cat([model.log_probabilities(tokenizer.encode(text)) for text in TEST["English"]])
    shared = np.mean([text in set(texts[n_test:]) for text in held])
    loss[name] = perplexity(log_p), perplexity(fresh), shared
    print(f"{name:16} seen in training {shared:4.0%}   test {loss[name][0]:6.1f}   really new {loss[name][1]:6.1f}")

# %% name="split-check"
leaky, fair = loss["with duplicates"], loss["without"]
record.check("without duplicates no test text was seen", fair[2] == 0)
record.check("with duplicates over a third was", leaky[2] > 1 / 3)
record.check("the leak makes the test perplexity look less than half of the truth", leaky[0] < leaky[1] / 2)
record.check("without it, test and new text agree within a factor of 1.6", 1 / 1.6 < fair[0] / fair[1] < 1.6)

# %% [markdown] name="split-lesson"
# Three rules. Take out duplicates **before** the split. Split by **document** (better by author or by date), never by
# line: neighbouring lines tell the same story. And fit everything that is fitted, the tokenizer too, on the training
# part only. (Our cell breaks the last rule: its tokenizer was trained on all of `EN`, the held texts among them. Both
# runs share it, so the comparison stands; a real test set must not be in there.)

# %% [markdown] name="pipeline"
# ## 3.1.3 数值化、填充、截断、打包 · From tokens to training rows
#
# Each token becomes its **id** (数值化). **Special tokens** mark what is no text: the end of a document, padding, a
# mask. They must never be cut apart or written by a user's text by accident. Look out in the next cell: `encode`
# takes the *name* of a special token in a text for the token itself. That is handy here; in a stranger's text it is
# the accident. Take such names out first.

# %% name="ids" tags=["nbval-check-output"]
tokenizer = BytePairEncoding.train(EN, 600)
text = "The baker is happy.<|endoftext|>"
ids = tokenizer.encode(text)
print(tokenizer.tokens(ids))
record.check("the special token is one id", ids[-1] == tokenizer.id_of("<|endoftext|>"))
record.check("ids give the text back", tokenizer.decode(ids) == text)

# %% [markdown] name="rows-text"
# Documents have all lengths, a batch is a rectangle. Three ways to make one:
#
# - **padding** (填充): fill short rows with a token that a mask hides; **truncation** (截断) cuts long ones;
# - **bucketing** (分桶): the same, but texts of like length stand together;
# - **packing** (打包): write all documents one after the other, a separator behind each, and cut rows of one length.
#
# In the pictures dark is a token, light grey is padding, white lies outside the batch; under packing the two greys
# are documents in turn.

# %% name="rows"
LENGTH, PAD = 384, tokenizer.id_of("<|endoftext|>")
rows = [tokenizer.encode(text) for text in EN[:208]]
lengths = [len(row) for row in rows]
cut = [list(truncate(row, LENGTH)) for row in rows]
by_length = bucket(list(range(len(rows))), lengths, 16, torch.Generator().manual_seed(seed))


def batches(order, n=16):
    """Masks of padded batches, each as wide as its longest row."""
    return [pad([cut[i] for i in order[at : at + n]], PAD)[1] for at in range(0, len(order), n)]


packed = pack(rows, LENGTH, PAD)
used = {
    name: sum(int(m.sum()) for m in b) / sum(m.numel() for m in b)
    for name, b in (("padding", batches(range(len(rows)))), ("bucketing", batches(by_length)))
}
kept = sum(map(len, cut)) / sum(lengths)
lost = sum(lengths) + len(rows) - packed.numel()
print(f"fields with a token: padding {used['padding']:.0%}, bucketing {used['bucketing']:.0%}, packing 100%")
print(f"truncation to {LENGTH} keeps {kept:.0%} of the tokens; packing all but the last {lost}")

# %% name="rows-plot"
fig, axes = plots.figure("padding", "bucketing", "packing", width=8.2, height=2.6)
pictures = [batches(range(len(rows)))[0], batches(by_length)[0]]
for ax, mask in zip(axes, pictures, strict=False):
    field = torch.zeros(16, LENGTH)
    field[:, : mask.size(1)] = 0.25 + 0.6 * mask
    ax.imshow(field, cmap="Greys", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
document = (packed[:16].flatten() == PAD).cumsum(0).view(16, LENGTH) % 2
axes[2].imshow(0.5 + 0.35 * document, cmap="Greys", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
for ax in axes:
    ax.grid(visible=False)
    ax.set_yticks([])
    ax.set_xlabel("position")
axes[0].set_ylabel("row of the batch")
plots.show(
    fig,
    alt="Three batches of 16 rows. Padding: dark rows of different lengths on light padding. Bucketing: rows of nearly "
    "one length. Packing: a full rectangle in which documents follow each other across rows.",
)

# %% name="rows-check"
record.check("padding wastes over a third of the fields", used["padding"] < 2 / 3)
record.check("bucketing wastes less than a tenth", used["bucketing"] > 0.9)
record.check("packing drops less than one row", 0 <= lost < LENGTH)
record.check("truncation loses tokens", kept < 1)

# %% [markdown] name="mask-text"
# Packing has a price: a row may begin in the middle of a document, and a token can attend to the document before its
# own. The separator tells the model where a document ends; a mask by document forbids the look back altogether
# (section 2.2 has masks). And padding must not be *learned*: its labels are -100, which the loss leaves out.

# %% name="mask-check" tags=["nbval-check-output"]
logits, labels = torch.randn(2, 4, 7), torch.tensor([[1, 2, 3, 4], [5, 6, -100, -100]])
per_token = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view(2, 4)
print("tokens that count:", int((labels != -100).sum()), "of", labels.numel())
record.check("padding has loss 0", not per_token[1, 2:].any())
mean = nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
record.check("the mean is over the six real tokens", torch.allclose(mean, per_token.sum() / 6))

# %% [markdown] name="stop-words"
# ### 停用词 · Should stop words go?
#
# **Stop words** (停用词) are the frequent small words: *the, of, is, to*. Search engines of the last century dropped
# them, and one of the documents lists it as a step before training a language model. They are a large part of a text.
# So what does a model lose? Guess before you look: will it be better or worse on *normal* sentences?

# %% name="stop-code"
STOP = set(
    re.findall(
        r"\w+",
        """the a an of to in on at by for with from and or but not no is are was were be been am has have had do does
        did will would can it its he she they we you i his her their our my me him them this that these those as so
        then than who which what when where how very""",
    )
)
WORD = re.compile(r"\w+|[^\w\s]")


def split(text):
    """Words in small letters, and signs."""
    return WORD.findall(text.lower())


full = [split(text) for text in EN]
bare = [[word for word in text if word not in STOP] for text in full]
vocabulary = {word: i for i, (word, _) in enumerate(Counter(w for text in full for w in text).most_common())}
names = list(vocabulary)
share = 1 - sum(map(len, bare)) / sum(map(len, full))
print(f"{len(STOP)} stop words are {share:.0%} of the tokens")

# %% name="stop-models"
encoded = {
    name: [[vocabulary[w] for w in text] for text in some] for name, some in (("all words", full), ("without", bare))
}
ngrams = {name: KneserNey(some, 3, len(vocabulary)) for name, some in encoded.items()}
tested = [[vocabulary[w] for w in split(text) if w in vocabulary] for text in TEST["English"]]
stopped = [[i for i in text if names[i] not in STOP] for text in tested]
results = {}
for name, model in ngrams.items():
    normal = perplexity(torch.cat([model.log_probabilities(text) for text in tested]))
    results[name] = normal, perplexity(torch.cat([model.log_probabilities(text) for text in stopped]))
    print(f"trained on {name:10} perplexity: normal text {normal:8.1f}, without stop words {results[name][1]:7.1f}")

# %% name="stop-plot"
fig, (ax,) = plots.figure("Perplexity of normal test sentences", width=5.6, height=2.2)
ax.barh([0, 1], [results[name][0] for name in results], color="#9db8d9", edgecolor=plots.COLOURS[0], height=0.55)
ax.set_yticks([0, 1], [f"trained on\n{name}" for name in ("all words", "no stop words")])
ax.invert_yaxis()
ax.set_xscale("log")
ax.set_xlim(1, None)
ax.set_xlabel("perplexity, logarithmic (lower is better)")
plots.show(fig, alt="Perplexity on normal text: the model that was trained without stop words is many times worse.")

# %% name="stop-samples"
for name, model in ngrams.items():
    drawn = model.sample(26, generator=torch.Generator().manual_seed(seed))
    print(f"{name}: {' '.join(names[i] for i in drawn)}\n")
long = {name: model.sample(2000, generator=torch.Generator().manual_seed(seed)) for name, model in ngrams.items()}
written = {name: np.mean([names[i] in STOP for i in some]) for name, some in long.items()}

# %% name="stop-check"
record.metric("perplexity without stop words, times", results["without"][0] / results["all words"][0])
record.check("stop words are over a quarter of the text", share > 0.25)
record.check(
    "without them, normal text is over 5 times as surprising", results["without"][0] > 5 * results["all words"][0]
)
record.check(
    "the sampled text has stop words as often as the corpus, within 0.1", abs(written["all words"] - share) < 0.1
)
record.check("the other model hardly ever writes one: under 1 % of its words", written["without"] < 0.01)
not_good, good = ([w for w in split(text) if w not in STOP] for text in ("this is not good", "this is good"))
record.check("and 'not good' has become 'good'", not_good == good == ["good"])

# %% [markdown] name="stop-lesson"
# A model that has never read *the* cannot write a sentence, and *not* is gone with the rest. For a bag of words in
# a search index, dropping stop words saves room. For a language model they are much of what there is to learn: they
# carry the grammar.

# %% [markdown] name="document-says"
# ## 文档怎么说 · What the document says
#
# Three documents list preprocessing among their steps. Each statement was put to a test.

# %% name="ledger-table" tags=["nbval-check-output"]
ledger.show("03_algorithms/01_data_preprocessing")

# %% name="ledger-data"
outcome = ledger.outcome  # a call's result, or the name of the error it raises
SMALL = [
    "the cat is on the mat .",
    "the dog is in the house .",
    "a cat is in the house .",
    "the dog is not on the mat .",
]
FUNCTION_WORDS = {"the", "a", "is", "on", "in", "not"}


# %% name="ledger-stop-words" tags=["ledger"]
def document_version(text):
    """002 §3.2: stop words are removed when the training set is built."""
    return [word for word in text.split() if word not in FUNCTION_WORDS]


def correct_version(text):
    """They stay."""
    return text.split()


def trained_on(prepare):
    """Perplexity on a normal sentence, and the share of 'the' in a long sample, of a model trained on what is left."""
    ids = {word: i for i, word in enumerate(sorted({w for text in SMALL for w in text.split()}))}
    model = AddK([[ids[w] for w in prepare(text)] for text in SMALL], 2, len(ids), k=0.02)
    asked = [ids[w] for w in ["the", "cat", "is", "in", "the", "house", "."]]
    sample = model.sample(500, generator=torch.Generator().manual_seed(0))
    return perplexity(model.log_probabilities(asked)), sample.count(ids["the"]) / len(sample)


record.check("trained without them, a normal sentence is a surprise", trained_on(document_version)[0] > 8)
record.check("with them it is not", trained_on(correct_version)[0] < 4)
record.check("the first writes 'the' seldom: less than 10 % of its words", trained_on(document_version)[1] < 0.1)
record.check("the second often: more than 15 %", trained_on(correct_version)[1] > 0.15)


# %% name="ledger-denoise" tags=["ledger"]
def document_version(text):
    """003 §3.2: noise is taken out of the input. The usual recipe: small letters and digits only."""
    return re.sub(r"[^a-z0-9 ]", "", text.lower())


def correct_version(text):
    """Only what a reader cannot see is taken out."""
    return re.sub("[\u200b\ufeff]", "", unicodedata.normalize("NFC", text))


differ = "It cost $3.50, didn\u200b't it?", "it cost 350 didnt it"
record.check("the recipe makes $3.50 and 350 the same", document_version(differ[0]) == document_version(differ[1]))
record.check("the careful one keeps them apart", correct_version(differ[0]) != correct_version(differ[1]))


# %% name="ledger-text-to-vectors" tags=["ledger"]
def document_version(words, table):
    """003 §3.2, step 2: the text sequence becomes embedding vectors. Straight from the text."""
    return table(words)


def correct_version(words, table):
    """Between the two stand the ids."""
    ids = {word: i for i, word in enumerate(sorted(set(words)))}
    return table(torch.tensor([ids[word] for word in words]))


words, vectors = ["the", "cat", "the"], nn.Embedding(10, 4)
record.check("an embedding does not take words", outcome(document_version, words, vectors) == "TypeError")
record.check("it takes their ids", tuple(correct_version(words, vectors).shape) == (3, 4))


# %% name="ledger-encoder-decoder" tags=["ledger"]
def document_version():
    """003 §3.2, steps 3 and 4: an encoder makes hidden states, a decoder writes from them. Parts that are needed."""
    return {"encoder", "decoder"}


def correct_version():
    """The parts that a working language model has: a GPT is a decoder alone."""
    gpt = Gpt(GptConfig(20, 16, 1, 2, 8), "language_model")
    written = gpt(torch.tensor([[1, 2, 3]])).logits.shape == (1, 3, 20)
    return {name for name in ("encoder", "decoder") if hasattr(gpt, name) or (name == "decoder" and written)}


record.check("the document needs an encoder", "encoder" in document_version())
record.check("a GPT predicts every next token without one", correct_version() == {"decoder"})


# %% name="ledger-vocabulary" tags=["ledger"]
def document_version(text):
    """004 §3.1.1: the vocabulary is all tokens of the corpus. Here the words of the small corpus."""
    ids = {word: i for i, word in enumerate(sorted({w for line in SMALL for w in line.split()}))}
    return [ids[word] for word in text.split()]


def correct_version(text):
    """Words that never occurred need a way in: bytes."""
    return Bytes().encode(text)


record.check("a word of the corpus has its number in both", isinstance(document_version("the cat"), list))
record.check("a new word has none", outcome(document_version, "the zebra") == "KeyError")
record.check("in bytes it has", Bytes().decode(outcome(correct_version, "the zebra")) == "the zebra")


# %% name="ledger-split-first" tags=["ledger"]
def document_version(word, n_merges):
    """004 §3.1.1: first the text is cut into tokens, then the vocabulary is built. A cut that knows no vocabulary."""
    return list(word)


def correct_version(word, n_merges):
    """For subwords the vocabulary is learned first, and the cut follows from it."""
    pieces = list(word)
    for pair in [("t", "h"), ("th", "e")][:n_merges]:
        joined = " ".join(pieces).replace(" ".join(pair), "".join(pair))
        pieces = joined.split()
    return pieces


record.check(
    "without a vocabulary the cut is always the same", document_version("the", 0) == document_version("the", 2)
)
record.check(
    "another vocabulary cuts another way", correct_version("the", 1) == ["th", "e"] != correct_version("the", 2)
)


# %% name="ledger-numbers" tags=["ledger"]
def document_version(text):
    """004 §3.1.1: each token is mapped to an id. There and back through a table."""
    table = {token: i for i, token in enumerate(sorted(set(text)))}
    back = {i: token for token, i in table.items()}
    return torch.tensor([ord(back[i]) for i in [table[token] for token in text]])


def correct_version(text):
    """The text as it was."""
    return torch.tensor([ord(token) for token in text])


text = "面包师的女儿很高兴。"
record.check("nothing is lost on the way", torch.equal(document_version(text), correct_version(text)))


# %% name="ledger-fixed-length" tags=["ledger"]
def document_version(rows, length):
    """004 §3.1.1: every sequence is filled or cut to one length. (Tokens kept, fields used.)"""
    return sum(min(len(row), length) for row in rows), len(rows) * length


def correct_version(rows, length):
    """For pre-training, sequences are packed: one after the other, a 0 behind each. (Tokens kept, fields used.)"""
    packed = pack(rows, length, 0)
    return int((packed != 0).sum()), packed.numel()


rows = [[1] * n for n in (2, 30, 5, 7, 3, 16)]
kept, fields = document_version(rows, 16)
record.check("filled and cut: 14 tokens lost, 96 fields for 49 tokens", (63 - kept, fields) == (14, 96))
kept, fields = correct_version(rows, 16)
record.check("packed: 4 tokens lost at the very end, 64 fields for 59 tokens", (63 - kept, fields) == (4, 64))


# %% name="ledger-test-set" tags=["ledger"]
def document_version(texts):
    """002 §3.2, step 4: a test set makes sure that the model generalises. One drawn from all texts."""
    return parted(texts)


def correct_version(texts):
    """Only if no text stands on both sides: duplicates go first."""
    return parted(list(dict.fromkeys(texts)))


def parted(texts):
    """Every third text to test, the others to train."""
    return texts[::3], [text for i, text in enumerate(texts) if i % 3]


def by_heart(test, train):
    """The score of a model that knows its training texts and nothing else."""
    return np.mean([text in set(train) for text in test])


texts = [f"text {i // 3}" for i in range(30)]
record.check("with duplicates a model that only remembers scores 100 %", by_heart(*document_version(texts)) == 1)
record.check("without them it scores 0", by_heart(*correct_version(texts)) == 0)

# %% [markdown] name="exercises"
# ## 练习 · To the exercises
#
# [Exercises for this section](../../exercises/03_algorithms/01_data_preprocessing.ipynb), about 110 minutes, five
# questions:
#
# 1. one merge of byte-pair encoding, with runs of the same letter;
# 2. a batch: truncation, the end token, padding, mask and labels;
# 3. packing, with the number of each token's document;
# 4. a tokenizer as a class: it learns once and is used many times;
# 5. bits per byte, fertility, and a leak to find.
#
# To go on: section 3.4 makes pre-training tasks of these rows, section 4.1 derives perplexity.
