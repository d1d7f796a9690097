"""How good is a search: the field's metrics, its file formats, and scores.

``metrics`` and ``bootstrap`` are arrays in, numbers out; ``benchmarks`` reads and writes files into
``records``; ``field_scores`` (by the field's evaluators) and ``archive_scores`` (our own) make
tables of records; ``predictions`` scores files, ``evaluate`` runs queries through a search, and
``figures`` and ``report`` put it all into words for people.
"""
