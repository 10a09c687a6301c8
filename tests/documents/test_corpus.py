"""MongoDB's BSON conformance corpus: every valid case passes unchanged, every broken one is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
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


VALID = [
    pytest.param(bytes.fromhex(case[form]), id=f"{stem}: {case['description']}: {form}")
    for stem, file in _files()
    for case in file.get("valid", [])
    for form in ("canonical_bson", "degenerate_bson", "converted_bson")
    if form in case
]
BROKEN = [
    pytest.param(bytes.fromhex(case["bson"]), id=f"{stem}: {case['description']}")
    for stem, file in _files()
    for case in file.get("decodeErrors", [])
]


def test_the_corpus_is_as_large_as_it_was_when_this_was_written() -> None:
    assert len(VALID) >= 728
    assert len(BROKEN) >= 75


@pytest.mark.parametrize("document", VALID)
def test_a_valid_document_validates(document: bytes) -> None:
    validate(document, limits=LIMITS)


@pytest.mark.parametrize("document", VALID)
def test_a_valid_document_passes_framing_unchanged(document: bytes) -> None:
    (run,) = runs([document] * 3, limits=LIMITS)
    assert list(run) == [document] * 3


@pytest.mark.parametrize("document", VALID)
def test_an_appended_element_can_be_stripped_again(document: bytes) -> None:
    longer = append(document, element("rawLinkset", Kind.DOCUMENT, document))
    validate(longer, limits=LIMITS)
    assert remove(longer, ["rawLinkset"]) == document


@pytest.mark.parametrize("document", VALID)
def test_index_and_elements_agree_about_a_valid_document(document: bytes) -> None:
    walked = list(elements(document))
    if len({met.name for met in walked}) == len(walked):
        assert index(document) == {met.name: (met.kind, met.value, met.end) for met in walked}
    else:
        with pytest.raises(BsonError, match="repeated element name"):
            index(document)


@pytest.mark.parametrize("document", BROKEN)
def test_a_broken_document_is_refused(document: bytes) -> None:
    with pytest.raises(BsonError):
        validate(document, limits=LIMITS)
