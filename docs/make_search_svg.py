"""The README's picture: a search as a terminal shows it, from a real run over the demo's clips.

python docs/make_search_svg.py docs/search.svg
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

from vsr_edge.cli.demo import demo_videos

QUERY = "a bicycle leaning against a wall"
WIDTH = 92
COMMAND = (sys.executable, "-m", "vsr_edge")


def search() -> str:
    """What the command prints for the query, with the terminal's colours."""
    with tempfile.TemporaryDirectory() as folder:
        for clip in demo_videos():
            shutil.copy(clip, folder)
        environment = os.environ | {
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "VSR_EDGE_ARCHIVE": f"{folder}/.archive",
            "FORCE_COLOR": "1",
            "TERM": "xterm-256color",
            "COLUMNS": str(WIDTH),
        }

        def run(*arguments: str) -> str:
            done = subprocess.run(
                [*COMMAND, *arguments],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=True,
            )
            return done.stdout

        run("index", ".")
        run("search", QUERY)  # The next one's milliseconds are those of a warm disk.
        printed = run("search", QUERY, "--explain", "--top-k", "3")
        return printed.replace(f"{Path(folder).resolve()}/", "")


def main(place: Path) -> None:
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    console.print(Text.assemble("$ ", (f'vsr-edge search "{QUERY}" --explain --top-k 3', "bold")))
    console.print(Text.from_ansi(search()))
    drawn = console.export_svg(title="vsr-edge", unique_id="search")
    # No network means no network: rich has the picture fetch its typeface.
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    place.write_text("\n".join(line.rstrip() for line in drawn.splitlines()) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
