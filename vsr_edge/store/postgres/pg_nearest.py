"""Which vectors are nearest, asked of pgvector.

Every vector is compared as long as that takes less than a search may; beyond it a graph (HNSW) is
walked, whose scan goes on until enough of what a filter lets through was found. pgvector ends it
early where it runs out of memory or of tuples: then every vector is compared after all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vsr_edge.store.kept import Kept
from vsr_edge.store.postgres.pg_connection import Connection
from vsr_edge.store.postgres.pg_rows import fetch
from vsr_edge.store.postgres.pg_writer import ServerConnection
from vsr_edge.store.rows import CLIP_COLUMNS
from vsr_edge.types import Vectors

# So many clips are compared one by one. Not measured at that size yet, nor what the graph misses.
EXACT_CLIPS = 200_000
# How many places the graph's walk keeps in view: the more, the fewer it misses.
_IN_VIEW = 400
# As in vsr_edge/store/nearest.py: the query is rounded to float16, so that clips closer than this
# to the last place are all candidates.
_MARGIN = 1.2e-3
_SPARE = 32
_GRAPH = "clips_nearest"


def nearest_rows(
    connection: Connection, query: Vectors, k: int, kept: Kept | None
) -> list[tuple[Any, ...]]:
    """Rows of ``CLIP_COLUMNS`` and the vector that the ``k`` nearest are surely among, where all
    are compared."""
    wide = query.astype(np.float64)
    scaled = (wide / (np.linalg.norm(wide) or 1.0)).astype(np.float16)
    literal = "[" + ",".join(map(str, scaled.astype(np.float64).tolist())) + "]"
    condition, parameters, graph = "", [], False
    if kept is not None and not kept.everything:
        condition = "WHERE video_id = ANY(%s::bigint[]) OR id = ANY(%s::bigint[])"
        parameters = [kept.videos.tolist(), kept.clips.tolist()]
        if not parameters[0] and not parameters[1]:
            return []
    clips = _count(connection, kept)
    if clips > EXACT_CLIPS and _has_graph(connection):
        graph = True
        connection.execute("SET LOCAL hnsw.iterative_scan = strict_order")
        connection.execute("SET LOCAL hnsw.max_scan_tuples = 2000000000")
        connection.execute(f"SET LOCAL hnsw.ef_search = {min(max(_IN_VIEW, 2 * k), 1000)}")
    count = k + _SPARE
    while True:
        # An order by a sum is no order of the graph.
        order = "vector <#> %s::halfvec" if graph else "(vector <#> %s::halfvec) + 0"
        rows = fetch(
            connection,
            f"SELECT {CLIP_COLUMNS}, vector, vector <#> %s::halfvec AS away FROM clips {condition}"
            f" ORDER BY {order} LIMIT %s",
            [literal, *parameters, literal, count],
        )
        if graph and len(rows) < min(count, clips):
            graph = False
            continue
        if graph or len(rows) < count or rows[-1][-1] > rows[k - 1][-1] + _MARGIN:
            return [row[:-1] for row in rows]
        # Among others, which were not asked for, may be some within the margin.
        count *= 4


def _count(connection: Connection, kept: Kept | None) -> int:
    condition, parameters = "", []
    if kept is not None and not kept.everything:
        condition, parameters = "WHERE id = ANY(%s::bigint[])", [kept.videos.tolist()]
    ((clips,),) = fetch(
        connection,
        f"SELECT coalesce(sum(clip_count), 0)::bigint FROM videos {condition}",
        parameters,
    )
    return int(clips)


def _has_graph(connection: Connection) -> bool:
    return bool(fetch(connection, f"SELECT to_regclass('{_GRAPH}') IS NOT NULL")[0][0])


def build_graph(connection: ServerConnection) -> None:
    """Make the graph where there are enough clips for it; from then on each clip joins it."""

    def build(connected: Connection) -> None:
        if _count(connected, None) <= EXACT_CLIPS or _has_graph(connected):
            return
        # Other writers wait for this, which takes minutes.
        connected.execute("SET LOCAL maintenance_work_mem = '1GB'")
        connected.execute(
            f"CREATE INDEX IF NOT EXISTS {_GRAPH} ON clips"
            " USING hnsw (vector halfvec_ip_ops) WITH (m = 16, ef_construction = 64)"
        )

    connection.run(build)
