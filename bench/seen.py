"""Is it known? The seen-check of a feed's entries, and of articles that other feeds have brought, among millions."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from bench.archived import spent
from bench.processes import cpu_of_named_s
from worker.feeds.select import EntryKeys
from worker.ledger import articles
from worker.ledger.session import Ledger
from worker.stages import Deps
from worker.stages.newfound import known

EACH = 40  # entries of a document
DOCUMENTS = 500
# A key's first eight digits jump about, as a digest's do, so that its neighbours lie elsewhere in the index.
JUMPS = {"entry": 2654435761, "guid": 2246822519, "print": 3266489917, "article": 668265263}
MODULUS = 2**32


def key(kind: str, number: int) -> str:
    """The key of this kind of the row of this number."""
    return f"{number * JUMPS[kind] % MODULUS:08x}{number:024x}"


def _key_in_sql(kind: str, dialect: str) -> str:
    if dialect == "sqlite":
        return f"printf('%08x%024x', n * {JUMPS[kind]} % {MODULUS}, n)"
    return f"lpad(to_hex(n::bigint * {JUMPS[kind]} % {MODULUS}), 8, '0') || lpad(to_hex(n), 24, '0')"


# ---------------------------------------------------------------- millions of rows


def prepare(ledger: Ledger) -> None:
    """Take away the indexes that no check here looks at: they would only make the filling long."""
    with ledger.transaction() as tx:
        kept = {"ix_sightings_feed_id_guid_key", "ix_sightings_feed_id_fingerprint"}
        for name in _indexes(tx) - kept:
            tx.exec_driver_sql(f"DROP INDEX {name}")
        if ledger.dialect == "postgresql":  # no feed is needed for a look-up
            tx.exec_driver_sql("ALTER TABLE articles DROP CONSTRAINT fk_articles_feed_id")
            tx.exec_driver_sql("ALTER TABLE sightings DROP CONSTRAINT fk_sightings_feed_id")


def _indexes(tx: Connection) -> set[str]:
    of_sqlite = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN {}"
    of_postgres = (
        "SELECT indexname FROM pg_indexes WHERE tablename IN {} AND indexname NOT IN "
        "(SELECT conname FROM pg_constraint)"
    )
    statement = of_sqlite if tx.dialect.name == "sqlite" else of_postgres
    return set(tx.exec_driver_sql(statement.format("('sightings', 'articles')")).scalars())


def fill(ledger: Ledger, *, start: int, stop: int, feeds: int) -> None:
    """Add the rows of these numbers to sightings and articles, in turn to so many feeds."""
    keys = {kind: _key_in_sql(kind, ledger.dialect) for kind in JUMPS}
    feed = f"n % {feeds} + 1"
    sighting = {
        "feed_id": feed,
        "entry_key": keys["entry"],
        "guid_key": keys["guid"],
        "fingerprint": keys["print"],
        "article_id": keys["article"],
        "seen_at": "{now}",
        "skipped": "{false}",
    }
    article = {
        "article_id": keys["article"],
        "revision": "1",
        "feed_id": feed,
        "host": "'site.example'",
        "state": "'published'",
        "ready_at": "{now}",
        "discovered_at": "{now}",
        "troubles": "'[]'",
    }
    if ledger.dialect == "sqlite":
        _fill_sqlite(ledger, {"sightings": sighting, "articles": article}, start, stop)
    else:
        _fill_postgres(ledger, {"sightings": sighting, "articles": article}, start, stop)


def _fill_sqlite(ledger: Ledger, tables: Mapping[str, Mapping[str, str]], start: int, stop: int) -> None:
    raw = ledger.engine.raw_connection()
    try:
        cursor = raw.cursor()
        cursor.execute("PRAGMA foreign_keys = OFF")
        cursor.execute("PRAGMA synchronous = OFF")
        cursor.execute("PRAGMA cache_size = -2000000")  # of KiB: an index is filled at random places
        for table, columns in tables.items():
            cursor.execute("BEGIN IMMEDIATE")
            indexes = cursor.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name = ?", [table]
            ).fetchall()
            for name, _ in indexes:
                cursor.execute(f"DROP INDEX {name}")
            chosen = ", ".join(columns.values()).format(now="0", false="0")
            numbers = f"SELECT {start} UNION ALL SELECT n + 1 FROM numbers WHERE n < {stop - 1}"
            cursor.execute(
                f"WITH RECURSIVE numbers(n) AS ({numbers}) "
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM numbers"
            )
            for _, statement in indexes:
                cursor.execute(statement)
            cursor.execute("COMMIT")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        raw.invalidate()  # as it is set up now, nobody shall use it


def _fill_postgres(ledger: Ledger, tables: Mapping[str, Mapping[str, str]], start: int, stop: int) -> None:
    with ledger.transaction() as tx:
        tx.exec_driver_sql("SET LOCAL statement_timeout = 0")
        tx.exec_driver_sql("SET LOCAL maintenance_work_mem = '1GB'")
        tx.exec_driver_sql("SET LOCAL synchronous_commit = off")
        for table, columns in tables.items():
            indexes = tx.exec_driver_sql(
                "SELECT pg_get_indexdef(indexrelid) AS made, indexrelid::regclass::text AS name, conname, contype "
                "FROM pg_index LEFT JOIN pg_constraint ON conindid = indexrelid AND contype IN ('p', 'u') "
                f"WHERE indrelid = '{table}'::regclass AND NOT (contype = 'p' AND '{table}' = 'articles')"
            ).all()
            constraints = {
                row.conname: tx.exec_driver_sql(
                    f"SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = '{row.conname}'"
                ).scalar_one()
                for row in indexes
                if row.conname
            }
            for name in constraints:
                tx.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            for row in indexes:
                if not row.conname:
                    tx.exec_driver_sql(f"DROP INDEX {row.name}")
            chosen = ", ".join(columns.values()).format(now="now()", false="false")
            chosen = chosen.replace("%", "%%")
            numbers = f"generate_series({start}, {stop - 1}) n"
            tx.exec_driver_sql(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {numbers}")
            for row in indexes:
                if not row.conname:
                    tx.exec_driver_sql(row.made)
            for name, made in constraints.items():
                tx.exec_driver_sql(f"ALTER TABLE {table} ADD CONSTRAINT {name} {made}")
    with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("VACUUM ANALYZE sightings, articles")  # as autovacuum does it


# ---------------------------------------------------------------- checks


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Microseconds a key: of this process and of the database's server."""

    us: float
    server_us: float


def documents(rows: int, feeds: int, *, seed: int) -> list[tuple[int, list[int]]]:
    """Feeds at random, each with the numbers of some of its rows at random."""
    dice = random.Random(seed)
    chosen = []
    for _ in range(DOCUMENTS):
        feed = dice.randrange(feeds)
        numbers = range(feed, rows, feeds)
        chosen.append((feed + 1, dice.sample(numbers, min(EACH, len(numbers)))))
    return chosen


def entries_known(deps: Deps, rows: int, feeds: int, *, seed: int, faults: list[str]) -> Checked:
    """The check of documents whose every entry is known: a key is an entry."""
    asked = [(feed, [_names(number) for number in numbers]) for feed, numbers in documents(rows, feeds, seed=seed)]

    def check() -> int:
        return sum(len(deps.loaded(lambda tx, f=feed, n=names: known(tx, f, n))) for feed, names in asked)

    return _checked(check, sum(len(names) for _, names in asked), faults)


def articles_known(deps: Deps, rows: int, feeds: int, *, seed: int, faults: list[str]) -> Checked:
    """The check of new entries whose articles other feeds have brought: a key is an article."""
    asked = [[key("article", number) for number in numbers] for _, numbers in documents(rows, feeds, seed=seed)]

    def check() -> int:
        return sum(len(deps.loaded(lambda tx, i=ids: _articles_of(tx, i))) for ids in asked)

    return _checked(check, sum(map(len, asked)), faults)


def _articles_of(tx: Connection, ids: list[str]) -> set[str]:
    if articles.known_under(tx, ids):
        raise AssertionError("there are no aliases here")
    return articles.known(tx, ids)


def _checked(check: Callable[[], int], keys: int, faults: list[str]) -> Checked:
    server_s = cpu_of_named_s({"postgres"})
    took = spent(check)
    if took.result != keys:
        faults.append(f"{keys - took.result} of {keys} known keys were not found")
    return Checked(us=took.cpu_s * 1e6 / keys, server_us=(cpu_of_named_s({"postgres"}) - server_s) * 1e6 / keys)


def _names(number: int) -> EntryKeys:
    return EntryKeys(
        identity="",
        article_id=key("article", number),
        entry_key=key("entry", number),
        guid_key=key("guid", number),
        fingerprint=key("print", number),
        has_page=True,
        guid_is_shared=False,
    )
