"""How commands are declared: groups of options, and errors as exit codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
from typer.testing import CliRunner

from vsr_edge.cli.options import App, option
from vsr_edge.errors import ArchiveNotFound, UsageError


@dataclass(frozen=True)
class Group:
    limit: Annotated[int | None, option("How many.", "--limit", "-l", min=1)]
    quiet: Annotated[bool, option("Say nothing.", "--quiet")]


def invoked(*arguments: str) -> tuple[int, list[object]]:
    app, seen = App(), []

    @app.command()
    def look(word: str, *, group: Group, last: bool = False) -> None:
        if word == "usage":
            raise UsageError("no")
        if word == "nowhere":
            raise ArchiveNotFound("not here")
        seen.extend([word, group, last])

    @app.command()
    def other() -> None: ...

    return CliRunner().invoke(app, ["look", *arguments]).exit_code, seen


@pytest.mark.parametrize(
    ("given", "group"),
    [
        ((), Group(None, False)),
        (("-l", "3"), Group(3, False)),
        (("--quiet", "--limit", "1"), Group(1, True)),
    ],
)
def test_a_group_is_given_as_options(given: tuple[str, ...], group: Group) -> None:
    assert invoked("a", *given, "--last") == (0, ["a", group, True])


@pytest.mark.parametrize(
    ("arguments", "code"), [(("usage",), 2), (("nowhere",), 1), (("a", "--limit", "0"), 2)]
)
def test_an_expected_error_is_an_exit_code(arguments: tuple[str, ...], code: int) -> None:
    assert invoked(*arguments) == (code, [])
