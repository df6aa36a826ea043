"""Words of the rating world: reviews of guest houses. Each aspect has five grades, worst first, four phrasings each."""

from hydra_ray.synth.scene import words

ASPECTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "room": (
        (
            "The room was filthy.",
            "Our bed crawled with bugs.",
            "Mould covered the bathroom.",
            "The chamber stank horribly.",
        ),
        (
            "The room was rather shabby.",
            "Our mattress sagged badly.",
            "The bathroom felt cramped.",
            "The curtains looked worn.",
        ),
        (
            "The room was acceptable.",
            "Our bed was average.",
            "The bathroom was plain but usable.",
            "The furniture was ordinary.",
        ),
        (
            "The room was pleasant.",
            "Our bed was quite comfortable.",
            "The bathroom was nicely kept.",
            "The chamber was bright and tidy.",
        ),
        (
            "The room was absolutely gorgeous.",
            "Our bed was heavenly.",
            "The bathroom was pure luxury.",
            "The suite was spotless perfection.",
        ),
    ),
    "food": (
        (
            "Breakfast was disgusting.",
            "The eggs were rotten.",
            "Supper made us ill.",
            "The cook ruined every dish.",
        ),
        (
            "Breakfast was bland.",
            "The toast came cold.",
            "Supper was slightly burnt.",
            "The menu was disappointing.",
        ),
        (
            "Breakfast was nothing special.",
            "The meals were standard.",
            "Supper was edible.",
            "The menu was so so.",
        ),
        (
            "Breakfast was tasty.",
            "The bread was freshly baked.",
            "Supper was rather good.",
            "The menu had nice options.",
        ),
        (
            "Breakfast was divine.",
            "The chef is a genius.",
            "Supper was unforgettable.",
            "Every dish tasted sublime.",
        ),
    ),
    "staff": (
        (
            "The staff were openly hostile.",
            "Our host screamed at guests.",
            "The receptionist insulted us.",
            "The waiters were awfully rude.",
        ),
        (
            "The staff were a bit cold.",
            "Our host seemed impatient.",
            "The receptionist ignored us.",
            "The waiters were slow.",
        ),
        (
            "The staff did their job.",
            "Our host was neutral.",
            "The receptionist was correct.",
            "The waiters were neither warm nor cold.",
        ),
        (
            "The staff were friendly.",
            "Our host was helpful.",
            "The receptionist greeted us kindly.",
            "The waiters were attentive.",
        ),
        (
            "The staff were simply wonderful.",
            "Our host treated us like royalty.",
            "The receptionist was an angel.",
            "The waiters surpassed all hopes.",
        ),
    ),
    "price": (
        (
            "The bill was outrageous.",
            "They robbed us with fees.",
            "The cost was a scandal.",
            "We were shamelessly overcharged.",
        ),
        (
            "The bill was a little steep.",
            "We paid somewhat too much.",
            "The cost was above average.",
            "It was fairly expensive.",
        ),
        (
            "The bill was as expected.",
            "We paid the usual rate.",
            "The cost was normal.",
            "The tariff was middling.",
        ),
        (
            "The bill was reasonable.",
            "We paid a fair amount.",
            "The cost was rather low.",
            "It was good value.",
        ),
        (
            "The bill was an incredible bargain.",
            "We paid almost nothing.",
            "The cost was amazingly tiny.",
            "It was the best deal ever.",
        ),
    ),
}

OPENINGS = (
    "{name} booked the {house} for our {trip}.",
    "We chose the {house} with {name} for a {trip}.",
    "On a {trip} {name} and I stayed at the {house}.",
    "The {house} hosted {name} during a {trip}.",
)
NAMES = words(
    "Marta Jonas Priya Oskar Leila Tomas Ingrid Rafael Yuki Nadia Bruno Salma Viktor Elena Kofi Greta Mateo Zofia ",
    "Idris Clara Pavel Amara Henrik Lucia",
)
HOUSES = tuple(
    f"{animal} {kind}"
    for animal in ("Lion", "Swan", "Stag", "Fox", "Raven", "Eagle", "Otter", "Badger")
    for kind in ("Inn", "Lodge", "Arms")
)
TRIPS = words(
    "honeymoon birthday conference wedding holiday reunion",
    "festival pilgrimage tournament retreat anniversary fair",
)

SCALES: dict[str, tuple[int, ...]] = {
    "plain": (1, 2, 3, 4, 5),
    "lenient": (2, 3, 4, 5, 5),
    "generous": (3, 4, 5, 5, 5),
    "harsh": (1, 1, 2, 3, 4),
    "severe": (1, 1, 1, 2, 3),
    "compressed": (2, 3, 3, 3, 4),
    "extreme": (1, 1, 3, 5, 5),
    "demanding": (1, 2, 2, 3, 5),
    "forgiving": (1, 3, 4, 4, 5),
}
"""A user's strictness: the score given for each grade, worst grade first. Monotone."""
