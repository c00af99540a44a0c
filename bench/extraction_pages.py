"""Pages with known answers: the recorded ones beside the repository, else the sample newsroom's own.

The recorded folders have one layout: ``gold.jsonl`` (a page a line) and the pages as served, gzipped. They are read
where they are and never become part of the repository.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from worker.sample.articles import SampleArticle, composed_article, written_articles
from worker.sample.pages import article_page
from worker.text import strip_tags

RECORDED = Path(__file__).resolve().parent.parent.parent / "shared" / "extraction-dev"
FOLDERS = ("fundus", "wcxb", "readability")
SAMPLE = "sample"  # the folder of the newsroom's pages
SAMPLE_SITE = "https://courier.example"
SAMPLE_EVERY_S = 3600.0
PARTS = 2
FOLDS = 5  # of the hosts: what is learnt from four is reported on the fifth
DEK_IN_TEXT = frozenset({"fundus", SAMPLE})  # folders whose answers count the dek into the text

_BLOCK_END = re.compile(r"</(?:p|h[1-6]|li|blockquote|tr|figcaption)>", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS = tuple(
    (language, share, re.compile(f"[{characters}]"))
    for language, share, characters in (  # share: of the letters, from which on a text is in the language
        ("ja", 0.05, "\u3041-\u30ff"),  # before zh, whose characters it uses too
        ("ko", 0.3, "\uac00-\ud7af"),
        ("zh", 0.3, "\u4e00-\u9fff"),
        ("uk", 0.01, "\u0404\u0406\u0407\u0454\u0456\u0457\u0490\u0491"),  # its own letters: before ru
        ("ru", 0.3, "\u0400-\u04ff"),
        ("ar", 0.3, "\u0600-\u06ff"),
        ("he", 0.3, "\u0590-\u05ff"),
        ("el", 0.3, "\u0370-\u03ff"),
        ("th", 0.3, "\u0e00-\u0e7f"),
        ("hi", 0.3, "\u0900-\u097f"),
    )
)
_SAMPLE = 20_000  # characters looked at
_FUNCTION_SHARE = 0.03  # of the words: with fewer a text is in none of these languages
# Words without a meaning of their own, which no text of a language does without; each counts once for each occurrence.
_FUNCTION_WORDS = {
    language: frozenset(words.split())
    for language, words in {
        "af": "die het en van n nie is wat vir aan hy sy hulle was om ook sal word deur",
        "ca": "de la que i el els les amb per una del és dels aquest també més però va",
        "cs": "se na je že to by jsem jako podle které který pro ale jsou své při byl také",
        "da": "og i det er som til en på for med den har ikke fra de af efter blev blive mod noget sig",
        "de": "der die und das den von zu mit sich des auf für ist im dem nicht ein eine als auch",
        "en": "the of and to in a is that for on with as was it are be this from have by",
        "es": "de la que el en y los las del se con por una para no lo más como pero",
        "fr": "de la le les et des en du un une est que pour dans qui sur pas au ce plus",
        "id": "yang dan di dengan untuk ini dari itu tidak dalam pada akan adalah juga ke oleh tersebut karena",
        "is": "og að í á er sem til var með um en hann ekki það við fyrir af hefur verið",
        "it": "di e che la il un in per è del della con non una si le dei sono anche alla",
        "lb": "an de vun der dat d ze op fir mat net datt ass och war sech hunn huet vum ech",
        "lt": "ir kad su į tai iš yra apie dėl buvo kaip bet jis už pat per savo tik dar",
        "ms": "yang dan di untuk dengan ini itu tidak dalam pada akan adalah beliau turut bagi kepada telah oleh ialah",
        "nl": "de het een van en in is dat op te voor met zijn niet aan er om ook door worden",
        "no": "og i det er som til en på for med den har ikke fra de av etter ble bli mot noe seg",
        "pl": "w i na z się nie do to że jest o jak po co ale za od przez są dla",
        "pt": "de a o que e do da em um para com não uma os no se na por mais dos",
        "sv": "och i att det som en på är av för med till den har inte ett om de från också",
        "sw": "ya na wa kwa ni katika la za kuwa hiyo huyo yake wake hilo cha pia alisema kama hii hivyo",
        "tr": "ve bir bu da de için ile olarak olan daha çok gibi en sonra kadar ancak göre dedi değil ise",
        "vi": "và của là có cho được trong không với các một những người này đã đến ra khi tại vào",
    }.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldPage:
    """A page and what a good extraction of it gives; None and empty where the answers do not say."""

    id: str  # with the folder: fundus/at/Name.html.gz
    folder: str
    url: str | None
    gzipped: bytes
    text: str
    title: str | None = None
    author: str | None = None  # several joined by ", "
    date: str | None = None  # ISO 8601, mostly
    images: tuple[str, ...] = ()  # any of them is right

    def html(self) -> bytes:
        return gzip.decompress(self.gzipped)

    @property
    def host(self) -> str:
        """The page's site; a page without an address is its own."""
        name = urlsplit(self.url).hostname if self.url else None
        return (name or self.id).removeprefix("www.")

    @property
    def part(self) -> int:
        """Which half of the hosts this one is in: rules are written on 0 and reported on 1."""
        return zlib.crc32(self.host.encode()) % PARTS


def fold_of(url: str | None) -> int:
    """Which fold a page is in: by the last two labels of its host, so that a site's pages are all in one."""
    host = (urlsplit(url).hostname if url else None) or ""
    return zlib.crc32(".".join(host.split(".")[-2:]).encode()) % FOLDS


def recorded(root: Path, folders: Sequence[str] = FOLDERS) -> list[GoldPage]:
    """The pages of those folders that are there, in the order of their lists."""
    return [page for folder in folders if (root / folder / "gold.jsonl").is_file() for page in _folder(root / folder)]


def _folder(folder: Path) -> Iterator[GoldPage]:
    for line in (folder / "gold.jsonl").read_text("utf-8").strip("\n").split("\n"):
        gold: dict[str, Any] = json.loads(line)
        images = gold.get("image") or ()
        yield GoldPage(
            id=f"{folder.name}/{gold['id']}",
            folder=folder.name,
            url=gold.get("url"),
            gzipped=(folder / gold["html"]).read_bytes(),
            text=gold["text"],
            title=gold.get("title"),
            author=gold.get("author"),
            date=gold.get("date"),
            images=(images,) if isinstance(images, str) else tuple(images),
        )


def sample_pages(composed: int) -> list[GoldPage]:
    """The sample newsroom's written articles, and so many composed ones; what they should give is known exactly."""
    articles = [*written_articles(), *(composed_article(number, SAMPLE_EVERY_S) for number in range(composed))]
    return [_sample_page(article, articles) for article in articles]


def _sample_page(article: SampleArticle, all_of_them: Sequence[SampleArticle]) -> GoldPage:
    related = [other for other in all_of_them if other.language == article.language and other is not article][:5]
    body = strip_tags(_BLOCK_END.sub(lambda end: f"{end.group()}\n", article.body))
    return GoldPage(
        id=f"{SAMPLE}{article.path}",
        folder=SAMPLE,
        url=SAMPLE_SITE + article.path,
        gzipped=gzip.compress(article_page(article, SAMPLE_SITE, related).encode()),
        text=f"{article.summary}\n{article.caption} {article.credit}\n{body}",
        title=article.title,
        author=article.author,
        date=article.published_at.isoformat(),
        images=(f"{SAMPLE_SITE}/pictures/{article.picture}",),
    )


def spread(pages: Sequence[GoldPage], count: int) -> list[GoldPage]:
    """So many pages of each folder, at equal distances in it; all of a smaller one."""
    chosen: list[GoldPage] = []
    for folder in dict.fromkeys(page.folder for page in pages):
        mine = [page for page in pages if page.folder == folder]
        step = max(1.0, len(mine) / count)
        chosen.extend(mine[int(place * step)] for place in range(min(count, len(mine))))
    return chosen


def language_of_gold(text: str) -> str:
    """The language of an answer, by its script, else by its function words; ``other`` when neither tells.

    Not the product's own detection, which is one of the things that could be wrong.
    """
    sample = text[:_SAMPLE]
    letters = sum(map(str.isalpha, sample)) or 1
    for language, share, script in _SCRIPTS:
        if len(script.findall(sample)) / letters >= share:
            return language
    words = Counter(_WORD.findall(sample.lower()))
    found = {
        language: sum(count for word, count in words.items() if word in mine)
        for language, mine in _FUNCTION_WORDS.items()
    }
    best = max(found, key=lambda language: found[language])
    return best if found[best] > words.total() * _FUNCTION_SHARE else "other"
