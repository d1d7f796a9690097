"""Bundles on the move."""
