"""The report of an evaluation for people: one HTML file. Needs the ``report`` extra."""
