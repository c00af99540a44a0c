"""The sample newsroom's pages and feeds, as text. Pure: articles in, documents out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from html import escape

from worker.sample.articles import SampleArticle

CRAWL_LAG = timedelta(minutes=9, seconds=31)  # a full-text service dates an item by its own visit


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """What a language's pages say around the article."""

    site_name: str
    home: str
    locale: str
    more: str
    about: str


EDITIONS = {
    "en": Edition(
        site_name="The Harbour Courier",
        home="/",
        locale="en_GB",
        more="More from the Courier",
        about="An invented newspaper: its places, people and events do not exist.",
    ),
    "zh": Edition(
        site_name="河湾日报",
        home="/zh/",
        locale="zh_CN",
        more="更多报道",
        about="这是一份虚构的报纸，其中的地点、人物和事件都不存在。",
    ),
}


# ---------------------------------------------------------------- pages


def article_page(article: SampleArticle, base_url: str, related: Sequence[SampleArticle]) -> str:
    """A page as newspapers build them: navigation, metadata in three dialects, a figure, links to other pages."""
    edition = EDITIONS[article.language]
    url, picture_url = base_url + article.path, _picture_url(article, base_url)
    modified_at = article.modified_at or article.published_at
    head = f"""<title>{escape(article.title)} | {edition.site_name}</title>
<meta name="description" content="{escape(article.summary)}">
<meta name="author" content="{escape(article.author)}">
<link rel="canonical" href="{url}">
<meta property="og:type" content="article">
<meta property="og:site_name" content="{edition.site_name}">
<meta property="og:locale" content="{edition.locale}">
<meta property="og:title" content="{escape(article.title)}">
<meta property="og:description" content="{escape(article.summary)}">
<meta property="og:url" content="{url}">
<meta property="og:image" content="{picture_url}">
<meta property="article:published_time" content="{article.published_at.isoformat()}">
<meta property="article:modified_time" content="{modified_at.isoformat()}">
<meta property="article:section" content="{escape(article.section)}">
<script type="application/ld+json">{_linked_data(article, url, picture_url)}</script>"""
    main = f"""<article>
<h1>{escape(article.title)}</h1>
<p class="dek">{escape(article.summary)}</p>
<p class="byline"><span class="author">{escape(article.author)}</span>
<time datetime="{article.published_at.isoformat()}">{article.published_at:%Y-%m-%d %H:%M}</time></p>
<figure><img src="/pictures/{article.picture}" width="960" height="540" alt="{escape(article.caption)}">
<figcaption>{escape(article.caption)} <span class="credit">{escape(article.credit)}</span></figcaption></figure>
<div class="article-body">
{article.body}
</div>
</article>
<aside class="related"><h2>{edition.more}</h2>{_links(related)}</aside>"""
    return _document(article.language, head, main)


def index_page(language: str, articles: Sequence[SampleArticle], feeds: Sequence[tuple[str, str]]) -> str:
    """The front page of a language: links to its articles, and its feeds as (media type, path) for discovery."""
    edition = EDITIONS[language]
    alternates = "\n".join(f'<link rel="alternate" type="{kind}" href="{path}">' for kind, path in feeds)
    return _document(
        language, f"<title>{edition.site_name}</title>\n{alternates}", f"<section>{_links(articles)}</section>"
    )


def missing_page() -> str:
    """What the newsroom shows where there is nothing, whatever the status says."""
    main = "<h1>Page doesn't exist</h1><p>The page you are looking for is not here. Try the front page.</p>"
    return _document("en", "<title>Page doesn't exist</title>", main)


def _document(language: str, head: str, main: str) -> str:
    edition = EDITIONS[language]
    return f"""<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/style.css">
{head}
</head>
<body>
<header><a class="masthead" href="{edition.home}">{edition.site_name}</a>
<nav><a href="/">English</a><a href="/zh/">中文</a></nav></header>
<main>
{main}
</main>
<footer><p>{edition.about}</p></footer>
</body>
</html>
"""


def _links(articles: Sequence[SampleArticle]) -> str:
    items = "".join(f'<li><a href="{article.path}">{escape(article.title)}</a></li>' for article in articles)
    return f"<ul>{items}</ul>"


def _linked_data(article: SampleArticle, url: str, picture_url: str) -> str:
    data = {
        "@context": "https://schema.org",
        "@type": "NewsArticle",
        "mainEntityOfPage": url,
        "headline": article.title,
        "description": article.summary,
        "image": {"@type": "ImageObject", "url": picture_url, "width": 960, "height": 540, "caption": article.caption},
        "datePublished": article.published_at.isoformat(),
        "dateModified": (article.modified_at or article.published_at).isoformat(),
        "author": {"@type": "Person", "name": article.author},
        "publisher": {"@type": "Organization", "name": EDITIONS[article.language].site_name},
        "articleSection": article.section,
        "keywords": list(article.tags),
        "inLanguage": article.language,
    }
    return json.dumps(data, ensure_ascii=False).replace("</", "<\\/")


def _picture_url(article: SampleArticle, base_url: str) -> str:
    return f"{base_url}/pictures/{article.picture}"


# ---------------------------------------------------------------- feeds


def rss_feed(title: str, articles: Sequence[SampleArticle], base_url: str) -> str:
    """RSS 2.0 with summaries, newest first."""
    items = "\n".join(
        f"""<item>
<title>{escape(article.title)}</title>
<link>{base_url}{article.path}</link>
<guid isPermaLink="true">{base_url}{article.path}</guid>
<pubDate>{_rfc822(article.published_at)}</pubDate>
<dc:creator>{escape(article.author)}</dc:creator>
<category>{escape(article.section)}</category>
<description>{escape(article.summary)}</description>
<enclosure url="{_picture_url(article, base_url)}" length="0" type="{picture_type(article.picture)}"/>
</item>"""
        for article in articles
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/">
<channel>
<title>{escape(title)}</title>
<link>{base_url}/</link>
<description>{EDITIONS["en"].about}</description>
<language>en-gb</language>
<ttl>1</ttl>
{items}
</channel>
</rss>
"""


def atom_feed(title: str, articles: Sequence[SampleArticle], base_url: str, feed_path: str) -> str:
    """Atom 1.0 with summaries, newest first."""
    updated_at = max(article.modified_at or article.published_at for article in articles)
    entries = "\n".join(
        f"""<entry>
<id>{base_url}{article.path}</id>
<title>{escape(article.title)}</title>
<link rel="alternate" type="text/html" href="{base_url}{article.path}"/>
<published>{article.published_at.isoformat()}</published>
<updated>{(article.modified_at or article.published_at).isoformat()}</updated>
<author><name>{escape(article.author)}</name></author>
<category term="{escape(article.section)}"/>
<summary>{escape(article.summary)}</summary>
</entry>"""
        for article in articles
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="zh">
<id>{base_url}{feed_path}</id>
<title>{escape(title)}</title>
<link rel="self" href="{base_url}{feed_path}"/>
<link rel="alternate" href="{base_url}/zh/"/>
<updated>{updated_at.isoformat()}</updated>
{entries}
</feed>
"""


def fulltext_feed(title: str, articles: Sequence[SampleArticle], base_url: str) -> str:
    """RSS 2.0 in the manner of feedx.net: the whole article is the description, dated by the service's visit."""
    items = "\n".join(
        f"""<item>
<title>{escape(article.title)}</title>
<link>{base_url}{article.path}</link>
<pubDate>{_rfc822(article.published_at + CRAWL_LAG)}</pubDate>
<description><![CDATA[{_whole_article(article, base_url, footer=number % 2 == 0)}]]></description>
</item>"""
        for number, article in enumerate(articles)
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0">
<channel>
<title>{escape(title)}</title>
<link>{base_url}/zh/</link>
<description>{EDITIONS["zh"].about}</description>
<language>zh-cn</language>
{items}
</channel>
</rss>
"""


def _whole_article(article: SampleArticle, base_url: str, *, footer: bool) -> str:
    """Header with the article's own date, proxied picture, caption, text, an empty link, and now and then a footer."""
    lines = [
        f"<div><i>{_rfc822(article.published_at)}</i></div>",
        f'<img src="https://images.weserv.nl?url={_picture_url(article, base_url)}" width="100%">',
        f'<div><small style="color: #999;">{escape(article.caption)}</small></div>',
        article.body,
        '<a href="/zh/"></a>',
    ]
    if footer:
        lines.append(
            "<br><hr><div>获取更多RSS：<br>"
            '<a href="https://feedx.net" style="color:orange" target="_blank">https://feedx.net</a> <br>'
            '<a href="https://feedx.site" style="color:orange" target="_blank">https://feedx.site</a><br></div>'
        )
    return "\n".join(lines)


def picture_type(name: str) -> str:
    """The media type of one of the newsroom's pictures."""
    return "image/png" if name.endswith(".png") else "image/jpeg"


def _rfc822(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)
