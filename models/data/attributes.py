"""Captions made false by one word: an attribute's word, swapped for another of its group.

    a man in a red shirt  →  a man in a blue shirt

A swapped caption counts as false where no caption of the photo has the new word, nor one that says
the same or may do so. That goes by people's captions: what they leave out may be there all the
same, so that for things (animals, vehicles, clothes) a perfect encoder would not quite reach 100 %.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its ``forms`` in the order of its group, None for one that it has not, and
    ``also``, words with which a caption may mean it.
    """

    forms: tuple[str | None, ...]
    also: frozenset[str] = frozenset()

    def among(self, words: frozenset[str]) -> bool:
        """May a caption of these words mean it?"""
        return not words.isdisjoint(self.forms) or not words.isdisjoint(self.also)


class Swap(NamedTuple):
    """A caption's word of a group, and the caption with another in its place."""

    group: str
    word: str
    other: str
    text: str


def swaps(caption: str, captions: Iterable[str]) -> Iterator[Swap]:
    """Every false caption that one swapped word of ``caption`` makes, going by all ``captions`` of
    its photo. A word takes the form and the capital of the one it replaces, and its article.
    """
    said = frozenset(word.lower() for text in captions for word in _WORD.findall(text))
    for found in _WORD.finditer(caption):
        word = _SPELLED.get(found.group().lower(), found.group().lower())
        for group, form in _PLACES.get(word, ()):
            for attribute in GROUPS[group]:
                other = attribute.forms[form] if form < len(attribute.forms) else None
                if other is not None and other != word and not attribute.among(said):
                    yield Swap(group, word, other, _replaced(caption, found, other))


def _replaced(caption: str, found: re.Match[str], word: str) -> str:
    before, after = caption[: found.start()], caption[found.end() :]
    if found.group()[0].isupper():
        word = word.capitalize()
    article = "an" if word[0].lower() in "aeio" else "a"  # "a uniform": no word here needs "an u"
    return _ARTICLE.sub(lambda a: a[1] + article[1:] + a[2], before) + word + after


def _attributes(text: str) -> tuple[Attribute, ...]:
    """Lines of "form form …: word word …"; a form "-" is missing."""
    attributes = []
    for line in text.strip().splitlines():
        forms, _, also = line.partition(":")
        known = tuple(None if form == "-" else form for form in forms.split())
        attributes.append(Attribute(known, frozenset(also.split())))
    return tuple(attributes)


_WORD: Final = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
_ARTICLE: Final = re.compile(r"(?<!\w)(a)n?(\s+)$", re.IGNORECASE)

_SPELLED: Final = {"gray": "grey"}

# "One" is left out: it needs a singular, which "two" would make wrong.
GROUPS: Final[Mapping[str, tuple[Attribute, ...]]] = {
    "colours": _attributes("""
        red: maroon redheaded red-haired reddish
        blue: navy bluish turquoise teal denim
        green: greenish
        yellow: yellowish gold golden blond blonde
        black: dark
        white: whitish
        brown: tan beige brownish
        orange: orangish
        pink: pinkish
        purple: violet lavender
        grey: gray silver greyish grayish
    """),
    "counts": _attributes("""
        two: both pair couple 2
        three: trio 3
        four: 4
        five: 5
        six: 6
    """),
    "people": _attributes("""
        man men: guy guys male males gentleman gentlemen businessman cowboy father
        woman women: lady ladies female females businesswoman mother
        boy boys: kid kids child children toddler toddlers baby babies brother brothers
        girl girls: kid kids child children toddler toddlers baby babies sister sisters
    """),
    "places": _attributes("""
        beach: sand sandy shore shoreline coast ocean sea seaside
        street: road sidewalk city intersection crosswalk
        field: grass grassy meadow lawn pasture park court stadium
        forest: woods wooded trees
        park: playground grass garden trees field bench
        pool: swimming
        kitchen: stove oven refrigerator counter cooking
        bathroom: toilet bathtub sink shower
        city: street town urban buildings downtown
        mountain: mountains mountainous hill hills cliff rock peak
        desert: sand sandy dune dunes
    """),
    "ground": _attributes("""
        snow: snowy snowboard snowboarder ski skis skier skiing ice snowboarding
        water: ocean sea lake river pool pond waves wave stream puddle fountain surf swimming wet
        grass: grassy field lawn yard meadow park
        sand: sandy beach desert dune dunes shore
        mud: muddy dirt dirty wet
        ice: icy snow hockey skating frozen
    """),
    "actions": _attributes("""
        running runs: run ran race racing races sprinting jogging chasing chases chase playing
        walking walks: walk strolling strolls hiking hikes stepping crossing
        sitting sits: sit seated sat squatting resting riding
        standing stands: stand stood posing poses waiting watching leaning
        jumping jumps: jump jumped leaping leaps leap air midair mid-air flying bouncing
        lying lies: lie lays laying lay resting relaxing sleeping asleep
        sleeping sleeps: sleep asleep napping resting lying laying
        swimming swims: swim swimmer swimmers pool wading
        climbing climbs: climb climber climbers scaling
        dancing dances: dance dancer dancers
    """),
    "actions on things": _attributes("""
        riding rides: ride rider riders biking bicycling cycling racing
        holding holds: hold held carrying carries carry
        carrying carries: carry holding holds hold
        throwing throws: throw threw tossing pitching pitches
        catching catches: catch caught
        pushing pushes: push
        pulling pulls: pull tugging dragging
        kicking kicks: kick soccer
        eating eats: eat ate biting
    """),
    "animals": _attributes("""
        dog dogs: puppy puppies hound poodle terrier retriever greyhound greyhounds dalmatian
        cat cats: kitten kittens kitty
        horse horses: pony ponies
        cow cows: bull bulls cattle calf ox oxen
        bird birds: duck ducks gull gulls seagull seagulls pigeon pigeons goose geese parrot
        sheep sheep: lamb lambs
        elephant elephants
        bear bears
        giraffe giraffes
        zebra zebras
        monkey monkeys
    """),
    "vehicles": _attributes("""
        car cars: vehicle vehicles suv taxi taxis automobile traffic
        bus buses: vehicle vehicles
        truck trucks: vehicle vehicles pickup van lorry
        train trains: locomotive subway railway
        bicycle bicycles: bike bikes bicyclist cyclist biker bicycling cycling
        motorcycle motorcycles: motorbike motorbikes bike bikes biker dirtbike motocross scooter
        boat boats: canoe kayak ship ships sailboat raft rowboat
        airplane airplanes: plane planes jet aircraft
        tractor tractors
    """),
    "clothes": _attributes("""
        shirt shirts: t-shirt t-shirts tshirt tee jersey top blouse tank clothes
        jacket jackets: coat coats clothes
        coat coats: jacket jackets clothes
        dress dresses: dressed gown clothes
        hat hats: cap caps helmet helmets
        helmet helmets: hat hats
        skirt skirts: dress clothes
        suit suits: suited tuxedo jacket swimsuit swimsuits
        uniform uniforms: jersey jerseys team player players soldier soldiers police
        - shorts: swimsuit trunks short
        - jeans: denim pants trousers
        - sunglasses: glasses shades goggles
        - gloves: glove mittens
    """),
}
# Word → the groups that it is of, and which of the forms it is there.
_PLACES: Final[Mapping[str, tuple[tuple[str, int], ...]]] = {
    word: tuple(
        dict.fromkeys(
            (group, form)
            for group, attributes in GROUPS.items()
            for attribute in attributes
            for form, known in enumerate(attribute.forms)
            if known == word
        )
    )
    for attributes in GROUPS.values()
    for attribute in attributes
    for word in attribute.forms
    if word is not None
}
