"""The report opens in a real browser: no errors, nothing fetched, every picture there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.e2e.command import run, succeed
from vsr_edge.evaluation.benchmarks import write_queries
from vsr_edge.evaluation.records import Query

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
QUERIES = (
    Query(1, "a bicycle & a <b>wall</b>", "bikes.mp4", ((0.1, 0.2),)),
    Query(2, "a rabbit standing on grass", "bikes.mp4", ((1.0, 2.0),)),
    Query(3, "a man with a bow tie", "carphone_pristine", ((0.0, 99.0),)),
    Query(4, "a ship", "elsewhere.mp4", ((0.0, 1.0),)),
    Query(5, "an elephant in a river", None, ()),
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, demo_archive: Path) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_queries(folder / "queries.jsonl", QUERIES, "jsonl")
    page = folder / "report.html"
    succeed("eval", folder / "queries.jsonl", "--archive", demo_archive, "--report", page)
    return page


def test_it_holds_the_figures_the_curves_and_the_worst_queries(report: Path) -> None:
    text = report.read_text("utf-8")
    assert "a bicycle &amp; a &lt;b&gt;wall&lt;/b&gt;" in text
    assert "no picture: the file could not be read" in text  # elsewhere.mp4
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "a ship" in text
    assert "mean IoU in the right video" in text
    assert "at most 3 turns of 16 candidates" in text
    assert "None" not in text
    # What answers are ranked by is called as `search` calls it, and the IoU of "worst" is named.
    assert "1. match " in text
    assert "score 0." not in text
    assert "the right moment (IoU at least 0.5): not among the first 100" in text
    assert "another video" in text


def test_recall_and_ranks_go_as_far_as_moments_were_asked_for(
    tmp_path: Path, demo_archive: Path
) -> None:
    write_queries(tmp_path / "q.jsonl", QUERIES, "jsonl")
    page, options = tmp_path / "r.html", ("--archive", demo_archive, "--top-k", "2", "--one-shot")
    succeed("eval", tmp_path / "q.jsonl", *options, "--report", page)
    text = page.read_text("utf-8")
    assert "R@1<" in text
    assert "R@5" not in text
    assert "not among the first 2;" in text
    assert "1. score 0." in text  # nothing was verified


def test_a_browser_shows_all_of_it(report: Path, tmp_path: Path) -> None:
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    from playwright.sync_api import sync_playwright

    trouble: list[str] = []
    fetched: list[str] = []
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=list(QUIET))
        page = opened.new_page()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: fetched.append(request.url))
        page.goto(report.as_uri())
        images = page.evaluate("[...document.images].map(i => [i.alt, i.complete, i.naturalWidth])")
        page.screenshot(path=tmp_path / "report.png", full_page=True)
        wide = {}
        for width in (1280, 420):
            page.set_viewport_size({"width": width, "height": 900})
            wide[width] = page.evaluate(
                "Math.max(document.documentElement.scrollWidth, "
                "...[...document.querySelectorAll('table')].map(t => t.offsetWidth + 28))"
            )
        opened.close()
    assert trouble == []
    assert [url for url in fetched if not url.startswith(("data:", "file:"))] == []
    assert {"Recall", "Risk and coverage", "Latency", "right"} <= {alt for alt, _, _ in images}
    assert len(images) >= 10
    assert wide[1280] <= 1280
    assert wide[420] <= 420
    assert all(complete and width > 0 for _, complete, width in images)


def test_queries_that_are_all_absent_make_a_report_too(tmp_path: Path, demo_archive: Path) -> None:
    write_queries(tmp_path / "q.jsonl", QUERIES[-1:], "jsonl")
    page = tmp_path / "r.html"
    succeed("eval", tmp_path / "q.jsonl", "--archive", demo_archive, "--report", page)
    assert "Every query was answered rightly" in page.read_text("utf-8")
    # A wrong "match" is shown where every query is absent, too.
    there = Query(6, "a man with a bow tie in a car", None, ())
    write_queries(tmp_path / "q.jsonl", [there], "jsonl")
    succeed("eval", tmp_path / "q.jsonl", "--archive", demo_archive, "--report", page)
    text = page.read_text("utf-8")
    assert "Every query" not in text
    assert "no video shows it; the verdict: match" in text


def test_a_report_that_cannot_be_written_is_an_error(tmp_path: Path, demo_archive: Path) -> None:
    write_queries(tmp_path / "q.jsonl", QUERIES[:1], "jsonl")
    gone = tmp_path / "no" / "r.html"
    done = run("eval", tmp_path / "q.jsonl", "--archive", demo_archive, "--report", gone)
    assert done.code == 1
    assert str(gone) in done.err
