"""Backups of an archive: :mod:`vsr_edge.backup.back_up` and :mod:`vsr_edge.backup.restore`."""
