"""``newsmill``: the entry point, and the one place where a command's failure becomes a sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from typing import Annotated

import typer

from config.settings import SettingsError
from worker.cli import context
from worker.cli.archive import archive_app
from worker.cli.articles import articles_app, quarantine_app
from worker.cli.doctor import doctor
from worker.cli.extract import extract
from worker.cli.feeds import feeds_app
from worker.cli.feeds_try import try_feed
from worker.cli.inspect import audit, migrate, status
from worker.cli.once import once
from worker.cli.repoll import repoll
from worker.cli.reprocess import reprocess
from worker.cli.tail import tail
from worker.cli.up import up
from worker.cli.why import why
from worker.errors import NewsmillError, UnavailableError
from worker.text import escape_control

app = typer.Typer(
    name="newsmill",
    help="Watches news feeds, keeps the original of every article, and publishes its text and picture to a queue.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with local variables would show secrets
    rich_markup_mode=None,
)
for command in (up, once, migrate, doctor, repoll, status, why, audit, extract, reprocess, tail):
    app.command()(command)
feeds_app.command("try")(try_feed)
app.add_typer(feeds_app, name="feeds")
app.add_typer(articles_app, name="articles")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(archive_app, name="archive")


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - only this needs it

        typer.echo(f"newsmill {version('newsmill')}")
        raise typer.Exit


@app.callback()
def _newsmill(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def run() -> None:
    """The command ``newsmill``. The only place that hands the environment on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no Chinese is no reason to fail
    sys.exit(main(sys.argv[1:], os.environ))


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one command. Returns: the exit code: 0 ok, 1 failed, 2 wrong usage."""
    context.use(environment)
    try:
        app(args=list(arguments), prog_name="newsmill")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except UnavailableError as error:
        return _failed(f"{_sentence(error)} `newsmill doctor` looks at every connection.")
    except (SettingsError, NewsmillError) as error:
        return _failed(_sentence(error))
    return 0


def _failed(sentence: str) -> int:
    typer.echo(f"newsmill: {escape_control(sentence)}", err=True)
    return 1


def _sentence(error: Exception) -> str:
    said = str(error) or type(error).__name__
    return said if said.endswith((".", "?", "!")) else f"{said}."


if __name__ == "__main__":
    run()
