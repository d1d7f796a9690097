"""Folders that are watched, and the questions that stand."""
