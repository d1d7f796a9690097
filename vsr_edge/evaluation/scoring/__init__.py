"""Whole score tables, each by the rules of one evaluator: records in, a JSON-ready dict out."""
