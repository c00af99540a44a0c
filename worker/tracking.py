"""Query parameters that say how a reader came, never what is read.

They are removed for identity only, never from what is fetched. A name is listed only if it names an article nowhere,
or for the sites where it does not, or with the values that cannot: to announce an article twice is seen and mended, to
take two articles for one loses the second. So there are no ``id``, ``cid``, ``p``, ``page``, ``sid``, ``campaign_id``,
and no general ``ref`` and ``source``.

A list that grows announces nothing again: ``worker.feeds.select`` knows an entry by its address as given, too.
"""

from __future__ import annotations

from dataclasses import dataclass

_ADGUARD = "AdguardTeam/AdguardFilters, TrackParamFilter/sections/general_url.txt"
_BRAVE = "brave/adblock-lists, brave-lists/clean-urls.json and query-filter.json"
_NEAT_URL = "Smile4ever/Neat-URL, data/default-params-by-category.json"
_CLEARURLS = "ClearURLs/Rules, data.json"
_MINIFLUX = "miniflux/v2, internal/reader/urlcleaner/urlcleaner.go"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Parameters of one maker, in lower case: names are compared without regard to case."""

    of: str
    source: str  # where it is said that they track
    names: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    sites: frozenset[str] = frozenset()  # registrable domains; none: wherever they are met
    values: frozenset[str] = frozenset()  # in lower case; none: whatever they say


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


GROUPS = (
    Group(of="Google Analytics: campaigns", source=_ADGUARD, prefixes=("utm_", "utm-")),
    Group(
        of="Google Analytics: campaigns of old",
        source=_NEAT_URL,
        names=_words("ga_source ga_medium ga_term ga_content ga_campaign ga_place"),
    ),
    Group(
        of="Google: linker, advertisements, shops, AMP",
        source=f"{_ADGUARD}; {_BRAVE}",
        names=_words("_ga _gl gclid gclsrc dclid gbraid wbraid gad_source gad_campaignid srsltid usqp"),
    ),
    Group(
        of="Meta",
        source=_ADGUARD,
        names=_words(
            "fbclid fb_action_ids fb_action_types fb_comment_id fb_ref fb_source action_object_map action_ref_map"
            " action_type_map"
        ),
    ),
    Group(of="Instagram", source=_BRAVE, names=_words("igshid igsh")),
    Group(of="X", source=f"{_ADGUARD}; the second: its AMP links", names=_words("twclid __twitter_impression")),
    Group(of="X's embedded posts", source=_BRAVE, names=_words("ref_src ref_url")),
    Group(of="TikTok", source=_BRAVE, names=_words("ttclid")),
    Group(of="LinkedIn", source="LinkedIn's help on enhanced conversion tracking", names=_words("li_fat_id")),
    Group(of="Microsoft Advertising", source=_ADGUARD, names=_words("msclkid")),
    Group(of="Yandex, Openstat", source=_BRAVE, names=_words("yclid ysclid ymclid yadclid yadordid _openstat")),
    Group(
        of="Yahoo", source=f"{_ADGUARD}; {_NEAT_URL}", prefixes=("guce_",), names=_words("guccounter soc_src soc_trk")
    ),
    Group(
        of="Matomo",
        source="Matomo's help on campaigns; by name what was pk_: a pk is a primary key elsewhere",
        prefixes=("mtm_", "piwik_"),
        names=_words("pk_campaign pk_cid pk_content pk_cpn pk_keyword pk_kwd pk_medium pk_source pk_vid"),
    ),
    Group(
        of="AT Internet, now Piano",
        source=f"{_BRAVE}; by name, not by prefix: at_id may name an article",
        prefixes=("at_custom",),
        names=_words(
            "xtor at_bbc_team at_campaign at_campaign_type at_channel at_creation at_detail_placement at_emailtype"
            " at_format at_general_placement at_identifier at_link at_link_id at_link_origin at_link_type at_medium"
            " at_network at_platform at_ptr_name at_recipient_id at_recipient_list at_send_date at_send_time at_term"
            " at_type at_variant"
        ),
    ),
    Group(of="Cxense, now Piano", source=_ADGUARD, names=_words("cx_click cx_recsorder cx_recswidget")),
    Group(
        of="comScore Digital Analytix",
        source="older feeds of the BBC",
        names=_words("ns_mchannel ns_source ns_campaign ns_linkname ns_fee"),
    ),
    Group(
        of="Webtrekk, Mapp, Webtrends",
        source=f"{_ADGUARD}; {_NEAT_URL}; with dots: Webtrends' query parameter reference",
        names=_words("wt_mc wt_zmc wt.mc_id wt.mc_ev wt.rss_f wt.rss_a wt.rss_ev wt.tsrc"),
    ),
    Group(of="Coremetrics, now Acoustic", source=_BRAVE, prefixes=("cm_mmc",), names=_words("cm_cr cm_me cm_re cm_sp")),
    Group(of="Parse.ly", source=_ADGUARD, names=_words("itm_source itm_medium itm_campaign itm_content itm_term")),
    Group(
        of="Adobe: Analytics, Marketo",
        source=f"{_ADGUARD}; {_NEAT_URL}",
        names=_words("s_cid s_kwcid sc_cid sc_campaign sc_channel sc_content sc_geo sc_medium sc_outcome mkt_tok"),
    ),
    Group(of="HubSpot", source=_ADGUARD, prefixes=("_hs", "__hs", "hsa_"), names=_words("hsctatracking")),
    Group(of="Mailchimp", source=f"{_BRAVE}; {_MINIFLUX}", names=_words("mc_cid mc_eid mc_tc")),
    Group(
        of="Senders of newsletters",
        source=f"{_BRAVE}; {_ADGUARD}; {_NEAT_URL}",
        prefixes=("bsft_", "oly_", "vero_"),
        names=_words(
            "_bhlid _kx et_cid et_rid elqtrack elqtrackid ml_subscriber ml_subscriber_hash nr_email_referer rb_clickid"
            " sfmc_activityid sfmc_id spjobid spmailingid spreportid spuserid wickedid"
        ),
    ),
    Group(
        of="Branch, Readwise", source=_MINIFLUX, names=_words("_branch_match_id _branch_referrer __readwiselocation")
    ),
    Group(of="DPG Media", source=_ADGUARD, names=_words("dpg_source dpg_campaign dpg_medium dpg_content")),
    Group(of="Campaigns of many publishers", source=_ADGUARD, names=_words("cmpid nx_source")),
    Group(of="Alibaba, and who copied it", source=f"{_NEAT_URL}; met without its sites' name", names=_words("spm")),
    Group(of="Deutsche Welle", source="its feeds: maca=chi-rss-chi-all-1127-rdf", names=_words("maca")),
    Group(of="CBS", source=f"{_BRAVE}; ftag stands in its feeds, and is no word", names=_words("ftag")),
    Group(
        of="Sessions of PHP, Java, ASP, ColdFusion",
        source="PHP's session.name, Servlet specification 7.1.3, IIS's and ColdFusion's documentation",
        prefixes=("aspsessionid",),
        names=_words("phpsessid jsessionid cfid cftoken"),
    ),
    # Names that may say anything, at the sites where they are known to say where the reader comes from.
    Group(
        of="Condé Nast",
        source=_BRAVE,
        names=_words("bxid cndid esrc hasha hashb hashc mbid source"),
        sites=_words(
            "allure.com architecturaldigest.com arstechnica.com bonappetit.com cntraveler.com epicurious.com"
            " glamour.com gq-magazine.co.uk gq.com newyorker.com pitchfork.com self.com teenvogue.com them.us"
            " vanityfair.com vogue.com wired.co.uk wired.com"
        ),
    ),
    Group(
        of="The New York Times",
        source=f"{_BRAVE}; the second line: its feeds and its own pages' links",
        names=_words("referringsource sgrp smid ugrp smtyp partner emc pgtype"),
        sites=_words("nytimes.com"),
    ),
    Group(of="The Washington Post", source=_BRAVE, names=_words("itid"), sites=_words("washingtonpost.com")),
    Group(
        of="Dow Jones",
        source=f"{_BRAVE}; its feeds: mod=rss_markets_main",
        names=_words("reflink mod"),
        sites=_words("wsj.com marketwatch.com barrons.com"),
    ),
    Group(
        of="Bloomberg", source=_BRAVE, names=_words("trk in_source leadsource srnd sref"), sites=_words("bloomberg.com")
    ),
    Group(of="Financial Times, LinkedIn", source=_BRAVE, names=_words("trk"), sites=_words("ft.com linkedin.com")),
    Group(of="The Economist", source="its feeds: fsrc=rss", names=_words("fsrc"), sites=_words("economist.com")),
    Group(of="Reuters", source="True Anthem's links to it", names=_words("taid"), sites=_words("reuters.com")),
    Group(of="The Guardian", source="its buttons' links", names=_words("cmp"), sites=_words("theguardian.com")),
    Group(
        of="Daily Mail",
        source="its feeds: ITO=1490",
        names=_words("ito"),
        sites=_words("dailymail.co.uk thisismoney.co.uk"),
    ),
    Group(
        of="Microsoft's and the BBC's shared links",
        source="AdguardTeam/AdguardFilters, TrackParamFilter/sections/specific.txt; the BBC's posts",
        names=_words("ocid"),
        sites=_words("msn.com bbc.com bbc.co.uk"),
    ),
    Group(
        of="CBS and its magazines",
        source=_BRAVE,
        names=_words("intcid linkid"),
        sites=_words("cbsnews.com cbssports.com cnet.com gamespot.com insideedition.com"),
    ),
    Group(
        of="TechCrunch, AOL, Harvard Business Review",
        source=f"{_CLEARURLS}; {_BRAVE}",
        names=_words("ncid sr sr_share tpcc"),
        sites=_words("techcrunch.com engadget.com aol.com huffpost.com hbr.org"),
    ),
    Group(of="Medium", source=_BRAVE, names=_words("source"), sites=_words("medium.com")),
    # Names that may say anything, where they say "from the feed".
    Group(
        of="Feeds that say so",
        source="recorded feeds; which of these a site takes is its own choice",
        names=_words("ref src source from via partner emc cmp feed rss xref"),
        values=_words("rss rss2 rss2.0 rss20 rssfeed rss_feed rss-feed atom feed feedburner rssnyt"),
    ),
)

_ANYWHERE = frozenset(name for group in GROUPS if not group.sites and not group.values for name in group.names)
_PREFIXES = tuple(prefix for group in GROUPS for prefix in group.prefixes)
_AT_SITES: dict[str, frozenset[str]] = {}
_WITH_VALUES: dict[str, frozenset[str]] = {}
for _group in GROUPS:
    for _name in _group.names:
        if _group.sites:
            _AT_SITES[_name] = _AT_SITES.get(_name, frozenset()) | _group.sites
        if _group.values:
            _WITH_VALUES[_name] = _WITH_VALUES.get(_name, frozenset()) | _group.values


def is_tracking(name: str, value: str, site: str) -> bool:
    """Does a query parameter, unquoted, only say how a reader came to a site (a registrable domain, or ``""``)?"""
    lowered = name.lower()
    if lowered in _ANYWHERE or lowered.startswith(_PREFIXES):
        return True
    if lowered in _AT_SITES and site in _AT_SITES[lowered]:
        return True
    return lowered in _WITH_VALUES and value.lower() in _WITH_VALUES[lowered]
