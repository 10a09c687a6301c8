"""By which names a document is found, and by which it is not."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from hypothesis import given, strategies as st

from kit.documents import Run
from kit.verbs.find import EVERYTHING, NEAR, By, Query, find_run, is_part, match_of
from tests.kits import observation

OID = "65a000000000000000000001"
PURLS = ["pkg:golang/example.com/y@1", "pkg:npm/%40scope/x@2?a=b#c"]
DOCUMENT = observation(7, "globex", linkset={"aliases": ["CVE-2020-1", "ghsa-x"], "purls": PURLS, "cpes": []})
NAME = DOCUMENT["upstream"]["upstreamId"]
"""GO-2025-0007."""


def found_by(text: str, document: Any = DOCUMENT, by: frozenset[By] = EVERYTHING) -> tuple[By, ...]:
    match = match_of(Query(text=text, by=by), bson.encode(document))
    return match.by if match is not None else ()


def run_of(*documents: Any) -> Run:
    return Run.of(map(bson.encode, documents))


@pytest.mark.parametrize(
    ("text", "by"),
    [
        (f"globex:osv:{NAME}:1", (By.ID,)),
        (f"GLOBEX:OSV:{NAME}:1", (By.ID,)),
        (f"{NAME}:1", (By.ID,)),
        (f":{NAME}:1", (By.ID,)),
        ("globex", (By.ID,)),
        (NAME, (By.ID, By.UPSTREAM_ID)),
        (NAME.lower(), (By.ID, By.UPSTREAM_ID)),
        (NAME[:-1], ()),
        (NAME[1:], ()),
        ("GO-2025", ()),
        ("cve-2020-1", (By.ALIAS,)),
        ("CVE-2020", ()),
        ("CVE-2020-10", ()),
        ("GHSA-X", (By.ALIAS,)),
        ("pkg:golang/example.com/y", (By.PURL,)),
        ("pkg:golang/example.com/y@1", (By.PURL,)),
        ("pkg:golang/example.com", ()),
        ("pkg:npm/%40scope/x@2", (By.PURL,)),
        ("pkg:npm/%40scope/x@2?a=b", (By.PURL,)),
        ("example.com/y", ()),
        (f"acme:osv:{NAME}:2", ()),
    ],
)
def test_the_names_of_a_document(text: str, by: tuple[By, ...]) -> None:
    assert found_by(text) == by


def test_the_id_of_another_tenant_or_revision_is_near() -> None:
    assert found_by(f"acme:osv:{NAME}:2", by=NEAR) == (By.PART,)
    assert found_by(f"acme:osv:{NAME}1:2", by=NEAR) == ()
    assert found_by(NAME, by=NEAR) == (By.ID, By.UPSTREAM_ID)


@pytest.mark.parametrize(
    ("identity", "text"),
    [(bson.ObjectId(OID), OID), (bson.ObjectId(OID), OID.upper()), (7, "7"), (bson.Int64(-8), "-8"), ("é:x", "É:x")],
)
@pytest.mark.parametrize("by", [EVERYTHING, NEAR])
def test_an_id_of_another_type_is_found_by_its_spelling(identity: Any, text: str, by: frozenset[By]) -> None:
    document = {"_id": identity, "upstream": {"upstreamId": "u"}}
    found = find_run(Query(text=text, by=by), run_of(document, observation(1)))
    assert len(found.matches) == (identity != "é:x")  # only ASCII letters have two cases here


def test_a_document_that_may_match_and_cannot_be_read_is_counted() -> None:
    broken = bson.encode({"_id": "go-1"})[:-1] + b"\x02b\0\xff\0\0\0x\0\0"
    run = Run.of([len(broken).to_bytes(4, "little") + broken[4:]])
    found = find_run(Query(text="go-1"), run)
    assert (found.documents, found.matches, found.unread) == (1, (), 1)
    assert find_run(Query(text="go-2"), run).unread == 0


NAMES = st.sampled_from(["a", "A-1", "a-1", "go-1", ":", "é", "::", "1", "7", OID, "pkg:npm/a", "pkg:npm/a@1", "a b"])
TEXTS = st.lists(NAMES, min_size=1, max_size=3).map(":".join) | NAMES
IDS = TEXTS | st.sampled_from([bson.ObjectId(OID), 7, bson.Int64(1)])
DOCUMENTS = st.builds(
    lambda name, upstream, aliases, purls: {
        "_id": name,
        "tenant": "t",
        "upstream": {"upstreamId": upstream},
        "linkset": {"aliases": aliases, "purls": purls},
    },
    IDS,
    TEXTS,
    st.lists(TEXTS, max_size=2),
    st.lists(TEXTS, max_size=2),
)


@given(st.lists(DOCUMENTS, min_size=1, max_size=4), TEXTS, st.sampled_from([EVERYTHING, NEAR]))
def test_the_search_for_bytes_skips_no_document_that_matches(
    documents: list[Any], text: str, by: frozenset[By]
) -> None:
    query = Query(text=text, by=by)
    slow = [match for one in documents if (match := match_of(query, bson.encode(one))) is not None]
    assert list(find_run(query, run_of(*documents)).matches) == slow


@given(TEXTS, TEXTS, TEXTS)
def test_a_part_is_found_between_borders_wherever_it_is(before: str, part: str, after: str) -> None:
    whole = f"{before}/{part}/{after}".encode()
    assert is_part(part.encode(), whole)
    assert is_part(whole, whole)
