"""Truth files: what each format says, written again the same, and refused with its line."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.samples import (
    ACTIVITYNET,
    DIDEMO,
    FOUR_ANNOTATORS,
    OWN,
    QUERIES,
    QVHIGHLIGHTS,
    TVR,
    VERIFIED,
    put,
)
from vsr_edge.errors import UsageError
from vsr_edge.evaluation.benchmarks import FormatError, read_queries, write_queries
from vsr_edge.evaluation.records import Query, is_video


@pytest.mark.parametrize("form", QUERIES)
def test_what_is_written_reads_as_it_was(form: str, tmp_path: Path) -> None:
    queries = read_queries(put(tmp_path, "first", QUERIES[form]), form)
    write_queries(tmp_path / "second", queries, form)
    assert read_queries(tmp_path / "second", form) == queries


def test_tvr(tmp_path: Path) -> None:
    query = read_queries(put(tmp_path, "q", TVR), "tvr")[0]
    assert (query.qid, query.query, query.video) == (
        1,
        "House sits down.",
        "house_s01e01_seg02_clip_00",
    )
    assert (query.spans, query.duration, query.query_type) == (((10.0, 20.5),), 60.2, "v")
    assert query.agreement == 1


def test_four_annotators_in_tvrs_form(tmp_path: Path) -> None:
    queries = read_queries(put(tmp_path, "q", FOUR_ANNOTATORS), "tvr")
    assert [query.agreement for query in queries] == [2, 2]
    assert queries[0].spans == ((0, 5), (0, 5), (5, 10), (20, 25))
    write_queries(tmp_path / "again", queries, "tvr")
    assert read_queries(tmp_path / "again", "tvr") == queries
    write_queries(tmp_path / "own", queries, "jsonl")
    assert read_queries(tmp_path / "own", "jsonl")[0].agreement == 2


def test_qvhighlights(tmp_path: Path) -> None:
    query = read_queries(put(tmp_path, "q", QVHIGHLIGHTS), "qvhighlights")[0]
    assert query.spans == ((0, 4), (10, 12))
    assert query.saliency == {0: (4, 4, 3), 1: (2, 3, 1), 5: (1, 4, 4)}
    assert query.agreement == 1


def test_verified(tmp_path: Path) -> None:
    query = read_queries(put(tmp_path, "q", VERIFIED), "verified")[1]
    assert query.query == "A person puts a red cup into a box."
    assert query.spans == ((35.0, 40.0),)
    assert query.extra == {"cog_desc": "a person fills a box.", "fig_desc_score": 0.55}


def test_own(tmp_path: Path) -> None:
    queries = read_queries(put(tmp_path, "q", OWN), "jsonl")
    assert [query.present for query in queries] == [True, True, False, False]
    assert queries[0].spans == ((14.5, 18.5), (20.0, 22.0))
    assert queries[1].spans == ((0.0, 10.0),)
    assert queries[3].extra == {"note": "kept"}


def test_activitynet(tmp_path: Path) -> None:
    queries = read_queries(put(tmp_path, "q", ACTIVITYNET), "activitynet")
    assert [query.qid for query in queries] == [0, 1, 2]
    assert queries[1] == Query(1, "She looks up.", "v_one", ((17.37, 60.81),), duration=82.73)
    assert queries[2].spans == ((0.0, 12.0),)


def test_didemo(tmp_path: Path) -> None:
    query = read_queries(put(tmp_path, "q", DIDEMO), "didemo")[0]
    assert query.spans == ((0, 5), (5, 15), (5, 10), (5, 10))
    assert query.agreement == 2


def test_charades(tmp_path: Path) -> None:
    queries = read_queries(put(tmp_path, "q", QUERIES["charades-sta"]), "charades-sta")
    assert queries[1] == Query(1, "a person is putting a book on a shelf.", "AO8RW", ((0.0, 6.9),))


@pytest.mark.parametrize(
    ("form", "line", "text", "message"),
    [
        ("tvr", 2, TVR.splitlines()[0] + "\n{oops}", "not JSON"),
        ("tvr", 2, TVR.splitlines()[0] + "\n[1]", "an object"),
        ("tvr", 1, TVR.replace('"desc_id": 1', '"id": 1'), '"desc_id" is missing'),
        ("tvr", 4, TVR.replace("[40, 60]", "[60, 40]"), "ends before it starts"),
        ("tvr", 4, TVR.replace("[40, 60]", "[40]"), r"\[start, end\]"),
        ("tvr", 3, TVR.replace('"desc_id": 3', '"desc_id": 1'), "came before"),
        ("tvr", 1, TVR.replace("60.2", '"long"', 1), '"duration" must be a number'),
        ("tvr", 1, TVR.replace("20.5", "NaN"), "finite"),
        ("tvr", 1, TVR.replace("20.5", "1" + "0" * 400), "finite"),
        (
            "tvr",
            1,
            TVR.replace('"desc_id": 1,', "").replace('"desc_id": 1', '"desc_id": 1.5'),
            "de",
        ),
        ("tvr", 1, "\n\n", "holds no queries"),
        ("tvr", 1, "[" * 100_000, "not JSON"),
        ("qvhighlights", 2, QVHIGHLIGHTS.replace("[[4, 36]]", "[]"), "is empty"),
        ("qvhighlights", 1, QVHIGHLIGHTS.replace("[0, 1, 5]", "[0, 1]"), "three scores for each"),
        ("qvhighlights", 1, QVHIGHLIGHTS.replace("[0, 1, 5]", "[0, 1, 10]"), "has 10 clips"),
        ("qvhighlights", 1, QVHIGHLIGHTS.replace("[4, 4, 3]", "[4, 4]"), "one length"),
        ("verified", 1, VERIFIED.replace('"time"', '"times"', 1), '"time" is missing'),
        ("jsonl", 1, OWN.replace('"samples/cars.mp4"', "null"), "must be empty"),
        ("jsonl", 1, OWN.replace('"samples/cars.mp4"', '" "'), "or null"),
        ("jsonl", 2, OWN.replace("[[0, 99]]", "[]"), "at least one"),
        ("jsonl", 1, OWN.replace('"video": "samples/cars.mp4", ', ""), '"video" is missing'),
        ("activitynet", 2, ACTIVITYNET.replace(', "She looks up."', ""), "2 timestamps for 1"),
        ("activitynet", 4, ACTIVITYNET.replace("[0, 12]", "[0]"), r"\[start, end\]"),
        ("activitynet", 5, ACTIVITYNET.rstrip()[:-1], "end of the file"),
        ("activitynet", 6, ACTIVITYNET + "{}", "goes on"),
        ("activitynet", 1, "[]", '"{" is needed'),
        ("didemo", 4, DIDEMO.replace("[[5, 5], [5, 5], [4, 5], [5, 5]]", "[]"), "is empty"),
        ("didemo", 2, DIDEMO.replace("[0, 0]", "[0.5, 1]"), "numbers of pieces"),
        ("didemo", 4, DIDEMO.replace('"annotation_id": 6', '"annotation_id": 5'), "came before"),
        ("charades-sta", 2, "A 1 2##x\nA 1 2 x\n", "not of the form"),
        ("charades-sta", 1, "A one 2##x\n", "no times"),
        ("charades-sta", 1, "A 3 2##x\n", "ends before"),
    ],
)
def test_a_malformed_row_is_refused_with_its_file_and_line(
    form: str, line: int, text: str, message: str, tmp_path: Path
) -> None:
    path = put(tmp_path, "truth", text)
    with pytest.raises(FormatError, match=message) as caught:
        read_queries(path, form)
    assert caught.value.path == path
    assert caught.value.line == line
    assert str(caught.value).startswith(f"{path}, line {line}: ")


@pytest.mark.parametrize("form", QUERIES)
@given(cut=st.integers(0, 400), junk=st.sampled_from(["", "{", "]", '"', "\x00", "null", "#", "9"]))
def test_damage_is_a_format_error_or_still_a_file(
    form: str, cut: int, junk: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = QUERIES[form]
    path = put(
        tmp_path_factory.getbasetemp(), f"damaged-{form}", text[:cut] + junk + text[cut + 1 :]
    )
    with contextlib.suppress(FormatError):
        assert read_queries(path, form)


def test_files_that_cannot_be_opened_and_formats_that_are_not_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_queries(tmp_path / "missing", "tvr")
    with pytest.raises(UsageError, match="cannot be read"):
        read_queries(tmp_path, "tvr")
    with pytest.raises(UsageError, match="there is tvr, qvhighlights"):
        read_queries(tmp_path / "missing", "coco")
    (tmp_path / "latin").write_bytes(b"\n{\xff}")
    with pytest.raises(FormatError, match="line 2: not a text file"):
        read_queries(tmp_path / "latin", "tvr")
    with pytest.raises(UsageError, match="cannot be written"):
        write_queries(tmp_path / "no" / "folder", [], "tvr")


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    (tmp_path / "q").write_bytes(b"\xef\xbb\xbf" + OWN.replace("\n", "\r\n").encode())
    assert len(read_queries(tmp_path / "q", "jsonl")) == 4


several = Query("q", "x", "v", ((0.0, 5.0), (10.0, 15.0)), duration=20.0)
absent = Query("q", "x", None, ())


@pytest.mark.parametrize("form", sorted(set(QUERIES) - {"jsonl"}))
def test_an_absent_video_is_refused_where_the_format_has_no_word_for_it(
    form: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="cannot hold"):
        write_queries(tmp_path / "out", [absent], form)


@pytest.mark.parametrize("form", ["tvr", "verified", "activitynet", "didemo", "charades-sta"])
def test_several_moments_are_refused_where_the_format_holds_one(form: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 spans"):
        write_queries(tmp_path / "out", [several], form)


def test_a_file_name_that_is_no_unicode_survives(tmp_path: Path) -> None:
    query = Query("q", "x", "caf\udce9.mp4", ((0.0, 1.0),))
    write_queries(tmp_path / "out", [query], "jsonl")
    assert read_queries(tmp_path / "out", "jsonl") == (query,)


@pytest.mark.parametrize(
    ("name", "found", "same"),
    [
        ("samples/cars.mp4", "/data/samples/cars.mp4", True),
        ("./samples/cars.mp4", "/data/samples/cars.mp4", True),
        ("cars.mp4", "C:\\data\\cars.mp4", True),
        ("TAQ25", "/data/TAQ25.mp4", True),
        ("x_60.0_210.0", "/data/x_60.0_210.0.mp4", True),
        ("/data/a.mp4", "/data/a.mp4", True),
        ("cars.mp4", "/data/oldcars.mp4", False),
        ("samples/cars.mp4", "cars.mp4", False),
        ("cars.mp4", "/data/cars.mkv", False),
        ("x_60.0_210.0", "x_60.0_360.0", False),
    ],
)
def test_a_video_is_known_by_the_ending_of_its_path(name: str, found: str, same: bool) -> None:
    assert is_video(name, found) is same
