"""What the encoder knows: swapped words, accuracy, AUC, and the table, on a few photos."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from models import diagnostics
from models.data.attributes import GROUPS, swaps
from models.diagnostics import (
    Comparison,
    Statement,
    by_attribute,
    by_relation,
    neighbours,
    read_comparisons,
    read_statements,
    relation_of,
    table,
    won,
)
from tests.models.captioned import write_photos


def swapped(caption: str, *others: str, group: str) -> dict[str, str]:
    return {s.other: s.text for s in swaps(caption, [caption, *others]) if s.group == group}


def test_a_word_is_swapped_for_the_others_of_its_group() -> None:
    texts = swapped("Two dogs run to a man .", group="counts")
    assert texts == {
        "three": "Three dogs run to a man .",
        "four": "Four dogs run to a man .",
        "five": "Five dogs run to a man .",
        "six": "Six dogs run to a man .",
    }
    assert "cats" in swapped("Two dogs run to a man .", group="animals")


def test_a_word_keeps_its_form_and_gets_its_article() -> None:
    assert swapped("two dogs run", group="animals")["sheep"] == "two sheep run"
    assert swapped("two dogs run", group="animals")["cats"] == "two cats run"
    assert swapped("a dog runs", group="animals")["elephant"] == "an elephant runs"
    assert swapped("An orange hat", group="colours")["red"] == "A red hat"
    assert swapped("a suit", group="clothes")["uniform"] == "a uniform"
    assert "shorts" not in swapped("a shirt", group="clothes")
    assert swapped("a man's red shirts", group="clothes")["shorts"] == "a man's red shorts"


def test_what_a_caption_of_the_photo_says_is_no_false_word() -> None:
    words = swapped("a man in a red shirt", "someone in dark blue and silver", group="colours")
    assert words.keys().isdisjoint({"red", "blue", "black", "grey"})
    assert {"green", "white"} <= words.keys()
    assert swapped("a man and a boy", "two kids", group="people").keys() == {"woman"}


def test_both_spellings_of_grey_are_one_colour() -> None:
    assert "grey" not in swapped("a gray cat", group="colours")
    assert "gray" not in swapped("a red cat", group="colours")


def test_a_word_within_another_is_left_alone() -> None:
    assert list(swaps("a well-dressed reddest t-shirt", ["a well-dressed reddest t-shirt"])) == []
    assert swapped("a man, another man", group="people") == {
        "woman": "a man, another woman",
        "boy": "a man, another boy",
        "girl": "a man, another girl",
    }


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_has_no_word_twice_in_one_place(group: str) -> None:
    for forms in zip(*(a.forms + (None,) * (2 - len(a.forms)) for a in GROUPS[group]), strict=True):
        known = [form for form in forms if form is not None]
        assert len(known) == len(set(known))


def comparison(photo: str, word: str, other: str, source: str = "a") -> Comparison:
    return Comparison(source, Path(photo), "colours", word, other, word, other)


def test_accuracy_is_of_a_group_its_sources_and_its_swaps() -> None:
    rows = [comparison("1", "red", "blue")] * 12 + [comparison("2", "red", "pink", "b")] * 4
    wins = np.array([1.0] * 9 + [0.0] * 3 + [0.5] * 4)
    figure = by_attribute(rows, wins, np.ones(16))["colours"]
    assert figure["elsewhere"] == 100.0
    assert (figure["pairs"], figure["photos"], figure["estimate"]) == (16, 2, 68.8)
    assert figure["interval"] == [50.0, 75.0]
    assert {name: part["estimate"] for name, part in figure["sources"].items()} == {
        "a": 75.0,
        "b": 50.0,
    }
    assert figure["swaps"] == {"red > blue": {"pairs": 12, "estimate": 75.0}}
    assert won(np.array([2.0, 1, 1]), np.array([1.0, 1, 2])).tolist() == [1, 0.5, 0]


def test_elsewhere_is_the_next_photo_of_the_same_source() -> None:
    rows = [comparison(name, "red", "blue", name[0]) for name in ("a1", "b1", "a2", "a1", "a3")]
    beside = {str(photo): str(other) for photo, other in neighbours(rows).items()}
    assert beside == {"a1": "a2", "a2": "a3", "a3": "a1", "b1": "b1"}


def test_relations_are_read_from_statements() -> None:
    assert relation_of("The cat is at the right side of the potted plant.") == (
        "at the right side of"
    )
    assert relation_of("The dining table is far away from the cat.") == "far away from"
    assert relation_of("The car contains the dog.") == "contains"
    assert relation_of("A dog.") == ""


def test_auc_is_of_all_statements_and_of_one_relation() -> None:
    kinds = ["on"] * 8 + ["under"] * 8
    true = [i % 2 == 0 for i in range(16)]
    rows = [
        Statement(Path(str(i // 4)), "", kind, is_true)
        for i, (kind, is_true) in enumerate(zip(kinds, true, strict=True))
    ]
    # Within a relation every true statement scores higher; "under" scores higher than "on".
    scores = np.array([2.0 * (kind == "under") + t for kind, t in zip(kinds, true, strict=True)])
    figures = by_relation(rows, scores)
    assert (figures["relations, any two"]["estimate"], figures["relations, any two"]["pairs"]) == (
        75.0,
        64,
    )
    of_one_kind = figures["relations, of one kind"]
    assert (of_one_kind["estimate"], of_one_kind["pairs"]) == (100.0, 32)
    assert of_one_kind["kinds"]["on"] == {"pairs": 16, "estimate": 100.0}
    # Drawn unevenly, the photos have more pairs of one relation, never fewer.
    low, high = figures["relations, any two"]["interval"]
    assert low == 75.0 < high <= 100.0
    assert by_relation(rows[::2], scores[::2]) == {}


def write_statements(folder: Path) -> Path:
    write_photos(folder)
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption", "true"])
        rows.writerow(["coffee.png", "The cup is on the table.", 1])
        rows.writerow(["coffee.png", "The spoon is under the table.", 0])
        rows.writerow(["rocket.png", "The rocket is on the pad.", 1])
        rows.writerow(["moon.png", "The cat is on the pad.", 0])
    return folder


def test_the_shipped_encoder_is_diagnosed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, statements = tmp_path / "photos", write_statements(tmp_path / "statements")
    write_photos(photos)
    asked = list(read_comparisons(photos, "test"))
    assert {c.group for c in asked} >= {"colours", "people", "animals"}
    fewer = list(read_comparisons(photos, "test", most=1))
    assert set(fewer) < set(asked)
    assert {(c.true, c.group, c.word) for c in fewer} == {(c.true, c.group, c.word) for c in asked}
    assert len(fewer) == len({(c.true, c.group, c.word) for c in asked})
    out = tmp_path / "report.json"
    arguments = ["--bundle", "lite", "--data", str(photos), str(statements), "--split", "test"]
    monkeypatch.setattr(sys, "argv", ["diagnostics", *arguments, "--out", str(out)])
    diagnostics.main()
    report = json.loads(out.read_text("utf-8"))["lite"]
    assert sum(report[group]["pairs"] for group in GROUPS if group in report) == len(asked)
    assert report["animals"]["estimate"] > 50
    assert report["relations, any two"]["pairs"] == 4
    assert report["relations, of one kind"]["pairs"] == 2
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["pairs", "photos", "lite", "elsewhere"]
    assert report["animals"]["elsewhere"] < report["animals"]["estimate"]
    assert any(line.startswith("relations, of one kind") for line in shown)


def test_bundles_stand_side_by_side_and_sources_under_their_group() -> None:
    rows = [comparison("1", "red", "blue"), comparison("2", "red", "pink", "b")]
    first, second = (
        by_attribute(rows, np.array(wins), np.zeros(2)) for wins in ([1.0, 1.0], [1.0, 0.0])
    )
    lines = table({"runs/one": first, "two": second}).splitlines()
    assert lines[0].split() == ["pairs", "photos", "one", "elsewhere", "two", "elsewhere"]
    assert lines[1].split("  ")[0] == "colours"
    assert "100.0 (100.0 to 100.0)" in lines[1]
    assert "50.0 (0.0 to 100.0)" in lines[1]
    assert [line.split()[0] for line in lines[2:]] == ["a", "b"]


def test_a_statement_that_is_neither_true_nor_false_is_refused(tmp_path: Path) -> None:
    folder = write_statements(tmp_path / "statements")
    with (folder / "captions.csv").open("a", encoding="utf-8") as file:
        file.write("moon.png,The moon is on the table.,perhaps\n")
    with pytest.raises(ValueError, match="'perhaps'"):
        list(read_statements(folder))
