"""Rows and vectors; knows no model. The other rooms use ``vsr_edge.store.base`` alone."""
