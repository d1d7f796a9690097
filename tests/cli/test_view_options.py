"""What cannot be written is said before anything is searched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vsr_edge.cli.view_options import ViewOptions
from vsr_edge.errors import UsageError


@pytest.mark.parametrize(
    ("sheet", "html", "message"),
    [
        (None, "there.jpg", "there.jpg is there already: name another, or say --force"),
        ("there.jpg", None, "there.jpg is there already: name another, or say --force"),
        ("out.gif", None, "a contact sheet's name ends in .jpg"),
        (None, "no/out.html", "name a file in a folder that is there"),
        (None, ".", "cannot be written"),
        (None, "/dev/null", "cannot be written"),
        ("a.jpg", "a.jpg", "both name a.jpg"),
    ],
)
def test_what_cannot_be_written_is_refused(
    sheet: str | None,
    html: str | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.jpg").touch()
    names = {name: value and Path(value) for name, value in (("sheet", sheet), ("html", html))}

    def options(force: bool) -> ViewOptions:
        paths: dict[str, Any] = names
        return ViewOptions(**paths, pictures=False, force=force)

    with pytest.raises(UsageError) as error:
        options(False).check_view()
    assert message in str(error.value)
    if "--force" in message:
        options(True).check_view()
