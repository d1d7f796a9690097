"""The report of an evaluation for people: one HTML file. Needs the ``report`` extra."""

import os
from pathlib import Path

import platformdirs

from vsr_edge.config import APPLICATION

# Matplotlib keeps a list of fonts, which is made when it is first imported: not beside us.
os.environ.setdefault(
    "MPLCONFIGDIR",
    str(Path(platformdirs.user_cache_dir(APPLICATION, appauthor=False)) / "matplotlib"),
)
