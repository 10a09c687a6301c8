"""MongoDB's BSON conformance corpus: every valid case passes unchanged, every broken one is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.documents import Kind, append, element, elements, index, remove, runs, validate
from kit.errors import BsonError
from kit.values import Limits

CORPUS = Path(__file__).parents[2].parent / "shared/data/bson-corpus"
LIMITS = Limits()

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is kept outside the project")


def _files() -> Iterator[tuple[str, dict[str, list[dict[str, str]]]]]:
    for path in sorted(CORPUS.glob("*.json")):
        yield path.stem, json.loads(path.read_text(encoding="utf-8"))


FILES = dict(_files())
VALID = {
    stem: {
        f"{case['description']}: {form}": bytes.fromhex(case[form])
        for case in file.get("valid", [])
        for form in ("canonical_bson", "degenerate_bson", "converted_bson")
        if form in case
    }
    for stem, file in FILES.items()
}
BROKEN = {
    stem: {case["description"]: bytes.fromhex(case["bson"]) for case in file.get("decodeErrors", [])}
    for stem, file in FILES.items()
}
every_file = pytest.mark.parametrize("stem", FILES)


@contextmanager
def named(description: str) -> Iterator[None]:
    """Name a case where it fails: a file of them is one test."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"case: {description}")
        raise


def test_the_corpus_is_as_large_as_it_was_when_this_was_written() -> None:
    assert sum(map(len, VALID.values())) >= 728
    assert sum(map(len, BROKEN.values())) >= 75


@every_file
def test_valid_documents_validate(stem: str) -> None:
    for description, document in VALID[stem].items():
        with named(description):
            validate(document, limits=LIMITS)


@every_file
def test_valid_documents_pass_framing_unchanged(stem: str) -> None:
    for description, document in VALID[stem].items():
        with named(description):
            (run,) = runs([document] * 3, limits=LIMITS)
            assert list(run) == [document] * 3


@every_file
def test_an_appended_element_can_be_stripped_again(stem: str) -> None:
    for description, document in VALID[stem].items():
        with named(description):
            longer = append(document, element("rawLinkset", Kind.DOCUMENT, document))
            validate(longer, limits=LIMITS)
            assert remove(longer, ["rawLinkset"]) == document


@every_file
def test_index_and_elements_agree_about_valid_documents(stem: str) -> None:
    for description, document in VALID[stem].items():
        with named(description):
            walked = list(elements(document))
            if len({met.name for met in walked}) == len(walked):
                assert index(document) == {met.name: (met.kind, met.value, met.end) for met in walked}
            else:
                with pytest.raises(BsonError, match="repeated element name"):
                    index(document)


@every_file
def test_broken_documents_are_refused(stem: str) -> None:
    for description, document in BROKEN[stem].items():
        with named(description), pytest.raises(BsonError):
            validate(document, limits=LIMITS)
