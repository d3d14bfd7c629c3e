"""Texts to try Instruction Backtranslation on, made by code: `python benchmarks/backtranslation_texts.py FOLDER`.

FOLDER/facts gets plain text computed here (units, calendars, numbers, shapes), FOLDER/python pages of HTML that hold
the documentation strings of Python's standard library as installed. Nothing of it is part of the project.
"""

from __future__ import annotations

import calendar
import html
import importlib
import inspect
import io
import math
import statistics
import sys
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from datetime import date
from fractions import Fraction
from pathlib import Path
from types import ModuleType

MODULES = 60  # pages of Python's library, the best documented
LONGEST = 260  # words of one documentation string
NOT_READ = ("antigravity", "this", "idlelib", "turtledemo", "test", "posix")  # importing them acts, or repeats os


def units() -> Iterator[str]:
    table = (
        ("kilometre", "miles", 0.621371, "roads, races and speed limits"),
        ("kilogram", "pounds", 2.204623, "people, parcels and groceries"),
        ("litre", "US gallons", 0.264172, "fuel, milk and aquariums"),
        ("metre", "feet", 3.280840, "rooms, buildings and swimming pools"),
        ("centimetre", "inches", 0.393701, "screens, clothes and paper"),
        ("hectare", "acres", 2.471054, "fields, farms and parks"),
        ("gram", "ounces", 0.035274, "flour, letters and gold"),
        ("square metre", "square feet", 10.763910, "flats, carpets and walls"),
    )
    for unit, other, factor, used in table:
        examples = ", ".join(f"{n} {unit}s are {n * factor:.2f} {other}" for n in (2, 5, 12, 100))
        yield (
            f"One {unit} is about {factor:.4g} {other}. To turn {unit}s into {other}, multiply the number of "
            f"{unit}s by "
            f"{factor:.4g}; to go the other way, divide the number of {other} by the same figure. For instance, "
            f"{examples}. The conversion comes up with {used}. For a quick estimate in your head, round the factor to "
            f"{float(f'{factor:.1g}'):g} and correct the result a little at the end."
        )
    yield (
        "Water freezes at 0 degrees Celsius, which is 32 degrees Fahrenheit, and boils at 100 degrees Celsius, "
        "which is "
        "212 degrees Fahrenheit. To convert Celsius to Fahrenheit, multiply by 9, divide by 5 and add 32. So a "
        "mild day "
        f"of 20 degrees Celsius is {20 * 9 / 5 + 32:g} degrees Fahrenheit, and a fever of 39 degrees Celsius is "
        f"{39 * 9 / 5 + 32:g} degrees Fahrenheit. The two scales meet at minus 40."
    )
    yield (
        f"A day has 24 hours, {24 * 60:,} minutes or {24 * 3600:,} seconds. A week has {7 * 24} hours. A common "
        "year has "
        f"365 days, that is {365 * 24:,} hours or {365 * 24 * 60:,} minutes. Someone who sleeps eight hours a night "
        f"spends {365 * 8:,} hours a year asleep, the equal of {365 * 8 / 24:.0f} whole days."
    )


def numbers() -> Iterator[str]:
    for n in (6, 7, 8, 9, 11, 12, 15, 25):
        row = ", ".join(f"{n} times {k} is {n * k}" for k in range(2, 11))
        trick = {
            6: "When six is multiplied by an even number, both end in the same digit.",
            9: "The digits of each product up to ten add up to nine.",
            11: "Up to nine times eleven, the product simply repeats the other factor's digit.",
            25: "Four times twenty-five is a hundred, so divide the other factor by four and add two zeros.",
        }.get(n, f"If one product slips your mind, take the one before it and add {n}.")
        yield f"The multiplication table of {n} runs like this: {row}. {trick} Reciting it aloud for a few days helps."
    for low, high in ((2, 50), (50, 100), (100, 150)):
        primes = [n for n in range(low, high) if n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))]
        yield (
            f"A prime number has exactly two divisors, one and itself. Between {low} and {high} there are "
            f"{len(primes)} "
            f"of them: {', '.join(map(str, primes))}. To test a number in this range, it is enough to try the "
            "primes up "
            f"to its square root, which is at most {math.isqrt(high)}. Every other whole number in the range is a "
            "product of smaller primes."
        )
    rules = (
        (3, "its digits add up to a multiple of three", 471),
        (4, "its last two digits form a multiple of four", 1316),
        (9, "its digits add up to a multiple of nine", 2745),
        (11, "the alternating sum of its digits is zero or a multiple of eleven", 9182),
    )
    for divisor, rule, example in rules:
        yield (
            f"A whole number is divisible by {divisor} when {rule}. Take {example}: "
            f"{example} divided by {divisor} is {example // divisor}, with nothing left over, and the rule says so at "
            f"once without any division. The rule works for numbers of any length, which makes it handy for checking "
            "long sums and for shortening fractions."
        )
    for n in (9, 14, 29, 44, 99, 1987, 2024):
        yield (
            f"In Roman numerals, {n} is written {roman(n)}. The letters I, V, X, L, C, D and M stand for 1, 5, 10, 50, "
            "100, 500 and 1000. Values are added from left to right, and a smaller letter in front of a larger one is "
            f"subtracted. The next number, {n + 1}, is {roman(n + 1)}, and the one before, {n - 1}, is {roman(n - 1)}."
        )
    for n in (13, 42, 100, 255):
        powers = [2**k for k in range(n.bit_length() - 1, -1, -1) if n >> k & 1]
        yield (
            f"The number {n} is {n:b} in binary. Each binary digit stands for a power of two, and the ones mark the "
            f"powers that are added: {' + '.join(map(str, powers))} makes {n}. To find the digits by hand, "
            "divide by two "
            "again and again and note the remainders; read from the last to the first, they are the binary number. In "
            f"hexadecimal the same number is {n:X}."
        )
    for part in (Fraction(1, 3), Fraction(3, 8), Fraction(5, 6), Fraction(7, 20)):
        yield (
            f"The fraction {part} is {float(part):.4f} as a decimal, or {float(part):.1%} as a percentage. To "
            "get there, "
            f"divide {part.numerator} by {part.denominator}. A fraction has an ending decimal only if its "
            "denominator, in "
            "lowest terms, has no prime factors but two and five; otherwise some digits repeat for ever. "
            f"Half of {part} is {part / 2}, and twice as much is {part * 2}."
        )


def roman(number: int) -> str:
    found = ""
    for value, letters in ((1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"),
                           (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")):  # fmt: skip
        found += letters * (number // value)
        number %= value
    return found


def dates() -> Iterator[str]:
    for year in (1999, 2000, 2012, 2023, 2024, 2025, 2100):
        leap = calendar.isleap(year)
        first = calendar.day_name[date(year, 1, 1).weekday()]
        last = calendar.day_name[date(year, 12, 31).weekday()]
        why = (
            "divisible by four" if year % 100 else "a century year divisible by 400" if leap else "a plain century year"
        )
        fridays = [calendar.month_name[m] for m in range(1, 13) if date(year, m, 13).weekday() == 4]
        yield (
            f"The year {year} {'was' if year < 2025 else 'is'} {'a leap year' if leap else 'no leap year'}"
            f"{', being ' + why if leap or year % 100 == 0 else ''}, so February had {29 if leap else 28} days. "
            "It began "
            f"on a {first} and ended on a {last}. There {'was' if len(fridays) == 1 else 'were'} {len(fridays)} Friday "
            f"the thirteenth, in {' and '.join(fridays)}. Easter Sunday fell on {easter(year):%d %B}."
        )
    for month in (1, 4, 7, 10):
        names = [calendar.month_name[m] for m in range(month, month + 3)]
        days = [calendar.monthrange(2023, m)[1] for m in range(month, month + 3)]
        yield (
            f"The months {names[0]}, {names[1]} and {names[2]} make up quarter {month // 3 + 1} of the year. They have "
            f"{days[0]}, {days[1]} and {days[2]} days, {sum(days)} in all in a common year. The quarter begins on day "
            f"{date(2023, month, 1).timetuple().tm_yday} of the year. A project that lasts exactly this quarter takes "
            f"about {sum(days) / 7:.0f} weeks, of which roughly {sum(days) * 5 // 7} days are working days."
        )


def easter(year: int) -> date:
    """Gauss's rule as revised for the Gregorian calendar."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    step = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * step) // 451
    month, day = divmod(h + step - 7 * m + 114, 31)
    return date(year, month, day + 1)


def shapes() -> Iterator[str]:
    names = {3: "triangle", 4: "quadrilateral", 5: "pentagon", 6: "hexagon", 8: "octagon", 10: "decagon"}
    for n, name in names.items():
        yield (
            f"A {name} has {n} sides and {n} corners. Its inner angles add up to {(n - 2) * 180} degrees, "
            "because it can "
            f"be cut into {n - 2} triangles of 180 degrees each; in a regular {name} every angle is "
            f"{(n - 2) * 180 / n:g} degrees. It has {n * (n - 3) // 2} diagonals. A regular {name} with sides of 10 "
            f"centimetres has an area of about {n * 100 / (4 * math.tan(math.pi / n)):.0f} square centimetres."
        )
    for radius in (3, 10):
        yield (
            f"A circle with a radius of {radius} centimetres has a circumference of {2 * math.pi * radius:.1f} "
            f"centimetres and an area of {math.pi * radius**2:.1f} square centimetres. The circumference is twice the "
            "radius times pi, the area is pi times the radius squared. A sphere of the same radius holds "
            f"{4 / 3 * math.pi * radius**3:.0f} cubic centimetres. Doubling the radius makes the area four "
            "times and the "
            "volume eight times as large."
        )


def money() -> Iterator[str]:
    for price, percent in ((80, 25), (250, 15), (39, 30)):
        yield (
            f"A discount of {percent} percent on a price of {price} euros saves {price * percent / 100:g} euros, so "
            f"{price * (100 - percent) / 100:g} euros remain to be paid. To find the reduced price in one step, "
            "multiply "
            f"by {(100 - percent) / 100:g}. Be careful with two discounts in a row: another {percent} percent is taken "
            f"from the reduced price, which leaves {price * ((100 - percent) / 100) ** 2:.2f} euros, not "
            f"{price * (100 - 2 * percent) / 100:g}."
        )
    for rate, years in ((3, 10), (5, 20), (7, 30)):
        end = 1000 * (1 + rate / 100) ** years
        yield (
            f"If you invest 1,000 euros at {rate} percent interest a year and leave the interest in the "
            "account, you have "
            f"{end:,.0f} euros after {years} years. Each year the amount is multiplied by {1 + rate / 100:g}, "
            "so interest "
            f"earns interest itself. Without that effect the sum would only reach {1000 + 10 * rate * years:,} euros. "
            f"As a rule of thumb, divide 72 by the rate: the money doubles in about {72 / rate:.0f} years."
        )


def data() -> Iterator[str]:
    for values in ([3, 7, 7, 12, 21], [18, 20, 22, 25, 90], [2, 4, 4, 5, 5, 10]):
        yield (
            f"Take the values {', '.join(map(str, values))}. Their mean, the sum divided by how many there are, is "
            f"{statistics.mean(values):g}. Their median, the value in the middle once they are sorted, is "
            f"{statistics.median(values):g}. The most frequent value is the mode. The range, the distance between the "
            f"smallest and the largest, is {max(values) - min(values)}. One extreme value moves the mean a lot "
            "but hardly "
            "touches the median, so the median is the better summary of skewed data."
        )
    for people, factor in ((6, 1.5), (10, 2.5)):
        yield (
            f"To turn a recipe for four into one for {people}, multiply every ingredient by {factor:g}. So 300 "
            "grams of "
            f"flour become {300 * factor:g} grams, 2 eggs become {2 * factor:g}, and 250 millilitres of milk become "
            f"{250 * factor:g} millilitres. Spices and salt are best increased a little less and adjusted to taste. "
            "Baking times grow only slightly, and a larger tin may be needed, since a cake that is twice as deep takes "
            "much longer to bake through."
        )


TOPICS = {"units": units, "numbers": numbers, "dates": dates, "shapes": shapes, "money": money, "data": data}


def pages() -> Iterator[tuple[str, str]]:
    """(module, HTML page) for the best documented modules of the standard library."""
    found = []
    for name in sorted(sys.stdlib_module_names):
        if name.startswith("_") or name in NOT_READ:
            continue
        module = load(name)
        if module is None:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            entries = sorted(documented(module))
        words = sum(len(text.split()) for _, text in entries)
        found.append((words, name, inspect.getdoc(module) or "", entries))
    found.sort(key=lambda entry: (-entry[0], entry[1]))
    for _, name, about, entries in found[:MODULES]:
        body = "".join(f"<h2>{html.escape(title)}</h2>\n{paragraphs(text)}\n" for title, text in entries)
        top = f"<html><head><title>{name}</title></head><body>\n<h1>{name}</h1>\n{paragraphs(about)}\n"
        yield name, f"{top}{body}</body></html>\n"


def load(name: str) -> ModuleType | None:
    """A module of the standard library, or None where this machine cannot load it."""
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except Exception:  # a module of another platform, or one that needs a display
        return None


def documented(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Functions and classes of the module with a documentation string that says something."""
    for name, value in vars(module).items():
        if name.startswith("_") or not (inspect.isroutine(value) or inspect.isclass(value)):
            continue
        if getattr(value, "__module__", None) != module.__name__:
            continue
        text = value.__doc__ and inspect.getdoc(value)
        if text and 40 <= len(text.split()) <= LONGEST and ">>>" not in text:
            yield f"{module.__name__}.{name}", text


def paragraphs(text: str) -> str:
    """HTML of a documentation string: code where all of a paragraph is indented, lines kept where some of it is."""
    found = []
    for part in text.split("\n\n"):
        lines = [line.rstrip() for line in part.splitlines() if line.strip()]
        indented = sum(line.startswith((" ", "\t")) for line in lines)
        escaped = [html.escape(line) for line in lines]
        if lines and indented == len(lines):
            found.append(f"<pre>{chr(10).join(escaped)}</pre>")
        elif lines:
            found.append(f"<p>{('<br>' if indented else chr(10)).join(escaped)}</p>")
    return "\n".join(found)


def main(folder: Path) -> None:
    """Write the texts and say how many there are."""
    facts = folder / "facts"
    facts.mkdir(parents=True, exist_ok=True)
    count = 0
    for name, topic in TOPICS.items():
        texts = list(topic())
        count += len(texts)
        (facts / f"{name}.txt").write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    library = folder / "python"
    library.mkdir(exist_ok=True)
    for name, page in pages():
        (library / f"{name}.html").write_text(page, encoding="utf-8")
    print(f"{count} paragraphs of facts, {len(list(library.glob('*.html')))} pages of Python's library in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
