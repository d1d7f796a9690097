"""What is logged says no more than it is to, and stays a line."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest

from tests.server.client import Site, serving
from vsr_edge.server import guard
from vsr_edge.server.refusals import log


def test_the_log_says_nothing_of_queries_and_stays_a_line(site: Site, served_archive: Path) -> None:
    def logged(one: Site, as_json: bool) -> str:
        lines = io.StringIO()
        handler = logging.StreamHandler(lines)
        handler.setFormatter(guard.LogLines(as_json))
        guard.log.addHandler(handler)
        guard.log.setLevel(logging.INFO)
        try:
            one.search(query="a very secret wish")
            one.get("/v1/x%0Ainjected%1b[31m?token=hidden")
            while lines.getvalue().count("ms") < 2:  # a line comes when all is sent
                pass
        finally:
            guard.log.removeHandler(handler)
        return lines.getvalue()

    for as_json in (False, True):
        said = logged(site, as_json)
        assert "secret" not in said
        assert "hidden" not in said
        assert len(said.splitlines()) == 2
        assert "\x1b" not in said
    assert sorted(json.loads(line)["status"] for line in said.splitlines()) == [200, 404]
    with serving(served_archive, log_queries=True) as talkative:
        assert "a very secret wish" in logged(talkative, True)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_query_that_is_logged_makes_no_line_of_its_own(
    served_archive: Path, as_json: bool
) -> None:
    query = "a bicycle\nFAKE who=admin\r\x1b[31m\x85\u2028\u2029FAKE"
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(guard.LogLines(as_json))
    with serving(served_archive, log_queries=True) as talkative:
        guard.log.addHandler(handler)
        guard.log.setLevel(logging.INFO)
        try:
            assert talkative.search(query=query, one_shot=True).status == 200
            while "\n" not in lines.getvalue():  # it comes when all is sent
                pass
        finally:
            guard.log.removeHandler(handler)
    (said,) = lines.getvalue().splitlines()
    assert "FAKE" in said
    assert said.isprintable()
    if as_json:
        assert json.loads(said)["query"] == query


def test_an_error_that_is_logged_begins_no_record_of_its_own() -> None:
    try:
        raise ValueError("torn\n2026-01-01 who=admin\x1b[31m")
    except ValueError as error:
        record = log.makeRecord(
            *(log.name, logging.ERROR, __file__, 1, "un\nexpected", ()),
            exc_info=(type(error), error, error.__traceback__),
        )
    first, *rest = guard.LogLines(False).format(record).splitlines()
    assert first.endswith("un\\nexpected")
    assert len(rest) >= 3
    assert all(line.startswith("  ") and line.isprintable() for line in rest)
