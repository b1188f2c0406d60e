"""What may happen in a scene: each event draws who does what with what, changes the truth, and returns the clause."""

from collections.abc import Callable
from dataclasses import replace

from lmlib.data.world import lexicon, truth
from lmlib.data.world.lexicon import Verb
from lmlib.data.world.meaning import Both, Clause, Coins, Crowd, Quality, Topic
from lmlib.data.world.scenes import CROWD_COUNTS, PORTABLE, Scene, move
from lmlib.data.world.truth import Place, Thing

INDOOR_VERBS = {"sleep", "nap", "snore"}
WATER_VERBS = {"swim"}
SHOPS = ("market", "bazaar", "auction house", "warehouse", "grocery")
INSIDE_ONLY = {"store", "stuff", "pack", "lock", "slip"}
WHERE = ("in", "on", "under", "behind", "beside")
BOUGHT = (*PORTABLE, "grocery", "material", "instrument", "container", "dish")
ANIMALS = ("wildlife", "bird")
DURABLE = ("tool", "household", "container", "furniture", "clothing", "jewel", "instrument", "toy", "document")


def _at(clause: Clause, place: Place | None) -> Clause:
    return replace(clause, place=place)


Event = Callable[[Scene], Clause]


def go(scene: Scene) -> Clause:
    """Someone walks to a place."""
    person, place = scene.actor(), scene.somewhere()
    scene.where[person.id] = place
    return scene.clause("go", scene.verb("go"), person, P=place)


def travel(scene: Scene) -> Clause:
    """Someone travels to another town."""
    person = scene.actor()
    town = scene.rng.choice([town for town in scene.population.towns if town != scene.town])
    return scene.clause("travel", scene.verb("travel"), person, P=town)


def ride(scene: Scene) -> Clause:
    """Someone rides, drives or steers a vehicle to a place."""
    person = scene.actor()
    verb = scene.verb("ride")
    near_water = [noun for noun in lexicon.nouns("nature") if noun.en in ("lake", "island", "bay", "bridge", "lagoon")]
    land = [noun for noun in lexicon.nouns("nature") if noun.preposition in ("by", "in")]
    place = Place(scene.rng.choice(near_water if verb.en == "steer" else land), scene.town)
    scene.where[person.id] = place
    added = scene.add(lexicon.objects_of(verb), 1)
    vehicle = scene.things[-1] = Thing(added.id, added.noun, added.adjectives)
    return scene.clause("ride", verb, person, O=vehicle, P=place)


def get(scene: Scene) -> Clause:
    """Someone gets a thing from another, who need not be of the cast."""
    person = scene.actor()
    giver = scene.rng.choice([one for one in scene.population.people if one != person])
    thing = scene.new_thing(BOUGHT)
    scene.holder[thing.id] = person
    return scene.clause("get", scene.verb("get", thing.noun), person, O=thing, R=giver)


def get_at(scene: Scene) -> Clause:
    """Someone buys a thing at a shop or market."""
    person = scene.actor()
    thing = scene.new_thing(BOUGHT)
    scene.holder[thing.id] = person
    verbs = [
        verb
        for verb in lexicon.verbs_for("get", thing.noun)
        if verb.en in ("buy", "order", "get", "acquire", "obtain", "rent")
    ]
    shop = Place(lexicon.noun("building", scene.rng.choice(SHOPS)), scene.town)
    return _at(scene.clause("get_at", scene.rng.choice(verbs), person, O=thing), shop)


def transfer(scene: Scene) -> Clause:
    """Someone passes on what they hold."""
    giver = scene.actor()
    held = scene.held_by(giver)
    thing = scene.rng.choice(held) if held and scene.rng.random() < 0.8 else scene.new_thing(PORTABLE)
    receiver = scene.other(giver)
    scene.holder[thing.id] = receiver
    return scene.clause("transfer", scene.verb("transfer", thing.noun), giver, O=thing, R=receiver)


def act(scene: Scene) -> Clause:
    """Someone does something to a thing, held already or new."""
    person = scene.actor()
    held = [thing for thing in scene.held_by(person, DURABLE) if lexicon.verbs_for("act", thing.noun)]
    if held and scene.rng.random() < 0.4:
        thing = scene.rng.choice(held)
        verb = scene.verb("act", thing.noun)
    else:
        verb = scene.verb("act")
        thing = scene.add(lexicon.objects_of(verb))
    if verb.en in ("lose", "misplace", "burn", "throw", "exchange"):
        scene.holder.pop(thing.id, None)
    return scene.clause("act", verb, person, O=thing)


def make(scene: Scene) -> Clause:
    """Someone makes a thing, perhaps for another."""
    person = scene.actor()
    verb = scene.verb("make")
    thing = scene.add(lexicon.objects_of(verb), scene.rng.choice((0, 1)))
    if scene.rng.random() < 0.5:
        scene.holder[thing.id] = person
        return scene.clause("make", verb, person, O=thing)
    receiver = scene.other(person)
    scene.holder[thing.id] = receiver
    return scene.clause("make_for", verb, person, O=thing, R=receiver)


def consume(scene: Scene) -> Clause:
    """Someone eats or drinks."""
    verb = scene.verb("consume")
    place = scene.rng.choice((None, scene.room(), scene.outdoors()))
    meal = scene.add(lexicon.objects_of(verb))
    return _at(scene.clause("consume", verb, scene.actor(), O=meal), place)


def together(scene: Scene) -> Clause:
    """Two people do something side by side."""
    person = scene.actor()
    both = Both((person, scene.other(person)))
    event = scene.rng.choice((go, make, consume, attend, study, tour, shop, travel))
    return event(scene).with_role("S", both)


def social(scene: Scene) -> Clause:
    """Someone meets, helps or scolds another."""
    person = scene.actor()
    clause = scene.clause("social", scene.verb("social"), person, R=scene.other(person))
    return _at(clause, scene.rng.choice((None, scene.somewhere())))


def observe(scene: Scene) -> Clause:
    """Someone sees an animal, a bird or a plant."""
    verb = scene.verb("observe")
    still = verb.en not in ("hear", "chase", "track", "follow", "disturb")
    kind = scene.rng.choice((*ANIMALS, "flower", "tree") if still else ANIMALS)
    seen = scene.add(lexicon.nouns(kind))
    return _at(scene.clause("observe", verb, scene.actor(), O=seen), scene.outdoors())


def animal(scene: Scene) -> Clause:
    """Someone cares for an animal or a plant."""
    verbs = [
        verb for verb in lexicon.verbs("act") if {"pet", "livestock", "flower", "horse", "cow"} & set(verb.objects)
    ]
    verbs += [verb for verb in lexicon.verbs("act") if verb.en in ("walk", "train", "shear", "tame", "herd", "prune")]
    verb = scene.rng.choice(verbs)
    return scene.clause("act", verb, scene.actor(), O=scene.add(lexicon.objects_of(verb)))


def adopt(scene: Scene) -> Clause:
    """Someone keeps or adopts an animal."""
    creature = scene.add(lexicon.nouns("pet") + lexicon.nouns("livestock"), 1)
    return scene.clause("raise", scene.verb("raise"), scene.actor(), O=creature)


def do(scene: Scene) -> Clause:
    """Someone rests, sings, laughs."""
    verb = scene.verb("do")
    place = scene.rng.choice((scene.room, scene.outdoors, scene.building))()
    if verb.en in INDOOR_VERBS:
        place = Place(lexicon.noun("room", scene.rng.choice(("bedroom", "guest room", "attic"))))
    if verb.en in WATER_VERBS:
        place = Place(lexicon.noun("nature", scene.rng.choice(("lake", "river", "bay", "lagoon"))), scene.town)
    return _at(scene.clause("do", verb, scene.actor()), place)


def talk(scene: Scene) -> Clause:
    """Two people talk about a topic."""
    person = scene.actor()
    topic = Topic(scene.rng.choice(lexicon.nouns("topic")))
    if scene.rng.random() < 0.4:
        both = Both((person, scene.other(person)))
        return _at(scene.clause("talk_both", scene.verb("talk"), both, O=topic), scene.somewhere())
    return scene.clause("talk", scene.verb("talk"), person, R=scene.other(person), O=topic)


def study(scene: Scene) -> Clause:
    """Someone studies a subject or practises a pastime."""
    if scene.rng.random() < 0.5:
        return scene.clause(
            "study", scene.verb("study"), scene.actor(), O=Topic(scene.rng.choice(lexicon.nouns("subject")))
        )
    verb = scene.rng.choice(
        [verb for verb in lexicon.verbs("study") if verb.en in ("practise", "learn", "teach", "master")]
    )
    return scene.clause("study", verb, scene.actor(), O=Topic(scene.rng.choice(lexicon.nouns("hobby"))))


def play(scene: Scene) -> Clause:
    """Someone plays an instrument or with a toy."""
    person = scene.actor()
    if scene.rng.random() < 0.5:
        instrument = scene.rng.choice([noun for noun in lexicon.nouns("instrument") if not noun.plural_only])
        return _at(scene.clause("play", scene.verb("play"), person, B=Topic(instrument)), scene.room())
    toy = scene.new_thing(("toy",))
    return _at(scene.clause("toy_play", lexicon.verbs("toy_play")[0], person, O=toy), scene.room())


def attend(scene: Scene) -> Clause:
    """Someone goes to, or organises, an event."""
    event = scene.rng.choice(lexicon.nouns("event"))
    happening = Thing(f"thing{len(scene.things)}", event)
    scene.things.append(happening)
    clause = scene.clause("attend", scene.verb("attend"), scene.actor(), O=happening)
    return _at(clause, scene.rng.choice((None, scene.building())))


def shop(scene: Scene) -> Clause:
    """Someone opens, sells, repaints a building."""
    return scene.clause("shop", scene.verb("shop"), scene.actor(), P=scene.building())


def tour(scene: Scene) -> Clause:
    """Visitors, or someone of the cast, look at a place."""
    count = scene.rng.choice(CROWD_COUNTS)
    crowd: object = Crowd(scene.rng.choice(lexicon.nouns("crowd")), count)
    who = crowd if scene.rng.random() < 0.7 else scene.actor()
    verb = scene.verb("tour")
    place = scene.building() if verb.en in ("enter", "leave") else scene.somewhere()
    return scene.clause("tour", verb, who, P=place)


def crowd_social(scene: Scene) -> Clause:
    """Several people greet or help someone of the cast, or the other way round."""
    crowd = Crowd(scene.rng.choice(lexicon.nouns("crowd")), scene.rng.choice(CROWD_COUNTS))
    person, verb = scene.actor(), scene.verb("social")
    who, whom = (crowd, person) if scene.rng.random() < 0.5 else (person, crowd)
    return _at(scene.clause("social", verb, who, R=whom), scene.rng.choice((None, scene.somewhere())))


def room_act(scene: Scene) -> Clause:
    """Someone cleans, paints or locks a room."""
    return scene.clause("room_act", scene.verb("room_act"), scene.actor(), P=scene.room())


def harm(scene: Scene) -> Clause:
    """Someone hurts a part of the body."""
    limbs = list(lexicon.nouns("body"))
    clause = scene.clause("harm", scene.verb("harm"), scene.actor(), B=Topic(scene.rng.choice(limbs)))
    return _at(clause, scene.somewhere())


def ill(scene: Scene) -> Clause:
    """Someone stays at home with an illness."""
    stay = Verb("ill", "stay", "", "待")
    return scene.clause("ill", stay, scene.actor(), O=Topic(scene.rng.choice(lexicon.nouns("illness"))))


def wear(scene: Scene) -> Clause:
    """Someone puts on or wears a piece of clothing."""
    verb = scene.verb("wear")
    garment = scene.add(lexicon.objects_of(verb), scene.rng.choice((1, 2)))
    worn = 2 if garment.noun.plural_only or garment.noun.en in truth.PAIRS else 1
    scene.things[-1] = Thing(garment.id, garment.noun, garment.adjectives, worn)
    return scene.clause("wear", verb, scene.actor(), O=scene.things[-1])


def put(scene: Scene) -> Clause:
    """Someone puts what they hold into, on, under, behind or beside something."""
    person = scene.actor()
    held = [thing for thing in scene.held_by(person) if thing.noun.en not in lexicon.sized("bulky")]
    thing = scene.rng.choice(held) if held and scene.rng.random() < 0.7 else scene.small_thing()
    relation = scene.rng.choice(WHERE)
    keeper = scene.keeper(relation, thing)
    scene.holder[thing.id] = (relation, keeper)
    verbs = [verb for verb in lexicon.verbs("put") if relation == "in" or verb.en not in INSIDE_ONLY]
    return scene.clause(f"put_{relation}", scene.rng.choice(verbs), person, O=thing, K=keeper)


def find(scene: Scene) -> Clause:
    """Someone finds or loses a thing in, under, behind or near something."""
    person = scene.actor()
    thing = scene.small_thing()
    relation = scene.rng.choice(("in", "under", "behind", "near"))
    verb = scene.verb("find")
    if verb.en in ("find", "discover", "pick"):
        scene.holder[thing.id] = person
    return scene.clause(f"find_{relation}", verb, person, O=thing, K=scene.keeper(relation, thing))


def feel(scene: Scene) -> Clause:
    """Someone has a feeling."""
    adjective = scene.rng.choice(lexicon.adjectives("feeling"))
    degree = scene.rng.choice(lexicon.phrases("degree"))
    return scene.clause("feel", scene.verb("feel"), scene.actor(), A=Quality(adjective, degree))


def pay(scene: Scene) -> Clause:
    """Someone spends coins on a thing."""
    thing = scene.new_thing(BOUGHT)
    person = scene.actor()
    scene.holder[thing.id] = person
    return scene.clause("pay", lexicon.verbs("pay")[0], person, N=Coins(scene.rng.randint(2, 99)), O=thing)


def intend(scene: Scene) -> Clause:
    """Someone wants, plans or refuses to do something."""
    plan = scene.rng.choice((act, make, consume, attend, shop, go, room_act, study, animal, travel))
    where, holder = dict(scene.where), dict(scene.holder)
    deed = plan(scene)
    scene.where, scene.holder = where, holder  # it has not happened
    inner = _at(deed, None)
    return scene.clause("control", scene.verb("control"), deed["S"], I=inner)


EVENTS: tuple[tuple[Event, int], ...] = (
    (go, 5), (travel, 3), (ride, 3), (get, 4), (get_at, 4), (transfer, 6), (act, 8), (make, 7), (consume, 5),
    (social, 5), (observe, 6), (animal, 3), (adopt, 2), (do, 5), (talk, 5), (study, 4), (play, 4), (attend, 5),
    (shop, 4), (tour, 3), (crowd_social, 3), (room_act, 3), (harm, 2), (ill, 2), (wear, 4), (put, 7), (find, 4),
    (feel, 4), (pay, 3), (intend, 6), (together, 5),
)  # fmt: skip


def happen(scene: Scene) -> Clause:
    """The next event of the scene; whoever it puts in a place, is there from now on."""
    events, weights = zip(*EVENTS, strict=True)
    clause: Clause = scene.rng.choices(events, weights)[0](scene)
    move(scene, clause)
    return clause
