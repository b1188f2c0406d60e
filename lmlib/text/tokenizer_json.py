"""tokenizer.json of the `tokenizers` library: what we write gives the same ids there, and what it wrote does so here.

Components that are supported; every other one, and every other setting, is an error that names it:

- model: BPE (without dropout, prefix, suffix, byte fallback; an unknown token only for characters), WordPiece, Unigram
  (without byte fallback)
- normalizer: none; NFC, NFD, NFKC or NFKD for BPE and Unigram; BertNormalizer (its defaults, lowercase or not) for
  WordPiece; a Sequence of one of these
- pre_tokenizer: for BPE ByteLevel, or a Sequence of Split (by a Regex, Isolated) and ByteLevel without its own pattern;
  none for characters, which are BPE without merges; BertPreTokenizer; Metaspace (▁, split, prepend always or never)
- post_processor: none, TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel (which moves no id), a Sequence
- decoder: none, or the one of the model: ByteLevel, WordPiece, Metaspace, Fuse. Whatever it says, `decode` here leaves
  spaces before punctuation alone (`cleanup`)
- added_tokens: all but single words; a normalized one only where there is no normalizer

`truncation` and `padding` are settings of a call: what they say is not applied. The token that pads is read from
tokenizer_config.json beside it (as in Transformers), else from `padding`. Folders from before that format are read too:
vocab.json with merges.txt (GPT-2), and vocab.txt (BERT).
"""

import json
from pathlib import Path
from typing import Any

from lmlib.text.byte_level import GPT2_PATTERN
from lmlib.text.byte_pair_encoding import BytePairEncoding
from lmlib.text.bytes import Bytes
from lmlib.text.characters import Characters
from lmlib.text.tokenizer import AddedToken, Template, Tokenizer, numbered
from lmlib.text.unigram import SPACE, Unigram
from lmlib.text.wordpiece import CONTINUES, LONGEST_WORD, UNKNOWN, WordPiece

Part = dict[str, Any]

NORMAL_FORMS = ("NFC", "NFD", "NFKC", "NFKD")


def load(folder: Path) -> Tokenizer:
    """The tokenizer that a folder holds, whatever its kind."""
    if (folder / "tokenizer.json").is_file():
        spec = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        return from_spec(spec, _padding(folder, spec))
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return _from_merges_file(folder)
    if (folder / "vocab.txt").is_file():
        return _from_vocabulary_file(folder)
    raise FileNotFoundError(
        f"{folder} has no vocab.txt, one piece a line, no vocab.json with merges.txt and no tokenizer.json; "
        "it is no folder of a tokenizer"
    )


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json, and beside it tokenizer_config.json, with which Transformers reads the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if tokenizer.padding is not None:
        config["pad_token"] = tokenizer.padding
    for name, content in (("tokenizer.json", to_spec(tokenizer)), ("tokenizer_config.json", config)):
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), "utf-8")


# Reading


def from_spec(spec: Part, padding: str | None = None) -> Tokenizer:
    """The tokenizer that the content of a tokenizer.json describes. Raises ValueError for what is not supported."""
    model, added = spec["model"], spec["added_tokens"]
    readers = {"BPE": _read_byte_pairs, "WordPiece": _read_wordpiece, "Unigram": _read_unigram}
    if model.get("type") not in readers:
        raise ValueError(f"the model {model.get('type')} is not supported; supported are {', '.join(readers)}")
    pieces = model["vocab"] if model["type"] != "Unigram" else numbered(piece for piece, _ in model["vocab"])
    vocabulary = pieces | {token["content"]: token["id"] for token in added}
    shared = {
        "added": [_read_added(token, spec["normalizer"]) for token in added],
        "template": _read_template(spec["post_processor"], vocabulary),
        "padding": padding,
    }
    return readers[model["type"]](spec, vocabulary, shared)


def _read_byte_pairs(spec: Part, vocabulary: dict[str, int], shared: Part) -> Tokenizer:
    model, steps = spec["model"], _steps(spec["pre_tokenizer"], "pretokenizers")
    off = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
    if not steps:
        _check("model", model, "BPE", **dict.fromkeys([*off, "merges", "fuse_unk"]))
        _check_decoder(spec, "Fuse")
        _read_normal_form(spec["normalizer"], allowed=())
        return Characters(vocabulary, model.get("unk_token"), **shared)
    _check("model", model, "BPE", **dict.fromkeys([*off, "unk_token"]))
    _check_decoder(spec, "ByteLevel")
    _check("pre_tokenizer", steps[-1], "ByteLevel")
    splits = steps[:-1]
    if not splits and not model["merges"] and not steps[-1].get("use_regex", True):
        _check("pre_tokenizer", steps[-1], "ByteLevel", add_prefix_space=None)
        _read_normal_form(spec["normalizer"], allowed=())
        return Bytes(vocabulary=vocabulary, **shared)
    own = {"use_regex": None, "add_prefix_space": None} if splits else {"use_regex": True}
    _check("pre_tokenizer", {"use_regex": True} | steps[-1], "ByteLevel", **own)
    return BytePairEncoding(
        vocabulary,
        [_pair(merge) for merge in model["merges"]],
        pattern=_read_pattern(splits),
        normalization=_read_normal_form(spec["normalizer"]),
        prefix_space=steps[-1]["add_prefix_space"],
        whole_words=model.get("ignore_merges", False),
        **shared,
    )


def _pair(merge: str | list[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge  # files of older versions have strings
    return left, right


def _read_wordpiece(spec: Part, vocabulary: dict[str, int], shared: Part) -> Tokenizer:
    settings = {"unk_token": UNKNOWN, "continuing_subword_prefix": CONTINUES, "max_input_chars_per_word": LONGEST_WORD}
    _check("model", spec["model"], "WordPiece", **settings)
    _check("pre_tokenizer", spec["pre_tokenizer"], "BertPreTokenizer")
    _check_decoder(spec, "WordPiece")
    normalizer = _only(_steps(spec["normalizer"], "normalizers"), "normalizer")
    _check("normalizer", normalizer, "BertNormalizer", clean_text=True, handle_chinese_chars=True, strip_accents=None)
    return WordPiece(vocabulary, normalizer["lowercase"], **shared)


def _read_unigram(spec: Part, vocabulary: dict[str, int], shared: Part) -> Tokenizer:
    model = spec["model"]
    _check("model", model, "Unigram", byte_fallback=None)
    if model["unk_id"] is None:
        raise ValueError("the model Unigram with unk_id=None is not supported; it needs a piece for the unknown")
    space = _only(_steps(spec["pre_tokenizer"], "pretokenizers"), "pre_tokenizer")
    _check("pre_tokenizer", {"split": True} | space, "Metaspace", replacement=SPACE, split=True)
    scheme = space.get("prepend_scheme", "always" if space.get("add_prefix_space", True) else "never")
    if scheme not in ("always", "never"):
        raise ValueError(f"the pre_tokenizer Metaspace with prepend_scheme={scheme!r} is not supported")
    _check_decoder(spec, "Metaspace")
    scores = dict(model["vocab"])
    return Unigram(
        scores,
        list(scores)[model["unk_id"]],
        vocabulary=vocabulary,
        normalization=_read_normal_form(spec["normalizer"]),
        prefix_space=scheme == "always",
        **shared,
    )


def _read_added(token: Part, normalizer: Part | None) -> AddedToken:
    for setting, bad in (("single_word", token["single_word"]), ("normalized", token["normalized"] and normalizer)):
        if bad:
            raise ValueError(f"the added token {token['content']} with {setting}=True is not supported")
    return AddedToken(token["content"], token["lstrip"], token["rstrip"], token["special"])


def _read_normal_form(normalizer: Part | None, allowed: tuple[str, ...] = NORMAL_FORMS) -> Any:
    steps = _steps(normalizer, "normalizers")
    if not steps:
        return None
    found = _only(steps, "normalizer")["type"]
    if found not in allowed:
        raise ValueError(f"the normalizer {found} is not supported here; supported: {', '.join(allowed) or 'none'}")
    return found


def _read_pattern(splits: list[Part]) -> str:
    if not splits:
        return GPT2_PATTERN
    split = _only(splits, "pre_tokenizer before ByteLevel")
    _check("pre_tokenizer", split, "Split", behavior="Isolated", invert=None)
    if "Regex" not in split["pattern"]:
        raise ValueError(f"the pre_tokenizer Split with pattern={split['pattern']} is not supported; it takes a Regex")
    return split["pattern"]["Regex"]


def _read_template(part: Part | None, vocabulary: dict[str, int]) -> Template:
    steps = [step for step in _steps(part, "processors") if step["type"] != "ByteLevel"]
    if not steps:
        return Template()
    step = _only(steps, "post_processor")
    if step["type"] in ("BertProcessing", "RobertaProcessing"):
        cls, sep = (step["cls"][0], 0), (step["sep"][0], 0)
        if step["type"] == "RobertaProcessing":
            return Template((cls, ("$A", 0), sep), (cls, ("$A", 0), sep, sep, ("$B", 0), sep))
        return Template((cls, ("$A", 0), sep), (cls, ("$A", 0), sep, ("$B", 1), (sep[0], 1)))
    _check("post_processor", step, "TemplateProcessing")
    for token in step["special_tokens"].values():
        if token["ids"] != [vocabulary.get(name) for name in token["tokens"]]:
            raise ValueError(
                f"the post_processor gives {token['tokens']} the ids {token['ids']}; the vocabulary does not"
            )
    single, pair = ([entry for item in step[key] for entry in _entries(item, step)] for key in ("single", "pair"))
    return Template(tuple(single), tuple(pair))


def _entries(item: Part, step: Part) -> list[tuple[str, int]]:
    """One item of TemplateProcessing as entries of a Template; a special token there may stand for several."""
    if "Sequence" in item:
        return [("$" + item["Sequence"]["id"], item["Sequence"]["type_id"])]
    special = item["SpecialToken"]
    return [(name, special["type_id"]) for name in step["special_tokens"][special["id"]]["tokens"]]


def _steps(part: Part | None, key: str) -> list[Part]:
    """A component as a list: none, itself, or the steps of a Sequence."""
    if part is None:
        return []
    return [step for inner in part[key] for step in _steps(inner, key)] if part["type"] == "Sequence" else [part]


def _only(steps: list[Part], where: str) -> Part:
    if len(steps) != 1:
        kinds = ", ".join(step["type"] for step in steps) or "none"
        raise ValueError(f"the {where} must be one component here; there are: {kinds}")
    return steps[0]


def _check(where: str, part: Part | None, kind: str, **settings: Any) -> None:
    """Raises ValueError unless the component is of this kind with these settings; None allows what is off or empty."""
    found = (part or {}).get("type")
    if found != kind:
        raise ValueError(f"the {where} {found} is not supported here; it must be {kind}")
    for name, needed in settings.items():
        value = (part or {}).get(name)
        if value != needed and (needed is not None or value):
            raise ValueError(f"the {where} {kind} with {name}={value!r} is not supported; it must be {needed!r}")


def _check_decoder(spec: Part, kind: str) -> None:
    if spec["decoder"] is not None:
        _check("decoder", spec["decoder"], kind)


def _padding(folder: Path, spec: Part) -> str | None:
    config = _config(folder).get("pad_token")
    if config is not None:
        return config["content"] if isinstance(config, dict) else config
    return spec["padding"]["pad_token"] if spec.get("padding") else None


def _config(folder: Path) -> Part:
    file = folder / "tokenizer_config.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}


def _from_vocabulary_file(folder: Path) -> WordPiece:
    pieces = (folder / "vocab.txt").read_text("utf-8").removesuffix("\n").split("\n")  # other separators are pieces
    return WordPiece(numbered(pieces), _config(folder).get("do_lower_case", True))


def _from_merges_file(folder: Path) -> BytePairEncoding:
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    lines = (folder / "merges.txt").read_text("utf-8").split("\n")
    merges = [_pair(line) for line in lines if line and not line.startswith("#version")]
    special = [token for token in ("<|endoftext|>",) if token in vocabulary]  # the one that GPT-2 has
    return BytePairEncoding(vocabulary, merges, special, padding=special[0] if special else None)


# Writing


def to_spec(tokenizer: Tokenizer) -> Part:
    """The content of tokenizer.json for a tokenizer of this library."""
    added = sorted(tokenizer.added.values(), key=lambda token: tokenizer.vocabulary[token.text])
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": tokenizer.vocabulary[token.text],
                "content": token.text,
                "single_word": False,
                "lstrip": token.takes_white_left,
                "rstrip": token.takes_white_right,
                "normalized": False,
                "special": token.special,
            }
            for token in added
        ],
        "post_processor": _template_spec(tokenizer),
        **_components(tokenizer),
    }


def _components(tokenizer: Tokenizer) -> Part:
    if isinstance(tokenizer, WordPiece):
        return _wordpiece_spec(tokenizer)
    if isinstance(tokenizer, Unigram):
        return _unigram_spec(tokenizer)
    if isinstance(tokenizer, BytePairEncoding):
        return _byte_pairs_spec(tokenizer)
    model: Part = {"type": "BPE", "vocab": tokenizer.vocabulary, "merges": [], "unk_token": None}
    if isinstance(tokenizer, Characters):
        unknown = {"unk_token": tokenizer.unknown}
        return {"normalizer": None, "pre_tokenizer": None, "decoder": {"type": "Fuse"}, "model": model | unknown}
    if isinstance(tokenizer, Bytes):
        level = _byte_level_spec(prefix_space=False, use_regex=False)
        return {"normalizer": None, "pre_tokenizer": level, "decoder": level, "model": model}
    raise TypeError(f"a tokenizer of the kind {type(tokenizer).__name__} has no form in tokenizer.json")


def _byte_pairs_spec(tokenizer: BytePairEncoding) -> Part:
    own = tokenizer.pattern == GPT2_PATTERN
    if tokenizer.prefix_space and not own:
        raise ValueError("tokenizer.json has no prefix_space together with a pattern other than GPT-2's")
    pre_tokenizer: Part = _byte_level_spec(tokenizer.prefix_space, use_regex=own)
    if not own:
        pattern = {"Regex": tokenizer.pattern}
        split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
        pre_tokenizer = {"type": "Sequence", "pretokenizers": [split, pre_tokenizer]}
    return {
        "normalizer": _normal_form_spec(tokenizer.normalization),
        "pre_tokenizer": pre_tokenizer,
        "decoder": _byte_level_spec(prefix_space=False, use_regex=True),
        "model": {
            "type": "BPE",
            "vocab": tokenizer.vocabulary,
            "merges": tokenizer.merges,
            "ignore_merges": tokenizer.whole_words,
        },
    }


def _wordpiece_spec(tokenizer: WordPiece) -> Part:
    return {
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": tokenizer.lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": CONTINUES, "cleanup": False},
        "model": {
            "type": "WordPiece",
            "unk_token": UNKNOWN,
            "continuing_subword_prefix": CONTINUES,
            "max_input_chars_per_word": LONGEST_WORD,
            "vocab": tokenizer.vocabulary,
        },
    }


def _unigram_spec(tokenizer: Unigram) -> Part:
    if [tokenizer.vocabulary[piece] for piece in tokenizer.scores] != list(range(len(tokenizer.scores))):
        raise ValueError("the pieces of a Unigram must have the ids 0, 1, 2 … in the order of `scores` to be saved")
    space = {"replacement": SPACE, "prepend_scheme": "always" if tokenizer.prefix_space else "never", "split": True}
    return {
        "normalizer": _normal_form_spec(tokenizer.normalization),
        "pre_tokenizer": {"type": "Metaspace"} | space,
        "decoder": {"type": "Metaspace"} | space,
        "model": {
            "type": "Unigram",
            "unk_id": tokenizer.vocabulary[tokenizer.unknown],
            "vocab": list(tokenizer.scores.items()),
            "byte_fallback": False,
        },
    }


def _byte_level_spec(prefix_space: bool, use_regex: bool) -> Part:
    return {"type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": True, "use_regex": use_regex}


def _normal_form_spec(form: str | None) -> Part | None:
    return None if form is None else {"type": form}


def _template_spec(tokenizer: Tokenizer) -> Part | None:
    if tokenizer.template == Template():
        return None

    def item(name: str, kind: int) -> Part:
        if name in ("$A", "$B"):
            return {"Sequence": {"id": name[1:], "type_id": kind}}
        return {"SpecialToken": {"id": name, "type_id": kind}}

    return {
        "type": "TemplateProcessing",
        "single": [item(*entry) for entry in tokenizer.template.single],
        "pair": [item(*entry) for entry in tokenizer.template.pair],
        "special_tokens": {
            name: {"id": name, "ids": [tokenizer.vocabulary[name]], "tokens": [name]}
            for name in tokenizer.template.tokens()
        },
    }
