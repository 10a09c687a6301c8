from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, strategies as st

from kit.errors import KitError, LimitError, ManifestError
from kit.manifest import (
    CollectionSummary,
    LineageEntry,
    Manifest,
    RawLinksetCoverage,
    Shape,
    TenantSummary,
    history_paths,
)
from kit.values import Limits, MemberPath, Sha256, Timestamp
from kit.values.strict_json import canonical
from tests.manifest.samples import AT, LIMITS, digest, foreign, own, parsed, patched, step_of, validator

SHARED_KITS = Path(__file__).parents[2].parent / "shared/data/kits"
C_BSON = MemberPath("db/c.bson")
SUMMARY = CollectionSummary(
    path=C_BSON,
    database="db",
    collection="c",
    documents=3,
    bytes=100,
    tenants={
        "t1": TenantSummary(documents=2, raw_linkset=RawLinksetCoverage(present=1, missing=1, unresolvable=1)),
        "t2": TenantSummary(documents=1, encrypted={"content.raw": 1}),
    },
)


def test_an_own_manifest_is_read() -> None:
    manifest = parsed(own())
    assert manifest.shape is Shape.OWN
    assert [(str(e.path), e.sha256, e.size) for e in manifest.entries] == [
        ("a.txt", digest("a"), 1),
        ("db/c.bson", digest("c"), 5),
    ]
    assert (manifest.generation, manifest.bundle_id, str(manifest.created_at)) == (3, "kit-1", "2025-10-20T00:00:00Z")
    assert (manifest.version, manifest.channel, manifest.producer) == ("2026.1", "stable", "test")
    assert manifest.staleness_window_hours == 24
    assert manifest.sha256 == Sha256.of(canonical(own()))
    assert (manifest.collections, manifest.lineage) == ((), ())


def test_a_foreign_manifest_is_read() -> None:
    manifest = parsed(foreign())
    assert manifest.shape is Shape.FOREIGN
    assert [str(entry.path) for entry in manifest.entries] == ["a.txt", "db/c.bson"]
    assert (manifest.generation, manifest.bundle_id, manifest.created_at) == (0, None, None)
    assert manifest.staleness_window_hours is None


@pytest.mark.parametrize("list_name", ["files", "artifacts", "entries", "chunks"])
@pytest.mark.parametrize("path_name", ["path", "name"])
@pytest.mark.parametrize("digest_name", ["sha256", "digest", "hash"])
@pytest.mark.parametrize("spell", [str, str.upper, "sha256:{}".format, lambda d: f"sha256:{d.upper()}"])
def test_every_foreign_spelling_is_kept_on_update(
    list_name: str, path_name: str, digest_name: str, spell: Callable[[str], str]
) -> None:
    items = [{path_name: name, digest_name: spell(str(digest(name))), "x": 1} for name in ("a.txt", "db/c.bson")]
    manifest = parsed({list_name: items, "z": 0})
    assert manifest.shape is Shape.FOREIGN
    assert manifest.entries[1].sha256 == digest("db/c.bson")
    assert manifest.entries[1].size is None
    after = json.loads(patched(manifest, "new", added={MemberPath("z"): (digest("z"), 1)}))
    assert after[list_name] == [
        items[0],
        {path_name: "db/c.bson", digest_name: spell(str(digest("new"))), "x": 1},
        {path_name: "z", digest_name: spell(str(digest("z")))},
    ]


def test_digests_are_spelled_entry_by_entry() -> None:
    items = [
        {"path": "a", "hash": str(digest("a"))},
        {"path": "db/c.bson", "hash": f"sha256:{str(digest('c')).upper()}", "size": 1},
    ]
    after = json.loads(patched(parsed({"entries": items}), "new"))
    assert after["entries"][1] == {
        "path": "db/c.bson",
        "hash": f"sha256:{str(digest('new')).upper()}",
        "size": 3,
    }


def test_a_second_spelling_of_the_same_digest_is_updated_too() -> None:
    item = {"path": "db/c.bson", "sha256": str(digest("c")), "digest": f"sha256:{digest('c')}", "name": "C"}
    after = json.loads(patched(parsed({"entries": [item]}), "new"))
    assert after["entries"] == [
        {"path": "db/c.bson", "sha256": str(digest("new")), "digest": f"sha256:{digest('new')}", "name": "C"}
    ]


@pytest.mark.parametrize("make", [own, foreign])
def test_a_next_generation_differs_in_what_was_named_and_in_nothing_else(make: Callable[[], dict[str, Any]]) -> None:
    document = make()
    manifest = parsed(document)
    after = json.loads(patched(manifest, "new"))
    entry = after.pop("lineage")
    assert entry == [step_of(manifest).to_json()]
    for item in after.get("files", after.get("artifacts")):
        if item.get("path", item.get("name")) == "db/c.bson":
            item.update({"size": 5} | ({"sha256": str(digest("c"))} if make is own else {}))
            item.update({} if make is own else {"digest": f"sha256:{digest('c')}"})
    if make is own:
        assert (after.pop("generation"), after.pop("createdAt")) == (4, str(AT))
        after |= {"generation": 3, "createdAt": document["createdAt"]}
    document.pop("lineage", None)
    assert after == document
    assert parsed(make()) == manifest  # and the old one was not touched


def test_added_members_are_listed_in_order() -> None:
    data = patched(parsed(own()), "new", added={MemberPath("b"): (digest("b"), 7)})
    files = json.loads(data)["files"]
    assert [item["path"] for item in files] == ["a.txt", "b", "db/c.bson"]
    assert files[1] == {
        "path": "b",
        "sha256": str(digest("b")),
        "size": 7,
        "mediaType": "application/octet-stream",
        "kind": "data",
    }


def test_collections_are_replaced_when_given_and_kept_when_not() -> None:
    first = patched(parsed(own()), "new", collections=[SUMMARY])
    manifest = Manifest.parse(first, limits=LIMITS, where="m")
    assert manifest.collections == (SUMMARY,)
    second = Manifest.parse(patched(manifest, "newer"), limits=LIMITS, where="m")
    assert second.collections == (SUMMARY,)
    assert [entry.generation for entry in second.lineage] == [3, 4]


def test_a_foreign_manifest_keeps_its_own_collections_and_gains_a_generation_by_lineage() -> None:
    before = parsed(foreign(collections="theirs", createdAt="whenever", stalenessWindowHours="a day"))
    assert (before.created_at, before.staleness_window_hours) == (None, None)
    data = patched(before, "new", collections=[SUMMARY])
    after = Manifest.parse(data, limits=LIMITS, where="m")
    assert (after.generation, after.collections) == (1, ())
    assert json.loads(data)["collections"] == "theirs"
    assert "generation" not in json.loads(data)
    assert Manifest.parse(patched(after, "newer"), limits=LIMITS, where="m").generation == 2


def test_a_foreign_manifest_s_own_generation_goes_on() -> None:
    before = parsed(foreign(generation=7, bundleId="b", createdAt="2025-01-01T00:00:00Z", stalenessWindowHours=9))
    assert (before.generation, before.bundle_id, before.staleness_window_hours) == (7, "b", 9)
    assert before.created_at == Timestamp.parse("2025-01-01T00:00:00Z")
    assert json.loads(patched(before, "new"))["generation"] == 8
    assert parsed(foreign(generation="7")).generation == 0
    assert parsed(foreign(generation=True)).generation == 0


FILE = own()["files"][0]
HEX = str(digest("a"))


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        pytest.param({}, "looked for a list under files, artifacts, entries, chunks", id="no list"),
        pytest.param({"files": ["a"]}, "objects with path or name and sha256 or digest or hash", id="a list of names"),
        pytest.param({"files": [{"path": "a"}]}, "looked for", id="no digest"),
        pytest.param({"files": [{"sha256": HEX}]}, "looked for", id="no path"),
        pytest.param({"files": {"a": HEX}}, "looked for", id="an object of digests"),
        pytest.param({"files": [], "artifacts": []}, "lists no files: 'files' is empty", id="empty lists"),
        pytest.param(own(files=[]), "lists no files", id="own, empty"),
        pytest.param(own(artifacts=[FILE]), "two lists of files: files and artifacts", id="two lists"),
        pytest.param(own(schemaVersion="2"), "schemaVersion '2' is not known", id="a later version"),
        pytest.param(own(schemaVersion=1), "schemaVersion 1 is not known", id="a version of another type"),
        pytest.param(own(schemaVersion=None), "schemaVersion null is not known", id="a version that is null"),
        pytest.param(own(bundleId=...), "bundleId: a non-empty string is expected, not nothing", id="no bundle id"),
        pytest.param(own(bundleId=""), "bundleId: a non-empty string", id="an empty bundle id"),
        pytest.param(own(generation=...), "generation: an integer", id="no generation"),
        pytest.param(own(generation=-1), "generation: an integer from 0", id="a negative generation"),
        pytest.param(own(generation=True), "not true", id="a generation that is true"),
        pytest.param(own(generation=1.5), "generation: an integer", id="a generation with a fraction"),
        pytest.param(own(generation=2**53), "generation: an integer", id="a generation past 2^53"),
        pytest.param(foreign(generation=-1), "generation: an integer", id="a foreign negative generation"),
        pytest.param(own(createdAt=...), "createdAt", id="no time"),
        pytest.param(own(createdAt="1700000000"), "RFC 3339", id="a time in seconds"),
        pytest.param(own(createdAt="2025-10-20"), "is not an RFC 3339", id="a date"),
        pytest.param(own(version=1), "version: a non-empty string is expected, not 1", id="a version number"),
        pytest.param(own(stalenessWindowHours="1"), "stalenessWindowHours", id="staleness as a string"),
        pytest.param(own(files=[FILE | {"size": -1}]), r"files\[0\].size", id="a negative size"),
        pytest.param(own(files=[FILE | {"size": False}]), r"files\[0\].size.*not false", id="a size that is false"),
        pytest.param(own(files=[FILE | {"size": None}]), r"files\[0\].size.*not null", id="a size that is null"),
        pytest.param(own(files=[{"path": "a", "sha256": HEX}]), r"files\[0\].size.*not nothing", id="no size"),
        pytest.param(own(files=[FILE | {"sha256": HEX.upper()}]), "64 lower-case", id="own, upper-case digest"),
        pytest.param(own(files=[FILE | {"sha256": f"sha256:{HEX}"}]), "64 lower-case", id="own, prefixed digest"),
        pytest.param(own(files=[FILE | {"sha256": "00"}]), "is not a SHA-256", id="a short digest"),
        pytest.param(own(files=[FILE, {"path": "b"}]), r"files\[1\].sha256", id="a later entry without digest"),
        pytest.param(own(files=[FILE, 7]), r"files\[1\]: an object is expected, not 7", id="a later entry a number"),
        pytest.param(own(files=[FILE | {"hash": "md5:0"}]), "is not a SHA-256", id="a second digest of another kind"),
        pytest.param(own(files=[FILE | {"hash": "0" * 64}]), "sha256 and hash differ", id="two digests that differ"),
        pytest.param(own(files=[FILE, FILE]), "a.txt names the same file as a.txt", id="a path twice"),
        pytest.param(own(files=[FILE, FILE | {"path": "A.TXT"}]), "the same file", id="a path in another case"),
        pytest.param(own(files=[FILE, FILE | {"path": "\ufb01"}, FILE | {"path": "fi"}]), "the same", id="a ligature"),
        pytest.param(own(files=[FILE | {"path": "../a"}]), r"files\[0\].path: .* '\.\.' segment", id="path traversal"),
        pytest.param(own(files=[FILE | {"path": "dir/../a"}]), "segment", id="traversal inside"),
        pytest.param(own(files=[FILE | {"path": "/etc/passwd"}]), "is absolute", id="an absolute path"),
        pytest.param(own(files=[FILE | {"path": "a\\b"}]), "backslash", id="a backslash"),
        pytest.param(own(files=[FILE | {"path": "offline-manifest.json"}]), "is kept for", id="a second manifest"),
        pytest.param(own(files=[FILE | {"path": "Manifest/offline-manifest.JSON.jws"}]), "is kept for", id="its twin"),
        pytest.param(own(files=[FILE | {"path": "manifest/history/3/x"}]), "is kept for", id="a file in history"),
        pytest.param(own(files=[FILE | {"path": "manifest/history"}]), "is kept for", id="history as a file"),
        pytest.param(foreign(artifacts=[{"name": "a", "digest": "sha512:00"}]), "is not a SHA-256", id="SHA-512"),
        pytest.param(foreign(artifacts=[{"name": "a", "digest": HEX, "size": -1}]), "size", id="a foreign bad size"),
        pytest.param(own(collections={}), "collections: a list is expected, not an object", id="collections an object"),
        pytest.param(own(lineage={}), "lineage: a list", id="lineage an object"),
        pytest.param(own(lineage=[[]]), r"lineage\[0\]: an object is expected, not a list", id="lineage of lists"),
        pytest.param(foreign(lineage="ours"), "lineage: a list", id="another lineage"),
    ],
)
def test_a_manifest_that_is_not_understood_is_refused(document: dict[str, Any], fault: str) -> None:
    with pytest.raises(ManifestError, match=fault) as caught:
        parsed(document)
    assert caught.value.where.startswith("m")


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'{"files": [], "files": []}', b'{"files": [NaN]}', b"\xff"])
def test_what_is_not_a_strict_json_object_is_no_manifest(data: bytes) -> None:
    with pytest.raises(ManifestError):
        Manifest.parse(data, limits=LIMITS, where="m")


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(ManifestError) as caught:
        parsed(own(schemaVersion="x" * 1000))
    assert len(str(caught.value)) < 200


def test_limits_are_kept() -> None:
    data = canonical(own())
    for limits in (Limits(json_bytes=10), Limits(json_depth=2), Limits(members=1)):
        with pytest.raises(LimitError):
            Manifest.parse(data, limits=limits, where="m")


@given(st.binary(max_size=100))
def test_arbitrary_bytes_raise_nothing_but_our_own_errors(data: bytes) -> None:
    with pytest.raises(KitError):
        Manifest.parse(data, limits=LIMITS, where="m")


JSON = st.recursive(st.none() | st.booleans() | st.integers(-2, 2) | st.text("a/.", max_size=3), st.lists, max_leaves=4)


@given(st.sampled_from(list(own())), JSON)
def test_any_value_in_any_field_raises_nothing_but_our_own_errors(name: str, value: Any) -> None:
    try:
        manifest = parsed(own(**{name: value}))
    except KitError:
        return
    patched(manifest, "new")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        pytest.param({"changed": {MemberPath("x"): (digest("x"), 1)}}, "does not list: x", id="a change of nothing"),
        pytest.param(
            {"added": {C_BSON: (digest("x"), 1)}}, "lists already: db/c.bson", id="an addition of what is there"
        ),
        pytest.param({"added": {MemberPath("DB/C.bson"): (digest("x"), 1)}}, "the same file", id="an added twin"),
        pytest.param({"added": {MemberPath("manifest/history/x"): (digest("x"), 1)}}, "is kept for", id="history"),
        pytest.param({"changed": {C_BSON: (digest("x"), -1)}}, "size", id="a negative size"),
        pytest.param(
            {"created_at": Timestamp(0)}, "the new manifest of 1970", id="another time than the lineage entry"
        ),
        pytest.param(
            {"lineage_entry": step_of(parsed(own(generation=2)))}, "not about generation 3", id="another step"
        ),
        pytest.param(
            {"lineage_entry": step_of(parsed(own(vendor=1)))}, "not about generation 3", id="another manifest"
        ),
    ],
)
def test_a_next_generation_that_would_be_wrong_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ManifestError, match=fault):
        patched(parsed(own()), "new", **changes)


def test_generations_end_before_numbers_lose_precision() -> None:
    with pytest.raises(ManifestError, match="the new manifest"):
        patched(parsed(own(generation=2**53 - 1)), "new")


def _summary(**changes: Any) -> dict[str, Any]:
    return SUMMARY.to_json() | changes


@pytest.mark.parametrize(
    ("summaries", "fault"),
    [
        pytest.param([_summary(path="other")], "other is not among the files", id="a member that is not listed"),
        pytest.param([_summary(), _summary()], "db/c.bson is twice", id="one member twice"),
        pytest.param([_summary(documents="1")], "documents: an integer", id="a count as a string"),
        pytest.param([_summary(tenants=[])], "tenants: an object", id="tenants a list"),
        pytest.param([_summary(tenants={"t": {}})], "tenants.t.documents", id="a tenant without a count"),
        pytest.param(
            [_summary(tenants={"t": {"documents": 1, "rawLinkset": {"present": 0, "missing": 1, "unresolvable": 2}}})],
            "more documents are unresolvable than missing",
            id="coverage that does not add up",
        ),
        pytest.param(
            [_summary(tenants={"t": {"documents": 1, "encrypted": {"f": True}}})], "encrypted.f", id="encrypted: true"
        ),
    ],
)
def test_collection_summaries_that_make_no_sense_are_refused(summaries: list[Any], fault: str) -> None:
    with pytest.raises(ManifestError, match=fault):
        parsed(own(collections=summaries))


def test_a_collection_summary_survives_printing_and_parsing() -> None:
    assert CollectionSummary.parse(SUMMARY.to_json(), "x") == SUMMARY
    assert CollectionSummary.parse(_summary(unknown=1), "x") == SUMMARY


def _entry(generation: int = 0, **changes: Any) -> dict[str, Any]:
    entry = LineageEntry.of(
        generation=generation, manifest_sha256=digest("m"), signature=digest("s"), tool="kit", at=AT
    )
    return entry.to_json() | changes


@pytest.mark.parametrize("signed", [True, False])
def test_a_lineage_entry_survives_printing_and_parsing(signed: bool) -> None:  # noqa: FBT001
    entry = step_of(parsed(own()), signed=signed)
    assert LineageEntry.parse(entry.to_json(), "x") == entry
    assert (entry.signature is not None) is signed


@pytest.mark.parametrize(
    ("lineage", "fault"),
    [
        pytest.param([_entry(extra=1)], r"unknown members: 'extra'", id="an unknown member"),
        pytest.param([{"generation": 0}], "missing", id="missing members"),
        pytest.param([_entry(manifestSha256=f"sha256:{HEX}")], "64 lower-case", id="a prefixed digest"),
        pytest.param([_entry(path="a.txt")], "manifest/history/0/offline-manifest.json is expected", id="elsewhere"),
        pytest.param([_entry(path=str(history_paths(1).manifest))], "history/0/", id="another generation's manifest"),
        pytest.param([_entry(signature="x.jws")], "offline-manifest.json.jws or .*dsse", id="another signature"),
        pytest.param([_entry(signature="")], "signature: a non-empty string", id="an empty signature path"),
        pytest.param([_entry(statement="x")], "patch.intoto.json is expected", id="another statement"),
        pytest.param([_entry(at="1700000000")], "RFC 3339", id="a time in seconds"),
        pytest.param([_entry(1), _entry(1)], "generation 1 follows 1", id="a generation twice"),
        pytest.param([_entry(2), _entry(1)], "generation 1 follows 2", id="out of order"),
        pytest.param([_entry(3)], "generation 3 is not above 3", id="the current generation among the replaced"),
    ],
)
def test_a_lineage_that_is_not_strictly_ours_is_refused(lineage: list[Any], fault: str) -> None:
    with pytest.raises(ManifestError, match=fault):
        parsed(own(lineage=lineage))


def test_an_entry_is_found_by_its_path() -> None:
    manifest = parsed(own())
    assert manifest.entry(C_BSON) is manifest.entries[1]
    assert manifest.entry(MemberPath("x")) is None


def test_own_manifests_are_valid_by_the_schema() -> None:
    schema = validator("offline-manifest.schema.json")
    manifest = parsed(own())
    second = patched(manifest, "new", collections=[SUMMARY], added={MemberPath("z"): (digest("z"), 1)})
    unsigned = patched(manifest, "new", lineage_entry=step_of(manifest, signed=False))
    for document in (own(), json.loads(second), json.loads(unsigned)):
        schema.validate(document)


@pytest.mark.parametrize(
    "document",
    [
        own(files=[]),
        own(schemaVersion="2"),
        own(generation=-1),
        own(files=[FILE | {"path": "../a"}]),
        own(files=[FILE | {"path": "a//b"}]),
        own(files=[FILE | {"sha256": HEX.upper()}]),
        own(lineage=[_entry(path="a.txt")]),
        own(lineage=[_entry(extra=1)]),
        own(collections=[{}]),
    ],
)
def test_the_schema_refuses_what_the_parser_refuses(document: dict[str, Any]) -> None:
    assert not validator("offline-manifest.schema.json").is_valid(document)
    with pytest.raises(ManifestError):
        parsed(document)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("cisa-csaf.tar.zst", Shape.OWN),
        ("go-osv.tar.zst", Shape.OWN),
        ("pypa-osv.tgz", Shape.OWN),
        ("cve5-foreign.tar.gz", Shape.FOREIGN),
    ],
)
def test_the_manifests_of_the_shared_kits_are_read(name: str, shape: Shape) -> None:
    path = SHARED_KITS / name
    if not path.exists():
        pytest.skip("the shared kits are not here")
    data = path.read_bytes()
    if path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.extractfile("manifest/offline-manifest.json")
        assert member is not None
        manifest = Manifest.parse(member.read(), limits=LIMITS, where=name)
    assert (manifest.shape, len(manifest.entries)) == (shape, 6)
