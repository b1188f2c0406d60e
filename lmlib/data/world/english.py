"""English morphology: plurals, verb forms, articles, numbers in words."""

IRREGULAR_PLURALS = {
    "child": "children", "foot": "feet", "goose": "geese", "mouse": "mice", "ox": "oxen", "calf": "calves",
    "wolf": "wolves", "sheep": "sheep", "deer": "deer", "moose": "moose", "trout": "trout", "salmon": "salmon",
    "pike": "pike", "carp": "carp", "knife": "knives", "loaf": "loaves", "wife": "wives", "shelf": "shelves",
    "scarf": "scarves", "leaf": "leaves", "handkerchief": "handkerchiefs", "tomato": "tomatoes", "potato": "potatoes",
    "mango": "mangoes", "buffalo": "buffaloes", "domino": "dominoes", "volcano": "volcanoes", "thesis": "theses",
    "fisherman": "fishermen", "postman": "postmen", "ferryman": "ferrymen", "goldfish": "goldfish",
    "starfish": "starfish", "jellyfish": "jellyfish", "dwarf": "dwarfs",
    "quiz": "quizzes", "half": "halves",
}  # fmt: skip

# Past and past participle where the rules do not give them.
IRREGULAR_VERBS = {
    "be": ("was", "been"), "have": ("had", "had"), "do": ("did", "done"), "go": ("went", "gone"),
    "run": ("ran", "run"), "ride": ("rode", "ridden"), "drive": ("drove", "driven"), "give": ("gave", "given"),
    "lend": ("lent", "lent"), "sell": ("sold", "sold"), "bring": ("brought", "brought"), "send": ("sent", "sent"),
    "leave": ("left", "left"), "buy": ("bought", "bought"), "get": ("got", "got"), "break": ("broke", "broken"),
    "bend": ("bent", "bent"), "tear": ("tore", "torn"), "lose": ("lost", "lost"), "hide": ("hid", "hidden"),
    "hang": ("hung", "hung"), "throw": ("threw", "thrown"), "read": ("read", "read"), "dig": ("dug", "dug"),
    "feed": ("fed", "fed"), "shear": ("sheared", "shorn"), "build": ("built", "built"), "sew": ("sewed", "sewn"),
    "knit": ("knitted", "knitted"), "weave": ("wove", "woven"), "draw": ("drew", "drawn"),
    "write": ("wrote", "written"),
    "eat": ("ate", "eaten"), "drink": ("drank", "drunk"), "meet": ("met", "met"), "teach": ("taught", "taught"),
    "forgive": ("forgave", "forgiven"), "beat": ("beat", "beaten"), "lead": ("led", "led"), "see": ("saw", "seen"),
    "hear": ("heard", "heard"), "catch": ("caught", "caught"), "find": ("found", "found"), "sleep": ("slept", "slept"),
    "sing": ("sang", "sung"), "swim": ("swam", "swum"),
    "stride": ("strode", "stridden"), "speak": ("spoke", "spoken"), "say": ("said", "said"),
    "tell": ("told", "told"), "think": ("thought", "thought"), "know": ("knew", "known"),
    "forget": ("forgot", "forgotten"), "understand": ("understood", "understood"), "begin": ("began", "begun"),
    "choose": ("chose", "chosen"), "mean": ("meant", "meant"), "put": ("put", "put"), "keep": ("kept", "kept"),
    "lay": ("laid", "laid"), "breed": ("bred", "bred"), "freeze": ("froze", "frozen"), "hurt": ("hurt", "hurt"),
    "cut": ("cut", "cut"), "come": ("came", "come"), "take": ("took", "taken"), "make": ("made", "made"),
    "feel": ("felt", "felt"), "win": ("won", "won"), "overtake": ("overtook", "overtaken"), "kneel": ("knelt", "knelt"),
    "sweep": ("swept", "swept"), "rebuild": ("rebuilt", "rebuilt"), "show": ("showed", "shown"),
    "cost": ("cost", "cost"), "stand": ("stood", "stood"), "spend": ("spent", "spent"), "pay": ("paid", "paid"),
    "fall": ("fell", "fallen"), "wear": ("wore", "worn"), "hold": ("held", "held"), "sit": ("sat", "sat"),
    "set": ("set", "set"), "become": ("became", "become"), "grow": ("grew", "grown"), "let": ("let", "let"),
}  # fmt: skip

# Verbs of two syllables or more whose last syllable is stressed: the final consonant doubles.
STRESSED_LAST = {"admit", "unwrap", "regret", "prefer", "occur", "refer", "forget", "begin", "permit"}
UNDOUBLED = {"visit", "offer", "deliver", "open", "mention", "gossip", "master", "water", "whisper", "order", "enter"}
VOWELS = "aeiou"
# The article follows the sound, not the letter.
CONSONANT_SOUND = ("uni", "use", "one", "eu", "ute")
VOWEL_SOUND = ("hour", "honest", "heir", "hono")

SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def plural(noun: str) -> str:
    """The plural of a noun; of a compound, its last word's."""
    head, _, last = noun.rpartition(" ")
    return f"{head} {_plural(last)}".strip()


def _plural(word: str) -> str:
    if word in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[word]
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2] not in VOWELS:
        return word[:-1] + "ies"
    return word + "s"


def third_person(verb: str) -> str:
    """walks, goes, carries, is, has."""
    irregular = {"be": "is", "have": "has", "do": "does", "go": "goes"}
    return irregular.get(verb) or _plural_like(verb)


def _plural_like(verb: str) -> str:
    if verb.endswith(("s", "x", "z", "ch", "sh", "o")):
        return verb + "es"
    if verb.endswith("y") and verb[-2] not in VOWELS:
        return verb[:-1] + "ies"
    return verb + "s"


def past(verb: str) -> str:
    """walked, went, stopped, carried."""
    return IRREGULAR_VERBS[verb][0] if verb in IRREGULAR_VERBS else _with_ed(verb)


def participle(verb: str) -> str:
    """The past participle: walked, gone, stopped, carried."""
    return IRREGULAR_VERBS[verb][1] if verb in IRREGULAR_VERBS else _with_ed(verb)


def _with_ed(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in VOWELS:
        return verb[:-1] + "ied"
    return _doubled(verb) + "ed"


def ing(verb: str) -> str:
    """The present participle: walking, making, running, lying."""
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb == "dye":
        return "dyeing"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and verb != "be":
        return verb[:-1] + "ing"
    return _doubled(verb) + "ing"


def _doubled(verb: str) -> str:
    """The verb with its last consonant doubled where English does: stop, plan, travel, admit; not visit, open."""
    one_vowel = sum(letter in VOWELS for letter in verb.replace("qu", "q")) == 1
    short = len(verb) > 2 and verb[-1] not in VOWELS + "wxy" and verb[-2] in VOWELS and verb[-3] not in VOWELS
    if verb in {"travel", "label", "quarrel", "marvel"} or (short and verb not in UNDOUBLED and one_vowel):
        return verb + verb[-1]
    return verb + verb[-1] if verb in STRESSED_LAST else verb


def article(next_word: str) -> str:
    """'a' or 'an' before a word, by its sound."""
    word = next_word.lower()
    if word.startswith(VOWEL_SOUND):
        return "an"
    return "an" if word[:1] in VOWELS and not word.startswith(CONSONANT_SOUND) else "a"


def number(n: int) -> str:
    """An integer from 0 to 999 in words."""
    if not 0 <= n < 1000:
        raise ValueError(f"numbers from 0 to 999 have words here, got {n}")
    if n < 20:
        return SMALL[n]
    if n < 100:
        return TENS[n // 10] + (f"-{SMALL[n % 10]}" if n % 10 else "")
    rest = f" and {number(n % 100)}" if n % 100 else ""
    return f"{SMALL[n // 100]} hundred{rest}"


def verb_group(verb: str, tense: str, agreement: str, negated: bool = False) -> tuple[list[str], str]:
    """(auxiliaries, main verb): ([], 'walked'), (['does', 'not'], 'walk'), (['was'], 'walking')."""
    be = {"I": "am", "plural": "are"}.get(agreement, "is")
    was = "were" if agreement == "plural" else "was"
    base_do = "does" if agreement == "singular" else "do"
    no = ["not"] if negated else []
    if verb == "be" and tense in ("past", "present"):
        return [], " ".join([was if tense == "past" else be, *no])
    if tense == "infinitive":
        return no, verb
    if tense == "present":
        plain = third_person(verb) if agreement == "singular" else verb
        return ([base_do, *no], verb) if negated else ([], plain)
    if tense == "past":
        return (["did", *no], verb) if negated else ([], past(verb))
    if tense == "future":
        return ["will", *no], verb
    if tense == "progressive":
        return [was, *no], ing(verb)
    if tense == "past_perfect":
        return ["had", *no], participle(verb)
    raise ValueError(f"no English tense '{tense}'")
