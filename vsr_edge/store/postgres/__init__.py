"""An archive on a PostgreSQL server with pgvector; what opens it is ``vsr_edge.store``."""
