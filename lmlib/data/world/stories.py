"""Stories: who the people are, what happens to them in a day, and what became of it."""

from dataclasses import replace
from random import Random

from lmlib.data.world import english, events, lexicon, scenes
from lmlib.data.world.lexicon import Phrase, Verb
from lmlib.data.world.meaning import Both, Clause, Joined, PartOf, Plan, Quality, Topic, clauses_of, said
from lmlib.data.world.scenes import Scene
from lmlib.data.world.truth import Person, Population

LIVE = Verb("live", "live", "", "住")
BE = Verb("be", "be", "", "_")
BE_A = Verb("be_a", "be", "", "是")
WORK = Verb("work_at", "work", "", "工作")
TOLD = Verb("tell_to", "tell", "", "告诉")
OWN = Verb("own", "own", "", "有")
MANNERS = ("act", "make", "make_for", "transfer", "put", "go", "social", "consume", "room_act", "study", "ride", "talk")
ACCOMPANIED = ("go", "travel", "consume", "attend", "do", "study", "room_act", "tour", "observe", "ride")
GLAD = {"happy", "excited", "surprised", "delighted", "pleased", "amused", "content", "overjoyed", "moved"}
NEEDS = {"hungry": ("eat", "taste", "finish"), "thirsty": ("drink", "sip")}


def habit(rng: Random, person: Person) -> Clause:
    """A pastime, and how often."""
    pastime = Topic(rng.choice(lexicon.nouns("hobby")))
    practise = next(verb for verb in lexicon.verbs("study") if verb.en == "practise")
    often = rng.choice(lexicon.phrases("frequency"))
    return Clause("study", practise, (("S", person), ("O", pastime)), frequency=often)


def regard(rng: Random, person: Person, others: tuple[Person, ...]) -> Clause:
    """How someone stands to another."""
    other = rng.choice([one for one in others if one != person])
    return Clause("regard", rng.choice(lexicon.verbs("regard")), (("S", person), ("R", other)))


def fact(rng: Random, person: Person, others: tuple[Person, ...] = ()) -> Clause:
    """Something lasting about a person: where they live or work, what they like, own or are like."""
    likes, dislikes = lexicon.verbs("like")[:5], lexicon.verbs("like")[5:]
    liked = Clause("like", rng.choice(likes), (("S", person), ("O", rng.choice(person.likes))))
    disliked = Clause("like", rng.choice(dislikes), (("S", person), ("O", rng.choice(person.dislikes))))
    choices = (
        Clause("live", LIVE, (("S", person), ("T", person.town))),
        Clause("work_at", WORK, (("S", person), ("P", person.workplace))),
        rng.choice((liked, disliked)),
        Clause("own", OWN, (("S", person), ("O", rng.choice(person.owns)))),
        be_a(person),
        trait(rng, person),
        Clause("aged", BE, (("S", person), ("N", person.age))),
        habit(rng, person),
        *([regard(rng, person, others)] if others else []),
    )
    chosen = rng.choice(choices)
    if chosen.frequency or rng.random() < 0.3:
        return chosen
    return replace(chosen, time=rng.choice(lexicon.phrases("lasting")))


def be_a(person: Person) -> Clause:
    return Clause("be_a", BE_A, (("S", person), ("O", Topic(person.trade))))


def trait(rng: Random, person: Person) -> Clause:
    degree = rng.choice(lexicon.phrases("degree")[:4])
    return Clause("describe", BE, (("S", person), ("A", Quality(rng.choice(person.traits), degree))))


def live(person: Person) -> Clause:
    return Clause("live", LIVE, (("S", person), ("T", person.town)))


def adorned(scene: Scene, clause: Clause) -> Clause:
    """The clause with an opener, a time, a manner or a companion, where they go with it."""
    rng = scene.rng
    family = clause.frame.split("_")[0] if clause.frame.startswith("put_") else clause.frame
    changes: dict[str, object] = {}
    if rng.random() < 0.3:
        changes["opener"] = scene.opener()
    elif rng.random() < 0.3:
        changes["time"] = scene.time()
    if family in MANNERS and isinstance(clause["S"], Person) and rng.random() < 0.4:
        changes["manner"] = rng.choice(lexicon.phrases("manner"))
    if not any(changes.values()) and clause.place is None:
        changes["time"] = scene.time() if rng.random() < 0.5 else None
        changes["opener"] = None if changes["time"] else scene.opener()
    others = [one for one in scene.cast if one != clause["S"] and one != clause["R"]]
    if family in ACCOMPANIED and isinstance(clause["S"], Person) and others and rng.random() < 0.2:
        changes["companion"] = rng.choice(others)
    done = replace(clause, name_town=rng.random() < 0.3, **changes)  # type: ignore[arg-type]
    scenes.move(scene, done)
    return done


def joined(scene: Scene) -> Plan:
    """Two events, or an event and its reason, in one sentence."""
    rng = scene.rng
    relation = rng.choice(
        ("and", "and", "then", "after", "after", "before", "because", "although", "so", "when", "who", "while")
    )
    if relation == "because":
        return _because(scene)
    if relation == "so":
        return _need(scene)
    if relation == "while":
        return _meanwhile(scene)
    if relation in ("although", "when", "who"):
        return _with_state(scene, relation)
    first = adorned(scene, events.happen(scene))
    scene.last_actor = first["S"] if isinstance(first["S"], Person) and rng.random() < 0.7 else rng.choice(scene.cast)
    second = events.happen(scene)
    if relation in ("after", "before") and {first.frame, second.frame} & STATES:
        relation = "then"
    if relation == "and" and first["S"] != second["S"]:
        relation = "then"
    return Joined(relation, replace(first, time=None) if relation != "then" else first, second)


STATES = {"control", "feel", "ill", "tell", "think", "tell_to"}


def _because(scene: Scene) -> Plan:
    """A feeling, and the event it comes from: bad luck makes unhappy, a gift happy."""
    unhappy = scene.rng.random() < 0.4
    event = events.harm if unhappy else scene.rng.choice((events.transfer, events.make, events.get_at))
    reason = event(scene)
    scenes.move(scene, reason)
    person = reason["R"] if isinstance(reason["R"], Person) else reason["S"]
    wanted = -1 if unhappy else 1
    moods = [mood for mood in lexicon.adjectives("feeling") if mood.polarity == wanted and mood.en not in NOT_FOR_GIFTS]
    degree = scene.rng.choice(lexicon.phrases("degree"))
    verb = lexicon.verbs("feel")[scene.rng.randrange(3)]
    mood = Clause("feel", verb, (("S", person), ("A", Quality(scene.rng.choice(moods), degree))))
    return Joined("because", reason, mood)


NOT_FOR_GIFTS = {
    "hungry",
    "thirsty",
    "bored",
    "lonely",
    "homesick",
    "hopeful",
    "confused",
    "ashamed",
    "nervous",
    "tired",
}


def _meanwhile(scene: Scene) -> Plan:
    """What someone did while another was at work on something."""
    person = scene.actor()
    first = adorned(scene, _by(scene, scene.rng.choice((events.go, events.act, events.find)), person))
    second = _by(scene, events.make, scene.other(person))
    return Joined("while", replace(first, companion=None), replace(second, tense="progressive"))


def _need(scene: Scene) -> Plan:
    """Hungry, so she ate."""
    person = scene.actor()
    need = scene.rng.choice(sorted(NEEDS))
    mood = next(mood for mood in lexicon.adjectives("feeling") if mood.en == need)
    kinds = ("drink",) if need == "thirsty" else ("dish", "fruit")
    meal = scene.add(tuple(noun for kind in kinds for noun in lexicon.nouns(kind)))
    verbs = [verb for verb in lexicon.verbs_for("consume", meal.noun) if verb.en in NEEDS[need]]
    degree = scene.rng.choice(lexicon.phrases("degree")[:5])
    first = Clause("feel", scene.verb("feel"), (("S", person), ("A", Quality(mood, degree))))
    return Joined("so", adorned(scene, first), Clause("consume", scene.rng.choice(verbs), (("S", person), ("O", meal))))


def _with_state(scene: Scene, relation: str) -> Plan:
    """An event beside a feeling, a sight or a lasting fact of the same person."""
    person = scene.actor()
    scene.last_actor = person
    event = scene.rng.choice(
        (events.act, events.make, events.go, events.put, events.study, events.room_act, events.attend)
    )
    if relation == "who":
        about = replace(fact(scene.rng, person), time=None)
        if about.frame in ("own", "be_a", "aged"):
            about = live(person)
        return Joined("who", about, _by(scene, event, person))
    if relation == "when":
        seen = scene.rng.choice((events.observe, events.get, events.find))
        first = _by(scene, seen, person)
        pleased = [mood for mood in lexicon.adjectives("feeling") if mood.en in GLAD]
        state = Quality(scene.rng.choice(pleased), scene.rng.choice(lexicon.phrases("degree")))
        feels = Clause("feel", scene.verb("feel"), (("S", person), ("A", state)))
        return Joined("when", first, scene.rng.choice((feels, _by(scene, events.social, person))))
    moods = [mood for mood in lexicon.adjectives("feeling") if mood.polarity < 0]
    state = Quality(scene.rng.choice(moods), scene.rng.choice(lexicon.phrases("degree")[:5]))
    first = Clause("feel", scene.verb("feel"), (("S", person), ("A", state)))
    return Joined("although", first, _by(scene, event, person))


def _by(scene: Scene, event: events.Event, person: Person) -> Clause:
    """The event with this person as its actor."""
    for _ in range(50):
        scene.last_actor = person
        kept = dict(scene.where), dict(scene.holder), list(scene.things)
        clause = event(scene)
        if clause["S"] == person:
            scenes.move(scene, clause)
            return clause
        scene.where, scene.holder, scene.things = kept
    raise RuntimeError(f"{event.__name__} would not happen to {person.name.en}")


def reported(scene: Scene) -> Plan:
    """Someone tells or knows what has happened."""
    event = events.happen(scene)
    while event.frame in STATES:
        event = events.happen(scene)
    who = scene.rng.choice(scene.cast)
    listener = scene.other(who)
    content = replace(event, companion=None)
    if scene.rng.random() < 0.3:
        return adorned(scene, Clause("tell_to", TOLD, (("S", who), ("R", listener), ("C", content))))
    frame = scene.rng.choice(("tell", "think"))
    return adorned(scene, Clause(frame, scene.verb(frame), (("S", who), ("C", content))))


def description(scene: Scene) -> Plan | None:
    """What a thing that has come up is like, or a part of it."""
    known = [thing for thing in scene.things if thing.count and not thing.id.startswith("person")]
    if not known:
        return None
    thing = known[-1] if scene.rng.random() < 0.7 else scene.rng.choice(known)
    if thing.noun.kind not in PARTS and scene.rng.random() < 0.5:
        return None
    sorts = {lexicon.sort_of(one.en) for one in thing.adjectives} | {lexicon.SORTS.index("material")}
    fitting = [
        one for one in lexicon.adjectives(thing.noun.kind, thing.noun.en) if lexicon.sort_of(one.en) not in sorts
    ]
    if not fitting:
        return None
    quality = Quality(scene.rng.choice(fitting), scene.rng.choice(lexicon.phrases("degree")))
    state = Clause("describe", BE, (("S", thing), ("A", quality)))
    if scene.rng.random() < 0.5 and thing.noun.kind in PARTS:
        part = lexicon.noun("part", scene.rng.choice(PARTS[thing.noun.kind]))
        quality = Quality(scene.rng.choice(lexicon.adjectives("part")), scene.rng.choice(lexicon.phrases("degree")))
        state = Clause("describe", BE, (("S", PartOf(part, thing)), ("A", quality)))
    if scene.rng.random() < 0.25:
        return replace(state, opener=scene.opener())
    frame = scene.rng.choice(("tell", "think"))
    return adorned(scene, Clause(frame, scene.verb(frame), (("S", scene.actor()), ("C", state))))


PARTS = {
    "tool": ("handle", "edge", "tip", "surface", "blade", "hook"),
    "household": ("handle", "lid", "surface", "edge", "bottom", "knob", "spout", "button"),
    "container": ("lid", "handle", "lock", "hinge", "strap", "buckle", "bottom", "corner", "label"),
    "furniture": ("leg", "frame", "hinge", "edge", "surface", "corner", "knob", "spring"),
    "clothing": ("sleeve", "collar", "pocket", "button", "lining", "seam", "zip", "buckle"),
    "instrument": ("string", "pedal", "frame", "surface", "button"),
    "vehicle": ("wheel", "engine", "axle", "pedal", "saddle", "frame", "sail", "mast", "oar"),
    "document": ("page", "cover", "corner", "spine", "edge", "label"),
    "toy": ("string", "wheel", "edge", "surface"),
    "jewel": ("frame", "hook", "surface", "edge"),
}


def whereabouts(scene: Scene) -> list[Clause]:
    """Where the things are at the end: in what they were put, or with whom."""
    found: list[Clause] = []
    for thing in scene.things:
        holder = scene.holder.get(thing.id)
        if isinstance(holder, tuple):
            found.append(Clause(f"be_{holder[0]}", BE, (("S", thing), ("K", holder[1]))))
    return found


def setting(scene: Scene) -> Plan:
    """The weather, or what there is in the town."""
    rng = scene.rng
    day = rng.choice(lexicon.phrases("day"))
    where = {"T": scene.town, "D": day}
    if rng.random() < 0.5:
        sky = Quality(rng.choice(lexicon.adjectives("weather")), rng.choice(lexicon.phrases("degree")[:4]))
        return said("weather adjective" if sky.adjective.degree else "weather state", A=sky, **where)
    verb = rng.choice(lexicon.verbs("weather"))
    return said("weather verb", V=Phrase(f"{english.past(verb.en)} {verb.particle}", verb.zh), **where)


def kinship(scene: Scene) -> Plan | None:
    """How two people of the cast are related."""
    for person in scene.cast:
        for en, zh, relative in scene.population.kin[person.id]:
            if relative in scene.cast and scene.rng.random() < 0.5:
                return said("kinship", A=person, B=relative, R=Phrase(en, zh))
    return None


def introduction(scene: Scene) -> list[Plan]:
    """The people of the story and one or two lasting facts about each."""
    plans: list[Plan] = [setting(scene)] if scene.rng.random() < 0.4 else []
    for person in scene.cast:
        facts = [fact(scene.rng, person, scene.cast), fact(scene.rng, person)]
        if facts[0].frame != facts[1].frame and scene.rng.random() < 0.75:
            facts[0] = replace(facts[0], time=facts[0].time if scene.rng.random() < 0.5 else None)
            plans.append(Joined("and", facts[0], replace(facts[1], time=None)))
        elif facts[0].frame in ("live", "work_at", "own", "be_a", "regard"):  # the rest is too short to stand alone
            plans.append(facts[0])
    related = kinship(scene) if scene.rng.random() < 0.6 else None
    return [*plans, related] if related else plans


def story(scene: Scene, n_events: int) -> list[Plan]:
    """Introduction, events, and at the end where something is that was put away early."""
    plans = introduction(scene)
    introduced: set[str] = set()
    for i in range(n_events):
        scene.progress = i / n_events
        draw = scene.rng.random()
        if draw < 0.38:
            clause = adorned(scene, events.happen(scene))
            who = clause["S"]
            if isinstance(who, Person) and who.id not in introduced and scene.rng.random() < 0.3:
                clause = replace(clause, introduce=scene.rng.choice(("trade", "town", "trait")))
                introduced.add(who.id)
            plans.append(clause)
        elif draw < 0.82:
            plans.append(joined(scene))
        elif draw < 0.92:
            plans.append(reported(scene))
        else:
            described = description(scene)
            plans += [described] if described else []
    return plans + ending(scene)


def ending(scene: Scene) -> list[Plan]:
    """Someone still knows, hours later, where a thing was put."""
    places = whereabouts(scene)
    if not places:
        return []
    who = scene.rng.choice(scene.cast)
    remember = Verb(
        "think", *scene.rng.choice((("remember", "", "记得"), ("know", "", "知道"), ("forget", "", "忘了")))
    )
    clause = Clause("think", remember, (("S", who), ("C", scene.rng.choice(places))))
    if scene.rng.random() < 0.3:
        clause = Clause("tell_to", TOLD, (("S", who), ("R", scene.other(who)), ("C", clause["C"])))
    return [replace(clause, time=scene.rng.choice(lexicon.phrases("time")[-4:]))]


def sentences(scene: Scene, n: int) -> list[Plan]:
    """Plans that can stand alone: for translation."""
    plans: list[Plan] = []
    for _ in range(n):
        draw = scene.rng.random()
        if draw < 0.5:
            clause = adorned(scene, events.happen(scene))
            dated = clause.time is None and scene.rng.random() < 0.3
            plans.append(replace(clause, day=scene.rng.choice(lexicon.phrases("day"))) if dated else clause)
        elif draw < 0.8:
            plans.append(joined(scene))
        elif draw < 0.9:
            plans.append(reported(scene))
        else:
            plans.append(fact(scene.rng, scene.rng.choice(scene.cast), scene.cast))
    return plans


def profile(rng: Random, person: Person, population: Population) -> list[Plan]:
    """What is always true of a person, and of the town."""
    roles = {"A": person, "T": person.town, "K": person.trade, "P": person.workplace, "N": person.age}
    plans = [said("profile works", **roles), said("profile home", **roles)]
    likes, dislikes = rng.choice(person.likes), rng.choice(person.dislikes)
    plans.append(said("profile tastes", **roles, L=likes, M=dislikes))
    plans.append(said("profile owns", **roles, X=rng.choice(person.owns)))
    en, zh, relative = rng.choice(population.kin[person.id])
    plans.append(said("profile kin", A=person, B=relative, R=Phrase(en, zh), T=relative.town))
    plans.append(said("profile admired", **roles | {"Q": Topic(rng.choice(lexicon.nouns("quality")))}))
    plans.append(said("profile town", T=person.town, Q=person.town.adjective, G=person.town.known_for))
    chosen = [plan for plan in plans[1:] if rng.random() < 0.7]
    return [plans[0], *chosen] if rng.random() < 0.6 else [*chosen[:1], plans[0], *chosen[1:]]


def gist(scene: Scene, plans: list[Plan]) -> list[Plan]:
    """Who and where, and the event that mattered: a gift, a find, a purchase, else the first of the cast's."""
    first, second = scene.cast[:2]
    deeds = [
        one
        for one in clauses_of(plans)
        if one.frame not in STATES and not one.lasts and isinstance(one["S"], (Person, Both))
    ]
    decisive = [one for one in deeds if one.frame in MATTERS] or deeds
    shown = [replace(one.bare(), time=None, manner=None) for one in decisive[:1]]
    return [said("summary story", A=first, B=second, T=scene.town), *shown]


def errands(scene: Scene) -> list[Plan]:
    """Everyone gets things, passes some on, and goes to places: where a thing is, no single sentence says."""
    rng = scene.rng
    deeds: list[tuple[Person, events.Event]] = []
    for person in scene.cast:
        deeds += [(person, rng.choice((events.get, events.get, events.make))), (person, events.go)]
        if rng.random() < 0.4:
            deeds.append((person, rng.choice((events.go, events.transfer, events.do))))
    rng.shuffle(deeds)
    plans: list[Plan] = []
    for person, event in deeds:
        clause = _by(scene, event, person)
        if rng.random() < 0.4:
            clause = replace(clause, opener=rng.choice(lexicon.phrases("opener")))
        elif rng.random() < 0.4:
            clause = replace(clause, time=scene.time())
        if plans and isinstance(plans[-1], Clause) and rng.random() < 0.25:
            plans[-1] = Joined("then", plans[-1], clause.bare())
        else:
            plans.append(clause)
    return plans


MATTERS = {
    "transfer",
    "find_in",
    "find_under",
    "find_behind",
    "find_near",
    "make_for",
    "attend",
    "travel",
    "get",
    "shop",
}
