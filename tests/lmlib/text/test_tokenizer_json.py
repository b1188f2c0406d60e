"""tokenizer.json, both ways: what we save gives the same ids in `tokenizers`, and what it saved gives them here."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from lmlib import hub
from lmlib.text.byte_pair_encoding import BytePairEncoding
from lmlib.text.bytes import Bytes
from lmlib.text.characters import Characters
from lmlib.text.tokenizer import AddedToken, Template, Tokenizer
from lmlib.text.tokenizer_json import from_spec, to_spec
from lmlib.text.unigram import Unigram
from lmlib.text.wordpiece import WordPiece
from tests.lmlib.text.texts import CHINESE, CONTROL, EMOJI, ENGLISH, SAMPLES, some_text

CORPUS = [ENGLISH, CHINESE, EMOJI, CONTROL, "the other theory of them, then the others", "模型看见模型"] * 2
LLAMA_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?!\S)|\s+"
)
START = Template((("<s>", 0), ("$A", 0)), (("<s>", 0), ("$A", 0), ("<s>", 1), ("$B", 1)))
BPE = BytePairEncoding.train(CORPUS, 330, ["<s>", "<pad>"])
UNIGRAM = Unigram.train(CORPUS, 240)
MASK = AddedToken("<mask>", takes_white_left=True)
CALL = AddedToken("<call>", special=False)

OURS: dict[str, Tokenizer] = {
    "characters": Characters.train(CORPUS, 80),
    "bytes": Bytes(["<s>", CALL], START, None),
    "byte-pair encoding": BPE,
    "byte-pair encoding of Llama": BytePairEncoding(
        BPE.vocabulary,
        BPE.merges,
        ["<s>"],
        pattern=LLAMA_PATTERN,
        normalization="NFC",
        whole_words=True,
        template=START,
        padding=None,
    ),
    "byte-pair encoding of RoBERTa": BytePairEncoding(
        BPE.vocabulary | {"<mask>": 330}, BPE.merges, ["<s>", MASK], prefix_space=True, padding="<pad>"
    ),
    "WordPiece": WordPiece.train(CORPUS, 400),
    "WordPiece with case": WordPiece.train(CORPUS, 400, lowercase=False),
    "unigram": UNIGRAM,
    "unigram of a normal form": Unigram(
        UNIGRAM.scores,
        added=["<pad>", "<unk>", "<s>", MASK],
        vocabulary={piece: i for i, piece in enumerate([*UNIGRAM.scores, "<s>", "<mask>"])},
        normalization="NFKC",
        prefix_space=False,
        template=START,
    ),
}
THEIRS_OF_OURS = {name: tokenizers.Tokenizer.from_str(json.dumps(to_spec(ours))) for name, ours in OURS.items()}


def trained(model: Any, trainer: Any, special: list[str], **parts: Any) -> tokenizers.Tokenizer:
    """A tokenizer of the peer with these components, trained on the corpus."""
    peer = tokenizers.Tokenizer(model)
    for name, part in parts.items():
        if name != "post_processor":
            setattr(peer, name, part)
    peer.train_from_iterator(CORPUS, trainer(special_tokens=special, show_progress=False))
    if "post_processor" in parts:
        peer.post_processor = parts["post_processor"](peer)
    return peer


def byte_pairs(vocab_size: int = 330) -> Callable[..., Any]:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return lambda **given: trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, **given)


def start_template(peer: tokenizers.Tokenizer) -> Any:
    start = processors.TemplateProcessing("<s> $A", "<s> $A <s>:1 $B:1", [("<s>", peer.token_to_id("<s>"))])
    return processors.Sequence([processors.ByteLevel(trim_offsets=False), start])


def cls_sep(kind: Any, cls: str, sep: str) -> Callable[[tokenizers.Tokenizer], Any]:
    return lambda peer: kind((sep, peer.token_to_id(sep)), (cls, peer.token_to_id(cls)))


BYTE_LEVEL = pre_tokenizers.ByteLevel(add_prefix_space=False)
LLAMA = [
    pre_tokenizers.Split(tokenizers.Regex(LLAMA_PATTERN), "isolated"),
    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
]
BERT = {"normalizer": normalizers.BertNormalizer(), "pre_tokenizer": pre_tokenizers.BertPreTokenizer()}
WORDPIECE = lambda **given: trainers.WordPieceTrainer(vocab_size=400, **given)  # noqa: E731
UNIGRAMS = lambda **given: trainers.UnigramTrainer(vocab_size=240, unk_token="<unk>", **given)  # noqa: E731
CHARACTERS = lambda **given: trainers.BpeTrainer(vocab_size=30, limit_alphabet=60, **given)  # noqa: E731
ROBERTA = cls_sep(processors.RobertaProcessing, "<s>", "</s>")

THEIRS: dict[str, tokenizers.Tokenizer] = {
    "BPE": trained(models.BPE(), byte_pairs(), ["<s>"], pre_tokenizer=BYTE_LEVEL, decoder=decoders.ByteLevel()),
    "BPE with a template": trained(
        models.BPE(ignore_merges=True),
        byte_pairs(),
        ["<s>"],
        normalizer=normalizers.NFC(),
        pre_tokenizer=pre_tokenizers.Sequence(LLAMA),
        post_processor=start_template,
    ),
    "BPE of RoBERTa": trained(
        models.BPE(), byte_pairs(), ["<s>", "</s>"], pre_tokenizer=pre_tokenizers.ByteLevel(), post_processor=ROBERTA
    ),
    "bytes": trained(
        models.BPE(),
        byte_pairs(257),
        ["<s>"],
        pre_tokenizer=pre_tokenizers.ByteLevel(False, True, False),
    ),
    "characters": trained(models.BPE(unk_token="<unk>"), CHARACTERS, ["<unk>"], decoder=decoders.Fuse()),
    "WordPiece": trained(
        models.WordPiece(unk_token="[UNK]"),
        WORDPIECE,
        ["[UNK]", "[CLS]", "[SEP]"],
        **BERT,
        post_processor=cls_sep(processors.BertProcessing, "[CLS]", "[SEP]"),
    ),
    "WordPiece without a template": trained(
        models.WordPiece(unk_token="[UNK]"), WORDPIECE, ["[UNK]"], **BERT, decoder=decoders.WordPiece()
    ),
    "unigram": trained(models.Unigram(), UNIGRAMS, ["<unk>"], pre_tokenizer=pre_tokenizers.Metaspace()),
    "unigram of a normal form": trained(
        models.Unigram(),
        UNIGRAMS,
        ["<unk>", "<s>"],
        normalizer=normalizers.Sequence([normalizers.NFKC()]),
        pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="never"),
        decoder=decoders.Metaspace(prepend_scheme="never"),
    ),
}
OURS_OF_THEIRS = {name: from_spec(json.loads(peer.to_str())) for name, peer in THEIRS.items()}
PAIRS = {f"ours: {name}": (ours, THEIRS_OF_OURS[name]) for name, ours in OURS.items()}
PAIRS |= {f"theirs: {name}": (OURS_OF_THEIRS[name], theirs) for name, theirs in THEIRS.items()}
MARKED = ["<s>a <s>", "x  <mask> y<mask>", "[CLS] a[SEP]", "<unk><pad>", "<call>中"]


@pytest.mark.parametrize("name", PAIRS)
def test_samples_give_the_same_ids_both_ways(name: str):
    ours, theirs = PAIRS[name]
    for text in [*SAMPLES, *MARKED]:
        assert ours.encode(text) == theirs.encode(text).ids, text
        assert ours.encode(text, add_special_tokens=False) == theirs.encode(text, add_special_tokens=False).ids
    assert len(ours) == theirs.get_vocab_size()


@settings(max_examples=120, deadline=None)
@given(some_text, st.sampled_from(MARKED))
def test_any_text_gives_the_same_ids_both_ways(text: str, marked: str):
    for name, (ours, theirs) in PAIRS.items():
        assert ours.encode(text + marked) == theirs.encode(text + marked).ids, name


@pytest.mark.parametrize("name", PAIRS)
def test_two_texts_give_the_same_ids_and_types(name: str):
    ours, theirs = PAIRS[name]
    found = theirs.encode("the first text", "a second")
    assert ours.encode_pair("the first text", "a second") == (found.ids, found.type_ids)


@pytest.mark.parametrize("name", OURS)
def test_what_we_save_decodes_the_same_in_the_peer(name: str):
    ours, theirs = PAIRS[f"ours: {name}"]
    for text in [*SAMPLES, *MARKED]:
        ids = ours.encode(text)
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=False), text
        assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True), text


@pytest.mark.parametrize("name", OURS)
def test_a_saved_tokenizer_comes_back_as_it_was(name: str, tmp_path: Path):
    ours = OURS[name]
    ours.save(tmp_path / "folder")
    back = type(ours).from_folder(tmp_path / "folder")
    assert type(back) is type(ours)
    assert to_spec(back) == to_spec(ours)
    assert back.padding == ours.padding
    assert back.encode(ENGLISH + CHINESE + EMOJI) == ours.encode(ENGLISH + CHINESE + EMOJI)


@pytest.mark.parametrize("name", ["byte-pair encoding", "WordPiece", "unigram", "characters"])
def test_transformers_reads_the_folder_and_pads_alike(name: str, tmp_path: Path):
    OURS[name].save(tmp_path)
    batch = transformers.AutoTokenizer.from_pretrained(tmp_path)(["a longer text", "short"], padding=True)
    ours = OURS[name](["a longer text", "short"])
    assert ours["input_ids"].tolist() == batch["input_ids"]
    assert ours["attention_mask"].tolist() == batch["attention_mask"]


def test_a_folder_of_bert_gives_the_same_ids_from_vocab_txt_as_from_tokenizer_json(tmp_path: Path):
    folder = hub.find_model("all-MiniLM-L6-v2")
    (tmp_path / "vocab.txt").write_bytes((folder / "vocab.txt").read_bytes())
    old, new = WordPiece.from_folder(tmp_path), Tokenizer.from_folder(folder)
    assert isinstance(new, WordPiece)
    assert old.vocabulary == new.vocabulary
    assert to_spec(old) == to_spec(new)
    assert old.padding == new.padding == "[PAD]"


def test_a_folder_of_gpt2_is_read(tmp_path: Path):
    trained_by_peer = tokenizers.ByteLevelBPETokenizer()
    trained_by_peer.train_from_iterator(CORPUS, 330, special_tokens=["<|endoftext|>"], show_progress=False)
    trained_by_peer.save_model(str(tmp_path))
    ours = Tokenizer.from_folder(tmp_path)
    assert isinstance(ours, BytePairEncoding)
    for text in SAMPLES:
        assert ours.encode(text) == trained_by_peer.encode(text).ids
    assert ours.encode("a<|endoftext|>")[-1] == ours.id_of("<|endoftext|>") == 0
    assert ours.padding == "<|endoftext|>"


def test_the_token_that_pads_is_the_one_of_the_config_or_of_the_file(tmp_path: Path):
    spec = to_spec(BPE) | {"padding": {"pad_token": "<s>", "pad_id": 0}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec), "utf-8")
    assert Tokenizer.from_folder(tmp_path).padding == "<s>"
    (tmp_path / "tokenizer_config.json").write_text('{"pad_token": {"content": "<pad>"}}', "utf-8")
    assert Tokenizer.from_folder(tmp_path).padding == "<pad>"


def test_files_of_older_versions_are_read():
    spec = to_spec(BPE)
    spec["model"]["merges"] = [" ".join(merge) for merge in BPE.merges]
    assert to_spec(from_spec(spec)) == to_spec(BPE)
    old = to_spec(UNIGRAM) | {"pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "add_prefix_space": False}}
    assert from_spec(old).prefix_space is False


class Words(Tokenizer):
    """A kind of tokenizer that the format does not know."""

    def words(self, text: str) -> list[str]:
        return text.split()

    def split(self, word: str) -> list[str]:
        return [word]

    def join(self, pieces: list[str]) -> str:
        return " ".join(pieces)


def change(spec: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with another value at a path such as model.dropout."""
    spec = deepcopy(spec)
    *keys, last = path.split(".")
    part: Any = spec
    for key in keys:
        part = part[int(key)] if key.isdigit() else part[key]
    part[last] = value
    return spec


SPLIT = {"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Isolated", "invert": False}
LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}


@pytest.mark.parametrize(
    ("name", "path", "value", "message"),
    [
        ("byte-pair encoding", "model.type", "WordLevel", "the model WordLevel is not supported"),
        ("byte-pair encoding", "model.dropout", 0.1, "model BPE with dropout=0.1"),
        ("byte-pair encoding", "model.byte_fallback", True, "model BPE with byte_fallback=True"),
        ("byte-pair encoding", "model.unk_token", "<pad>", "model BPE with unk_token='<pad>'"),
        ("byte-pair encoding", "model.end_of_word_suffix", "</w>", "model BPE with end_of_word_suffix='</w>'"),
        ("byte-pair encoding", "pre_tokenizer", {"type": "Whitespace"}, "pre_tokenizer Whitespace is not supported"),
        ("byte-pair encoding", "pre_tokenizer.use_regex", False, "ByteLevel with use_regex=False"),
        ("byte-pair encoding", "pre_tokenizer", None, "model BPE with merges="),
        ("byte-pair encoding", "normalizer", {"type": "Lowercase"}, "the normalizer Lowercase is not supported here"),
        ("byte-pair encoding", "decoder", {"type": "BPEDecoder"}, "the decoder BPEDecoder is not supported here"),
        ("byte-pair encoding", "post_processor", {"type": "Other"}, "the post_processor Other is not supported here"),
        ("byte-pair encoding", "added_tokens.0.single_word", True, "added token <s> with single_word=True"),
        (
            "byte-pair encoding",
            "pre_tokenizer",
            {"type": "Sequence", "pretokenizers": [SPLIT | {"behavior": "Removed"}, LEVEL]},
            "Split with behavior='Removed'",
        ),
        (
            "byte-pair encoding",
            "pre_tokenizer",
            {"type": "Sequence", "pretokenizers": [SPLIT | {"pattern": {"String": "a"}}, LEVEL]},
            "Split with pattern=",
        ),
        (
            "byte-pair encoding",
            "pre_tokenizer",
            {"type": "Sequence", "pretokenizers": [SPLIT, SPLIT, LEVEL]},
            "must be one component here; there are: Split, Split",
        ),
        ("byte-pair encoding of Llama", "added_tokens.0.normalized", True, "added token <s> with normalized=True"),
        ("byte-pair encoding of Llama", "post_processor.special_tokens.<s>.ids", [7], r"gives \['<s>'\] the ids \[7\]"),
        ("characters", "normalizer", {"type": "NFC"}, "the normalizer NFC is not supported here; supported: none"),
        ("characters", "model.fuse_unk", True, "model BPE with fuse_unk=True"),
        ("bytes", "pre_tokenizer.add_prefix_space", True, "ByteLevel with add_prefix_space=True"),
        ("WordPiece", "model.unk_token", "?", r"unk_token='\?' is not supported; it must be '\[UNK\]'"),
        ("WordPiece", "model.max_input_chars_per_word", 9, "max_input_chars_per_word=9"),
        ("WordPiece", "normalizer", None, "the normalizer must be one component here; there are: none"),
        ("WordPiece", "normalizer.strip_accents", True, "BertNormalizer with strip_accents=True"),
        ("WordPiece", "normalizer.clean_text", False, "BertNormalizer with clean_text=False"),
        ("WordPiece", "pre_tokenizer", None, "the pre_tokenizer None is not supported here"),
        ("unigram", "model.byte_fallback", True, "model Unigram with byte_fallback=True"),
        ("unigram", "model.unk_id", None, "model Unigram with unk_id=None"),
        ("unigram", "normalizer", {"type": "Precompiled"}, "the normalizer Precompiled is not supported here"),
        ("unigram", "pre_tokenizer.split", False, "Metaspace with split=False"),
        ("unigram", "pre_tokenizer.prepend_scheme", "first", "Metaspace with prepend_scheme='first'"),
        ("unigram", "pre_tokenizer.replacement", "_", "Metaspace with replacement='_'"),
    ],
)
def test_a_component_that_is_not_supported_is_named(name: str, path: str, value: Any, message: str):
    with pytest.raises(ValueError, match=message):
        from_spec(change(to_spec(OURS[name]), path, value))


def test_what_the_format_cannot_hold_is_not_saved():
    with pytest.raises(ValueError, match="no prefix_space together with a pattern"):
        to_spec(BytePairEncoding(BPE.vocabulary, [], ["<s>"], pattern="a", prefix_space=True, padding=None))
    with pytest.raises(ValueError, match="must have the ids 0, 1, 2"):
        to_spec(Unigram({"<unk>": 0.0}, vocabulary={"<unk>": 5}, added=["<unk>"], padding=None))
    with pytest.raises(TypeError, match="a tokenizer of the kind Words has no form"):
        to_spec(Words({"a": 0}))
