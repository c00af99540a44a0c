"""Which language a text is in: what is declared, unless the text's script or its small words speak against it.

Nothing is guessed from a few words. Where scripts are shared, languages are told apart by their function words.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.extract.function_words import ARABIC, BENGALI, CYRILLIC, DEVANAGARI, ETHIOPIC, HEBREW, LATIN, words_of

SAMPLE = 2_500  # characters looked at
MIN_LETTERS = 20  # fewer decide nothing
CLEAR_SHARE = 0.3  # of the letters: scripts whose characters say more each than Latin ones
KANA_SHARE = 0.1  # of a Japanese text's letters at least; Chinese ones quote a name at most

MIN_FOUND = 6  # function words of a language, so that it may be the text's
MIN_COVERED = 0.05  # of a text's words that are the language's function words: languages with many endings have few
CLEARLY = 1.5  # times as much as what is declared: then it is declared wrongly
AHEAD = 1.1  # times as much as the next, where nothing is declared

_TAG = re.compile(r"([a-zA-Z]{2,3})(?:[-_]([a-zA-Z]{4}))?(?:[-_]([a-zA-Z]{2}|\d{3}))?(?:[-_].*)?")
_NOT_A_LANGUAGE = frozenset(("und", "mul", "zxx", "xx"))
_WORD = re.compile(
    r"[^\s\x00-\x40\x5b-\x60\x7b-\xa9\xab-\xb9\xbb-\xbf\u02bb-\u02bd\u060c\u061b\u061f\u06d4\u0964\u0965\u2000-\u206f\u3000-\u303f]+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Script:
    name: str
    characters: re.Pattern[str]
    languages: frozenset[str]  # that are written in it
    share: float = CLEAR_SHARE  # of a text's letters
    only: str | None = None  # what a text without any declaration is taken for, where no words tell
    words: Mapping[str, tuple[str, ...]] | None = None

    def is_of(self, sample: str, letters: int) -> bool:
        """Whether enough of so many letters are of this script."""
        return len(self.characters.findall(sample)) >= self.share * letters

    def may_be(self, language: str) -> bool:
        """Whether a text in it may be of a language: the Latin script is everybody's who has none of his own."""
        return language in self.languages or (self is _LATIN and language not in _NEVER_LATIN)


def _script(
    name: str, characters: str, languages: str, *, only: str | None = None, words: Mapping[str, str] | None = None
) -> _Script:
    return _Script(
        name=name,
        characters=re.compile(characters),
        languages=frozenset(languages.split()),
        share=KANA_SHARE if name == "kana" else CLEAR_SHARE,
        only=only,
        words=words_of(words) if words else None,
    )


_SCRIPTS = (
    _script("kana", "[\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9d]", "ja", only="ja"),
    _script("hangul", "[\uac00-\ud7af\u1100-\u11ff]", "ko", only="ko"),
    _script("han", "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]", "zh yue wuu nan lzh ja", only="zh"),
    _script(
        "cyrillic",
        "[\u0400-\u052f]",
        "ru uk be bg sr mk kk ky tg mn tt ba cv ce os ab sh bs uz az cnr crh udm",
        words=CYRILLIC,
    ),
    _script(
        "arabic",
        "[\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff]",
        "ar fa prs ur ps sd ug ku ckb az pnb bal ks",
        words=ARABIC,
    ),
    _script("hebrew", "[\u0590-\u05ff\ufb1d-\ufb4f]", "he yi iw lad", only="he", words=HEBREW),
    _script("greek", "[\u0370-\u03ff\u1f00-\u1fff]", "el grc", only="el"),
    _script("thai", "[\u0e00-\u0e7f]", "th", only="th"),
    _script("lao", "[\u0e80-\u0eff]", "lo", only="lo"),
    _script("tibetan", "[\u0f00-\u0fff]", "bo dz", only="bo"),
    _script("burmese", "[\u1000-\u109f]", "my shn mnw ksw", only="my"),
    _script("khmer", "[\u1780-\u17ff]", "km", only="km"),
    _script("georgian", "[\u10a0-\u10ff\u1c90-\u1cbf]", "ka xmf", only="ka"),
    _script("armenian", "[\u0530-\u058f]", "hy hyw", only="hy"),
    _script("devanagari", "[\u0900-\u097f]", "hi mr ne sa mai bho kok", words=DEVANAGARI),
    _script("bengali", "[\u0980-\u09ff]", "bn as", only="bn", words=BENGALI),
    _script("gurmukhi", "[\u0a00-\u0a7f]", "pa", only="pa"),
    _script("gujarati", "[\u0a80-\u0aff]", "gu", only="gu"),
    _script("oriya", "[\u0b00-\u0b7f]", "or", only="or"),
    _script("tamil", "[\u0b80-\u0bff]", "ta", only="ta"),
    _script("telugu", "[\u0c00-\u0c7f]", "te", only="te"),
    _script("kannada", "[\u0c80-\u0cff]", "kn", only="kn"),
    _script("malayalam", "[\u0d00-\u0d7f]", "ml", only="ml"),
    _script("sinhala", "[\u0d80-\u0dff]", "si", only="si"),
    _script("ethiopic", "[\u1200-\u137f]", "am ti", words=ETHIOPIC),
)
_BEYOND_LATIN = re.compile("[^\x00-\u036f\u1e00-\u1eff\u2000-\u20cf]")  # letters, accents, punctuation, currencies
_LATIN = _script("latin", "[A-Za-z]", " ".join(name.partition("-")[0] for name in LATIN), words=LATIN)
_NEVER_LATIN = (
    frozenset().union(*(one.languages for one in _SCRIPTS)) - _LATIN.languages - {"sh", "bs", "cnr", "kk", "crh"}
)
_KNOWN = _LATIN.languages.union(CYRILLIC, ARABIC, DEVANAGARI, HEBREW, ETHIOPIC, BENGALI)
# Other names of one language, and languages so near to one another that a declaration knows better.
_ALSO = {
    "no": "nb",
    "iw": "he",
    "tl": "fil",
    "in": "id",
    "kmr": "ku",
    "sh": "sr",
    "cnr": "sr",
    "prs": "fa",
    "azb": "az",
}
_NEAR = tuple(
    frozenset(group.split())
    for group in (
        *("nb nn da", "hr bs sr", "id ms", "pt gl", "es ast", "de gsw nds", "it lij scn vec nap", "en sco", "fr oc"),
        *("zu xh nd ss nr", "rw rn", "tt ba", "hi mai bho"),
    )
)


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
    """The first declared language that the text does not speak against; else what the text itself says; else None.

    A template in English around a Chinese or a French article declares ``en``: script and function words say better.
    Script and region are kept as declared, and never added.

    Args:
        text: Of the article; its first SAMPLE characters count.
        declared: By page and feed, most trusted first; any strings.
    """
    tags = [tag for raw in declared if (tag := language_tag(raw))]
    sample = text[:SAMPLE]
    letters = sum(map(str.isalpha, sample))
    if letters < MIN_LETTERS:
        return tags[0] if tags else None
    beyond = len(_BEYOND_LATIN.findall(sample))
    script = next((one for one in _SCRIPTS if one.is_of(sample, letters)), None) if beyond else None
    if script is None and beyond > letters / 2:
        return tags[0] if tags else None  # a script we do not know
    script = script or _LATIN
    heard = _heard(sample, script.words) if script.words else {}
    fitting = [tag for tag in tags if script.may_be(_primary(tag))]
    return _agreed(fitting, heard) or _loudest(heard) or script.only or (tags[0] if tags and script is _LATIN else None)


def _primary(tag: str) -> str:
    return tag.partition("-")[0]


def _heard(sample: str, words: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    """How much of each language is in a text: its function words, each shared among all languages that have it.

    Empty where there are too few of any.
    """
    tokens = _WORD.findall(sample.lower())
    heard: dict[str, float] = defaultdict(float)
    found: Counter[str] = Counter()
    for word, count in Counter(tokens).items():
        languages = words.get(word, ())
        for language in languages:
            heard[language] += count / len(languages)
            found[language] += count
    least = max(MIN_FOUND, MIN_COVERED * len(tokens))
    return {_primary(name): heard[name] for name, _ in found.most_common() if found[name] >= least}


def _agreed(tags: Iterable[str], heard: Mapping[str, float]) -> str | None:
    """The first declared language that no other is clearly more of in the text.

    A language whose words we do not know is believed: nobody declares one by mistake.
    """
    loudest = max(heard, key=lambda language: heard[language], default=None)
    for tag in tags:
        primary = _ALSO.get(_primary(tag), _primary(tag))
        if loudest is None or primary == loudest or primary not in _KNOWN:
            return tag
        is_near = any({primary, loudest} <= group for group in _NEAR)
        if is_near or heard[loudest] < CLEARLY * heard.get(primary, 0.0):
            return tag
    return None


def _loudest(heard: Mapping[str, float]) -> str | None:
    """The language that there is most of; None when it is hardly ahead of the next."""
    ranked = sorted(heard, key=lambda language: -heard[language])
    if len(ranked) > 1 and heard[ranked[0]] < AHEAD * heard[ranked[1]]:
        return None
    return ranked[0] if ranked else None
