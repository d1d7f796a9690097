"""``python -m vsr_edge`` is ``vsr-edge``."""

from vsr_edge.cli import main

main()
