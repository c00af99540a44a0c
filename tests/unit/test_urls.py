"""URLs: usable, identical, named."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.tracking import GROUPS, Group
from worker.urls import (
    MAX_LABEL_CHARS,
    MAX_URL_CHARS,
    article_id_of,
    authority,
    canonical_url,
    display_url,
    gate_key,
    identity_of,
    picture_identity,
    picture_key,
    unwrap_proxy,
    usable_url,
)

GUID = "9e3c4a38-dce3-4dfb-a25e-d95edc79759a"


@st.composite
def urls(draw: st.DrawFn) -> str:
    """Strings that look like URLs, good and bad."""
    scheme = draw(st.sampled_from(["http", "https", "HTTP", "Https"]))
    host = draw(
        st.sampled_from(["example.com", "Ex.CO.UK", "127.0.0.1", "[::1]", "localhost", "例え.jp", "a_b.c", "x."])
    )
    port = draw(st.sampled_from(["", ":80", ":443", ":8080", ":"]))
    alphabet = st.sampled_from(
        [*"abZ09/.~%&=?#;:@+ é中", "%2e", "%7E", "%zz", "..", "utm_source=x", "%252e", ";jsessionid=1", "ref=RSS"]
    )
    return f"{scheme}://{host}{port}/" + "".join(draw(st.lists(alphabet, max_size=30)))


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        pytest.param(" https://example.com/a \n", "https://example.com/a", id="blanks around it"),
        pytest.param("HTTP://User:pw@Example.COM:80/a", "http://example.com/a", id="password, case and default port"),
        pytest.param("https://example.com", "https://example.com/", id="no path"),
        pytest.param("https://example.com/a#top", "https://example.com/a", id="fragment"),
        pytest.param("https://example.com/中 é", "https://example.com/%E4%B8%AD%20%C3%A9", id="beyond ASCII"),
        pytest.param("https://example.com/%e4?x=100%", "https://example.com/%e4?x=100%25", id="stray percent sign"),
        pytest.param("https://例え.jp/", "https://xn--r8jz45g.jp/", id="international host"),
        pytest.param("https://example.com/a?b=1&amp;c=2", "https://example.com/a?b=1&c=2", id="escaped twice"),
        pytest.param(
            "https://example.com/a?b=1&amp;amp;c=2", "https://example.com/a?b=1&c=2", id="escaped three times"
        ),
        pytest.param("https://example.com/a/./b/../c", "https://example.com/a/c", id="dot segments"),
        pytest.param("https://example.com//a//b/", "https://example.com//a//b/", id="doubled slashes stay"),
        pytest.param("http://e.example#@127.0.0.1/", "http://e.example/", id="an address hidden in the fragment"),
        pytest.param("http://[::1]:8080/", "http://[::1]:8080/", id="IPv6"),
        pytest.param("http://127.0.0.1:8000/x", "http://127.0.0.1:8000/x", id="plain IPv4"),
        pytest.param("https://example.com./a", "https://example.com/a", id="host ends in a dot"),
    ],
)
def test_a_usable_url_has_one_clean_form(raw: str, wanted: str) -> None:
    assert usable_url(raw) == wanted


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "   ",
        "javascript:alert(1)",
        "data:text/html,x",
        "mailto:a@example.com",
        "feed:https://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "/relative",
        "//example.com/a",
        "example.com/a",
        "https:/example.com",
        "http:///a",
        "http://",
        "http://a..b/",
        "http://ex ample.com/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://example.com:x/",
        "http://example.com/a\r\nHost: evil",
        "http://example.com/a\tb",
        "http://example.com/\x00",
        "http://example.com/\u202egnp.exe",
        "http://example.com/\ud800",
        "http://127.0.0.1\\@e.example/",
        "http://example.com\\a",
        "http://a@b@example.com/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://①②⑦.⓪.⓪.①/",
        "http://[fe80::1%25eth0]/",
        "http://[::1/",
        "http://" + "a" * 64 + ".example/",
        "http://example.com/" + "a" * 10_000,
    ],
)
def test_what_nobody_should_request_is_not_usable(raw: str) -> None:
    assert usable_url(raw) is None


@pytest.mark.parametrize(
    ("raw", "base", "wanted"),
    [
        ("../x", "https://example.com/a/b/c", "https://example.com/a/x"),
        ("/x", "https://example.com/a/b", "https://example.com/x"),
        ("//cdn.example/x", "https://example.com/", "https://cdn.example/x"),
        ("?p=2", "https://example.com/a", "https://example.com/a?p=2"),
        ("https://other.example/x", "https://example.com/", "https://other.example/x"),
        ("javascript:void(0)", "https://example.com/", None),
        ("#top", "https://example.com/a", "https://example.com/a"),
        ("#top", "https://example.com/a?b=1&amp;c=2", "https://example.com/a?b=1&c=2"),
        ("x", "not a base", None),
        ("x", "http://[", None),
    ],
)
def test_a_relative_reference_is_resolved_against_its_base(raw: str, base: str, wanted: str | None) -> None:
    assert usable_url(raw, base) == wanted


@given(st.text(max_size=60), st.none() | st.text(max_size=30))
def test_no_string_makes_a_url_function_raise(raw: str, base: str | None) -> None:
    usable_url(raw, base)
    for function in (canonical_url, gate_key, authority, unwrap_proxy, picture_identity, picture_key, display_url):
        function(raw)


@given(urls())
def test_a_usable_url_is_usable_as_it_is(url: str) -> None:
    usable = usable_url(url)
    assert usable is None or usable_url(usable) == usable


@example("https://news.example/a\x1c")  # Python takes it for a blank
@given(urls() | st.text(max_size=60))
def test_canonical_url_is_idempotent(url: str) -> None:
    assert canonical_url(canonical_url(url)) == canonical_url(url)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://example.com/a", "https://EXAMPLE.com:443/a#x"),
        ("https://example.com/a?utm_source=rss&utm_medium=feed", "https://example.com/a"),
        ("https://example.com/a?fbclid=x&id=1&gclid=y", "https://example.com/a?id=1"),
        ("https://example.com/a?UTM%5FSource=x", "https://example.com/a"),
        ("https://www.bbc.co.uk/news/1?at_medium=RSS&at_campaign=KARANGA", "https://www.bbc.co.uk/news/1"),
        (
            "https://www.bbc.co.uk/news/1?at_bbc_team=editorial&at_custom1=x&AT_link_type=y",
            "https://www.bbc.co.uk/news/1",
        ),
        ("https://example.com/a?pk_campaign=rss&pk_kwd=x&mtm_source=y&piwik_campaign=z", "https://example.com/a"),
        ("https://example.com/%7Euser/%e4%b8%ad", "https://example.com/~user/%E4%B8%AD"),
        ("https://example.com/a?", "https://example.com/a"),
        ("https://example.com/a.do;jsessionid=0A1B.node2?id=1", "https://example.com/a.do?id=1"),
        ("https://example.com/;JSESSIONID=1", "https://example.com"),
        ("https://example.com/a?PHPSESSID=x&id=1&ASPSESSIONIDABC=y", "https://example.com/a?id=1"),
        ("https://example.com/a?ref=rss&src=Feed&id=1", "https://example.com/a?id=1"),
        (
            "https://www.dailymail.co.uk/a.html?ITO=1490&ns_mchannel=rss&ns_campaign=1490",
            "https://www.dailymail.co.uk/a.html",
        ),
        ("https://www.wired.com/story/a/?CNDID=1&mbid=x", "https://www.wired.com/story/a/"),
        ("https://techcrunch.com/a/?ncid=rss&guccounter=1&guce_referrer_sig=x", "https://techcrunch.com/a/"),
        ("https://www.nytimes.com/a.html?partner=rssnyt&emc=rss&smid=url-share", "https://www.nytimes.com/a.html"),
        ("https://example.com/#!/article/1", "https://example.com/#!/article/2"),
        ("https://www.voachinese.com/a/one-slug/7940361.html", "http://www.voachinese.com/a/7940361.html?x=1"),
        ("https://m.voachinese.com/a/7940361.html", "https://voachinese.com/a/other/7940361.html"),
        ("https://www.rferl.org/a/some-news/33000000.html", "https://www.rferl.org/a/33000000.html"),
    ],
)
def test_two_urls_of_one_article_have_one_canonical_form(one: str, other: str) -> None:
    assert canonical_url(one) == canonical_url(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.com/a?id=1", "https://example.com/a?id=2"),
        ("https://example.com/a?at_id=1", "https://example.com/a?at_id=2"),
        ("https://example.com/a?pk_id=1", "https://example.com/a?pk_id=2"),
        ("https://example.com/a?a=1&b=2", "https://example.com/a?b=2&a=1"),
        ("https://example.com/a?a=1", "https://example.com/a?a=1&a=2"),
        ("https://example.com/a?ID=1", "https://example.com/a?id=1"),
        ("https://example.com/a?ref=1", "https://example.com/a?ref=2"),
        ("https://example.com/a?source=wire", "https://example.com/a"),
        ("https://example.com/a?ncid=1", "https://example.com/a?ncid=2"),
        ("https://wired.com.example.com/a?source=1", "https://wired.com.example.com/a"),
        ("https://example.com/a;id=1", "https://example.com/a;id=2"),
        ("https://m.example.com/a", "https://www.example.com/a"),
        ("https://example.com/amp/a", "https://example.com/a"),
        ("https://example.com/a", "https://example.com/a/"),
        ("https://example.com/a", "https://example.com:8443/a"),
        ("https://example.com/A", "https://example.com/a"),
        ("https://example.com/a?b=%2F", "https://example.com/a?b=%26"),
        ("https://www.voachinese.com/a/1.html", "https://www.voachinese.com/a/2.html"),
        ("https://learningenglish.voanews.com/a/1.html", "https://www.voanews.com/a/1.html"),
        ("https://example.com/a/slug/1.html", "https://example.com/a/1.html"),
    ],
)
def test_urls_that_may_be_two_articles_stay_apart(one: str, other: str) -> None:
    assert canonical_url(one) != canonical_url(other)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.of)
def test_what_the_table_lists_is_removed_where_it_says_and_nowhere_else(group: Group) -> None:
    assert group.source
    site = min(group.sites, default="news.example")
    value = min(group.values, default="x")
    for name in [*group.names, *(f"{prefix}x" for prefix in group.prefixes)]:
        assert name == name.lower()
        for written in (name, name.upper()):
            with_it = f"https://www.{site}/a?id=1&{written}={value}"
            assert canonical_url(with_it) == f"https://www.{site}/a?id=1"
        anywhere = any(
            name in one.names or name.startswith(one.prefixes) for one in GROUPS if not one.sites | one.values
        )
        if not anywhere:
            assert canonical_url(f"https://other.example/a?{name}=1") == f"https://other.example/a?{name}=1"


@pytest.mark.parametrize(
    "name",
    ["id", "p", "page", "cid", "sid", "campaign_id", "ref", "source", "article", "story", "a", "v", "q", "item", "n"],
)
def test_what_may_name_an_article_is_in_no_table_for_all_sites(name: str) -> None:
    assert canonical_url(f"https://news.example/?{name}=7") == f"https://news.example/?{name}=7"


@pytest.mark.parametrize(
    "piece", ["&utm_x=1", "/..", "%2e/", "&%61=%C3", ";jsessionid=", "&amp;", "\\", "é", "//", "?&="]
)
def test_no_url_takes_long(piece: str) -> None:
    for url in (
        "https://news.example/?" + piece * MAX_URL_CHARS,
        ("https://news.example/a?" + piece * MAX_URL_CHARS)[:MAX_URL_CHARS],
    ):
        began = time.process_time()
        canonical_url(url)
        gate_key(url)
        unwrap_proxy(url)
        assert time.process_time() - began < 0.1


@pytest.mark.parametrize(
    ("url", "guid", "heading", "wanted"),
    [
        ("http://example.com/a?utm_source=x", "g", "T", "https://example.com/a"),
        (None, "g", None, "guid:voa:g"),
        ("javascript:x", "g", None, "guid:voa:g"),
        (None, "g", "T", "guid+title:voa:g\x1fT"),
        (None, None, "T", "text:voa:digest"),
        (None, None, None, "text:voa:digest"),
    ],
)
def test_an_article_is_named_by_url_then_guid_then_text(
    url: str | None, guid: str | None, heading: str | None, wanted: str
) -> None:
    assert identity_of(url, "voa", guid, heading, "digest") == wanted


def test_an_article_id_is_the_same_for_ever() -> None:
    assert article_id_of("https://example.com/a") == "2dce0a4c50441bfccfa9caf4b58c3cba"
    assert article_id_of("guid:x:\ud800") != article_id_of("guid:x:?")


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://www.bbc.co.uk/news", "bbc.co.uk"),
        ("https://feeds.news.example:8443/x", "news.example"),
        ("https://例え.jp/", "xn--r8jz45g.jp"),
        ("http://127.0.0.1/", "127.0.0.1"),
        ("https://127.0.0.1:443/", "127.0.0.1"),
        ("http://127.0.0.1:8000/", "127.0.0.1:8000"),
        ("http://[::1]/", "::1"),
        ("http://[::1]:8000/", "[::1]:8000"),
        ("http://localhost:8000/", "localhost:8000"),
        ("http://localhost/", "localhost"),
        ("https://co.uk/", "co.uk"),
        ("nonsense", ""),
    ],
)
def test_the_gate_counts_by_site(url: str, wanted: str) -> None:
    assert gate_key(url) == wanted


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("HTTPS://User@Example.com:443/a?b#c", "https://example.com"),
        ("http://example.com:8080/a", "http://example.com:8080"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
        ("nonsense", ""),
    ],
)
def test_robots_txt_is_asked_at_the_authority(url: str, wanted: str) -> None:
    assert authority(url) == wanted


@pytest.mark.shared
def test_every_recorded_proxy_form_is_unwrapped(shared: Path) -> None:
    lines = (shared / "seed-data" / "weserv" / "urls.txt").read_text().splitlines()
    pairs = [line.split("\t") for line in lines if not line.startswith("#")]
    assert len(pairs) == 12
    for url, wanted in pairs:
        origin, proxied = unwrap_proxy(url)
        assert (origin, proxied is None) == ((url, True) if wanted == "none" else (wanted, False))


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://images.weserv.nl?url=a.example/1.jpg&w=300", "http://a.example/1.jpg"),
        ("https://wsrv.nl/?url=https%3A%2F%2Fa.example%2F1.jpg%3Fv%3D2&w=9", "https://a.example/1.jpg?v=2"),
        ("https://wsrv.nl/?url=a.example/1.jpg?v=1&s=2&t=3&utm_source=x&w=9", "http://a.example/1.jpg?v=1&s=2&t=3&utm_source=x"),
        ("https://wsrv.nl/?url=images.weserv.nl/?url=a.example/1.jpg", "http://a.example/1.jpg"),
        ("https://wsrv.nl/?url=https%3A%2F%2Fwsrv.nl%2F%3Furl%3Da.example%2F1.jpg", "http://a.example/1.jpg"),
    ],
)  # fmt: skip
def test_a_proxied_picture_s_origin_is_found(url: str, wanted: str) -> None:
    """bad-inputs: Images, proxy url nested in proxy url."""
    origin, proxied = unwrap_proxy(url)
    assert origin == wanted
    assert proxied == usable_url(url)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        pytest.param("https://i0.wp.com/a.example/u/1.jpg?resize=480%2C320&ssl=1", "https://a.example/u/1.jpg", id="Photon"),
        pytest.param("http://i3.wp.com/a.example/1.php?q=id%3D7%26s%3D1&w=9", "http://a.example/1.php?id=7&s=1", id="Photon, an origin with a query"),
        pytest.param("https://b.example/_next/image?url=https%3A%2F%2Fa.example%2F1.jpg%3Fv%3D2&w=640&q=75", "https://a.example/1.jpg?v=2", id="Next.js"),
        pytest.param("https://b.example/blog/_next/image/?url=%2Fi%2F1.jpg&w=640", "https://b.example/i/1.jpg", id="Next.js, a picture of its own site"),
        pytest.param("https://b.example/_vercel/image?url=/i/1.jpg&w=9&q=5", "https://b.example/i/1.jpg", id="Vercel"),
        pytest.param("https://b.example/.netlify/images?url=https://a.example/1.jpg&w=9", "https://a.example/1.jpg", id="Netlify"),
        pytest.param("https://res.cloudinary.com/x/image/fetch/s--7TYt--/c_limit,w_972/f_auto/https://a.example/1.jpg?v=2", "https://a.example/1.jpg?v=2", id="Cloudinary"),
        pytest.param("https://cdn.example/image/fetch/$s_!my!,w_9,q_auto:good/https%3A%2F%2Fa.example%2F1.jpg%3Fv%3D2", "https://a.example/1.jpg?v=2", id="Cloudinary, encoded"),
        pytest.param("https://cdn.example/image/fetch/https:/a.example/1.jpg", "https://a.example/1.jpg", id="Cloudinary, a slash folded"),
        pytest.param("https://b.example/cdn-cgi/image/width=9,fit=crop/https://a.example/1.jpg", "https://a.example/1.jpg", id="Cloudflare"),
        pytest.param("https://b.example/cdn-cgi/image/width=9%2Cquality=75/app/1.jpg?v=2", "https://b.example/app/1.jpg?v=2", id="Cloudflare, a picture of its own site"),
        pytest.param("https://a-example.cdn.ampproject.org/i/s/a.example/1.jpg?v=2", "https://a.example/1.jpg?v=2", id="AMP cache"),
        pytest.param("https://cdn.ampproject.org/ii/w680/a.example/1.jpg", "http://a.example/1.jpg", id="AMP cache, resized, plain HTTP"),
        pytest.param("https://images1-focus-opensocial.googleusercontent.com/gadgets/proxy?container=focus&url=http%3A%2F%2Fa.example%2F1.jpg", "http://a.example/1.jpg", id="Google's gadget proxy"),
        pytest.param("https://i0.wp.com/wsrv.nl/?url=a.example/1.jpg", "https://i0.wp.com/wsrv.nl/?url=a.example/1.jpg", id="Photon asks for a path"),
        pytest.param("https://b.example/_next/image?url=https%3A%2F%2Fi0.wp.com%2Fa.example%2F1.jpg%3Fssl%3D1", "https://a.example/1.jpg", id="one in the other"),
    ],
)  # fmt: skip
def test_other_proxies_carry_their_origin_in_their_own_ways(url: str, wanted: str) -> None:
    assert unwrap_proxy(url) == (wanted, url if wanted != url else None)
    assert picture_key(url) == picture_key(wanted)


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example/?url=b.example/1.jpg",
        "https://evilwsrv.nl/?url=b.example/1.jpg",
        "https://wsrv.nl/?url=",
        "https://wsrv.nl/?url=javascript:alert(1)",
        "https://wsrv.nl/?url=file:///etc/passwd",
        "https://wsrv.nl/?url=http://0x7f.1/",
        "https://wsrv.nl/logo.svg",
        "https://i0.wp.com/latest.jpg",
        "https://i9.wp.com/a.example/1.jpg",
        "https://b.example/_next/image?w=640",
        "https://b.example/_next/static/media/1.jpg",
        "https://b.example/_next/image?url=javascript%3Aalert(1)",
        "https://b.example/_next/image?url=http%3A%2F%2F0x7f.1%2F1.jpg",
        "https://res.cloudinary.com/x/image/upload/w_9/v1/1.jpg",
        "https://res.cloudinary.com/x/image/fetch/w_9/ftp://a.example/1.jpg",
        "https://a-example.cdn.ampproject.org/c/s/a.example/page.html",
        "https://evil-cdn.ampproject.org.example/i/s/a.example/1.jpg",
        "https://a.example/gadgets/proxy?url=https://b.example/1.jpg",
        "https://x.imgix.net/1.jpg?w=9",
    ],
)
def test_what_is_no_proxied_picture_stays_as_it_is(url: str) -> None:
    """bad-inputs: Images, each origin behind a proxy passes the filter."""
    assert unwrap_proxy(url) == (url, None)


def test_proxies_are_unwrapped_twice_at_most() -> None:
    """bad-inputs: Images, proxy url nested in proxy url."""
    innermost = "wsrv.nl/?url=a.example/1.jpg"
    origin, _ = unwrap_proxy(f"https://wsrv.nl/?url=https://wsrv.nl/?url=https://{innermost}")
    assert origin == f"https://{innermost}"


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        (f"https://images.weserv.nl?url=gdb.voanews.com/{GUID}_r1_s_w900.jpg", f"https://gdb.voanews.com/{GUID}_r1_s_w900.jpg"),
        ("http://a.example/1.jpg", "https://a.example/1.jpg"),
        ("http://127.0.0.1:8000/1.jpg", "http://127.0.0.1:8000/1.jpg"),
        ("nonsense", "nonsense"),
    ],
)  # fmt: skip
def test_a_picture_is_named_by_its_origin_over_https(url: str, wanted: str) -> None:
    assert picture_identity(url) == wanted


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"https://gdb.voanews.com/{GUID}_cx0_cy6_cw0_w800_h450.jpg", f"https://images.weserv.nl?url=gdb.voanews.com/{GUID}_r1_s_w900.jpg"),
        (f"https://gdb.rferl.org/{GUID.upper()}.jpg", f"https://gdb.rferl.org/{GUID}_w268.png"),
        ("https://a.example/p-610x610.jpg", "http://a.example/p.jpg?resize=1"),
    ],
)  # fmt: skip
def test_sizes_of_one_picture_have_one_key(one: str, other: str) -> None:
    assert picture_key(one) == picture_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://a.example/1.jpg", "https://a.example/2.jpg"),
        ("https://a.example/picture?id=1", "https://a.example/picture?id=2"),
        ("https://a.example/1.jpg", "https://b.example/1.jpg"),
    ],
)
def test_two_pictures_have_two_keys(one: str, other: str) -> None:
    assert picture_key(one) != picture_key(other)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://user:secret@example.com/a?token=secret#secret", "https://example.com/a"),
        ("https://example.com/\x1b[31m\n", "https://example.com/\\x1b[31m"),
        ("https://example.com/" + "a" * 500, "https://example.com/" + "a" * 99 + "…"),
    ],
)
def test_a_shown_url_keeps_secrets_and_control_characters_back(url: str, wanted: str) -> None:
    assert display_url(url) == wanted
    assert len(display_url(url)) <= MAX_LABEL_CHARS
