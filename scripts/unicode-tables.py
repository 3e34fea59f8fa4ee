"""Writes src/tokenize/unicode-tables.ts: which code points belong to which class, as the reference implementation sees it.

`python scripts/unicode-tables.py` needs the `tokenizers` package. The tables are asked from the package itself, class by class, because a tokenizer must
split as the reference does, and JavaScript's own \\p{…} follows the Unicode version of the Node that happens to run.
"""

import sys
import unicodedata
from pathlib import Path

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
TEXT = "".join(map(chr, CODE_POINTS))

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co".split()
SCRIPTS = "Han Hiragana Katakana Hangul Latin Cyrillic Greek Arabic Thai Hebrew Devanagari".split()


def ranges(members):
    """[start, end) pairs of a sorted list of code points."""
    found = []
    for code in members:
        if found and found[-1][1] == code:
            found[-1][1] = code + 1
        else:
            found.append([code, code + 1])
    return found


def matched(pre_tokenizer):
    pieces = pre_tokenizer.pre_tokenize_str(TEXT)
    return ranges([CODE_POINTS[i] for _, (start, end) in pieces for i in range(start, end)])


def regex_class(pattern):
    return matched(pre_tokenizers.Split(Regex(f"(?:{pattern})+"), "removed", invert=True))


def isolated_by(pre_tokenizer):
    """Code points that a splitter of single characters splits off, each tried between two letters."""
    members = []
    for start in range(0, len(CODE_POINTS), 4096):
        part = CODE_POINTS[start : start + 4096]
        text = "".join("a" + chr(code) for code in part) + "a"
        pieces = {begin for _, (begin, end) in pre_tokenizer.pre_tokenize_str(text) if end - begin == 1}
        members += [code for i, code in enumerate(part) if 2 * i + 1 in pieces and not chr(code) == "a"]
    return ranges(members)


def canonical_pairs():
    """Characters whose canonical decomposition has two parts, and these: composite, first, second."""
    for code in CODE_POINTS:
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            yield code, int(parts[0], 16), int(parts[1], 16)


def compositions():
    """(composite, first, second) of what the reference composes, but for Hangul."""
    nfc = normalizers.NFC()
    return [triple for triple in canonical_pairs() if nfc.normalize_str(chr(triple[1]) + chr(triple[2])) == chr(triple[0])]


def combining_classes():
    """Marks by their combining class. Python's is taken, and held against the order in which the reference puts two of them."""
    nfc = normalizers.NFC()
    marks = {}
    for code in CODE_POINTS:
        # U+0345 has the highest class, so that what is a mark moves before it; nothing composes with a dotted circle
        moves = nfc.normalize_str("\u25cc\u0345" + chr(code)) == "\u25cc" + chr(code) + "\u0345"
        if (moves and nfc.normalize_str(chr(code)) == chr(code)) or code == 0x345:
            marks.setdefault(unicodedata.combining(chr(code)), []).append(code)
    for number, members in marks.items():
        for other, (representative, *_) in marks.items():
            for code in members:
                text = "\u25cc" + chr(code) + chr(representative)
                moved = "\u25cc" + chr(representative) + chr(code)
                assert nfc.normalize_str(text) == (moved if number > other else text), (hex(code), hex(representative))
    return marks


def changing(form):
    """Code points that their normal form changes by themselves, and jamo that compose with what is before them."""
    normalizer = getattr(normalizers, form)()
    jamo = set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    return ranges([code for code in CODE_POINTS if code in jamo or normalizer.normalize_str(chr(code)) != chr(code)])


def unknown(form):
    """Code points that the reference's Unicode version does not know, or for which it knows no composition that newer ones have."""
    normalizer = getattr(normalizers, form)()
    newer = set()
    for composite, first, second in canonical_pairs():
        text = chr(first) + chr(second)
        if normalizer.normalize_str(text) == text != unicodedata.normalize("NFC", text):
            newer |= {composite, second}
    seconds = {second for _, _, second in canonical_pairs()}
    members = []
    for code in CODE_POINTS:
        char = chr(code)
        moves = normalizer.normalize_str("a\u0345" + char) != "a\u0345" + char
        known = moves or normalizer.normalize_str(char) != char or code in seconds or code == 0x345
        new = unicodedata.category(char) == "Cn" or (form == "NFC" and unicodedata.combining(char))
        if code in newer or (new and not known):
            members.append(code)
    return ranges(members)


def encode(table):
    """Gaps and lengths in base 36, one after the other: `gap.length.gap.length`."""
    digits, at = [], 0
    for start, end in table:
        digits += [base36(start - at), base36(end - start)]
        at = end
    return ".".join(digits)


def base36(number):
    text = ""
    while True:
        number, digit = divmod(number, 36)
        text = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + text
        if number == 0:
            return text


def main():
    tables = {name: regex_class(rf"\p{{{name}}}") for name in CATEGORIES + SCRIPTS}
    tables["space"] = regex_class(r"\s")
    tables["word"] = regex_class(r"\w")
    tables["digit"] = regex_class(r"\d")
    tables["numeric"] = isolated_by(pre_tokenizers.Digits(individual_digits=True))
    tables["punctuation"] = isolated_by(pre_tokenizers.Punctuation())
    for form in ["NFC", "NFKC"]:
        tables[f"{form} changes"], tables[f"{form} unknown"] = changing(form), unknown(form)
    triples = compositions()
    marks = combining_classes()
    for number in sorted(marks):
        tables[f"combining {number}"] = ranges(marks[number])
    lines = [
        f"/** Written by scripts/unicode-tables.py from the Python package tokenizers {tokenizers.__version__}: do not edit. */",
        "",
        "/** Sorted ranges of code points: gap to the range before, length of the range, in base 36. */",
        "export const UNICODE_TABLES = {",
        *[f"  {name!r}: {encode(table)!r}," for name, table in tables.items()],
        "} as const;",
        "",
        "/** What composes: composite, first and second code point, in base 36. */",
        f"export const COMPOSITIONS = '{'.'.join(base36(point) for triple in triples for point in triple)}';",
        "",
    ]
    Path(__file__).parent.parent.joinpath("src/tokenize/unicode-tables.ts").write_text("\n".join(lines))
    print({name: len(table) for name, table in tables.items()}, file=sys.stderr)


if __name__ == "__main__":
    main()
