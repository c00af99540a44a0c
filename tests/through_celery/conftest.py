"""The same installation and consumer as the line's tests have."""

from tests.line.conftest import consumer, installation, site

__all__ = ["consumer", "installation", "site"]
