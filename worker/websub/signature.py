"""``X-Hub-Signature``: was a push made by the hub that knows our secret?"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Literal

Trouble = Literal["unsigned", "unknown-method", "bad-signature"]

METHODS = frozenset({"sha1", "sha256", "sha384", "sha512"})  # section 7.1.1
_HEADER = re.compile(r"\s*([A-Za-z0-9-]{1,16})=([0-9A-Fa-f]{1,128})\s*")


class Signature:
    """Checked while the body comes in, so that no body has to be kept.

    Args:
        header: The header's value; None when the push has none.
        secret: What the hub was given as ``hub.secret``.

    Source: section 7.1; the method is the hub's choice, and most still sign with SHA-1.
    """

    def __init__(self, header: str | None, secret: str) -> None:
        self._mac: hmac.HMAC | None = None
        self._said = ""
        self._trouble: Trouble | None = None
        found = _HEADER.fullmatch(header or "")
        method = found[1].lower() if found else ""
        if found is None:
            self._trouble = "bad-signature" if header else "unsigned"
        elif method not in METHODS:
            self._trouble = "unknown-method"
        else:
            self._said = found[2].lower()
            self._mac = hmac.new(secret.encode(), digestmod=getattr(hashlib, method))

    def update(self, chunk: bytes) -> None:
        """The next part of the body."""
        if self._mac is not None:
            self._mac.update(chunk)

    @property
    def trouble(self) -> Trouble | None:
        """What is wrong with the push, once its whole body was given; None: the hub made it."""
        if self._mac is None:
            return self._trouble
        return None if hmac.compare_digest(self._mac.hexdigest(), self._said) else "bad-signature"
