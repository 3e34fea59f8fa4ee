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


def normalization(form):
    """(code points whose presence can change a text's form, code points that the reference's Unicode version does not know)."""
    normalizer = getattr(normalizers, form)()
    canonical = form == "NFC"
    seconds, interesting, inert = set(), [], []
    newer = set()
    for code in CODE_POINTS:
        parts = unicodedata.decomposition(chr(code)).split()
        if parts and not parts[0].startswith("<") and len(parts) == 2:
            second = int(parts[1], 16)
            seconds.add(second)
            pair = chr(int(parts[0], 16)) + chr(second)
            # composed by newer versions of Unicode, not by the reference's
            if normalizer.normalize_str(pair) == pair != unicodedata.normalize("NFC", pair):
                newer |= {code, second}
    seconds |= set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    for code in CODE_POINTS:
        char = chr(code)
        # U+0345 has the highest combining class: what is a mark moves before it
        reorders = normalizer.normalize_str("a\u0345" + char) != "a\u0345" + char
        changes = normalizer.normalize_str(char) != char
        if reorders or changes or code in seconds or code == 0x345:
            interesting.append(code)
        if code in newer:
            inert.append(code)
        elif interesting and interesting[-1] == code:
            continue
        elif unicodedata.category(char) == "Cn" or (canonical and unicodedata.combining(char)):
            inert.append(code)
    return ranges(interesting), ranges(inert)


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
        tables[f"{form} changes"], tables[f"{form} unknown"] = normalization(form)
    lines = [
        f"/** Written by scripts/unicode-tables.py from the Python package tokenizers {tokenizers.__version__}: do not edit. */",
        "",
        "/** Sorted ranges of code points: gap to the range before, length of the range, in base 36. */",
        "export const UNICODE_TABLES = {",
        *[f"  {name!r}: {encode(table)!r}," for name, table in tables.items()],
        "} as const;",
        "",
    ]
    Path(__file__).parent.parent.joinpath("src/tokenize/unicode-tables.ts").write_text("\n".join(lines))
    print({name: len(table) for name, table in tables.items()}, file=sys.stderr)


if __name__ == "__main__":
    main()
