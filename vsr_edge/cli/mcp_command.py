"""The command `mcp`: the archive as tools of an assistant."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from vsr_edge.cli.console import opened_archive, terminate_like_ctrl_c
from vsr_edge.cli.options import ArchiveOption, ModelOptions, option
from vsr_edge.errors import UsageError


def mcp(
    *,
    archive: ArchiveOption = None,
    out: Annotated[
        Path | None,
        option("Folder for clips; without it, none can be cut.", "--out", "-o", readable=False),
    ] = None,
    models: ModelOptions,
) -> None:
    """Let an assistant search the archive, look at frames and cut clips, by the Model Context
    Protocol (stdio).

    Assistants start this command themselves: name it in their settings. stdout is theirs; what
    there is to say goes to stderr. It ends when its input does.

    Example: [bold]vsr-edge mcp --archive /var/lib/vsr-edge/archive --out clips[/bold]
    """
    from importlib.util import find_spec

    if find_spec("mcp") is None:
        raise UsageError("this needs mcp: pip install 'vsr-edge[mcp]'")
    if out is not None and out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: name a folder with --out")
    from vsr_edge.assistant import serve_stdio

    with opened_archive(archive, **asdict(models)) as opened, terminate_like_ctrl_c():
        serve_stdio(opened, out)
