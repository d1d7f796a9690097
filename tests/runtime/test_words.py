"""What of a query is not understood is named: other languages, symbols, what is cut off."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from vsr_edge.bundle.locate import find_bundle
from vsr_edge.bundle.model import Bundle
from vsr_edge.runtime.words import read
from vsr_edge.search.explain import notices_about


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    loaded = Tokenizer.from_file(str(find_bundle("lite") / "tokenizer.json"))
    loaded.enable_truncation(16)
    return loaded


@pytest.mark.parametrize(
    "query",
    [
        "a man puts a red box on the shelf",
        "two forklifts and a hoodie in the warehouse",
        "skateboarders grinding, a toddler's stroller, raincoats",
        "a giraffe beside a fire hydrant, zucchini, jet-skis",
        "The CCTV of a café; 2 SUVs don't move",
        "fiancé, façade, naïve",
        "",
        "...",
    ],
)
def test_ordinary_english_is_understood(query: str, bundle: Bundle) -> None:
    assert notices_about(bundle, query) == ()


@pytest.mark.parametrize(
    ("query", "unknown"),
    [
        ("un coche rojo", ("coche", "rojo")),
        ("UN COCHE ROJO", ("COCHE", "ROJO")),
        ("der Hund läuft über die Wiese", ("der", "Hund", "läuft", "Wiese")),
        ("un homme dans la rue", ("dans",)),
        ("een man met een hoed", ("een",)),
        ("en röd bil på vägen", ("bil", "vägen")),
        ("czerwony samochód", ("czerwony", "samochód")),
        ("o mașină roșie", ("mașină",)),
        ("kırmızı araba", ("kırmızı", "araba")),
        ("красная машина", ("красная", "машина")),
        ("赤い車", ("赤い車",)),
        ("빨간 자동차", ("빨간", "자동차")),
        ("سيارة حمراء", ("سيارة", "حمراء")),
        ("लाल गाड़ी", ("लाल", "गाड़ी")),
        ("a red 🚗 on the road", ("🚗",)),
        ("a xqzt and a xqzt", ("xqzt",)),
        ("x" * 10_000, ("x" * 10_000,)),
    ],
)
def test_what_is_no_english_is_named_as_it_was_written(
    query: str, unknown: tuple[str, ...], bundle: Bundle
) -> None:
    assert bundle.read_query(query).unknown == unknown


def test_the_notice_names_the_language_and_the_words(bundle: Bundle) -> None:
    (notice,) = notices_about(bundle, "un coche rojo")
    assert notice.startswith("the model 'lite' reads English, and does not know: coche, rojo.")
    (notice,) = notices_about(bundle, " ".join(f"xqzt{'abcdefghijklmn'[i]}" for i in range(14)))
    assert "xqztl and 2 more" in notice


def test_what_is_beyond_the_encoder_s_length_is_quoted(bundle: Bundle) -> None:
    limit = bundle.manifest.dimensions.max_tokens
    words = ["dog"] * (limit - 2)
    assert bundle.read_query(" ".join(words)).cut == ""
    assert bundle.read_query(" ".join([*words, "red", "car"])).cut == "red car"
    (notice,) = notices_about(bundle, " ".join([*words, "red", "car"]))
    assert notice == "the query is longer than the model 'lite' reads; left out was: red car"
    (notice,) = notices_about(bundle, "dog " * 10_000)
    assert len(notice) < 300


def test_room_that_is_smaller_than_the_tokenizer_s_limit_counts(tokenizer: Tokenizer) -> None:
    assert read(tokenizer, "a b c d e f", 8, None).cut == ""
    assert read(tokenizer, "a b c d e f", 7, None).cut == "f"
    assert read(tokenizer, "a b c d e f " * 3, 7, None).cut.startswith("f a b")


def test_of_an_unknown_language_only_the_tokenizer_is_believed(tokenizer: Tokenizer) -> None:
    assert read(tokenizer, "un coche rojo", 16, None).unknown == ()
    assert read(tokenizer, "un coche rojo 🚗", 16, None).unknown == ("🚗",)
