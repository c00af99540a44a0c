"""Page bytes and feed items -> article records. Pure: no network, no clock, no settings."""

from worker.extract.article import extract_article

__all__ = ["extract_article"]
