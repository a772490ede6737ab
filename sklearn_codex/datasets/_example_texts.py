"""What the example preferences are made of: topics with what is true of them, and manners."""

from typing import NamedTuple


class Topic(NamedTuple):
    """Something to be done, four things to know of it, and an example."""

    task: str
    facts: tuple[str, str, str, str]
    example: str


_TOPICS = """
descale a kettle | Fill it halfway with water and a cup of vinegar. Boil it once and let it \
stand for an hour. Rinse it three times. Hard water makes this due every month. | my own kettle \
took two rounds after a winter of neglect
sharpen a kitchen knife | Soak the stone for ten minutes. Hold the blade at fifteen degrees. \
Draw each side ten times. Test the edge on a sheet of paper. | a dull paring knife cut tomatoes \
again after five minutes
grow basil indoors | Give the pot six hours of light. Water it from below. Pinch the tips above \
a pair of leaves. Keep it away from cold glass. | one supermarket pot split into four lasted all \
summer
patch a bicycle tube | Find the hole in a bowl of water. Roughen the rubber around it. Let the \
glue dry until it is dull. Press the patch for two minutes. | a thorn in a back wheel was mended \
by the roadside before the rain
bake a loaf of rye bread | Feed the sourdough the night before. Keep the dough wet and sticky. \
Bake hot first and cooler later. Wait a day before slicing. | a loaf baked on Friday tasted best \
on Sunday
remember foreign words | Review them after a day, a week and a month. Say each aloud in a \
sentence. Ten a day are enough. Group them by places, not by the alphabet. | the words of a \
whole market stall stuck after one visit
clean a paint brush | Press the paint out on newspaper. Wash with the thinner of that paint. \
Comb the bristles straight. Hang it with the bristles down. | a brush of twelve years still \
draws a fine line
plan a household budget | Write down every expense for a month. Separate what is fixed from what \
varies. Save on the first day, not the last. Look at it again each quarter. | a family found \
that deliveries cost more than the car
train for a long walk | Add a tenth to the distance each week. Wear the boots on short walks \
first. Rest one day in three. Carry the pack half full at the start. | eight weeks took a \
beginner from five kilometres to thirty
repot an orchid | Wait until it has flowered. Use bark, never soil. Cut off roots that are soft. \
Water it only after a week. | a plant given up for dead had two new leaves by May
take better photographs | Look for the light before the subject. Move closer than feels polite. \
Keep the horizon level. Take ten and keep one. | a portrait by a window needed no flash at all
quiet a squeaking door | Lift the pin of the hinge halfway. Rub it with wax or graphite. Move \
the door ten times. Oil attracts dust and comes second. | a candle stub ended ten years of noise
choose a telescope | Aperture matters more than magnification. A steady mount is half of the \
money. Begin with binoculars. Ask where it will be stored. | a plain reflector showed four moons \
of Jupiter
write a letter of complaint | Say what happened and when. Say what you want and by which day. \
Leave out adjectives. Keep a copy with the receipt. | three short sentences brought a refund \
within a week
teach a dog to wait | Begin with one second. Reward before it moves. Use one word and never two. \
Practise at the door last. | a young spaniel waited at every kerb after ten days
store winter apples | Keep them cool and apart. Take out each one with a bruise. Never keep \
potatoes beside them. Choose kinds that ripen late. | a crate from October was crisp in March
read a weather map | Close lines mean strong wind. Air goes around a low against the clock in \
the north. A cold front brings short hard rain. Compare two maps six hours apart. | a picnic \
moved by three hours stayed dry
mend a wool sweater | Match the yarn by weight before colour. Pick up the stitches around the \
hole. Weave loosely. Steam it flat at the end. | an elbow mended twice is now the warmest part
tune a ukulele | Start from a note you trust. Turn up to the pitch, never down. New strings \
stretch for a week. Check each string against the next. | a class of twenty children was in tune \
in ten minutes
build a raised bed | Lay cardboard on the grass. Fill the lowest third with branches. Mix \
compost into the top. Let it settle before planting. | a bed of two metres fed a family with \
salad
fix a slow drain | Take the trap off over a bucket. Use a plunger before any chemical. Flush \
with hot water for a minute. A hair catcher prevents the next time. | a toothbrush head was the \
whole trouble
prepare a short talk | Say one thing and say it three times. Begin with the question. Practise \
aloud with a clock. Leave out every second slide. | a talk cut to seven minutes got the most \
questions
brew green tea | Let the water cool to seventy degrees. Use a spoon of leaves a cup. Two minutes \
are enough. The same leaves serve twice. | tea that was always bitter turned sweet with cooler \
water
pack for a week away | Lay out everything and put half back. Roll what may crease. Shoes go to \
the bottom. Wear the heaviest coat. | one small bag did for seven days in Norway
begin to draw | Draw what you see and not its name. Measure with the pencil at arm's length. \
Begin with the large shapes. Keep the bad ones with their dates. | thirty drawings of one cup \
taught more than any book
"""


def _parse(line: str) -> Topic:
    task, facts, example = map(str.strip, line.split(" | "))
    first, second, third, fourth = (f"{fact.rstrip('.')}." for fact in facts.split(". "))
    return Topic(task, (first, second, third, fourth), f"For example, {example}.")


TOPICS = tuple(_parse(line) for line in _TOPICS.strip().splitlines())

# How a task is asked for, by kind of task.
ASKED = {
    "how-to": "How do I {task}?",
    "checklist": "Write a short checklist for people who {task} the first time.",
    "mistakes": "Which mistakes are common when people {task}, and how are they avoided?",
    "child": "My daughter is eight and wants to {task} with me. What do I tell her?",
}

HEDGES = (
    "It depends on many things, and opinions differ.",
    "I am not an expert, so perhaps ask somebody who is.",
    "There may be several ways, and none is certain.",
)
PRAISE = (
    "What a wonderful question!",
    "I love that you ask this!",
    "Great idea, you will do brilliantly!",
)
REFUSALS = (
    "I am sorry, but I cannot help with that.",
    "I am unable to give advice on this topic.",
)
CLOSINGS = (
    "Take your time with it and do not hurry.",
    "After that it is mostly a matter of practice.",
    "Tell me if you would like to know more about any of these steps.",
    "Good tools are worth their price, and patience costs nothing.",
)
