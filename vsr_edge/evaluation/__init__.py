"""How good is a search: the field's metrics, its file formats, and scores of prediction files.

``metrics`` is arrays in, numbers out; ``formats`` reads and writes files; ``predictions`` scores a
file of predictions against a file of truth. Nothing here runs a search.
"""
