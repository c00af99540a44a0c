"""Which language a text is in, as far as declarations and its script tell. Nothing is guessed from a few words."""

from __future__ import annotations

import re
from collections.abc import Iterable

SAMPLE = 4_000  # characters looked at
MIN_LETTERS = 20  # fewer decide nothing
CLEAR_SHARE = 0.3  # of the letters: scripts whose characters say more each than Latin ones

_TAG = re.compile(r"([a-zA-Z]{2,3})(?:[-_]([a-zA-Z]{4}))?(?:[-_]([a-zA-Z]{2}|\d{3}))?(?:[-_].*)?")
_NOT_A_LANGUAGE = frozenset(("und", "mul", "zxx", "xx"))
_BEYOND_LATIN = re.compile("[^\x00-\u036f\u1e00-\u1eff\u2000-\u20cf]")  # letters, accents, punctuation, currencies
_SCRIPTS: tuple[tuple[str, re.Pattern[str], frozenset[str]], ...] = tuple(
    (name, re.compile(pattern), frozenset(languages.split()))
    for name, pattern, languages in (
        ("kana", "[\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9d]", "ja"),
        ("hangul", "[\uac00-\ud7af\u1100-\u11ff]", "ko"),
        ("han", "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]", "zh yue wuu nan lzh ja"),
        ("cyrillic", "[\u0400-\u052f]", "ru uk be bg sr mk kk ky tg mn tt ba cv ce os ab sh bs uz az cnr crh"),
        ("arabic", "[\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff]", "ar fa ur ps sd ug ku ckb az prs pnb bal ks"),
        ("hebrew", "[\u0590-\u05ff]", "he yi iw lad"),
        ("greek", "[\u0370-\u03ff\u1f00-\u1fff]", "el grc"),
        ("thai", "[\u0e00-\u0e7f]", "th"),
        ("lao", "[\u0e80-\u0eff]", "lo"),
        ("tibetan", "[\u0f00-\u0fff]", "bo dz"),
        ("burmese", "[\u1000-\u109f]", "my shn mnw ksw"),
        ("khmer", "[\u1780-\u17ff]", "km"),
        ("georgian", "[\u10a0-\u10ff]", "ka xmf"),
        ("armenian", "[\u0530-\u058f]", "hy"),
        ("devanagari", "[\u0900-\u097f]", "hi mr ne sa mai bho kok"),
        ("bengali", "[\u0980-\u09ff]", "bn as"),
        ("tamil", "[\u0b80-\u0bff]", "ta"),
        ("telugu", "[\u0c00-\u0c7f]", "te"),
        ("ethiopic", "[\u1200-\u137f]", "am ti"),
    )
)
# Of a script that several languages share, the one that a text without any declaration is taken for; else unknown.
_ONLY_GUESS = {
    "kana": "ja", "hangul": "ko", "han": "zh", "hebrew": "he", "greek": "el", "thai": "th", "lao": "lo",
    "tibetan": "bo", "burmese": "my", "khmer": "km", "georgian": "ka", "armenian": "hy", "tamil": "ta", "telugu": "te",
}  # fmt: skip


def language_tag(raw: str | None) -> str | None:
    """A declared language as BCP 47: primary tag lower case, script and region kept; None when it is none.

    ``zh_CN`` becomes ``zh-CN``, ``en-us`` becomes ``en-US``, ``zh-hant-tw`` becomes ``zh-Hant-TW``.
    """
    match = _TAG.fullmatch((raw or "").split(",")[0].strip())
    if match is None or match[1].lower() in _NOT_A_LANGUAGE:
        return None
    parts = [match[1].lower()]
    if match[2]:
        parts.append(match[2].title())
    if match[3]:
        parts.append(match[3].upper())
    return "-".join(parts)


def language_of(text: str, declared: Iterable[str | None]) -> str | None:
    """The first declared language that the text's script allows; else what the script alone says; else None.

    A template in English around a Chinese article declares ``en``: its script says better.
    """
    tags = [tag for raw in declared if (tag := language_tag(raw))]
    script = _script(text[:SAMPLE])
    if script is None:
        return tags[0] if tags else None
    name, languages = script
    fitting = next((tag for tag in tags if tag.partition("-")[0] in languages), None)
    return fitting or _ONLY_GUESS.get(name)


def _script(sample: str) -> tuple[str, frozenset[str]] | None:
    if not _BEYOND_LATIN.search(sample):
        return None
    letters = sum(map(str.isalpha, sample))
    if letters < MIN_LETTERS:
        return None
    for name, pattern, languages in _SCRIPTS:
        share = len(pattern.findall(sample)) / letters
        if share >= (CLEAR_SHARE if name != "kana" else 0.1):
            return name, languages
    return None
