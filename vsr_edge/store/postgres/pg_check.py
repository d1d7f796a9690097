"""Reading all rows once, to name what is wrong before a search stumbles over it."""

from __future__ import annotations

from vsr_edge.store.postgres.pg_connection import Connection
from vsr_edge.store.postgres.pg_rows import fetch
from vsr_edge.store.region_codes import regions_in

_REPAIR = "index these videos again"
_SHOWN = 20


def check_tables(connection: Connection, dim: int) -> list[str]:
    """Problems with what to do about each; an empty list means sound. Inside a transaction.

    The server checks its pages by itself, and that every row belongs to a video.
    """
    problems = [
        f"video {number} ({bytes(path).decode('utf-8', 'replace')}) lacks frames or clips: "
        f"{_REPAIR}"
        for number, path in fetch(
            connection,
            """
            WITH of_frames AS (
                SELECT video_id, count(*) AS frames, max(number) + 1 AS until,
                       count(*) FILTER (WHERE vector <> '') AS whole
                FROM frames GROUP BY video_id
            ), of_clips AS (
                SELECT video_id, count(*) AS clips, max(last_frame) AS last
                FROM clips GROUP BY video_id
            ), of_regions AS (SELECT video_id, count(*) AS regions FROM regions GROUP BY video_id)
            SELECT id, path FROM videos
                 LEFT JOIN of_frames AS f ON f.video_id = id
                 LEFT JOIN of_clips AS c ON c.video_id = id
                 LEFT JOIN of_regions AS r ON r.video_id = id
            WHERE frame_count IS DISTINCT FROM f.frames OR frame_count IS DISTINCT FROM f.until
               OR clip_count IS DISTINCT FROM c.clips OR c.last >= frame_count
               OR (region_count > 0 AND f.whole IS DISTINCT FROM r.regions)
            ORDER BY id LIMIT %s
            """,
            [_SHOWN],
        )
    ]
    unfit = [
        ("frames", number)
        for (number,) in fetch(
            connection,
            "SELECT DISTINCT video_id FROM frames WHERE octet_length(vector) <> 2 * %s"
            " AND (number = 0 OR vector <> '') ORDER BY 1 LIMIT %s",
            [dim, _SHOWN],
        )
    ]
    unfit += [
        ("regions", number)
        for number, count, size, first in fetch(
            connection,
            "SELECT DISTINCT video_id, region_count, octet_length(vectors),"
            " CASE WHEN mod(octet_length(vectors), 2) = 1 THEN get_byte(vectors, 0) ELSE 0 END"
            " FROM regions JOIN videos ON videos.id = video_id ORDER BY 1",
        )
        if regions_in(size, first, dim) != count
    ]
    # Rows of a video may be unfit in several ways.
    problems += [
        f"vectors in {table} of video {number} are unfit: {_REPAIR}"
        for table, number in dict.fromkeys(unfit)
    ]
    ((unlike,),) = fetch(
        connection,
        "SELECT count(*) FROM texts WHERE passages <> (SELECT count(*) FROM cues"
        " WHERE cues.video_id = texts.video_id AND cues.source = texts.source)",
    )
    if unlike:
        problems.append(f"words of {unlike} videos are missing: {_REPAIR}")
    return problems[:_SHOWN]
