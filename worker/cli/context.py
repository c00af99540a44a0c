"""The settings of this command. ``worker.cli.main`` reads them from the environment, once; commands ask here."""

from __future__ import annotations

from collections.abc import Mapping

from config.settings import Settings

_environment: Mapping[str, str] = {}
_settings: Settings | None = None


def use(environment: Mapping[str, str]) -> None:
    """Hand over the environment. Only the entry point does this; the settings in it are checked when first needed."""
    global _environment, _settings
    _environment, _settings = dict(environment), None


def environment() -> Mapping[str, str]:
    """What the entry point handed over: for the environment of children, and for what was said explicitly."""
    return _environment


def settings() -> Settings:
    """The settings, read on first use, so that ``--help`` works whatever they are.

    Raises: SettingsError: naming the variable, what is wrong and what to do.
    """
    global _settings  # noqa: PLW0603 - a command line has one environment, and Typer's commands no place to pass it
    if _settings is None:
        _settings = Settings.from_env(_environment)
    return _settings
