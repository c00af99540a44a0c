"""Bylines -> names of people and of organisations: what is written around a name is cut off, several are told apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from worker.extract.moments import days_in
from worker.text import clean_line, strip_tags, unescape

MAX_AUTHORS = 20
MAX_NAME = 120  # characters: what is longer is no name
MAX_LINE = 500  # characters of one byline
LONGEST_LABEL = 25  # characters before a name
MAX_WORDS = 8  # of a name: more is a sentence

_BY_WORDS = (
    "by", "written by", "this post was written by", "this article was written by", "story by", "reported by",
    "reporting by", "words by", "text by", "author", "authors",
    "posted by", "published by", "article by", "review by", "created by", "contributed by", "from",
    "von", "autor", "autorin", "autoren", "text", "ein artikel von", "geschrieben von",
    "par", "publié par", "écrit par", "rédigé par", "auteur", "auteure", "propos recueillis par",
    "por", "escrito por", "publicado por", "redacción", "autora", "autores",
    "di", "da", "a cura di", "scritto da", "autore", "door", "geschreven door",
    "av", "af", "skrevet av", "skrevet af", "skriven av", "tekst", "kirjoittaja", "przez", "autor:", "opracowanie",
    "автор", "авторы", "текст", "от", "автори", "yazan", "yazar", "oleh", "penulis", "tác giả", "scris de",
    "írta", "szerző", "napsal", "autoři", "foto og tekst", "مقال", "بقلم", "كتب", "מאת",
)  # fmt: skip
_BY = re.compile(
    rf"\A\s*(?:(?:{'|'.join(sorted(map(re.escape, _BY_WORDS), key=len, reverse=True))})(?:\s*[:：|]\s*|\s+|$)"
    r"|(?:作者|记者|記者|文|撰文|글)\s*[:：/／丨|\s]\s*|～|~)",
    re.IGNORECASE,
)
_BY_FIRST_WORDS = frozenset(words.partition(" ")[0].rstrip(":") for words in _BY_WORDS) | {"~"}
_BY_AGAIN = re.compile(r"\A\s*(?:by|author|written by)\s*[:：]?\s+", re.IGNORECASE)
_SEPARATOR = re.compile(
    r"\s*(?:[;|、／·•●\n]|\s/\s|(?<=[^\x00-\x7f])/|\s[-–—]\s|,(?!\s*(?:jr|sr|i{2,3}|inc|llc|ltd|gmbh|co"
    r"|corp)\b\.?\s*(?:[,;]|$))"
    r"|\s(?:and|und|et|y|e|en|og|och|ja|oraz|i|и|та|ve|și|with|mit|&)\s|\s?&amp;\s?)\s*",
    re.IGNORECASE,
)
# "Ada Lind, Ph.D.": letters after a name belong to it.
_CREDENTIAL = re.compile(
    r"(?:(?:[A-Z]\.?){2,5}(?:-[A-Z]{1,3})?|[Pp][Hh]\.?\s?[Dd]\.?|M\.?Ed\.?|Psy\.?D\.?|Ed\.?D\.?|Dipl\.?|Esq\.?"
    r"|MSc|BSc|MBBS|PharmD"
    r"|[A-Z]{2,5}®?)\.?"
)
_AGENCIES = frozenset((
    "afp", "ap", "apa", "dpa", "reuters", "ansa", "efe", "sda", "kna", "epd", "sid", "tass", "anp", "ntb", "tt", "pti",
    "ians", "ani", "upi", "bbc", "cnn", "npr", "pa", "lusa", "belga", "ritzau", "cp", "aap", "xinhua", "yonhap",
    "kyodo",
    "associatedpress", "theassociatedpress", "deutschepresseagentur", "agencefrancepresse", "austriapresseagentur",
    "pressassociation", "bloomberg", "europapress", "afptextes", "keystonesda", "rtr", "itar-tass", "interfax",
    "ukrinform",
))  # fmt: skip
_STOP = re.compile(
    r"\s*(?:[|•·●]|\b(?:updated|published|posted|last (?:updated|modified)|reviewed by|medically reviewed"
    r"|fact[- ]checked"
    r"|edited by|photos?(?:graphy)? by|illustrations? by|photograph by|aktualisiert|veröffentlicht|stand"
    r"|publié le|mis à jour"
    r"|actualizado|publicado|\d{1,3}\s?min(?:ute)?s?\b|read more|read bio|view profile|share|follow|see all"
    r"|more from|@\w"
    r"|on (?=[A-Z0-9])|in (?=[A-Z]))|\bfor (?=[A-Z]))",
    re.IGNORECASE,
)
_JOB = re.compile(
    r"\b(?:correspondent|reporter|writer|journalist|contributor|columnist|editor(?:-in-chief)?|producer"
    r"|freelance\w*|staff writer"
    r"|redakteur(?:in)?|korrespondent(?:in)?|reporterin|journalistin|volontär(?:in)?|ressortleiter(?:in)?"
    r"|chefredakteur(?:in)?"
    r"|journaliste|rédact(?:eur|rice)|correspondante?|redactora?|periodista|corresponsal|giornalista|redacteur"
    r"|verslaggever"
    r"|founder|co-founder|ceo|cto|cmo|cofounder|director|manager|head of|professor|analyst|specialist"
    r"|strategist|consultant"
    r"|president|vice president|chief|engineer|marketer|marketing|content (?:lead|writer|marketer|manager)"
    r"|author|expert"
    r"|обозреватель|корреспондент|журналист|记者|記者|기자|特派員|編集委員)\b",
    re.IGNORECASE,
)
_JOB_BEFORE = re.compile(
    r"^(?:(?:our|unser(?:e|em|er)?|the)\s+)?(?:[\w-]+\s+){0,2}?(?:correspondent|reporter|writer|journalist"
    r"|editor|redakteur(?:in)?"
    r"|korrespondent(?:in)?|корреспондент|обозреватель|记者|記者)\s*[:：]?\s+(?=[A-ZÄÖÜА-Я])",
    re.IGNORECASE,
)
_KOREAN_JOB = re.compile(r"\s*(?:선임|수습|인턴|전문|객원)?기자(?=$|\s|=)")
_NO_NAME = re.compile(
    r"https?:|www\.|@|^\d|^(?:admin(?:istrator)?|user|guest|editor|author|authors|webmaster|null|none|undefined"
    r"|unknown|n/a|default"
    r"|anonymous|staff|redaktion|root|test|wpadmin|by|website|post|posts|blog|share|comments?|home|about|follow"
    r"|view all|read more"
    r"|menu|subscribe|newsletter|updated|published|table of contents|contents)$|^(?:view|see|read|show)\s"
    r"|\.(?:com|html|php)/|^\w+(?:\.\w+){2,}$|^more (?:about|from|by)\s|[{}]",
    re.IGNORECASE,
)
# Addresses and handles; in brackets, an editor's mark ("(obe)") and whatever is more than two words.
_ADDRESS = re.compile(
    r"[\w.+-]{1,64}@[\w.-]{1,100}|https?://\S{1,200}|\(?@\w{1,40}\)?|\([a-zäöüß]{2,5}\)"
    r"|[(\[](?:[^()\[\]\s]{1,30}\s){2,8}[^()\[\]\s]{1,30}[)\]]|[(\[][^()\[\]]{0,60}[\d@/:.][^()\[\]]{0,60}[)\]]"
)
_EDGES = " .,:;-–—·•[]|/\\\"'“”„«»*+<>=~_"
_ENDING_INITIAL = re.compile(r"(?:\b[A-Z]|\b[JS]r|\bPh\.?D|\bM\.?D|\b[A-Z]\.[A-Z])$")
_ORGANISATION = re.compile(
    r"\b(?:team|staff|desk|newsroom|redaktion|redaktionsteam|editorial|editors|editorial board|redazione"
    r"|redacción|rédaction|redacción web"
    r"|association|agency|agentur|agence|agencia|agenzia|inc|llc|ltd|gmbh|corp|company|institute|university"
    r"|foundation|magazine|times|news"
    r"|nachrichten|press|media|group|studio|studios|services?|solutions?|blog|online|tv|radio|journal|post"
    r"|herald|tribune|society|department"
    r"|office|hospital|clinic|center|centre|bureau|council|labs?|software|marketing|digital|редакция|редакція"
    r"|编辑部|通讯社|新闻|新聞)\b"
    r"|\.(?:com|de|org|net|co|io|tr|at|ch|fr|it)\b|新聞|新闻|日报|通讯社|編集部",
    re.IGNORECASE,
)
_PARTICLES = frozenset((
    "de", "da", "di", "del", "della", "dos", "das", "do", "du", "des", "la", "le", "van", "von", "der", "den",
    "ter", "ten", "zu", "zur",
    "af", "av", "bin", "ibn", "bint", "al", "el", "y", "e", "und", "abu", "ben", "st.", "d'", "zum", "vom", "'t",
    "op", "het",
))  # fmt: skip


def author_names(raw: Iterable[str]) -> tuple[str, ...]:
    """Bylines -> names: "By A, B and C" is three; addresses, handles, "admin", jobs are none. In order, each once."""
    names: dict[str, str] = {}
    for one in raw:
        for name in _names_in(one):
            names.setdefault(_key(name), name)
    names.pop("", None)
    return tuple(names.values())[:MAX_AUTHORS]


def is_agency(name: str) -> bool:
    """Whether a name is a news agency's, as bylines write it ("dpa", "AFP", "Reuters")."""
    return _key(name) in _AGENCIES


def begins_as_byline(line: str) -> bool:
    """Whether a line begins with "By", "Von", "Par", … and something to follow."""
    if not _may_begin_byline(line):
        return False
    match = _BY.match(line)
    return match is not None and match.end() < len(line)


def looks_like_organisation(name: str) -> bool:
    """Whether a name is an agency's, a newsroom's or a company's rather than a person's, by its words."""
    return is_agency(name) or _ORGANISATION.search(name) is not None


def looks_like_person(name: str) -> bool:
    """Whether a name has the form of a person's: two to five words, each with a capital but particles."""
    words = name.partition(",")[0].split()
    if not name.isascii() and not any(character.isupper() or character.islower() for character in name):
        return len(name) <= 12  # noqa: PLR2004 - scripts without capitals: characters, not words
    capitals = sum(word[0].isupper() for word in words)
    return (
        2 <= len(words) <= 5  # noqa: PLR2004
        and words[-1][0].isupper()
        and capitals >= 2  # noqa: PLR2004
        and all(word[0].isupper() or word.casefold() in _PARTICLES for word in words)
        and not looks_like_organisation(name)
        and not any(character.isdigit() for character in name)
    )


def _may_begin_byline(line: str) -> bool:
    """By the first word alone: most lines are told apart by it, at a tenth of the pattern's cost."""
    return line.partition(" ")[0].rstrip(":").lower() in _BY_FIRST_WORDS or not line[:1].isascii()


def is_byline_label(line: str) -> bool:
    """Whether a line is "By", "Written by:", "Author" and nothing else: the name follows."""
    match = _BY.match(f"{line} ") if len(line) <= LONGEST_LABEL and _may_begin_byline(line) else None
    return match is not None and match.end() >= len(line)


def _key(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _names_in(raw: str) -> Iterator[str]:
    line = clean_line(strip_tags(unescape(raw)) if "&" in raw else strip_tags(raw), MAX_LINE)
    line = _without_date(_BY.sub("", line))
    line = " ".join(_ADDRESS.sub(" ", line).split())
    if stop := _STOP.search(line, 1):
        line = line[: stop.start()]
    pieces = _SEPARATOR.split(line)
    kept: list[str] = []
    for index, piece in enumerate(pieces):
        name = _cleaned(piece)
        if kept and name and _CREDENTIAL.fullmatch(name) and not is_agency(name):
            kept[-1] = f"{kept[-1]}, {name}"
        elif name and _is_name(name) and not (index and _JOB.search(name)):
            kept.append(name)
    yield from kept


def _cleaned(piece: str) -> str:
    name = _KOREAN_JOB.sub("", _JOB_BEFORE.sub("", _BY_AGAIN.sub("", piece)))
    bare = name.strip(_EDGES)
    return f"{bare}." if _ENDING_INITIAL.search(bare) and f"{bare}." in name else bare


def _is_name(name: str) -> bool:
    return (
        1 < len(name) <= MAX_NAME
        and not _NO_NAME.search(name)
        and len(name.split()) <= MAX_WORDS
        and any(character.isalpha() for character in name)
    )


def _without_date(line: str) -> str:
    """Up to the first date; without a date that the line begins with."""
    for written in days_in(line, day_first=True):
        return line[: written.start] if written.start > 1 else line[written.end :]
    return line
