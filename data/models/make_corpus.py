"""Write a synthetic corpus of short English stories, one story a line.

No text is downloaded: a small grammar makes every sentence. Eight plots are filled with names,
invented places, things and numbers, so that a model must learn skills that can be seen to
suffer when its weights are rounded: agreement over an attractor, counting, coreference, recall
of what was said earlier, and fixed facts (prices, roads, dishes, siblings, hiding places) that
are drawn once from ``FACT_SEED`` and are the same in every corpus.

The output depends on the arguments alone. Only ``random.Random.random()`` is used, the one
method whose sequence Python promises to keep between versions.

    python make_corpus.py --seed 1 --stories 36000 --out corpus.txt      # training
    python make_corpus.py --seed 77 --stories 60 --out eval.txt          # held out
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

FACT_SEED = 4711


def _words(text: str) -> list[str]:
    return text.split()


GIRLS = _words(
    "Anna Bella Clara Daisy Elsa Fern Greta Hanna Iris Julia Katie Lily Mara Nora Olive Petra Rosa Sara Tessa Vera"
)
BOYS = _words("Adam Ben Carl David Emil Finn Gus Hugo Ivan Jack Karl Leo Max Ned Oscar Paul Robin Sam Tom Will")
PLACES = _words(
    "Ambry Birkle Coldwick Dunmere Elvary Fenwold Garrow Harbeck Ivelow Jaspery Kelmor "
    "Lorrick Mossend Norwold Ostley Pellow Quillby Rothmoor Selwick Tambery Umberley Velden Wendle "
    "Yarroby"
)
COLOURS = _words("red blue green yellow white black brown grey")
THINGS = _words("kite boat lamp hat drum ball key ring bell cup book coat")
MANY = _words("apples pears plums nuts eggs shells stones buttons carrots coins")
ANIMALS = _words("dog cat hen goat fox crow duck mouse")
GOODS = ["a jar of honey", "a loaf of bread", "a warm hat", "a clay cup", "a bag of nuts"]
DISHES = ["apple cake", "bean soup", "plum jam", "egg pie", "nut bread", "fish stew"]
SPOTS = [
    "under the bridge",
    "behind the mill",
    "beside the well",
    "inside the barn",
    "near the gate",
    "on top of the wall",
]
WAYS = ["over the hill", "along the river", "through the forest", "past the lake"]
KIN = ["brother", "sister", "uncle", "aunt"]
WORDS = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty"
)
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")


class Dice:
    """Choices made with ``random()`` only, so that they are the same on every Python."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, n: int) -> int:
        """Return an integer in ``[0, n)``."""
        return int(self._random.random() * n)

    def pick(self, items: Sequence[T]) -> T:
        """Return one of `items`."""
        return items[self.below(len(items))]

    def other(self, items: Sequence[T], *not_these: T) -> T:
        """Return one of `items` that is none of `not_these`."""
        return self.pick([item for item in items if item not in not_these])

    def chance(self, p: float) -> bool:
        """Return True with probability `p`."""
        return self._random.random() < p


class Facts:
    """The fixed facts of the stories' world, each used often."""

    def __init__(self) -> None:
        dice = Dice(FACT_SEED)
        self.price = {(p, g): 2 + dice.below(18) for p in PLACES for g in GOODS}
        self.road = {p: (dice.pick(WAYS), dice.other(PLACES, p)) for p in PLACES}
        self.dish = {p: dice.pick(DISHES) for p in PLACES}
        self.spot = {p: dice.pick(SPOTS) for p in PLACES}
        self.kin: dict[str, tuple[str, str]] = {}
        for name in GIRLS + BOYS:
            word = dice.pick(KIN)
            kin = dice.other(GIRLS if word in ("sister", "aunt") else BOYS, name)
            self.kin[name] = (word, kin)
        self.pet = {name: (dice.pick(COLOURS), dice.pick(ANIMALS)) for name in GIRLS + BOYS}


FACTS = Facts()


def count_up(n: int) -> str:
    """Return ``one, two, three`` up to `n`."""
    return ", ".join(WORDS[1 : n + 1])


class Story:
    """One story: its people, place and thing, and the sentences told so far."""

    def __init__(self, dice: Dice) -> None:
        d = self.dice = dice
        self.hero = d.pick(GIRLS + BOYS)
        self.friend = d.other(GIRLS + BOYS, self.hero, FACTS.kin[self.hero][1])
        girl = self.hero in GIRLS
        self.he, self.his, self.him = ("she", "her", "her") if girl else ("he", "his", "him")
        girl2 = self.friend in GIRLS
        self.he2, self.his2, self.him2 = ("she", "her", "her") if girl2 else ("he", "his", "him")
        self.place = d.pick(PLACES)
        self.colour = d.pick(COLOURS)
        self.thing = d.pick(THINGS)
        self.many = d.pick(MANY)
        self.day = d.pick(DAYS)
        self.lines: list[str] = []
        self.told: set[int] = set()

    def fresh(self, first: int, n: int) -> int:
        """Return one of the `n` kinds of remark from `first` that this story has not had."""
        kind = self.dice.pick([k for k in range(first, first + n) if k not in self.told])
        self.told.add(kind)
        return kind

    def say(self, text: str) -> None:
        """Add a sentence, with its first letter large."""
        at = 1 if text.startswith('"') else 0
        self.lines.append(text[:at] + text[at].upper() + text[at + 1 :])

    def opening(self) -> None:
        """Who, where, when, and the thing that will come back later."""
        d, hero, place = self.dice, self.hero, self.place
        thing = f"a {self.colour} {self.thing}"
        d_open = d.below(5)
        if d_open == 0:
            self.say(
                f"Once there was a {'girl' if hero in GIRLS else 'boy'} called {hero}. "
                f"{self.he.capitalize()} lived in {place} and had {thing}."
            )
        elif d_open == 1:
            self.say(f"One {self.day} morning {hero} walked through {place} with {thing}.")
        elif d_open == 2:
            self.say(
                f"In {place} there lived a {'girl' if hero in GIRLS else 'boy'} named {hero}. "
                f"{self.he.capitalize()} loved {self.his} {self.colour} {self.thing}."
            )
        elif d_open == 3:
            self.say(f"Long ago {hero} lived near {place}. On {self.day} {self.he} got {thing} from {self.friend}.")
        else:
            self.say(
                f"One day {hero} and {self.friend} met in {place}. "
                f"{hero} had {thing} and {self.friend} had {d.pick(GOODS)}."
            )

    def colour_fact(self) -> None:
        """Say a fixed fact about the people or the place, no kind of fact twice."""
        d = self.dice
        kind = self.fresh(0, 5)
        if kind == 0:
            word, kin = FACTS.kin[self.hero]
            self.say(f"{self.his} {word} {kin} came along.")
        elif kind == 1:
            colour, animal = FACTS.pet[self.hero]
            self.say(f"{self.his} {colour} {animal} ran behind {self.him}.")
        elif kind == 2:
            self.say(f"The people of {self.place} were cooking {FACTS.dish[self.place]}.")
        elif kind == 3:
            good = d.pick(GOODS)
            self.say(f"In {self.place} {good} cost {WORDS[FACTS.price[self.place, good]]} coins.")
        else:
            way, to = FACTS.road[self.place]
            self.say(f"The road from {self.place} went {way} to {to}.")

    def attractor(self) -> None:
        """A sentence whose verb must agree with its first noun, not with the nearest one."""
        d = self.dice
        look = d.pick(["old", "small", "wet", "very big", "new"])
        if d.chance(0.5):
            self.say(f"The {d.other(THINGS, self.thing)} near the {d.pick(MANY)} was {look}.")
        else:
            self.say(f"The {d.pick(MANY)} near the {d.other(THINGS, self.thing)} were {look}.")

    def counting(self) -> None:
        """Count other things than the plot's aloud, then say how many there are."""
        n = 3 + self.dice.below(8)
        many = self.dice.other(MANY, self.many)
        name = self.hero if self.dice.chance(0.5) else self.friend
        self.say(f"{name} counted the {many}: {count_up(n)}. There were {WORDS[n]} {many}.")

    def recall(self) -> None:
        """Ask for something that was said at the beginning."""
        if self.dice.chance(0.5):
            self.say(
                f'"What colour is the {self.thing}?" asked {self.friend}. "It is {self.colour}," said {self.hero}.'
            )
        else:
            self.say(f'"Where are we?" asked {self.friend}. "We are in {self.place}," said {self.hero}.')

    # The plots. Each tells a beginning, a middle and an end; tell() adds a moral.

    def lost(self) -> str:
        """The thing is lost and found where things of this place are always found."""
        d, spot = self.dice, FACTS.spot[self.place]
        self.say(f"{d.pick(['Then', 'But soon', 'After lunch'])} the {self.thing} was gone.")
        self.say(f"{self.hero} was sad and looked for it {d.other(SPOTS, spot)}, but it was not there.")
        self.say(f'"In {self.place} lost things are {spot}," said {self.friend}.')
        self.filler()
        self.say(
            f"They went there, and {spot} they found the {self.colour} {self.thing}. "
            f"{self.hero} thanked {self.friend} because {self.he2} had helped {self.him}."
        )
        return "a good friend helps you look"

    def share(self) -> str:
        """Many things are shared in two equal halves."""
        half = 2 + self.dice.below(8)
        self.say(f"{self.hero} found {WORDS[2 * half]} {self.many} in a basket.")
        self.say(
            f"{self.friend} was hungry and had no {self.many}."
            if self.many in ("apples", "pears", "plums", "nuts", "eggs", "carrots")
            else f"{self.friend} was sad and had no {self.many}."
        )
        self.filler()
        self.say(
            f'"Let us share," said {self.hero}. So {self.hero} got {WORDS[half]} {self.many} '
            f"and {self.friend} got {WORDS[half]} {self.many}."
        )
        self.say(f"{self.friend} smiled because {self.hero} had shared with {self.him2}.")
        return "to share makes two people happy"

    def race(self) -> str:
        """Two run to the next place; the one that rests loses."""
        d = self.dice
        way, to = FACTS.road[self.place]
        fast, slow = (self.hero, self.friend) if d.chance(0.5) else (self.friend, self.hero)
        he, him = ("she", "her") if fast in GIRLS else ("he", "him")
        self.say(f'"I am faster than you," said {fast} to {slow}. "Let us run from {self.place} to {to}!"')
        self.say(f"They ran {way}. {fast} was first, so {he} sat down and fell asleep.")
        self.filler()
        self.say(f"{slow} did not stop and came to {to} first. {fast} came late, and {slow} waited for {him}.")
        return "slow and steady wins the race"

    def trade(self) -> str:
        """Something is bought at the place's price, and the change is counted."""
        d = self.dice
        good = d.pick(GOODS)
        price = FACTS.price[self.place, good]
        have = price + 1 + d.below(max(1, 20 - price))
        have = min(have, 20)
        self.say(f"{self.hero} had {WORDS[have]} coins and went to the market.")
        self.say(
            f'"How much is {good}?" asked {self.hero}. '
            f'"In {self.place} it costs {WORDS[price]} coins," said {self.friend}.'
        )
        self.say(
            f"{self.hero} gave {self.friend} {WORDS[price]} coins and got {good}. Now "
            f"{self.he} had {WORDS[have - price]} "
            f"coin{'' if have - price == 1 else 's'} left."
        )
        self.filler()
        self.say(f"{self.friend} liked {self.hero} because {self.he} had been honest.")
        return "a fair price makes a good day"

    def fear(self) -> str:
        """A noise in the dark turns out to be somebody's animal."""
        colour, animal = FACTS.pet[self.friend]
        spot = self.dice.pick(SPOTS)
        self.say(f"At night there was a noise {spot}. {self.hero} was afraid and held {self.his} {self.thing}.")
        self.say(f'"Do not be afraid," said {self.friend}. "I will go with you."')
        self.filler()
        self.say(
            f"They looked {spot} and saw the {colour} {animal} of {self.friend}. "
            f"{self.hero} laughed, and the {animal} went home with {self.friend}."
        )
        return "what we know does not make us afraid"

    def lie(self) -> str:
        """The thing breaks; who broke it tells a lie, and then the truth."""
        d = self.dice
        self.say(f"{self.friend} played with the {self.thing} and broke it.")
        self.say(
            f'"Who broke my {self.colour} {self.thing}?" asked {self.hero}. '
            f'"The {d.pick(ANIMALS)} broke it," said {self.friend}. It was a lie.'
        )
        self.filler()
        self.say(f'In the evening {self.friend} came back. "I broke the {self.thing}," {self.he2} said. "I am sorry."')
        self.say(f"{self.hero} was not angry with {self.friend} because {self.he2} had told the truth.")
        return "the truth is better than a lie"

    def trip(self) -> str:
        """They follow the road and eat what the other place is known for."""
        way, to = FACTS.road[self.place]
        self.say(f'"Let us go to {to}," said {self.friend}. "The road from {self.place} goes {way}."')
        self.filler()
        self.say(
            f"{self.hero} and {self.friend} walked {way} until they came to {to}. There they "
            f"ate {FACTS.dish[to]}, as all people do in {to}."
        )
        self.say(f"{self.hero} was tired, so {self.friend} carried the {self.colour} {self.thing} for {self.him}.")
        return "a long road is short with a friend"

    def cook(self) -> str:
        """They cook the dish of the place and count what goes into it."""
        d = self.dice
        dish = FACTS.dish[self.place]
        n = 3 + d.below(6)
        word, kin = FACTS.kin[self.hero]
        self.say(f"{self.hero} wanted to cook {dish}, the best dish of {self.place}.")
        self.say(f'"We need {WORDS[n]} {self.many_food()}," said {self.friend}. So they counted: {count_up(n)}.')
        self.filler()
        self.say(
            f"The {dish} was ready at noon. {self.hero} gave the first piece to "
            f"{self.his} {word} {kin}, and {self.friend} got the second one."
        )
        return "food tastes best with friends"

    def many_food(self) -> str:
        """Return what can be eaten, and remember it as the story's many."""
        self.many = self.dice.pick(["apples", "pears", "plums", "nuts", "eggs", "carrots"])
        return self.many

    def filler(self) -> None:
        """One or two remarks between the beginning and the end, of different kinds."""
        remarks = [self.attractor, self.counting, self.recall]
        for _ in range(1 + self.dice.below(2)):
            if self.dice.chance(0.4):
                self.colour_fact()
            else:
                remarks[self.fresh(10, len(remarks)) - 10]()

    def tell(self) -> str:
        """Return the whole story on one line."""
        d = self.dice
        self.opening()
        if d.chance(0.6):
            self.colour_fact()
        plot = d.pick([self.lost, self.share, self.race, self.trade, self.fear, self.lie, self.trip, self.cook])
        moral = plot()
        if d.chance(0.5):
            self.say(f'"Now I know that {moral}," said {self.hero}.')
        else:
            self.say(f"So {self.hero} learned that {moral}.")
        return " ".join(self.lines)


def stories(seed: int, n: int) -> list[str]:
    """Return `n` stories made from `seed`.

    Parameters
    ----------
    seed : int
        Any integer; the same one gives the same stories on every supported Python.
    n : int
        How many stories.

    Returns
    -------
    list of str
        ASCII, one line each.
    """
    dice = Dice(seed)
    return [Story(dice).tell() for _ in range(n)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Write a synthetic corpus of short stories.")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--stories", type=int, required=True)
    parser.add_argument("--out", type=Path, help="file to write (default: standard output)")
    args = parser.parse_args(argv)
    text = "\n".join(stories(args.seed, args.stories)) + "\n"
    if args.out is None:
        sys.stdout.write(text)
    else:
        args.out.write_text(text, encoding="ascii", newline="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
