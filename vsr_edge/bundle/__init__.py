"""Bundles on the move: packed into one file, pulled from a file or a hub, installed once sound."""
