"""Sentences for the corpus, drawn from word lists and patterns written for it."""

from __future__ import annotations

import numpy as np

_LISTS = {
    "noun": """apple anchor arrow autumn bakery balloon basket beach beaver bell bicycle bird boat
    book bottle bowl branch bread bridge brother brush bucket building butter button cabin cable
    camera candle carpet castle cat ceiling chair cheese cherry child church city cloud coat coffee
    corner cotton cousin cup curtain daughter desk dinner dog donkey door dragon dream drawer dress
    earth elbow engine evening eye factory farm father feather field finger fire fish flower fog
    forest fork fox friend frog fruit garage garden gate giraffe glass glove goat gold grass guitar
    hammer harbour hat hedge hill honey horse hotel house ice iron island jacket jam jar jewel
    journey juice jungle key kettle kitchen kite knife ladder lake lamp leaf leather lemon letter
    library light lion lobster lunch machine map market measure medal melon mirror money month moon
    morning mother mountain mouse mouth museum mushroom music nail neck needle nest night noise nose
    number ocean oil onion orange oven owl oyster page paint palace paper parrot path peach pencil
    pepper piano picture pigeon pillow pocket potato prison puzzle queen question rabbit radio rain
    ring river road rocket roof room rose salad salt sand scarf school scissors sea shadow sheep
    ship shirt shoe shoulder silver sister snail snow soap sock song soup spider spoon square
    squirrel stable star station stone storm street sugar sun table teacher television thread throat
    thumb thunder ticket tiger toast tooth torch towel tower toy train treasure tree trousers tunnel
    turkey umbrella uncle valley vase vegetable village vinegar violin voice wagon wall walnut watch
    water wave weather wheel whistle wind window wing winter wolf wood wool world yard year yogurt
    zebra zoo""",
    "adjective": """ancient angry bitter black blue bold brave bright broad brown busy calm cheap
    clean clear clever cold cool crooked curious dark deep dirty dry dull dusty early easy empty
    enormous fair fast fat fierce final flat foolish fresh gentle giant golden good grey green happy
    hard heavy high hollow hot huge hungry icy jolly kind large lazy light little lonely long loose
    loud lovely low lucky mild modern narrow near new noisy odd old orange pale patient plain pleasant
    polite poor proud purple quick quiet rare red rich ripe rough round sad sharp shiny short shy
    silent simple slow small smooth soft sour square strange strong sudden sweet tall thick thin
    thirsty tidy tiny tired ugly unusual useful usual warm weak wet white wide wild wise yellow young""",
    "verb": """adjusts admires asks avoids bakes borrows breaks brings builds buys calls carries
    catches chases chooses climbs closes collects counts covers crosses cuts describes draws drives
    drops eats enjoys examines fetches fills finds fixes follows forgets gathers gives greets guards
    hears helps hides holds imagines joins judges keeps knows leaves lifts likes loses loves makes
    measures meets mends moves needs notices offers opens orders paints passes pays picks plants
    pulls pushes raises reaches reads remembers repairs saves sees sells sends shakes shares shows
    shuts smells steals stops studies takes teaches thanks throws touches treats trusts turns
    uses visits wants warns washes watches wears writes""",
    "place": """above the clouds across the bay after the show along the shore among the trees
    around the corner at the harbour before noon behind the wall below the bridge beside the oven
    between the houses beyond the hills by the fire during the storm in the kitchen inside the
    garage near the church next to the zoo on the roof opposite the bank outside the museum over
    the fence past the mill through the window under the table until sunrise with great pleasure
    without a sound""",
    "name": """Alice Arthur Beth Charles Chloe Daisy David Edith Ellen Felix Fiona George Grace
    Hannah Harvey Ivy Jack Joyce Julia Keith Laura Leo Martha Matthew Nora Oliver Paula Peter Quentin
    Rachel Roy Sarah Sean Theo Una Victor Wendy Yvonne Zoe""",
    "adverb": """again almost always badly carefully cheerfully early easily eagerly finally gladly
    hardly here hourly kindly lately loudly maybe never nearly now often once quickly quietly rarely
    really seldom slowly smoothly soon suddenly there today together tomorrow tonight truly twice
    usually very well""",
    "number": """zero one two three four five six seven eight nine ten eleven twelve thirteen
    fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy
    eighty ninety hundred thousand""",
}

_PLACE_STARTS = """above across after along among around at before behind below beside between beyond by during
    in inside near next on opposite outside over past through under until with without"""


def _phrases(text: str) -> tuple[str, ...]:
    """Split a run of prepositional phrases at each preposition."""
    starts = frozenset(_PLACE_STARTS.split())
    found: list[list[str]] = []
    for word in text.split():
        if word in starts:
            found.append([])
        found[-1].append(word)
    return tuple(" ".join(words) for words in found)


WORDS: dict[str, tuple[str, ...]] = {
    kind: _phrases(text) if kind == "place" else tuple(text.split())
    for kind, text in _LISTS.items()
}

PATTERNS: tuple[str, ...] = (
    "the {adjective} {noun} {verb} the {noun}",
    "{name} {verb} a {adjective} {noun} {place}",
    "my {noun} {adverb} {verb} your {noun}",
    "{number} {adjective} {noun}s {place}",
    "does {name} know where the {noun} is",
    "{name} and {name} saw {number} {noun}s",
    "please bring the {noun} and the {adjective} {noun}",
    "{adverb}, the {noun} {verb} {name}",
    "we found a {noun}, a {noun} and a {noun}",
    "{number} {number} {number} {number}",
    "there is a {adjective} {noun} {place}",
    "why is this {noun} so {adjective}",
    "they should have a {adjective} {noun} {adverb}",
    "{adjective} {noun} {verb} {adverb} {place}",
    "her {noun} was {adjective} but his {noun} was {adjective}",
    "{noun} {adjective} {adverb} {noun} {verb}",
)


def sentence(rng: np.random.Generator) -> str:
    """One sentence, a function of the generator's state alone."""
    text = PATTERNS[int(rng.integers(len(PATTERNS)))]
    while "{" in text:
        start, end = text.index("{"), text.index("}")
        choices = WORDS[text[start + 1 : end]]
        text = text[:start] + choices[int(rng.integers(len(choices)))] + text[end + 1 :]
    return text
