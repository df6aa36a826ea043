"""Words of the headline world: short news items. Every phrase a headline can use is made of words of its own."""

from hydra_ray.synth.scene import words

WHO = tuple(
    f"{adjective} {noun}"
    for adjective in words("young retired local angry famous exiled")
    for noun in words("teachers bakers pilots farmers doctors students miners painters")
)
WHERE = tuple(
    f"the {adjective} {noun}"
    for adjective in words("northern old royal flooded hidden central")
    for noun in words("harbour stadium valley hospital airport quarter garden cathedral")
)
WHAT = tuple(
    f"{adjective} {noun}"
    for adjective in words("solar wooden silent stolen electric giant")
    for noun in words("engines boats drones statues buses robots pianos trams")
)
COUNT = tuple(
    f"{number} {noun}"
    for number in words("seven nine twelve forty sixty ninety")
    for noun in words("jobs letters crates complaints permits witnesses coins visitors")
)
SLOTS = (WHO, WHERE, WHAT, COUNT)

ASPECTS: dict[str, dict[str, tuple[str, ...]]] = {
    "event": {
        "opening": (
            "A ribbon was cut to applause.",
            "The doors were unlocked for the first time.",
            "It launched with a grand ceremony.",
            "The new venue started its business.",
            "Guests toured the finished premises.",
            "Its inauguration drew a crowd.",
        ),
        "dispute": (
            "Both sides argued without a deal.",
            "Lawyers traded fierce accusations.",
            "A bitter conflict broke out.",
            "Protesters refused any compromise.",
            "The quarrel went to court.",
            "Negotiations collapsed in anger.",
        ),
        "accident": (
            "An ambulance came after a crash.",
            "Several people were injured.",
            "A fire caused serious damage.",
            "Rescuers searched the wreckage.",
            "An explosion left many hurt.",
            "Firemen pulled survivors from rubble.",
        ),
        "award": (
            "A gold medal was handed over.",
            "The jury announced the winner.",
            "They received a prize with pride.",
            "A trophy honoured the achievement.",
            "Laureates bowed on stage.",
            "The best of the year was crowned.",
        ),
    },
    "season": {
        "spring": (
            "Blossoms were out.",
            "It was a mild April.",
            "The first tulips had opened.",
            "Lambs were being born.",
            "March had brought new buds.",
            "Daffodils coloured the lawns.",
        ),
        "summer": (
            "The July heat was intense.",
            "Beaches were crowded.",
            "Schools were on long holidays.",
            "It was August and dry.",
            "Swimmers fled from the June sunshine.",
            "Midsummer nights were short.",
        ),
        "autumn": (
            "Leaves were turning red.",
            "It was late October.",
            "Pumpkins lay in the fields.",
            "The harvest had ended.",
            "November winds blew brown foliage about.",
            "Chestnuts were dropping.",
        ),
        "winter": (
            "Ice covered the streets.",
            "It was a freezing January.",
            "Christmas lights were up.",
            "Deep snow had fallen.",
            "February brought bitter frost.",
            "Skaters crossed the frozen lakes.",
        ),
    },
}

OPENINGS = (
    "On {day} reporter {name} met {who} near {where} about {what} and {count}.",
    "This {day} {name} asked {who} at {where} about {count} and {what}.",
    "By {day} {name} had linked {what} and {who} with {count} from {where}.",
    "On {day} {name} heard of {count} and {what} from {who} in {where}.",
)
NAMES = words(
    "Marta Jonas Priya Oskar Leila Tomas Ingrid Rafael Yuki Nadia Bruno Salma Viktor Elena Kofi Greta Mateo Zofia ",
    "Idris Clara Pavel Amara Henrik Lucia",
)
DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")

TEMPLATES = (
    "What comes next for {}",
    "{}: what we know",
    "Inside the story of {}",
    "Five questions about {}",
    "Nobody believed in {}",
    "All eyes on {}",
    "A closer look at {}",
    "{} under the spotlight",
    "Lessons learned from {}",
    "Everyone talks about {}",
    "Trouble ahead for {}",
    "{} and the big debate",
)
