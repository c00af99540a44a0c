"""Feeds: bytes to entries, what of them is new, when to ask again. Pure; no file here makes a request."""
