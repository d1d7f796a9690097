"""Indexing over the network: jobs, below the folders that whoever started the server named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path as File
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from vsr_edge.documents import JobDocument, JobsDocument
from vsr_edge.errors import UsageError
from vsr_edge.server.asking import IndexRequest, described, read_body
from vsr_edge.server.caller import needs, served_by, with_body
from vsr_edge.server.indexer import is_below
from vsr_edge.server.refusals import JsonDocument, Refused
from vsr_edge.times import tag_of

router = APIRouter(tags=["index"])
JobId = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]


@router.post(
    "/v1/index",
    response_model=JobDocument,
    status_code=202,
    **with_body(needs("index"), described(IndexRequest)),
)
async def index(request: Request) -> Response:
    """Ask for files and folders to be indexed; the job's document says where it stands."""
    served = served_by(request)
    asked = await read_body(request, IndexRequest)
    paths = [below(path, served.options.roots) for path in asked.paths]
    tags = [tag_of(tag) for tag in asked.tags]
    job = await run_in_threadpool(
        served.jobs.add, list(map(str, paths)), asked.include, asked.exclude, tags
    )
    return JsonDocument(job, 202, {"Location": f"/v1/jobs/{job.id}"})


@router.get("/v1/jobs", response_model=JobsDocument, **needs("index"))
def jobs(request: Request) -> Response:
    """The jobs that are known, the newest first."""
    return JsonDocument(JobsDocument(jobs=served_by(request).jobs.list()))


@router.get("/v1/jobs/{job_id}", response_model=JobDocument, **needs("index"))
def job(request: Request, job_id: JobId) -> Response:
    """Where a job stands."""
    return _answer(job_id, served_by(request).jobs.find(job_id))


@router.delete("/v1/jobs/{job_id}", response_model=JobDocument, **needs("index"))
def cancel(request: Request, job_id: JobId) -> Response:
    """End a job; what it has indexed stays. One that is over stays as it is."""
    return _answer(job_id, served_by(request).jobs.cancel(job_id))


def below(path: str, roots: Sequence[File]) -> File:
    """A path that may be indexed, as `index` names it; where links lead is what counts.

    Raises:
        Refused: it lies outside of the roots, or there are none.
        UsageError: it is no whole path.
    """
    if not roots:
        raise Refused(403, "NoRoots", "nothing may be indexed: serve with --roots FOLDER")
    if "\0" in path or not os.path.isabs(path):  # noqa: PTH117 — never raises
        raise UsageError("name whole paths, such as /srv/cctv/cam1")
    given = File(os.path.abspath(path))  # noqa: PTH100 — as scan does
    try:
        inside = is_below(given, roots)
    except (OSError, RuntimeError) as error:
        raise UsageError("such a path cannot be") from error
    if not inside:
        raise Refused(403, "OutsideRoots", "this lies outside of the folders that may be indexed")
    return given


def _answer(job_id: str, job: JobDocument | None) -> Response:
    if job is None:
        raise Refused(404, "NotFound", f"there is no job {job_id}: /v1/jobs lists them")
    return JsonDocument(job)
