"""What a patcher with a good key, or a publisher who says too little, wants a verdict to claim that was not checked."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import bson
import pytest
import zstandard

from kit.signing import dsse, jws
from tests import kits
from tests.commands import Outcome, kit
from tests.end_to_end.desk import Desk, key
from tests.end_to_end.test_trust import LATER, schema
from tests.end_to_end.vault import DUMP, PASSPHRASE, Vault, note
from tests.kits import MANIFEST, OBSERVATIONS, SIGNATURE, Members, observation

Change = Callable[[dict[str, Any]], object]
ADDED = "dump-b/concelier/advisory_observations.bson"
PLUGIN = "plugins/hook.so"
RAW = {"aliases": ["forged"]}


class Patcher:
    """A site whose key may patch, and who does more than it says."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def forged(
        self,
        members: Members,
        files: Mapping[str, bytes] | None = None,
        *,
        generation: int = 3,
        manifest: Change = lambda _: None,
        statement: Change = lambda _: None,
    ) -> Members:
        """Make the newest step of a patched kit again, with other files; digests, subjects and signatures all fit."""
        made = members | dict(files or {})
        place = f"manifest/history/{generation}/patch.intoto.json"
        before = {
            entry["path"]: entry
            for entry in json.loads(members[place.replace("patch.intoto", "offline-manifest")])["files"]
        }
        document = json.loads(members[MANIFEST])
        for entry in document["files"]:
            entry.update(kits.facts(made[entry["path"]]))
        listed = {entry["path"] for entry in document["files"]}
        document["files"] += [{"path": path, **kits.facts(made[path])} for path in files or {} if path not in listed]
        document["files"].sort(key=lambda entry: entry["path"])
        manifest(document)
        data = kits.to_json(document)
        payload = json.loads(base64.b64decode(json.loads(members[place])["payload"]))
        now = {entry["path"]: entry["sha256"] for entry in document["files"]}
        differing = sorted(path for path in now if path not in before or before[path]["sha256"] != now[path])
        payload["subject"] = [
            _artifact(MANIFEST, kits.sha256(data)),
            *(_artifact(path, now[path]) for path in differing),
        ]
        materials = [_artifact(path, before[path]["sha256"]) for path in differing if path in before]
        payload["predicate"]["materials"] = [payload["predicate"]["materials"][0], *materials]
        statement(payload["predicate"])
        site = key("site")
        return made | {
            MANIFEST: data,
            SIGNATURE: jws.sign(data, [site]),
            place: dsse.sign(kits.to_json(payload), [site]),
        }

    def judged(self, members: Members, *options: object, name: str = "forged.tar") -> Outcome:
        return self.desk.verify(self.desk.write(members, name), options=("--deep", *options))

    def receipt(self, members: Members, *options: object) -> tuple[Outcome, dict[str, Any]]:
        """Verify with --deep, under bare keys, and give the statement of the receipt."""
        place = self.desk.keys / "receipt.json"
        place.unlink(missing_ok=True)
        signing = ("--receipt", place, "--signing-key", self.desk.keys / "stranger", "--at", LATER)
        outcome = self.judged(members, "--json", *signing, *options)
        schema("verify-report").validate(outcome.json)
        payload = dsse.verify(place.read_bytes(), {key("stranger").public.key_id: key("stranger").public}).payload
        statement: dict[str, Any] = json.loads(payload)
        schema("receipt").validate(statement)
        predicate: dict[str, Any] = statement["predicate"]
        assert outcome.json["levels"] == [level for level in predicate["verifiedLevels"] if level != "FAILED"]
        return outcome, predicate


def _artifact(name: str, digest: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": digest}}


@pytest.fixture
def patcher(desk: Desk) -> Patcher:
    return Patcher(desk)


@pytest.fixture
def honest(desk: Desk) -> Members:
    return kits.read(desk.patched(desk.kit(name="base.tar"), name="patched.tar"))


def append_only(levels: list[str]) -> list[str]:
    return [level for level in levels if "APPEND_ONLY" in level]


def documents(body: bytes) -> list[dict[str, Any]]:
    return [bson.decode(document) for document in kits.documents_of(body)]


def set_in(*path: Any) -> Change:
    """Return what sets a value deep inside of a document; the last of ``path`` is the value."""
    *steps, name, value = path

    def change(document: dict[str, Any]) -> None:
        found: Any = document
        for step in steps:
            found = found[step]
        if value is ...:
            del found[name]
        else:
            found[name] = value

    return change


def forged_part(count: int) -> bytes:
    return kits.collection([observation(1000 + number) | {"rawLinkset": RAW} for number in range(count)])


class TestOnlyAppended:
    def test_an_honest_step_is_proven_and_its_receipt_names_the_generations(
        self, patcher: Patcher, honest: Members
    ) -> None:
        outcome, predicate = patcher.receipt(honest)
        assert outcome.code == 0, outcome
        assert append_only(predicate["verifiedLevels"]) == ["OFFLINE_KIT_APPEND_ONLY"]
        assert predicate["urn:offline-kit:append-only:v1"] == {"since": 3, "until": 4}
        assert outcome.json["appendOnly"] == {
            "since": 3,
            "until": 4,
            "wholeChain": True,
            "documents": 2,
            "why": None,
        }

    def test_forged_advisories_and_a_plugin_are_added(self, patcher: Patcher, honest: Members, tmp_path: Path) -> None:
        files = {ADDED: forged_part(5), PLUGIN: b"\x7fELF"}
        told = {"path": ADDED, "db": "concelier", "collection": "advisory_observations", "documents": 5}
        told |= {"bytes": len(files[ADDED]), "tenants": {"acme": {"documents": 5}}}
        members = patcher.forged(honest, files, manifest=lambda d: d["collections"].append(told))
        page = tmp_path / "page.html"
        outcome, predicate = patcher.receipt(members, "--html", page)
        assert outcome.code == 11, outcome
        assert predicate["verifiedLevels"] == ["FAILED"]
        text = patcher.judged(members, name="again.tar")
        assert "did more: member added" in text.err
        (step,) = predicate["urn:offline-kit:steps:v1"]
        named = [one["place"] for one in outcome.json["lineage"][-1]["differences"]]
        assert named == [ADDED, PLUGIN]
        for path in named:
            assert f"member added: {path}" in text.out
            assert f"member added: {path}" in step["differences"]
            assert path in page.read_text()

    def test_what_is_added_is_named_without_deep_too(self, patcher: Patcher, honest: Members) -> None:
        members = patcher.forged(honest, {PLUGIN: b"\x7fELF"})
        outcome = patcher.desk.verify(patcher.desk.write(members, "shallow.tar"))
        assert outcome.code == 0, outcome
        assert "1 member changed, 1 added" in outcome.out
        assert f"member added: {PLUGIN}" in outcome.out

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            (set_in("version", "2099-GA"), 'field reworded: version: "2025.10" became "2099-GA"'),
            (set_in("channel", "emergency"), "field reworded: channel"),
            (set_in("channel", ...), 'field reworded: channel: "stable" became (absent)'),
            (set_in("producer", "HQ"), 'field reworded: producer: (absent) became "HQ"'),
            (set_in("stalenessWindowHours", 999_999), "field reworded: stalenessWindowHours"),
            (set_in("x-approved", True), "field reworded: x-approved"),
            (set_in("files", 0, "kind", "exception"), "entry reworded: README.txt: kind"),
            (set_in("files", 1, "mediaType", "x/y"), f"entry reworded: {OBSERVATIONS}: mediaType"),
            (set_in("files", 2, "x-trusted", 1), "entry reworded: images/layer.bin: x-trusted"),
            (
                set_in("collections", 0, "x-note", "fine"),
                f"collection redescribed: collections: {OBSERVATIONS}: x-note",
            ),
            (
                set_in("collections", 0, "tenants", "acme", "tier", "gold"),
                f'collection redescribed: collections: {OBSERVATIONS}: tenant "acme": tier',
            ),
            (lambda d: d["files"].reverse(), "order changed: files"),
        ],
    )
    def test_the_publishers_words_are_changed(
        self, change: Change, named: str, patcher: Patcher, honest: Members
    ) -> None:
        outcome = patcher.judged(patcher.forged(honest, manifest=change))
        assert outcome.code == 11, outcome
        assert f"did more: {named}" in outcome.err
        assert f"      {named}" in outcome.out

    @pytest.mark.parametrize(
        ("before", "after", "words"),
        [
            (set_in("collections", 1, "x", 1), set_in("collections", 1, "x", 2), "did more"),
            (set_in("collections", 1, "x", 1), set_in("collections", 1, "x", True), "did more"),
            (set_in("collections", 1, "x", 1), set_in("collections", 1, "x", 1.0), "did more"),
            (lambda _: None, set_in("collections", 1, ...), "not declared"),
        ],
        ids=["another value", "true for 1", "1.0 for 1", "not told any more"],
    )
    def test_what_was_told_of_a_member_that_stays_as_it_is(
        self, before: Change, after: Change, words: str, patcher: Patcher
    ) -> None:
        members = {**kits.content(), "dump/concelier/dto.bson": kits.collection([{"_id": 1}])}
        document = kits.manifest_of(members)
        whole = {"path": "dump/concelier/dto.bson", "db": "concelier", "collection": "dto", "documents": 1}
        raw = {"present": 0, "missing": 1, "unresolvable": 0}
        told = {"documents": 2, "rawLinkset": raw | {"missing": 2}}
        observations = {"path": OBSERVATIONS, "db": "concelier", "collection": "advisory_observations", "documents": 3}
        document["collections"] = [
            observations
            | {
                "bytes": len(members[OBSERVATIONS]),
                "tenants": {"acme": told, "globex": {"documents": 1, "rawLinkset": raw}},
            },
            whole | {"bytes": len(members["dump/concelier/dto.bson"]), "tenants": {"": {"documents": 1}}},
        ]
        before(document)
        base = patcher.desk.kit(members, manifest=document)
        honest = kits.read(patcher.desk.patched(base, name="patched.tar"))
        outcome, predicate = patcher.receipt(honest)
        assert (outcome.code, len(append_only(predicate["verifiedLevels"]))) == (0, 1), outcome
        outcome = patcher.judged(patcher.forged(honest, manifest=after))
        assert outcome.code == 11, outcome
        assert words in outcome.err

    def test_merkle_roots_that_are_dropped_are_named_and_end_the_claim(self, patcher: Patcher) -> None:
        rooted = patcher.desk.patched(patcher.desk.kit(), "--limit", 1, "--merkle", name="rooted.tar")
        path = patcher.desk.patched(rooted, "--no-merkle", name="bare.tar", trusting=("vendor", "site"))
        outcome, predicate = patcher.receipt(kits.read(path))
        assert outcome.code == 0, outcome
        assert append_only(predicate["verifiedLevels"]) == []
        assert outcome.json["lineage"][-1]["differences"][0]["kind"] == "no longer declared"
        assert outcome.json["appendOnly"]["why"].startswith("it did more to the manifest: no longer declared: ")

    def test_a_step_that_forges_is_followed_by_an_honest_one(self, patcher: Patcher, desk: Desk) -> None:
        first = kits.read(desk.patched(desk.kit(), "--limit", 1, name="first.tar"))
        forged = desk.write(patcher.forged(first, {PLUGIN: b"\x7fELF"}), "forged.tar")
        second = desk.patched(forged, name="second.tar", trusting=("vendor", "site"))
        outcome = patcher.judged(kits.read(second))
        assert outcome.code == 11, outcome
        assert f"the step to generation 4 claims to append only rawLinkset, but did more: member added: {PLUGIN}" in (
            outcome.err
        )

    def test_a_step_that_alters_documents_is_followed_by_an_honest_one(self, patcher: Patcher, desk: Desk) -> None:
        first = kits.read(desk.patched(desk.kit(), "--limit", 1, name="first.tar"))
        altered = first[OBSERVATIONS].replace(b"GO-2025-0002", b"GO-2025-9999")
        second = desk.patched(
            desk.write(patcher.forged(first, {OBSERVATIONS: altered}), "forged.tar"),
            name="second.tar",
            trusting=("vendor", "site"),
        )
        outcome = patcher.judged(kits.read(second))
        assert outcome.code == 2, outcome
        assert "without what was appended since generation 3" in outcome.err

    def test_a_chain_of_honest_steps_is_proven_to_its_beginning(self, patcher: Patcher, desk: Desk) -> None:
        path = desk.patched(desk.kit(), "--limit", 1, name="1.tar")
        path = desk.patched(path, name="2.tar", trusting=("vendor", "site"))
        outcome, predicate = patcher.receipt(kits.read(path))
        assert append_only(predicate["verifiedLevels"]) == ["OFFLINE_KIT_APPEND_ONLY"]
        assert predicate["urn:offline-kit:append-only:v1"] == {"since": 3, "until": 5}
        told = patcher.judged(kits.read(path), name="again.tar").out
        assert "the last 2 steps, since generation 3, appended rawLinkset to 2 and changed no other byte" in told
        assert outcome.json["proofs"][0]["changed"] == 1

    def test_a_step_of_another_kind_below_is_named_and_the_level_is_of_the_last_steps_alone(
        self, patcher: Patcher, desk: Desk
    ) -> None:
        first = kits.read(desk.patched(desk.kit(), "--limit", 1, name="first.tar"))
        other = patcher.forged(first, statement=lambda s: s["transforms"][0].update(name="by-hand"))
        path = desk.patched(desk.write(other, "other.tar"), name="second.tar", trusting=("vendor", "site"))
        outcome, predicate = patcher.receipt(kits.read(path))
        assert outcome.code == 0, outcome
        assert append_only(predicate["verifiedLevels"]) == ["OFFLINE_KIT_APPEND_ONLY_LAST_STEPS"]
        assert predicate["urn:offline-kit:append-only:v1"] == {"since": 4, "until": 5}
        assert outcome.json["appendOnly"]["why"] == "the step to generation 4 does more than append"

    @pytest.mark.parametrize(
        ("statement", "code"),
        [
            (lambda s: s["transforms"][0].update(name="by-hand"), 0),
            (lambda s: s["transforms"][0].update(kind="encrypted-field"), 0),
            (lambda s: s["transforms"].append(s["transforms"][0] | {"name": "by-hand"}), 0),
            (lambda s: s["transforms"][0].update(parametersSha256="0" * 64), 11),
        ],
        ids=["another transform", "another kind", "one more", "other parameters"],
    )
    def test_who_says_more_is_reported_and_gets_no_level(
        self, statement: Change, code: int, patcher: Patcher, honest: Members
    ) -> None:
        outcome, predicate = patcher.receipt(patcher.forged(honest, {PLUGIN: b"x"}, statement=statement))
        assert outcome.code == code, outcome
        assert append_only(predicate["verifiedLevels"]) == []
        assert outcome.json["lineage"][-1]["differences"][0]["place"] == PLUGIN

    def test_an_operation_that_is_not_known_gets_no_level(self, patcher: Patcher, honest: Members) -> None:
        members = patcher.forged(honest, manifest=set_in("lineage", 0, "operation", "restore"))
        outcome, predicate = patcher.receipt(members)
        assert (outcome.code, append_only(predicate["verifiedLevels"])) == (0, [])

    @pytest.mark.parametrize(
        ("edit", "code"),
        [
            (lambda found: [found[0] | {"tenant": "other"}, *found[1:]], 2),
            (lambda found: [found[1], found[0], found[2]], 2),
            (lambda found: [*found[:2], found[2] | {"rawLinkset": RAW}], 2),
            (lambda found: [{**found[0], "rawLinkset": RAW, "x": 1}, *found[1:]], 2),
            (lambda found: [{**found[0], "content": {"__encrypted": True}}, *found[1:]], 2),
            (lambda found: [*found, observation(9) | {"rawLinkset": RAW}], 2),
        ],
        ids=["reworded", "reordered", "appended elsewhere", "not at the end", "sealed", "one more"],
    )
    def test_documents_of_a_plain_collection_change_otherwise(
        self, edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], code: int, patcher: Patcher, honest: Members
    ) -> None:
        body = kits.collection(edit(documents(honest[OBSERVATIONS])))
        outcome = patcher.judged(patcher.forged(honest, {OBSERVATIONS: body}, manifest=set_in("collections", ...)))
        assert outcome.code == code, outcome

    def test_the_element_that_was_there_is_replaced(self, patcher: Patcher, desk: Desk) -> None:
        had = observation(7) | {"rawLinkset": {"aliases": []}}
        honest = kits.read(desk.patched(desk.kit(kits.content(observation(1), had)), name="had.tar"))
        found = documents(honest[OBSERVATIONS])
        found[1]["rawLinkset"] = RAW

        def claim(statement: dict[str, Any]) -> None:
            statement["documents"][0]["changed"] = [0, 2]

        files = {OBSERVATIONS: kits.collection(found)}
        outcome = patcher.judged(patcher.forged(honest, files, manifest=set_in("collections", ...), statement=claim))
        assert outcome.code == 2, outcome

    def test_the_element_is_there_twice(self, patcher: Patcher, honest: Members) -> None:
        first, *others = kits.documents_of(honest[OBSERVATIONS])
        element = b"\x03rawLinkset\0" + bson.encode({"aliases": []})
        twice = (len(first) + len(element)).to_bytes(4, "little") + first[4:-1] + element + b"\0"
        body = b"".join([twice, *others])
        outcome = patcher.judged(patcher.forged(honest, {OBSERVATIONS: body}, manifest=set_in("collections", ...)))
        assert outcome.code == 11, outcome


class TestCompressedMembers:
    """The previous manifest has the digest of compressed bytes; what a patcher states of the documents is his word."""

    def base(self, desk: Desk, suffix: str, **manifest: Any) -> Path:
        members = kits.content()
        body = packed(members.pop(OBSERVATIONS), suffix)
        members[f"{OBSERVATIONS}{suffix}"] = body
        return desk.kit(members, name="base.tar", manifest=kits.manifest_of(members, **manifest))

    def replaced(
        self, patcher: Patcher, honest: Members, suffix: str, found: list[dict[str, Any]], generation: int = 3
    ) -> Members:
        """Put other documents into the member, and state what fits."""
        path = f"{OBSERVATIONS}{suffix}"
        without = kits.collection({n: v for n, v in document.items() if n != "rawLinkset"} for document in found)

        def claim(statement: dict[str, Any]) -> None:
            flags = ["rawLinkset" in document for document in found]
            assert all(flags)
            statement["documents"] = [{"name": path, "baseSha256": kits.sha256(without), "changed": [0, len(found)]}]
            statement["counts"] = {}

        files = {path: packed(kits.collection(found), suffix)}
        return patcher.forged(honest, files, generation=generation, manifest=set_in("collections", []), statement=claim)

    @pytest.mark.parametrize("suffix", [".gz", ".zst"])
    def test_every_document_is_replaced(self, suffix: str, patcher: Patcher, desk: Desk) -> None:
        honest = kits.read(desk.patched(self.base(desk, suffix), name="honest.tar"))
        evil = [{"_id": f"EVIL-{number}", "tenant": "acme", "rawLinkset": RAW} for number in range(3)]
        outcome, predicate = patcher.receipt(self.replaced(patcher, honest, suffix, evil))
        assert append_only(predicate["verifiedLevels"]) == []
        assert outcome.json["lineage"][-1]["ground"] == "statement"
        assert [(one["proven"], one["basis"]) for one in outcome.json["proofs"]] == [
            (False, "the patcher's word alone")
        ]
        told = patcher.judged(self.replaced(patcher, honest, suffix, evil), name="again.tar")
        assert "they are the previous ones" not in told.out
        assert "changed no other byte" not in told.out
        assert f"that the last step only appended is not proven: {OBSERVATIONS}{suffix}" in told.out

    @pytest.mark.parametrize("suffix", [".gz", ".zst"])
    def test_what_this_program_compressed_is_proven_by_compressing_it_again(
        self, suffix: str, patcher: Patcher, desk: Desk
    ) -> None:
        first = desk.patched(self.base(desk, suffix), "--limit", 1, name="first.tar")
        second = kits.read(desk.patched(first, name="second.tar", trusting=("vendor", "site")))
        outcome, predicate = patcher.receipt(second)
        assert append_only(predicate["verifiedLevels"]) == ["OFFLINE_KIT_APPEND_ONLY_LAST_STEPS"]
        assert predicate["urn:offline-kit:append-only:v1"] == {"since": 4, "until": 5}
        assert [one["proven"] for one in outcome.json["proofs"]] == [True]
        evil = [document | {"rawLinkset": RAW} for document in documents(plain(second, suffix))]
        evil[0]["tenant"] = "other"
        forged, predicate = patcher.receipt(self.replaced(patcher, second, suffix, evil, generation=4))
        assert append_only(predicate["verifiedLevels"]) == [], forged

    def test_a_merkle_root_of_the_publisher_is_held_to_the_documents(self, patcher: Patcher, desk: Desk) -> None:
        suffix = ".zst"
        rooted = desk.patched(self.base(desk, suffix), "--limit", 1, "--merkle", name="rooted.tar")
        members = kits.read(rooted)
        # As a publisher whose compressor nobody knows, and whose manifest has the roots.
        body = zstandard.ZstdCompressor(level=19).compress(plain(members, suffix))
        files = {n: b for n, b in members.items() if not n.startswith("manifest/")} | {f"{OBSERVATIONS}{suffix}": body}
        told = json.loads(members[MANIFEST])["collections"]
        base = desk.kit(files, name="published.tar", manifest=kits.manifest_of(files, collections=told))
        honest = kits.read(desk.patched(base, name="honest.tar"))
        outcome, predicate = patcher.receipt(honest)
        assert (outcome.code, append_only(predicate["verifiedLevels"])) == (0, [])
        assert outcome.json["proofs"][0]["basis"].endswith("which does not prove their order")
        found = [d | {"rawLinkset": RAW} for d in documents(plain(honest, suffix)) if d["_id"] != "x"]
        found[0]["tenant"] = "other"
        assert patcher.judged(self.replaced(patcher, honest, suffix, found)).code == 2


def packed(body: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(body, 9, mtime=0)
    return zstandard.ZstdCompressor(level=19).compress(body)


def plain(members: Members, suffix: str) -> bytes:
    return kits.plain(members[f"{OBSERVATIONS}{suffix}"], suffix)


class TestDeclared:
    @pytest.mark.parametrize(
        ("statement", "code", "words"),
        [
            (
                lambda s: s["counts"].update({"raw-linkset.content": 3}),
                11,
                "counts 3 documents that changed, and names 2",
            ),
            (lambda s: s["counts"].update({"raw-linkset.present": 7}), 11, "observations, there are 3"),
            (lambda s: s["counts"].update({"raw-linkset.content": -1}), 11, "an integer from 0"),
            (lambda s: s["counts"].update({"raw-linkset.content": 2**60}), 11, "an integer from 0"),
            (lambda s: s.update(keyIds=["somebody-else"]), 11, "is signed by somebody-else, but it is by"),
            (lambda s: s.update(keyIds=[]), 11, "is signed by nobody, but it is by"),
            (lambda s: s["documents"][0].update(changed=[3]), 2, ""),
            (lambda s: s["materials"][0]["digest"].update(sha256="0" * 64), 2, "not"),
        ],
        ids=["changed", "observations", "negative", "huge", "another key", "no key", "nothing changed", "another base"],
    )
    def test_a_statement_that_counts_or_names_others(
        self, statement: Change, code: int, words: str, patcher: Patcher, honest: Members
    ) -> None:
        outcome = patcher.judged(patcher.forged(honest, statement=statement))
        assert outcome.code == code, outcome
        assert words in outcome.err

    @pytest.mark.parametrize("count", [0, 1, 3])
    def test_envelopes_are_counted(self, count: int, patcher: Patcher, honest: Members) -> None:
        lie = set_in("collections", 0, "tenants", "acme", "encrypted", {"content.raw": count})
        outcome = patcher.judged(patcher.forged(honest, manifest=lie))
        assert outcome.code == (11 if count else 0), outcome
        assert ("encrypted 'content.raw' of tenant 'acme'" in outcome.err) == bool(count)

    def test_more_are_called_unresolvable_than_are(self, patcher: Patcher, desk: Desk) -> None:
        path = desk.patched(desk.kit(), "--limit", 1, name="limited.tar")
        assert patcher.judged(kits.read(path)).code == 0
        raw = {"present": 0, "missing": 1, "unresolvable": 1}
        lie = set_in("collections", 0, "tenants", "globex", "rawLinkset", raw)
        outcome = patcher.judged(patcher.forged(kits.read(path), manifest=lie))
        assert outcome.code == 11, outcome
        assert "unresolvable of tenant 'globex': the manifest declares 1" in outcome.err


NOTES = f"{DUMP}/notes.bson"


class TestSealedOnly:
    """A step of encrypt-fields that does more than its map says."""

    @pytest.fixture
    def vault(self, tmp_path: Path) -> Vault:
        return Vault(tmp_path)

    def judged(self, vault: Vault, members: Members, *, keys: bool) -> tuple[Outcome, list[str]]:
        place = vault.keys / "receipt.json"
        place.unlink(missing_ok=True)
        signing = ("--receipt", place, "--signing-key", vault.keys / "stranger", "--at", LATER, "--json")
        path = vault.write(members, "judged.tar")
        outcome = vault.proving(path, *signing, passphrase=PASSPHRASE if keys else None)
        schema("verify-report").validate(outcome.json)
        payload = dsse.verify(place.read_bytes(), {key("stranger").public.key_id: key("stranger").public}).payload
        statement = json.loads(payload)
        schema("receipt").validate(statement)
        levels: list[str] = statement["predicate"]["verifiedLevels"]
        assert outcome.json["levels"] == [level for level in levels if level != "FAILED"]
        return outcome, levels

    @pytest.mark.parametrize("keys", [True, False])
    def test_an_honest_step_has_the_level_with_the_keyring_alone(self, keys: bool, vault: Vault) -> None:  # noqa: FBT001
        outcome, levels = self.judged(vault, kits.read(vault.encrypted()), keys=keys)
        assert outcome.code == 0, outcome
        assert ("OFFLINE_KIT_SEALED_ONLY" in levels) == keys
        assert ("not looked into (--keyring)" in outcome.out) != keys

    def test_another_word_of_a_sealed_document_is_changed(self, vault: Vault) -> None:
        honest = kits.read(vault.encrypted(vault.notes(note(1, title="one"), note(2))))
        files = {NOTES: honest[NOTES].replace(b"one\0", b"two\0")}
        members = Patcher(vault).forged(honest, files)
        outcome, levels = self.judged(vault, members, keys=True)
        assert (outcome.code, levels) == (2, ["FAILED"]), outcome
        assert "changed more than mapped values" in outcome.json["error"]["what"]
        outcome, levels = self.judged(vault, members, keys=False)
        assert (outcome.code, "OFFLINE_KIT_SEALED_ONLY" in levels) == (0, False)

    @pytest.mark.parametrize("keys", [True, False])
    def test_a_document_without_anything_to_seal_is_changed(self, keys: bool, vault: Vault) -> None:  # noqa: FBT001
        honest = kits.read(vault.encrypted(vault.notes(note(1), note(2, body=None, title="one"))))
        files = {NOTES: honest[NOTES].replace(b"one\0", b"two\0")}

        def claim(statement: dict[str, Any]) -> None:
            statement["documents"][0]["changed"] = [0, 2]

        outcome, _ = self.judged(vault, Patcher(vault).forged(honest, files, statement=claim), keys=keys)
        assert outcome.code == 2, outcome
        assert "1 documents that the step changed have no envelope" in outcome.json["error"]["what"]

    @pytest.mark.parametrize("keys", [True, False])
    @pytest.mark.parametrize("what", ["README.txt", PLUGIN, "version"])
    def test_something_that_the_map_does_not_name_is_changed(self, what: str, keys: bool, vault: Vault) -> None:  # noqa: FBT001
        base = vault.kit({**members_of(note(1)), "README.txt": b"a kit"})
        honest = kits.read(vault.encrypted(base))
        patcher = Patcher(vault)
        if what == "version":
            members = patcher.forged(honest, manifest=set_in("version", "2099-GA"))
        else:
            members = patcher.forged(honest, {what: b"other"})
        outcome, _ = self.judged(vault, members, keys=keys)
        assert outcome.code == 11, outcome
        assert what in str(outcome.json["error"])

    @pytest.mark.parametrize("keys", [True, False])
    def test_other_envelopes_are_counted_than_there_are(self, keys: bool, vault: Vault) -> None:  # noqa: FBT001
        def claim(statement: dict[str, Any]) -> None:
            statement["counts"]["encrypt-fields.encrypted/notelett.notes/body"] += 1

        honest = kits.read(vault.encrypted())
        outcome, _ = self.judged(vault, Patcher(vault).forged(honest, statement=claim), keys=keys)
        assert outcome.code == 11, outcome
        assert "the statement counts 4" in outcome.json["error"]["what"]

    def test_a_base_that_somebody_else_compressed_is_the_patchers_word(self, vault: Vault) -> None:
        body = gzip.compress(kits.collection([note(1), note(2)]), 9, mtime=0)
        outcome, levels = self.judged(vault, kits.read(vault.encrypted(vault.kit({f"{NOTES}.gz": body}))), keys=True)
        assert (outcome.code, "OFFLINE_KIT_SEALED_ONLY" in levels) == (0, False)
        assert outcome.json["fields"][0]["restIdentical"] is False
        assert "the patcher's word alone" in outcome.json["fields"][0]["restNotProven"]

    def test_envelopes_that_a_manifest_declares_are_counted(self, vault: Vault) -> None:
        honest = kits.read(vault.encrypted())
        assert vault.verify(vault.write(honest, "honest.tar"), options=("--deep",)).code == 0
        lie = set_in("collections", 0, "tenants", "", "encrypted", {"body": 2})
        path = vault.write(Patcher(vault).forged(honest, manifest=lie), "forged.tar")
        outcome = vault.verify(path, options=("--deep",))
        assert outcome.code == 11, outcome
        assert "encrypted 'body' of tenant '': the manifest declares 2, found 3" in outcome.err

    def test_what_was_counted_stays_when_another_step_looks_at_others(self, vault: Vault) -> None:
        notes = members_of(*(note(number) for number in range(4)))
        base = vault.kit({**notes, OBSERVATIONS: kits.content()[OBSERVATIONS]})
        half = vault.encrypted(base, "--tenant", "w1", name="half.tar")
        whole = vault.encrypted(half, name="whole.tar", trusting=("vendor", "site"))
        backfilled = vault.patched(whole, name="backfilled.tar", trusting=("vendor", "site"))
        for path, count in ((half, 2), (whole, 4), (backfilled, 4)):
            outcome = vault.verify(path, options=("--deep", "--json"))
            assert outcome.code == 0, outcome
            told = json.loads(kits.read(path)[MANIFEST])["collections"]
            (notes_told,) = (one for one in told if one["path"] == NOTES)
            # Half of them were counted in a run that did not look at the others: nothing is told then.
            assert notes_told["tenants"][""].get("encrypted") == ({"body": count} if count == 4 else None)
        levels = vault.verify(backfilled, options=("--deep", "--json")).json["levels"]
        assert append_only(levels) == ["OFFLINE_KIT_APPEND_ONLY_LAST_STEPS"]


def members_of(*documents: dict[str, Any]) -> Members:
    return {NOTES: kits.collection(documents)}


class TestNothingToCompareWith:
    """Obligation 4 is claimed of what was compared, and of nothing else."""

    def judged(self, desk: Desk, policy: Path, path: Path, *options: object) -> tuple[Outcome, list[str]]:
        place = desk.keys / "receipt.json"
        place.unlink(missing_ok=True)
        words = ("--trust", policy, "--at", LATER, "--receipt", place, "--signing-key", desk.keys / "stranger")
        outcome = kit("verify", path, *words, "--workers", 1, *options)
        if not place.exists():
            return outcome, []
        payload = dsse.verify(place.read_bytes(), {key("stranger").public.key_id: key("stranger").public}).payload
        levels: list[str] = json.loads(payload)["predicate"]["verifiedLevels"]
        return outcome, [level for level in levels if level in {"OFFLINE_KIT_FRESH", "OFFLINE_KIT_NOT_ROLLED_BACK"}]

    def policy(self, desk: Desk, *more: object) -> Path:
        path = desk.keys / "policy.json"
        keys = ("--key", desk.public("vendor"), "publisher", "--key", desk.public("stranger"), "auditor")
        assert kit("trust", "init", path, *keys, *more).code == 0
        return path

    def test_a_kit_that_says_neither_bundle_nor_time_nor_generation_is_not_fresh(self, desk: Desk) -> None:
        policy = self.policy(desk)
        members = kits.content()
        for number in (1, 2):
            document = kits.foreign_manifest_of(members) | {"x": number}
            outcome, levels = self.judged(desk, policy, desk.kit(members, manifest=document))
            assert (outcome.code, levels) == (0, []), outcome
            assert "\n  4  -       in its time, and not rolled back: " in outcome.out

    def test_the_first_kit_without_a_window_is_compared_with_nothing_and_the_second_with_it(self, desk: Desk) -> None:
        policy, path = self.policy(desk), desk.kit()
        outcome, levels = self.judged(desk, policy, path)
        assert (outcome.code, levels) == (0, []), outcome
        assert "\n  4  -  " in outcome.out
        outcome, levels = self.judged(desk, policy, path)
        assert levels == ["OFFLINE_KIT_NOT_ROLLED_BACK"]
        assert "\n  4  ok      not rolled back: " in outcome.out

    def test_a_window_alone_shows_the_age_and_no_more(self, desk: Desk) -> None:
        members = kits.content()
        document = kits.manifest_of(members, stalenessWindowHours=100_000)
        path, policy = desk.kit(members, manifest=document), self.policy(desk)
        outcome, levels = self.judged(desk, policy, path)
        assert levels == ["OFFLINE_KIT_FRESH"]
        assert "\n  4  ok      in its time: " in outcome.out
        outcome, levels = self.judged(desk, policy, path)
        assert levels == ["OFFLINE_KIT_FRESH", "OFFLINE_KIT_NOT_ROLLED_BACK"]
        assert "\n  4  ok      in its time, and not rolled back: " in outcome.out

    def test_a_kit_without_collections_has_no_documents_to_vouch_for(self, desk: Desk) -> None:
        path = desk.kit({"README.txt": b"x"})
        outcome = desk.verify(path, "vendor", options=("--deep", "--json"))
        assert outcome.code == 0
        assert "OFFLINE_KIT_DOCUMENTS" not in outcome.json["levels"]
        assert outcome.json["obligations"][6]["status"] == "not applicable"
