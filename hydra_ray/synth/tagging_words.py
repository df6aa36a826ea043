"""Words of the tagging world: notes of day trips, filed under fifteen tags.

A note mentions every aspect once. A value of an aspect has six phrasings that share their meaning and hardly a word.
"""

from hydra_ray.synth.scene import words

ASPECTS: dict[str, dict[str, tuple[str, ...]]] = {
    "weather": {
        "rain": (
            "Rain fell all morning.",
            "A downpour soaked us.",
            "Drizzle dripped from every roof.",
            "Puddles filled the lane.",
            "We opened our umbrellas early.",
            "Wet clouds kept pouring.",
        ),
        "snow": (
            "Snow covered the ground.",
            "White flakes drifted down.",
            "Ice glazed the panes.",
            "A blizzard buried the hedges.",
            "Frost bit our fingers.",
            "Sleds slid over deep drifts.",
        ),
        "sun": (
            "The sun shone brightly.",
            "It was a cloudless sky.",
            "Golden light warmed our shoulders.",
            "A heatwave baked the pavement.",
            "We wore hats against the glare.",
            "Summer rays tanned our arms.",
        ),
        "fog": (
            "Fog hid the road.",
            "Thick mist hung everywhere.",
            "Haze swallowed the rooftops.",
            "We could hardly see ahead.",
            "A grey veil blotted out everything.",
            "Murky vapour blurred each outline.",
        ),
        "wind": (
            "Wind tore at our coats.",
            "A gale rattled the shutters.",
            "Gusts toppled several chairs.",
            "A stiff breeze lifted our scarves.",
            "Blustery air bent the trees.",
            "A hurricane howled outside.",
        ),
    },
    "travel": {
        "train": (
            "We came by train.",
            "Our carriage left the station.",
            "The railway took us there.",
            "An express stopped at our platform.",
            "A locomotive whistled us in.",
            "The conductor punched our tickets.",
        ),
        "boat": (
            "A ferry carried us across.",
            "We sailed over.",
            "The captain steered past buoys.",
            "Oars splashed as we rowed.",
            "Our ship docked at noon.",
            "A canoe brought us downstream.",
        ),
        "bicycle": (
            "We pedalled the whole distance.",
            "Our bicycles squeaked uphill.",
            "The handlebars shook on cobbles.",
            "I rode my bike over.",
            "We cycled along back roads.",
            "A tandem got us there.",
        ),
        "car": (
            "We drove there.",
            "Our car was parked nearby.",
            "Traffic jammed the motorway.",
            "A taxi dropped us off.",
            "I steered the van carefully.",
            "The engine stalled at a garage.",
        ),
        "foot": (
            "We walked all the way.",
            "Our boots trod the trail.",
            "We hiked over.",
            "A long stroll led us there.",
            "We marched on tired legs.",
            "Step by step we wandered in.",
        ),
    },
    "food": {
        "fish": (
            "Lunch was grilled trout.",
            "We ate fresh salmon.",
            "They served fried cod.",
            "Oysters opened the meal.",
            "I ordered a plate of sardines.",
            "There was tuna to eat.",
        ),
        "sweets": (
            "We shared chocolate cake.",
            "Dessert was a honey tart.",
            "Everyone got sugared biscuits.",
            "I bought caramel candy.",
            "Vanilla ice cream melted quickly.",
            "Pastries with jam came round.",
        ),
        "soup": (
            "Hot soup was ladled out.",
            "We sipped a clear broth.",
            "A stew bubbled away.",
            "I had a bowl of chowder.",
            "Lentil pottage filled our mugs.",
            "Steaming minestrone was offered.",
        ),
        "fruit": (
            "We picked ripe apples.",
            "Pears and plums went around.",
            "I peeled an orange.",
            "There were cherries to nibble.",
            "A bunch of grapes fed us.",
            "We bit into juicy peaches.",
        ),
        "meat": (
            "Sausages sizzled for us.",
            "We carved a roast.",
            "Dinner was beef steak.",
            "Bacon crackled in fat.",
            "I chewed smoked ham.",
            "Lamb chops were dished up.",
        ),
    },
    "mood": {
        "joy": (
            "Everyone felt happy.",
            "We laughed so much.",
            "I could not stop smiling.",
            "What a cheerful day.",
            "Our spirits were high.",
            "Pure delight filled me.",
        ),
        "sadness": (
            "I felt very sad.",
            "Tears ran down my cheeks.",
            "A gloomy ache stayed.",
            "We wept quietly.",
            "My heart was heavy.",
            "It left us in sorrow.",
        ),
        "fear": (
            "I was frightened.",
            "We trembled with terror.",
            "Panic crept over me.",
            "Something made us shudder.",
            "My hands shook from dread.",
            "It scared all of us.",
        ),
        "anger": (
            "I was furious.",
            "We quarrelled loudly.",
            "Tempers flared at once.",
            "There was shouting and rage.",
            "It made me boil inside.",
            "Our annoyance turned bitter.",
        ),
        "boredom": (
            "It was rather dull.",
            "I yawned for hours.",
            "We were bored stiff.",
            "Nothing interesting happened.",
            "The tedium never ended.",
            "Time dragged on and on.",
        ),
    },
}

OPENINGS = (
    "{name} showed me the {place} and a {thing}.",
    "At the {place} {name} lost a {thing}.",
    "{name} took a {thing} to the {place}.",
    "The {place} had a {thing} for {name}.",
    "With {name} I found a {thing} near the {place}.",
    "{name} drew the {place} and a {thing}.",
)
NAMES = words(
    "Marta Jonas Priya Oskar Leila Tomas Ingrid Rafael Yuki Nadia Bruno Salma Viktor Elena Kofi Greta Mateo Zofia ",
    "Idris Clara Pavel Amara Henrik Lucia Dmitri Farah Anton Mireille Hugo Sunita",
)
PLACES = words(
    "museum market chapel library castle theatre school tower gallery mill square bridge temple arena bakery archive ",
    "palace hostel monastery courthouse observatory workshop cemetery barracks fountain pavilion tavern orchard",
)
THINGS = words(
    "camera notebook lantern compass radio map violin chessboard telescope whistle basket ladder mirror hammer ",
    "typewriter kite trumpet blanket key vase clock puppet rucksack feather candle magnet button ribbon",
)

TAGS = words("amber birch cobalt dune ember fern garnet heron indigo juniper kestrel lotus maple nickel opal")
