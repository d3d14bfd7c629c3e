"""What the verifiable track's questions are about: four lists without a common topic.

`SEED`: the seed's rows. `LOOP`: prompts that the model answers and judges itself. `DEVELOPMENT`: what recipes were
chosen by. `TEST`: what is reported; nothing was chosen by it.
"""

from __future__ import annotations

SEED = """
lighthouses; hedgehogs; sourdough; monsoons; tide pools; knitting; lanterns; windmills; kites; fireflies; jellyfish;
squirrels; ravens; otters; seahorses; beavers; crickets; salmon; sparrows; goats; donkeys; geese; ladybugs; moths;
pumpkins; lentils; garlic; cinnamon; oatmeal; yogurt; vinegar; walnuts; peaches; cherries; carrots; spinach; pickles;
noodles; dumplings; popcorn; hail; dew; drought; tornadoes; sunsets; tides; canyons; swamps; coral reefs; icebergs;
geysers; meadows; sand dunes; valleys; eclipses; meteors; satellites; telescopes; microscopes; compasses; batteries;
elevators; zippers; bicycle helmets; wheelbarrows; scissors; hammers; ladders; toothbrushes; thermometers; calendars;
postage stamps; newspapers; dictionaries; crayons; puzzles; board games; marbles; swings; trampolines; skateboards;
canoes; submarines; ferries; trams; lighters; fountains; statues; castles; pyramids; barns; attics; kitchens;
bakeries; pharmacies; orchestras; trumpets; flutes; opera; puppets; pottery; origami; embroidery; carpentry;
gardening; archery; fencing; marathons; gymnastics; volleyball; punctuality; generosity
"""
LOOP = """
owls; whales; ants; bees; spiders; frogs; sharks; elephants; penguins; rabbits; tigers; turtles; camels; dolphins;
wolves; pigeons; eagles; snails; worms; bats; deer; bears; kangaroos; giraffes; zebras; bread; cheese; rice; soup;
apples; bananas; coffee; tea; chocolate; honey; pizza; potatoes; tomatoes; onions; eggs; butter; sugar; salt;
strawberries; lemons; grapes; mushrooms; beans; corn; rain; snow; wind; clouds; thunder; fog; volcanoes; earthquakes;
rivers; lakes; deserts; forests; mountains; islands; caves; glaciers; beaches; waterfalls; comets; gravity; magnets;
electricity; glass; paper; rubber; cotton; wool; bicycles; trains; cars; buses; bridges; roads; tunnels; clocks;
cameras; telephones; computers; robots; radios; pianos; guitars; drums; violins; singing; dancing; painting; poetry;
theater; football; tennis; swimming; chess; hiking; fishing; skiing; libraries; museums; hospitals; markets; farms;
friendship; kindness
"""
DEVELOPMENT = """
badgers; flamingos; hummingbirds; lizards; crabs; grasshoppers; swans; foxes; mustard; ginger; pancakes; cucumbers;
raisins; mangoes; waffles; mint; blizzards; avalanches; mudslides; lagoons; cliffs; prairies; planets; galaxies;
backpacks; blankets; buttons; envelopes; faucets; staplers; whistles; teapots; sailboats; scooters; tractors;
balloons; cathedrals; playgrounds; bookstores; harbors; harmonicas; ballet; juggling; wrestling; sculpture; sewing;
humility; gratitude
"""
TEST = """
parrots; squids; lobsters; butterflies; mosquitoes; ducks; horses; cows; sheep; turkeys; cabbages; pears; melons;
olives; almonds; pies; sandwiches; muffins; cereal; jam; rainbows; frost; storms; oceans; hills; bays; craters;
asteroids; sunlight; shadows; echoes; candles; mirrors; umbrellas; pillows; chairs; lamps; carpets; spoons; bottles;
keys; wallets; airplanes; rockets; wagons; sleds; anchors; airports; schools; zoos; stadiums; factories; harps;
photography; cooking; yoga; rowing; baseball; courage; patience
"""


def topics(listed: str) -> list[str]:
    """The topics of one of the lists above."""
    return [" ".join(topic.split()) for topic in listed.split(";")]
