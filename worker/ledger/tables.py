"""The tables. Moments are ``timestamptz`` on PostgreSQL and integer microseconds on SQLite, aware UTC in Python."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeEngine

Row = sa.Row[*tuple[Any, ...]]  # a row as selected: its columns by name

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware UTC moment; integers on SQLite, so that comparing and sorting stay exact and cheap."""

    impl = sa.BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.DateTime(timezone=True))
        return dialect.type_descriptor(sa.BigInteger())

    def bind_processor(self, dialect: Dialect) -> Callable[[datetime | None], Any] | None:
        return None if dialect.name == "postgresql" else _microseconds

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:  # noqa: ARG002
        return _in_utc if dialect.name == "postgresql" else _from_microseconds


def _microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - EPOCH) // MICROSECOND


def _from_microseconds(since: int | None) -> datetime | None:
    return None if since is None else EPOCH + MICROSECOND * since


def _in_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


# SQLite numbers rows by itself only for INTEGER PRIMARY KEY; PostgreSQL gets the 64 bits that ten years of news need.
Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

feeds = sa.Table(
    "feeds",
    metadata,
    sa.Column("id", Id, primary_key=True),
    # what the operator said
    sa.Column("slug", sa.String(63), nullable=False, unique=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("title", sa.Text),
    sa.Column("language", sa.String(35)),
    sa.Column("interval_s", sa.Float),
    sa.Column("fulltext", sa.String(8), nullable=False, server_default="auto"),
    sa.Column("document_body", sa.String(8), nullable=False, server_default="clean"),
    sa.Column("image_proxy", sa.Text),
    sa.Column("headers", sa.JSON, nullable=False),
    sa.Column("first_poll", sa.JSON, nullable=False),
    sa.Column("offsite", sa.String(8), nullable=False, server_default="follow"),
    sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
    sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("robots", sa.String(8), nullable=False, server_default="ignore"),  # obey: for the feed document itself
    sa.Column("origin", sa.String(8), nullable=False),  # file: feeds.toml; cli: by hand; import: of an archive
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("removed_at", Moment),
    # what polling learnt
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("due_at", Moment, nullable=False),
    sa.Column("asked_at", Moment),  # a person asked for a poll
    sa.Column("unconditional", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("etag", sa.Text),
    sa.Column("last_modified", sa.Text),
    sa.Column("body_sha256", sa.String(64)),
    sa.Column("polled_at", Moment),
    sa.Column("unconditional_at", Moment),  # last time without validators
    sa.Column("ok_at", Moment),
    sa.Column("new_at", Moment),
    sa.Column("outcome", sa.String(32)),
    sa.Column("status", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("quiet_since", Moment),  # the first of the last polls, alike and without news: no line of history yet
    sa.Column("quiet_polls", sa.Integer, nullable=False, server_default="0"),  # and how many they are
    sa.Column("told", sa.String(8)),  # what operators were told of it: failing, silent
    sa.Column("gone_at", Moment),
    sa.Column("rhythm", sa.JSON, nullable=False),  # seconds since the epoch of the last new items, oldest first
    sa.Column("wishes", sa.JSON, nullable=False),  # ttl_s, update_period_s, skip_hours, skip_days
    sa.Column(
        "pattern", sa.JSON, nullable=False, server_default="{}"
    ),  # its hours and weekdays: ``worker.feeds.cadence``
    sa.Column(
        "moved", sa.JSON(none_as_null=True)
    ),  # where 301s lead, and on which days they did: ``worker.feeds.moves``
    sa.Column("moved_from", sa.Text),  # its last address, which the reviewed list may still have
    sa.Column("lies", sa.Integer, nullable=False, server_default="0"),  # times that its 304 hid something new
    sa.Column("lied_at", Moment),
    sa.Column("gaps", sa.Integer, nullable=False, server_default="0"),  # polls that overlapped nothing of the last one
    sa.Column("gap_at", Moment),
    sa.Column("hub_url", sa.Text),  # WebSub, as the feed's last document names them
    sa.Column("topic_url", sa.Text),
    sa.Column("pushed_at", Moment),
    sa.Column("sitemaps", sa.JSON(none_as_null=True)),  # of an index: which of its sitemaps were read, which wait
    sa.Column("full_text", sa.JSON(none_as_null=True)),  # what its articles' pages said about the feed's own texts
    sa.Column("sequence", sa.BigInteger, nullable=False, server_default="0"),
)
_FOLLOWED = sa.and_(feeds.c.enabled, feeds.c.removed_at.is_(None), feeds.c.gone_at.is_(None))
for _name, _columns in (  # with all that a claim looks at: rows are long, and seldom in memory
    ("ix_feeds_due_at", (feeds.c.due_at, feeds.c.id, feeds.c.host)),
    ("ix_feeds_line", (feeds.c.host, feeds.c.priority.desc(), feeds.c.due_at)),  # a site's most urgent, then oldest
):
    sa.Index(_name, *_columns, postgresql_where=_FOLLOWED, sqlite_where=_FOLLOWED)

leases = sa.Table(  # of polls; beside the feeds, whose rows are long and would be written anew each time
    "leases",
    metadata,
    sa.Column("feed_id", Id, primary_key=True, autoincrement=False),
    sa.Column("token", sa.String(36), nullable=False),
    sa.Column("until", Moment, nullable=False),
)

subscriptions = sa.Table(  # WebSub: what hubs were asked to push
    "subscriptions",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("feed_id", Id, sa.ForeignKey("feeds.id"), nullable=False),
    sa.Column("public_url", sa.Text, nullable=False),  # where we were reached when it was made
    sa.Column("callback", sa.String(64), nullable=False, unique=True),  # the unguessable end of the callback's URL
    sa.Column("secret", sa.String(128), nullable=False),
    sa.Column("hub_url", sa.Text, nullable=False),
    sa.Column("host", sa.String(255), nullable=False),  # the hub's, as the host gate names it
    sa.Column("topic_url", sa.Text, nullable=False),
    sa.Column("state", sa.String(12), nullable=False),  # wanted | active | denied | leaving
    sa.Column("due_at", Moment, nullable=False),  # when to ask the hub (again)
    sa.Column("lease_until", Moment),  # somebody is asking the hub
    sa.Column("asked_at", Moment),
    sa.Column("verified_at", Moment),
    sa.Column("expires_at", Moment),  # of the hub's lease
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),  # requests since the last verification
    sa.Column("error", sa.Text),
    sa.Column("pushes", sa.Integer, nullable=False, server_default="0"),
    sa.Column("ignored", sa.Integer, nullable=False, server_default="0"),  # pushes without the right signature
    sa.Column("missed", sa.Integer, nullable=False, server_default="0"),  # ``worker.websub.subscription``: its standing
)
sa.Index("ix_subscriptions_due_at", subscriptions.c.due_at)
sa.Index(
    "ix_subscriptions_feed_id",
    subscriptions.c.feed_id,
    unique=True,
    postgresql_where=subscriptions.c.state != "leaving",
    sqlite_where=subscriptions.c.state != "leaving",
)

polls = sa.Table(
    "polls",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("feed_id", Id, sa.ForeignKey("feeds.id"), nullable=False),
    sa.Column("at", Moment, nullable=False),  # of several polls alike: the last one
    sa.Column("since", Moment),  # and the first one
    sa.Column("times", sa.Integer, nullable=False, server_default="1"),
    sa.Column("outcome", sa.String(32), nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("entries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("new", sa.Integer, nullable=False, server_default="0"),
    sa.Column("detail", sa.Text),
    sa.Column("document", sa.Text),  # archive key of a changed feed document
)
sa.Index("ix_polls_feed_id_at", polls.c.feed_id, polls.c.at)
sa.Index("ix_polls_at", polls.c.at)

sightings = sa.Table(
    "sightings",
    metadata,
    sa.Column("feed_id", Id, sa.ForeignKey("feeds.id"), primary_key=True),
    sa.Column("entry_key", sa.String(32), primary_key=True),
    sa.Column("guid_key", sa.String(32)),
    sa.Column("article_id", sa.String(32), nullable=False),
    sa.Column("url", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("feed_date", Moment),
    sa.Column("seen_at", Moment, nullable=False),
    sa.Column("fingerprint", sa.String(32), nullable=False),
    sa.Column("skipped", sa.Boolean, nullable=False, server_default=sa.false()),  # known, but first_poll left it out
)
sa.Index("ix_sightings_feed_id_guid_key", sightings.c.feed_id, sightings.c.guid_key)
sa.Index("ix_sightings_feed_id_fingerprint", sightings.c.feed_id, sightings.c.fingerprint)
sa.Index("ix_sightings_article_id", sightings.c.article_id)

articles = sa.Table(
    "articles",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("article_id", sa.String(32), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("feed_id", Id, sa.ForeignKey("feeds.id"), nullable=False),
    sa.Column("url", sa.Text),  # as the feed gave it; None: the feed's text is all there is
    sa.Column("fetch_url", sa.Text),  # where a redirect to another site goes on
    sa.Column("guid", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
    sa.Column("feed_date", Moment),
    # where it stands
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("reason", sa.String(64)),
    sa.Column("detail", sa.Text),
    sa.Column("ready_at", Moment, nullable=False),
    sa.Column("turn_at", Moment),  # its place in its site's line; None: not in it, or waiting for ``ready_at``
    sa.Column("lease_token", sa.String(36)),
    sa.Column("lease_until", Moment),
    sa.Column("begun", sa.Boolean, nullable=False, server_default=sa.false()),  # a stage is at work under this lease
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),  # in this state
    sa.Column("troubles", sa.JSON, nullable=False),  # the last failures: [{at, stage, reason, detail}]
    # what each stage found
    sa.Column("discovered_at", Moment, nullable=False),
    sa.Column("downloaded_at", Moment),
    sa.Column("extracted_at", Moment),
    sa.Column("pictured_at", Moment),
    sa.Column("archived_at", Moment),
    sa.Column("ended_at", Moment),
    sa.Column("exchange", sa.JSON(none_as_null=True)),  # {key, status, url_final, robots, problem}
    sa.Column("text_sha256", sa.String(64)),
    sa.Column("picture", sa.JSON(none_as_null=True)),
    sa.Column("archive", sa.JSON(none_as_null=True)),  # see ``worker.stages.archive``
    sa.Column("change", sa.JSON(none_as_null=True)),  # of a later revision: {previous, fields, ratio, class}
    sa.Column("spooled", sa.Boolean, nullable=False, server_default=sa.false()),  # upkeep still has to sweep
    sa.UniqueConstraint("article_id", "revision"),
)
AFTER_THE_NEWS = -10_000  # priority of what came of the archive: below every feed's own, which end at -1,000
_ENDED = ("published", "duplicate", "rejected", "quarantined", "imported")
_LINED = articles.c.turn_at.is_not(None)
_IN_LINE = (articles.c.host, articles.c.priority.desc(), articles.c.turn_at, articles.c.id)
# Negated: of "state IN" SQLite would rather take ``ix_articles_state_ready_at``, and sort all it finds.
_AWAY = sa.and_(articles.c.state.not_in(("downloaded", "extracted", "pictured", "archived", *_ENDED)), ~_LINED)
_FURTHER = articles.c.state.not_in(("discovered", *_ENDED))
for _name, _by, _which in (  # what dispatch picks from
    ("line", _IN_LINE, sa.and_(_LINED, articles.c.priority > AFTER_THE_NEWS)),  # each site's news, in order
    ("behind", _IN_LINE, sa.and_(_LINED, articles.c.priority <= AFTER_THE_NEWS)),  # and what is no news
    ("away", (articles.c.ready_at,), _AWAY),  # what comes (back) into its site's line
    ("further", (articles.c.priority.desc(), articles.c.ready_at), _FURTHER),  # what is past its download
):
    sa.Index(f"ix_articles_{_name}", *_by, postgresql_where=_which, sqlite_where=_which)
sa.Index("ix_articles_state_ready_at", articles.c.state, articles.c.ready_at)
sa.Index(
    "ix_articles_lease_until",
    articles.c.lease_until,
    postgresql_where=articles.c.lease_until.is_not(None),
    sqlite_where=articles.c.lease_until.is_not(None),
)
sa.Index(
    "ix_articles_sweep",
    articles.c.state,
    articles.c.ended_at,
    postgresql_where=articles.c.spooled,
    sqlite_where=articles.c.spooled,
)
sa.Index("ix_articles_discovered_at", articles.c.discovered_at)
sa.Index("ix_articles_feed_id_discovered_at", articles.c.feed_id, articles.c.discovered_at)

aliases = sa.Table(  # other identities under which an article was met, by redirect
    "aliases",
    metadata,
    sa.Column("alias_id", sa.String(32), primary_key=True),
    sa.Column("article_id", sa.String(32), nullable=False),
)

entries = sa.Table(  # what the feed said, until the article's end
    "entries",
    metadata,
    sa.Column("id", Id, sa.ForeignKey("articles.id"), primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

records = sa.Table(  # what extraction read, until the article's end
    "records",
    metadata,
    sa.Column("id", Id, sa.ForeignKey("articles.id"), primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

spool = sa.Table(  # exchanges in hand, until the article's end
    "spool",
    metadata,
    sa.Column("key", sa.String(100), primary_key=True),
    sa.Column("article_pk", Id, sa.ForeignKey("articles.id"), nullable=False),
    sa.Column("body", sa.LargeBinary),  # None: it is an object of the archive store
)
sa.Index("ix_spool_article_pk", spool.c.article_pk)

warcs = sa.Table(  # large WARC files, made of bundles
    "warcs",
    metadata,
    sa.Column("key", sa.String(512), primary_key=True),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("planned_at", Moment, nullable=False),
    sa.Column("lease_token", sa.String(36)),  # who is writing it
    sa.Column("lease_until", Moment),
    sa.Column("kept_at", Moment),  # verified: from now on its bundles are read here
    sa.Column("cleaned_at", Moment),  # its bundles are removed
)

bundles = sa.Table(  # every WARC bundle, and where it is now
    "bundles",
    metadata,
    sa.Column("key", sa.String(512), primary_key=True),
    sa.Column("article_pk", Id, sa.ForeignKey("articles.id")),  # None: a feed document's
    sa.Column("kept_at", Moment, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("lines", sa.LargeBinary, nullable=False),  # its index lines, compressed; offsets from its own beginning
    sa.Column("file", sa.String(512), sa.ForeignKey("warcs.key")),  # the large file that it is, or will be, part of
    sa.Column("position", sa.BigInteger),  # where in that file it begins
    sa.Column("problem", sa.String(32)),  # why compaction leaves it alone: missing, changed
)
sa.Index(
    "ix_bundles_loose",
    bundles.c.kept_at,
    postgresql_where=bundles.c.file.is_(None),
    sqlite_where=bundles.c.file.is_(None),
)
sa.Index(
    "ix_bundles_problem",
    bundles.c.problem,
    postgresql_where=bundles.c.problem.is_not(None),
    sqlite_where=bundles.c.problem.is_not(None),
)
sa.Index("ix_bundles_file", bundles.c.file)
sa.Index("ix_bundles_article_pk", bundles.c.article_pk)

reprocessings = sa.Table(  # runs over the archive, so that an interrupted one goes on
    "reprocessings",
    metadata,
    sa.Column("id", Id, primary_key=True),
    sa.Column("wanted", sa.Text, nullable=False),  # what was asked for, as canonical JSON
    sa.Column("started_at", Moment, nullable=False),
    sa.Column("ended_at", Moment),
    sa.Column("last_pk", sa.BigInteger, nullable=False, server_default="0"),  # articles up to here are done
    sa.Column("tally", sa.JSON, nullable=False),
)

publications = sa.Table(  # the outbox: frozen before it is sent, kept for replay
    "publications",
    metadata,
    sa.Column("id", Id, sa.ForeignKey("articles.id"), primary_key=True),
    sa.Column("message_id", sa.String(48), nullable=False, unique=True),
    sa.Column("kind", sa.String(12), nullable=False),
    sa.Column("feed_slug", sa.String(63), nullable=False),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),  # JSON, compressed
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("confirmed_at", Moment),
    sa.Column("held", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.UniqueConstraint("feed_slug", "sequence"),
)
sa.Index("ix_publications_confirmed_at", publications.c.confirmed_at)

hosts = sa.Table(
    "hosts",
    metadata,
    sa.Column("host", sa.String(255), primary_key=True),
    sa.Column("next_start_at", Moment, nullable=False),  # dispatch reserves here
    sa.Column("start_after", Moment, nullable=False),  # no request really starts before this
    sa.Column("level", sa.Integer, nullable=False, server_default="0"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("blocked_until", Moment),
    sa.Column("latency_s", sa.Float),
    sa.Column("crawl_delay_s", sa.Float),
)

slots = sa.Table(  # a connection to a site that somebody holds; rows with an expiry, since a counter leaks on a kill
    "slots",
    metadata,
    sa.Column("holder", sa.String(64), primary_key=True),
    sa.Column("host", sa.String(255), primary_key=True),
    sa.Column("expires_at", Moment, nullable=False),
)
sa.Index("ix_slots_host", slots.c.host)

robots = sa.Table(
    "robots",
    metadata,
    sa.Column("authority", sa.String(300), primary_key=True),
    sa.Column("available", sa.String(12), nullable=False),  # rules | allow-all | disallow-all
    sa.Column("text", sa.Text),
    sa.Column("status", sa.Integer),
    sa.Column("fetched_at", Moment, nullable=False),
    sa.Column("expires_at", Moment, nullable=False),
    sa.Column("failing_since", Moment),
)

sites = sa.Table(  # what their recent pages taught extraction
    "sites",
    metadata,
    sa.Column("site", sa.String(255), primary_key=True),
    sa.Column("memory", sa.LargeBinary, nullable=False),  # JSON, compressed
    sa.Column("learnt_at", Moment, nullable=False),
)
sa.Index("ix_sites_learnt_at", sites.c.learnt_at)

beats = sa.Table(  # when each tick last ran: status and doctor tell a dead beat by it; and how far documents are listed
    "beats",
    metadata,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("at", Moment, nullable=False),
)
