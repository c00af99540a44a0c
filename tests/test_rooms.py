"""The house's import rules, executed: which room may know which, and which file is the door to which library."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

ROOMS = ("feeds", "fetch", "websub", "extract", "archive", "publish", "ledger")
GROUND = frozenset({"worker.model", "worker.errors", "worker.urls", "worker.text", "worker.retry"})

# library -> the files that may import it
DOORS = {
    "requests": ("worker/fetch/",),
    "urllib3": ("worker/fetch/",),
    "protego": ("worker/fetch/robots.py",),
    "kombu": ("worker/publish/broker.py",),
    "sqlalchemy": ("worker/ledger/", "worker/stages/", "worker/cli/"),
    "alembic": ("worker/ledger/",),
    "fastwarc": (),
    "obstore": ("worker/archive/objectstore.py",),
    "PIL": ("worker/extract/picture.py",),
    "numpy": ("worker/extract/",),
    "sentry_sdk": ("worker/observe.py", "tasks/main.py"),
    "celery": ("tasks/",),
    "typer": ("worker/cli/",),
    "rich": ("worker/cli/",),
}


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (REPOSITORY / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module that a file imports, wherever the import stands; and whether it is for type checkers only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module, id(node) in typing_only


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("path", python_files("worker", "config"), ids=name_of)
def test_worker_and_config_know_no_celery_and_no_tasks(path: Path) -> None:
    assert [module for module, _ in imports(path) if module.split(".")[0] in {"celery", "tasks", "billiard"}] == []


@pytest.mark.parametrize("path", python_files("config"), ids=name_of)
def test_config_knows_nobody(path: Path) -> None:
    assert [module for module, _ in imports(path) if module.split(".")[0] in {"worker", "tasks"}] == []


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_know_the_ground_and_themselves_only(room: str) -> None:
    wrong = [
        f"{name_of(path)}: {module}"
        for path in python_files(f"worker/{room}")
        for module, _ in imports(path)
        if module.split(".")[0] in {"worker", "config"}
        and module not in GROUND
        and not module.startswith(f"worker.{room}")
    ]
    assert wrong == []


@pytest.mark.parametrize("name", ["model", "errors", "plainness", "tracking", "imageproxies", "urls", "text", "retry"])
def test_the_ground_stands_on_nothing(name: str) -> None:
    below = {"text": {"worker.plainness"}, "urls": {"worker.tracking", "worker.imageproxies"}}
    allowed = {"worker.model", "worker.errors"} | below.get(name, set())
    path = REPOSITORY / "worker" / f"{name}.py"
    assert [m for m, _ in imports(path) if m.split(".")[0] in {"worker", "config", "tasks"} and m not in allowed] == []


@pytest.mark.parametrize("path", python_files("worker/stages"), ids=name_of)
def test_stages_do_not_know_who_wires_or_calls_them(path: Path) -> None:
    above = ("worker.wiring", "worker.cli", "tasks")
    assert [module for module, _ in imports(path) if module.startswith(above)] == []


@pytest.mark.parametrize("library", DOORS)
def test_a_library_is_known_behind_its_door_only(library: str) -> None:
    wrong = [
        name_of(path)
        for path in python_files("worker", "tasks", "config")
        if not name_of(path).startswith(DOORS[library])
        and any(module.split(".")[0] == library and not typing for module, typing in imports(path))
    ]
    assert wrong == []


@pytest.mark.parametrize("path", python_files("tasks"), ids=name_of)
def test_nothing_waits_in_the_broker(path: Path) -> None:
    """Waiting is a row's ``ready_at``: no ETA, no countdown, no retry of Celery's."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    waits = [node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg in {"eta", "countdown"}]
    retries = [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "retry"]
    assert (waits, retries) == ([], [])


@pytest.mark.parametrize(
    "path", python_files("tasks", "worker/stages", *(f"worker/{room}" for room in ROOMS)), ids=name_of
)
def test_no_worker_sleeps(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    sleeps = [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr == "sleep")
        or (isinstance(node, ast.Name) and node.id == "sleep")
    ]
    assert sleeps == []


@pytest.mark.parametrize("path", python_files("worker", "tasks"), ids=name_of)
def test_only_entry_points_read_the_environment(path: Path) -> None:
    entry_points = {"worker/cli/main.py", "tasks/main.py"}
    if name_of(path) in entry_points:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    reads = [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
    ]
    assert reads == []
