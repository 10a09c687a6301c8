"""``kit diff`` end to end: what a person is told of two kits, as text, JSON and a page."""

from __future__ import annotations

import json
import random
import tempfile
from contextlib import nullcontext
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from jsonschema import Draft202012Validator

from kit.archive.read.reader import KitReader
from kit.engine.executors import InlineExecutor
from kit.engine.pipeline import Pipeline
from kit.errors import DigestError
from kit.values import Limits
from kit.verbs.diff.collation import Collation
from kit.verbs.diff.comparing import Comparer
from kit.verbs.diff.fields import How
from tests import kits
from tests.commands import ROOT, kit
from tests.end_to_end.desk import Desk, key
from tests.end_to_end.vault import Vault, members as notes
from tests.kits import OBSERVATIONS, SNAPSHOTS, Members, advisory, observation
from tests.reports.pages import Page
from tests.reports.test_html import HOSTILE

SCHEMA = json.loads((ROOT / "schemas" / "diff-report.schema.json").read_text())
STATES = ("added", "changed", "withdrawn", "reinstated", "removed", "moved", "migrated")


def compared(before: Path, after: Path, *options: object) -> dict[str, Any]:
    outcome = kit("diff", before, after, "--workers", 1, "--json", *options)
    assert (outcome.code, outcome.err) == (0, ""), outcome
    Draft202012Validator(SCHEMA).validate(outcome.json)
    return outcome.json


def two(desk: Desk, before: Members, after: Members, **names: str) -> tuple[Path, Path]:
    paths = {"one": "one.tar", "two": "two.tar"} | names
    return desk.kit(before, name=paths["one"]), desk.kit(after, name=paths["two"])


def revised(number: int, revision: int, tenant: str = "acme", **raw: Any) -> dict[str, Any]:
    """Give a later observation of an advisory."""
    content = {"format": "OSV", "raw": advisory(number) | raw}
    return observation(number, tenant, _id=f"{tenant}:osv:GO-2025-{number:04}:{revision}", content=content)


def states(report: dict[str, Any]) -> dict[str, list[str]]:
    (found,) = (c["advisories"] for c in report["collections"] if c["advisories"] is not None)
    return {state: [item["upstreamId"] for item in found[state]["items"]] for state in STATES if found[state]["total"]}


@pytest.fixture
def month(desk: Desk) -> tuple[Path, Path]:
    """Give two kits with an advisory under every heading."""
    before = [observation(number) for number in range(1, 8)]
    after = [
        observation(1),
        observation(2, linkset=None),
        observation(3),
        revised(3, 10, summary="Another <summary>"),
        revised(4, 2, withdrawn="2026-01-01T00:00:00Z"),
        observation(4),
        observation(5, "globex"),
        observation(6, rawLinkset={"aliases": []}),
        observation(8),
    ]
    snapshots = [kits.collection({"_id": n, "x": value} for n, value in side) for side in ([(1, 1), (2, 2)], [(2, 3)])]
    return two(
        desk,
        {**kits.content(*before), SNAPSHOTS: snapshots[0], "gone.txt": b"gone"},
        {**kits.content(*after), SNAPSHOTS: snapshots[1], "README.txt": b"another kit\n", "new.txt": b"new"},
    )


def test_every_advisory_is_under_its_heading(month: tuple[Path, Path]) -> None:
    report = compared(*month)
    assert states(report) == {
        "added": ["GO-2025-0008"],
        "changed": ["GO-2025-0002", "GO-2025-0003"],
        "withdrawn": ["GO-2025-0004"],
        "removed": ["GO-2025-0007"],
        "moved": ["GO-2025-0005"],
        "migrated": ["GO-2025-0006"],
    }
    observations = report["collections"][0]
    found = observations["advisories"]
    assert found["moved"]["items"][0]["movedTo"] == "globex"
    assert found["rawLinkset"]["gained"] == {
        "observations": 1,
        "tenants": {"total": 1, "items": [{"tenant": "acme", "observations": 1}]},
    }
    assert found["changed"]["items"][0]["fields"] == {
        "total": 1,
        "items": [
            {
                "path": "linkset",
                "how": "changed",
                "times": 1,
                "before": "document of 4 elements",
                "after": "null",
            }
        ],
    }
    assert observations["documents"] == {"before": 7, "after": 9}
    # Those of the advisories 3, 4, 5 and 8 came, those of 5 and 7 went; 2 and 6 changed in place.
    assert [observations[how]["total"] for how in ("added", "changed", "removed")] == [4, 2, 2]


def test_documents_of_other_collections_and_members_are_told_by_id_and_path(month: tuple[Path, Path]) -> None:
    report = compared(*month)
    raw = report["collections"][1]
    assert (raw["collection"], raw["advisories"]) == ("advisory_raw", None)
    assert raw["removed"] == {"total": 1, "items": ["1"]}
    assert raw["changed"]["items"][0]["document"] == "2"
    assert raw["fields"]["items"] == [{"path": "x", "how": "changed", "count": 1}]
    members = {how: [item["path"] for item in found["items"]] for how, found in report["members"].items()}
    assert (members["added"], members["removed"]) == (["new.txt"], ["gone.txt"])
    assert members["changed"] == ["README.txt", OBSERVATIONS, SNAPSHOTS, kits.MANIFEST, kits.SIGNATURE]
    kinds = {item["path"]: item["kind"] for item in report["members"]["changed"]["items"]}
    assert kinds == {
        "README.txt": "file",
        **dict.fromkeys((OBSERVATIONS, SNAPSHOTS), "collection"),
        **dict.fromkeys((kits.MANIFEST, kits.SIGNATURE), "manifest"),
    }


def test_who_says_to_have_signed_is_told_and_nothing_is_decided(month: tuple[Path, Path], desk: Desk) -> None:
    stranger = desk.kit(name="three.tar", signer="stranger")
    unsigned = desk.kit(name="four.tar", signer=None)
    report = compared(stranger, unsigned)
    assert [claim["keyId"] for claim in report["before"]["claimedSigners"]] == [key("stranger").public.key_id]
    assert report["after"]["claimedSigners"] == []
    assert "not signed" in report["after"]["problems"][0]
    assert "not verified (kit verify)" in kit("diff", *month).out


MIRRORED = {"added": "removed", "removed": "added", "withdrawn": "reinstated", "reinstated": "withdrawn"}


def mirrored(value: Any) -> Any:
    """Give the report of the kits exchanged."""
    if isinstance(value, list):
        return [mirrored(item) for item in value]
    if not isinstance(value, dict):
        return value
    names = MIRRORED | {"before": "after", "after": "before", "gained": "lost", "lost": "gained"}
    # Whether an item is withdrawn is told of its latest state, which is another one in the mirror.
    made = {names.get(name, name): mirrored(inner) for name, inner in value.items() if not isinstance(inner, bool)}
    if "how" in made:
        made["how"] = How(made["how"]).mirrored.value
    if made.get("movedTo") is not None:
        made["movedTo"], made["tenant"] = made["tenant"], made["movedTo"]
    return made


def unordered(value: Any) -> Any:
    """Give a report without the order of fields, which sorts by how a field changed, and without truth values."""
    if isinstance(value, dict):
        return {name: unordered(inner) for name, inner in value.items() if not isinstance(inner, bool)}
    if isinstance(value, list):
        return sorted((unordered(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return value


def test_the_report_of_the_kits_exchanged_is_the_report_mirrored(month: tuple[Path, Path]) -> None:
    there, back = compared(*month), compared(*reversed(month))
    assert unordered(mirrored(there)) == unordered(back)
    assert unordered(there) != unordered(back)


def test_a_kit_does_not_differ_from_itself(month: tuple[Path, Path]) -> None:
    report = compared(month[0], month[0])
    assert report["different"] is False
    totals = [found["total"] for found in report["members"].values()]
    totals += [c[how]["total"] for c in report["collections"] for how in ("added", "changed", "removed", "fields")]
    assert set(totals) == {0}
    assert states(report) == {}
    assert "no differences: every member of both kits has the same bytes" in kit("diff", month[0], month[0]).out


def test_containers_orders_and_codecs_make_no_difference(month: tuple[Path, Path], desk: Desk) -> None:
    expected = compared(*month)
    for path, name in zip(month, ("one", "two.tar.gz"), strict=True):
        found = kits.read(path)
        shuffled = kits.documents_of(found[OBSERVATIONS])
        random.Random(1).shuffle(shuffled)  # noqa: S311  no secret
        del found[OBSERVATIONS], found[kits.MANIFEST], found[kits.SIGNATURE]
        half = len(shuffled) // 2
        parts = {
            f"{OBSERVATIONS}.zst": kits.packed(b"".join(shuffled[:half]), "x.zst"),
            "part-2/concelier/advisory_observations.bson": b"".join(shuffled[half:]),
        }
        desk.kit({**parts, **dict(reversed(found.items()))}, name=name)
    report = compared(desk.kits / "one", desk.kits / "two.tar.gz")
    assert report["collections"] == expected["collections"]


def test_the_result_does_not_depend_on_the_number_of_workers(month: tuple[Path, Path]) -> None:
    texts = {kit("diff", *month, "--workers", workers, "--json").out for workers in (1, 2)}
    assert len(texts) == 1


DOCUMENT = st.builds(
    lambda number, tenant, revision, text, linkset: (
        revised(number, revision, tenant, summary=text) | ({"rawLinkset": {}} if linkset else {})
    ),
    st.integers(1, 3),
    st.sampled_from(["acme", "globex"]),
    st.integers(1, 2),
    st.sampled_from(["a", "b"]),
    st.booleans(),
)


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.lists(DOCUMENT, max_size=5), after=st.lists(DOCUMENT, max_size=5), data=st.data())
def test_laws_of_generated_kits(before: list[dict[str, Any]], after: list[dict[str, Any]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:

        def made(name: str, documents: list[dict[str, Any]]) -> Path:
            return kits.write_kit(Path(folder) / name, {OBSERVATIONS: kits.collection(documents)})

        one, two = made("one.tar", before), made("two.tar", after)
        there = compared(one, two)
        assert unordered(mirrored(there)) == unordered(compared(two, one))
        assert not compared(one, one)["different"]
        made("two.tar", data.draw(st.permutations(after)))
        assert compared(one, two)["collections"] == there["collections"]


def test_a_patched_kit_is_migrated_and_nothing_else(desk: Desk) -> None:
    before = desk.kit()
    report = compared(before, desk.patched(before))
    assert states(report) == {"migrated": ["GO-2025-0001", "GO-2025-0002"]}
    assert report["collections"][0]["advisories"]["rawLinkset"]["gained"]["observations"] == 2
    assert report["collections"][0]["fields"]["items"] == [{"path": "rawLinkset", "how": "added", "count": 2}]


def test_encrypted_fields_are_counted_and_their_plaintext_is_nowhere(tmp_path: Path) -> None:
    vault = Vault(tmp_path)
    before = vault.kit(notes())
    after = vault.encrypted(before)
    page = tmp_path / "page.html"
    outcome = kit("diff", before, after, "--workers", 1, "--html", page)
    assert outcome.code == 0
    report = compared(before, after)
    fields = {(c["collection"], f["path"], f["how"]) for c in report["collections"] for f in c["fields"]["items"]}
    assert ("notes", "body", "encrypted") in fields
    assert {how for _, _, how in fields} == {"encrypted"}
    for text in (outcome.out, page.read_text(), json.dumps(report)):
        assert "Rückfrage" not in text


def test_the_limit_bounds_what_is_listed_and_not_what_is_counted(desk: Desk, tmp_path: Path) -> None:
    pair = two(desk, kits.content(observation(0)), kits.content(*(observation(number) for number in range(40))))
    report = compared(*pair, "--limit", 3)
    added = report["collections"][0]["advisories"]["added"]
    assert (added["total"], len(added["items"])) == (39, 3)
    assert "and 36 more (--limit 39 lists all; so does --json)" in kit("diff", *pair, "--limit", 3).out
    complete = compared(*pair)
    assert complete["limit"] is None
    assert len(complete["collections"][0]["advisories"]["added"]["items"]) == 39
    # Text and page have twenty of each, also next to the whole in JSON.
    assert "and 19 more (--limit 39 lists all; so does --json)" in kit("diff", *pair).out
    page = tmp_path / "page.html"
    compared(*pair, "--html", page)
    assert "and 19 more ( --limit 39 lists all; so does --json )" in Page(page.read_bytes()).text
    assert compared(*pair, "--limit", 0)["collections"][0]["advisories"]["added"] == {"total": 39, "items": []}
    assert kit("diff", *pair, "--limit", -1).code == 64


def test_a_malformed_kit_is_refused_whichever_it_is(desk: Desk) -> None:
    good, bad = two(desk, kits.content(), {**kits.content(), OBSERVATIONS: b"\x07\0\0\0\x0ax"})
    for pair in ((good, bad), (bad, good)):
        kit("diff", *pair).refused(11, OBSERVATIONS, "document")
    cut = desk.kits / "cut.tar"
    cut.write_bytes(good.read_bytes()[:3000])
    kit("diff", good, cut).refused(9, "cut.tar")
    kit("diff", good, desk.kits / "absent.tar").refused(1, "absent.tar")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"text\0", b"texts", "without terminating NUL"),
        (b"text\0", b"t\xffxt\0", "UTF-8"),
        (b"\2b\0", b"\x55b\0", "0x55"),
    ],
    ids=["a text without an end", "a text that is no UTF-8", "an unknown type"],
)
def test_a_document_that_is_malformed_where_it_changed_is_named_and_the_others_are_compared(
    old: bytes, new: bytes, words: str, desk: Desk
) -> None:
    fine, other = kits.collection([{"_id": 1, "a": {"b": "text"}}]), kits.collection([{"_id": 2, "x": 1}])
    changed = kits.collection([{"_id": 2, "x": 2}])
    good, bad = two(desk, {"d/c.bson": fine + other}, {"d/c.bson": fine.replace(old, new) + changed})
    for pair, side in (((good, bad), "after"), ((bad, good), "before")):
        (collection,) = compared(*pair)["collections"]
        (one,) = collection["unresolvable"]["items"]
        assert (one["document"], one["kit"], words in one["reason"]) == ("1", side, True), one
        assert [(document["document"], document["fields"]["total"]) for document in collection["changed"]["items"]] == [
            ("1", 0),
            ("2", 1),
        ]
        assert "documents that cannot be read: 1" in kit("diff", *pair).out


@pytest.mark.parametrize(
    ("old", "new", "unread"),
    [
        pytest.param(b"\2summary\0", b"\2aliases\0", 0, id="a name twice in raw that a comparison does not need"),
        pytest.param(b"\2tenant\0", b"\2source\0", 1, id="a name twice at the top"),
        pytest.param(b"\2vendor\0\4\0\0\0osv", b"\2vendor\0\4\0\0\0o\xffv", 1, id="a vendor that is no UTF-8"),
        pytest.param(b"\3raw\0", b"\x55raw\0", 1, id="an unknown type in the content"),
    ],
)
def test_an_odd_observation_is_named_and_no_advisory_is_told_of_it(
    old: bytes, new: bytes, unread: int, desk: Desk
) -> None:
    odd = kits.collection([observation(1)])
    assert odd.count(old) == 1
    odd = odd.replace(old, new)
    one, two_ = two(desk, {OBSERVATIONS: odd}, {OBSERVATIONS: odd + kits.collection([observation(2)])})
    (collection,) = compared(one, two_)["collections"]
    assert collection["unresolvable"]["total"] == 2 * unread
    assert collection["advisories"]["added"]["total"] == 1
    assert [collection["advisories"][state]["total"] for state in ("changed", "removed", "withdrawn")] == [0, 0, 0]


class Swapped:
    """An archive whose bytes become others once it has been read from its start a number of times."""

    def __init__(self, first: bytes, then: bytes, times: int) -> None:
        self.first, self.then, self.left, self.at = first, then, times, 0

    @property
    def size(self) -> int:
        return len(self.first)

    def read(self, size: int) -> bytes:
        data = (self.first if self.left >= 0 else self.then)[self.at : self.at + size]
        self.at += len(data)
        return data

    def seek(self, offset: int) -> None:
        self.left -= offset == 0
        self.at = offset

    def tell(self) -> int:
        return self.at


@pytest.mark.parametrize("side", [0, 1])
def test_a_kit_that_changes_while_it_is_read_is_an_error(side: int, tmp_path: Path) -> None:
    archives = [kits.tar({OBSERVATIONS: kits.collection([observation(1, x=value)])}) for value in (1, 2, 3)]
    sources = [Swapped(archive, archive, 0) for archive in archives[:2]]
    sources[side].then = archives[2]
    readers = [KitReader(source, path=Path("kit"), limits=Limits()) for source in sources]
    sources[side].left = 1  # the first pass is the last one that sees what was there
    with (
        Collation(tmp_path / "c") as collation,
        Pipeline(InlineExecutor(), budget=1 << 20) as pipeline,
        pytest.raises(DigestError, match="changed while it was being read"),
    ):
        Comparer(collation, lambda _stage, _reader: nullcontext(pipeline)).compare(*readers, keep=lambda _: False)


def test_nothing_is_left_behind_and_a_folder_for_temporary_files_can_be_named(
    month: tuple[Path, Path], tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    kit("diff", *month, "--temp", scratch).refused(74, "scratch")
    scratch.mkdir()
    before = kits.folder_state(month[0].parent)
    assert kit("diff", *month, "--temp", scratch).code == 0
    assert list(scratch.iterdir()) == []
    assert kits.folder_state(month[0].parent) == before


class TestPage:
    def written(self, pair: tuple[Path, Path], path: Path, *options: object) -> bytes:
        outcome = kit("diff", *pair, "--workers", 1, "--html", path, *options)
        assert outcome.code == 0, outcome
        return path.read_bytes()

    def test_it_says_what_the_report_says(self, month: tuple[Path, Path], tmp_path: Path) -> None:
        page = Page(self.written(month, tmp_path / "page.html"))
        assert page.faults == []
        assert {"summary", "before", "after", "collection-0", "collection-1", "members"} <= set(page.sections)
        assert "1 added, 2 changed, 1 withdrawn, 1 removed, 1 moved, 1 migrated" in page.sections["summary"]
        assert 'content.raw.summary : "A summary" → "Another <summary>"' in page.sections["collection-0"]
        assert "acme → globex" in page.sections["collection-0"]
        assert "rawLinkset gained: 1 observations" in page.sections["collection-0"]
        assert "new.txt file - 3" in page.sections["members"]

    def test_equal_kits_give_a_page_that_says_so_and_equal_bytes(
        self, month: tuple[Path, Path], tmp_path: Path
    ) -> None:
        pages = {self.written((month[0], month[0]), tmp_path / name) for name in ("a.html", "b.html")}
        assert len(pages) == 1
        assert "The same" in Page(pages.pop()).sections["summary"]

    @pytest.mark.parametrize("text", [text for text in HOSTILE if "\udc80" not in text], ids=ascii)
    def test_hostile_content_is_shown_and_never_obeyed(self, text: str, desk: Desk, tmp_path: Path) -> None:
        clean = text.replace("\0", "")

        def documents(value: str) -> list[dict[str, Any]]:
            return [
                observation(1, clean, _id=1, source={"vendor": clean}) | {clean.replace(".", ""): value},
                observation(2, clean, _id=clean + value, upstream={"upstreamId": clean + value}),
            ]

        pair = two(desk, kits.content(*documents("x" + text)), kits.content(*documents(text)))
        page = Page(self.written(pair, tmp_path / "page.html"))
        assert page.faults == []
        names = {tag for tag, _ in page.elements}
        assert names.isdisjoint({"script", "img", "b"})
        usual = two(desk, kits.content(*documents("xy")), kits.content(*documents("y")), one="3.tar", two="4.tar")
        assert "script" not in {tag for tag, _ in Page(self.written(usual, tmp_path / "other.html")).elements}
        text_report = kit("diff", *pair).out
        assert all(char.isprintable() or char == "\n" for char in text_report)

    def test_it_is_neither_written_over_a_file_nor_into_a_kit(
        self, month: tuple[Path, Path], desk: Desk, tmp_path: Path
    ) -> None:
        place = tmp_path / "page.html"
        place.write_text("mine")
        kit("diff", *month, "--html", place).refused(74, "page.html", "exists")
        assert place.read_text() == "mine"
        folder = desk.kit(name="unpacked")
        kit("diff", month[0], folder, "--html", folder / "page.html").refused(64, "would be inside the kit")


def test_the_text_is_what_a_person_reads(month: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(month[0].parent)
    outcome = kit("diff", "one.tar", "two.tar", "--workers", 1)
    head, _, body = outcome.out.partition("\n\n")
    signer = f"  claims to be signed by {key('vendor').public.key_id} (ES256); not verified (kit verify)"
    assert [line.partition(":")[0] for line in head.splitlines()] == [
        *("before", "  manifest", signer),
        *("after", "  manifest", signer),
    ]
    assert body.replace("\n\n", "\n") == dedent("""\
        concelier.advisory_observations: 7 documents before, 9 after: 4 added, 2 changed, 2 removed
          advisories added: 1
            GO-2025-0008 (osv), acme: A summary
          advisories changed: 2
            GO-2025-0002 (osv), acme: A summary
              linkset: document of 4 elements → null
            GO-2025-0003 (osv), acme: 1 → 2 observations; Another <summary>
              _id: "acme:osv:GO-2025-0003:1" → "acme:osv:GO-2025-0003:10"
              content.raw.summary: "A summary" → "Another <summary>"
          advisories withdrawn by their publisher: 1
            GO-2025-0004 (osv), acme: 1 → 2 observations, withdrawn; A summary
              _id: "acme:osv:GO-2025-0004:1" → "acme:osv:GO-2025-0004:2"
              content.raw.withdrawn: added: "2026-01-01T00:00:00Z"
          advisories removed: 1
            GO-2025-0007 (osv), acme: A summary
          advisories moved to another tenant: 1
            GO-2025-0005 (osv), acme → globex: A summary
              _id: "acme:osv:GO-2025-0005:1" → "globex:osv:GO-2025-0005:1"
              tenant: "acme" → "globex"
          advisories migrated: only rawLinkset or encryption differs: 1
            GO-2025-0006 (osv), acme: A summary
              rawLinkset: added: document of 1 element
          rawLinkset gained by 1 observations
            acme: 1
          packages that match differently: 3
            pkg:GoLang/example.com/y@4
              lost: GO-2025-0004
            pkg:GoLang/example.com/y@7
              lost: GO-2025-0007
            pkg:GoLang/example.com/y@8
              gained: GO-2025-0008
          fields of advisories       how  count
          _id                    changed      3
          content.raw.summary    changed      1
          content.raw.withdrawn    added      1
          linkset                changed      1
          rawLinkset               added      1
          tenant                 changed      1
          fields of documents      how  count
          linkset              changed      1
          rawLinkset             added      1
        concelier.advisory_raw: 2 documents before, 1 after: 1 changed, 1 removed
          documents changed: 1
            2
              x: 2 → 3
          documents removed: 1
            1
          fields of documents      how  count
          x                    changed      1
        added: new.txt, 3 bytes
        changed: README.txt, 6 → 12 bytes
        changed: dump/concelier/advisory_observations.bson, 5,089 → 6,436 bytes
        changed: dump/concelier/advisory_raw.bson, 42 → 21 bytes
        changed: manifest/offline-manifest.json, 979 → 979 bytes
        changed: manifest/offline-manifest.json.jws, 279 → 279 bytes
        removed: gone.txt, 4 bytes
        """)


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["go-vulndb-osv", "pypa"])
def test_a_real_month_is_told_as_a_naive_comparison_tells_it(pair: str, desk: Desk) -> None:
    records = ROOT.parent / "shared/data/advisories"
    if not (records / f"{pair}.ndjson.zst").exists():
        pytest.skip("no shared data")
    months = []
    for name in (f"{pair}.base30d", pair):
        data = kits.plain((records / f"{name}.ndjson.zst").read_bytes(), ".zst")
        months.append([json.loads(line)["raw"] for line in data.splitlines()])
    documents = [
        [
            observation(0, _id=raw["id"], upstream={"upstreamId": raw["id"]}, content={"format": "OSV", "raw": raw})
            for raw in month
        ]
        for month in months
    ]
    report = compared(*two(desk, *(kits.content(*side) for side in documents)), "--limit", 10000)
    before, after = ({raw["id"]: raw for raw in month} for month in months)
    common = before.keys() & after.keys()
    differ = {name for name in common if json.dumps(before[name]) != json.dumps(after[name])}
    withdrawn = {name for name in differ if not before[name].get("withdrawn") and after[name].get("withdrawn")}
    expected = {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "withdrawn": sorted(withdrawn),
        "changed": sorted(differ - withdrawn),
    }
    assert states(report) == {state: names for state, names in expected.items() if names}
