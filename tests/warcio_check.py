"""What ``warcio check`` says of a file."""

from __future__ import annotations

from pathlib import Path

from warcio.checker import Checker


def exit_code(path: Path, data: bytes, *, verbose: bool = False) -> int:
    """0: nothing is wrong with these bytes, which are written to ``path``. ``verbose``: each record is printed."""
    path.write_bytes(data)

    class Arguments:
        inputs = (str(path),)

    Arguments.verbose = verbose
    checker = Checker(Arguments())
    checker.process_all()
    return checker.exit_value
