"""Collections in JSON lines and arrays, by commands: what works on BSON works on them, or is refused by name."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.json_util import dumps

from kit.signing import jws
from tests import kits
from tests.commands import kit
from tests.end_to_end.desk import Desk, key
from tests.kits import AT, observation

DECLARED = "concelier.advisory_observations"
DOCUMENTS = [*(observation(number, "acme" if number % 3 else "beta") for number in range(7)), observation(8, raw=False)]
FORMS = ["feeds/o.jsonl", "feeds/o.ndjson.gz", "feeds/o.json", "feeds/o.json.zst"]


def lines(documents: Any = None) -> bytes:
    return b"".join(dumps(one, ensure_ascii=False).encode() + b"\n" for one in documents or DOCUMENTS)


def array(documents: Any = None) -> bytes:
    return ("[\n" + ",\n".join(dumps(one, indent=1) for one in documents or DOCUMENTS) + "\n]\n").encode()


def is_array(path: str) -> bool:
    return ".json" in path and ".jsonl" not in path and ".ndjson" not in path


def create(desk: Desk, members: dict[str, bytes], *, name: str = "kit.tar.zst", declared: str = DECLARED) -> Path:
    """Make a kit of files, each declared by its name."""
    source = desk.kits / f"{name}.source"
    words: list[object] = [
        "--bundle-id",
        "b",
        "--signing-key",
        desk.keys / "vendor",
        "--created-at",
        AT,
        "--workers",
        1,
    ]
    for path, data in members.items():
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(kits.stored(path, data))
        if not path.endswith(".bson"):
            words += ["--collection", f"{path}={'json' if is_array(path) else 'ndjson'}:{declared}"]
    outcome = kit("create", source, "-o", desk.kits / name, *words, "--workers", 1)
    assert outcome.code == 0, outcome
    return desk.kits / name


def content(path: Path, member: str) -> bytes:
    return kits.plain(kits.read(path)[member], member)


def texts_of(data: bytes) -> list[dict[str, Any]]:
    text = data.decode()
    found = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
    assert isinstance(found, list)
    return found


@pytest.fixture
def paths() -> dict[str, bytes]:
    return {path: array() if is_array(path) else lines() for path in FORMS}


class TestPatch:
    @pytest.mark.parametrize("path", FORMS)
    def test_every_form_is_patched_and_proven_to_the_last_byte(self, path: str, desk: Desk) -> None:
        before = array() if is_array(path) else lines()
        base = create(desk, {path: before})
        patched = desk.patched(base)
        verified = desk.verify(patched, options=("--deep",))
        assert verified.code == 0, verified
        # Of a compressed member, only roots are signed that do not depend on its codec, as for BSON.
        due = "appended rawLinkset to 7 and changed no other byte" if path.endswith(("l", "n")) else "Merkle root"
        assert due in verified.out
        after = content(patched, path)
        new, old = texts_of(after), texts_of(before)
        for one in new:
            one.pop("rawLinkset", None)
        assert new == old
        rest = after
        for _, document in zip(old, texts_of(after), strict=True):
            if "rawLinkset" in document:
                text = json.dumps(document["rawLinkset"], separators=(",", ":"), ensure_ascii=False)
                rest = rest.replace(f',"rawLinkset":{text}'.encode(), b"", 1)
        assert rest == before

    def test_every_form_gives_what_bson_gives(self, desk: Desk, paths: dict[str, bytes]) -> None:
        stored = desk.patched(
            desk.kit({kits.OBSERVATIONS: kits.collection(DOCUMENTS)}, name="bson.tar.zst"), name="b.tar"
        )
        due = [bson.decode(one) for one in kits.documents_of(kits.read(stored)[kits.OBSERVATIONS])]
        patched = desk.patched(create(desk, paths))
        for path in paths:
            assert texts_of(content(patched, path)) == due

    def test_odd_texts_keep_every_byte(self, desk: Desk) -> None:
        number = '1.0e+2, "y": -0.0, "z": 12345678901234567890123, "e":"\\u00e9\\/"'
        line = dumps(DOCUMENTS[1])[:-1]
        data = f' \t{line} , "x" : {number}  }} \r\n{line}}}'.encode()
        patched = desk.patched(create(desk, {"o.jsonl": data}), "--allow-unimportable")  # its _id is there twice
        found = content(patched, "o.jsonl")
        assert found.startswith(f' \t{line} , "x" : {number}  ,"rawLinkset":{{"aliases":['.encode())
        assert b"}} \r\n{" in found
        assert found.count(b'"rawLinkset"') == 2
        assert desk.verify(patched, options=("--deep",)).code == 0

    def test_a_second_patch_changes_nothing(self, desk: Desk, paths: dict[str, bytes]) -> None:
        patched = desk.patched(create(desk, paths))
        again = desk.patched(patched, name="again.tar.zst", trusting=("vendor", "site"))
        assert all(content(again, path) == content(patched, path) for path in paths)

    def test_a_migration_declares_and_the_new_manifest_states_it(self, desk: Desk) -> None:
        base = desk.kit({"o.jsonl": lines()})
        assert kit("inspect", base, "--json").json["undeclared"] == ["o.jsonl"]
        head = {"schemaVersion": "1", "id": "20260101_declared", "kind": "additive-optional", "description": "d"}
        names = {"db": "concelier", "collection": "advisory_observations"}
        declared = [{"path": "o.jsonl", "format": "ndjson", **names}]
        steps = [{"name": "raw-linkset", "parameters": {"cacheMap": None}}]
        whole = head | {"transforms": steps, "rollback": {"decision": "leave"}, "collections": declared}
        (desk.kits / "m.json").write_text(json.dumps(whole))
        patched = desk.patched(base, "--migration", desk.kits / "m.json")
        (summary,) = json.loads(kits.read(patched)[kits.MANIFEST])["collections"]
        assert (summary["format"], summary["documents"]) == ("ndjson", 8)
        assert summary["bytes"] == len(content(patched, "o.jsonl"))
        verified = desk.verify(patched, options=("--deep",))
        assert verified.code == 0, verified
        assert "appended rawLinkset to 7 and changed no other byte" in verified.out

    def test_a_document_too_large_for_a_server_stops_the_patch(self, desk: Desk) -> None:
        large = observation(1) | {"pad": ""}
        large["pad"] = "x" * (16 * 1024 * 1024 - 100 - len(bson.encode(large)))
        outcome = desk.patch(create(desk, {"o.jsonl": lines([large])}), "-o", desk.kits / "x.tar")
        outcome.refused(11, "cannot be written", "o.jsonl")

    def test_a_snapshot_in_json_is_looked_up(self, desk: Desk) -> None:
        found = observation(1, raw=False)
        base = create(desk, {"o.jsonl": lines([found])}, name="a.tar")
        assert desk.patch(base, "-o", desk.kits / "b.tar").code == 0
        assert not (desk.kits / "b.tar").exists() or b"rawLinkset" not in content(desk.kits / "b.tar", "o.jsonl")


class TestAttacks:
    def forged(self, desk: Desk, change: Any) -> Path:
        """Return a patched kit in which the signer of the patch changed more than the statement claims."""
        base = create(desk, {"o.jsonl": lines()})
        members = kits.read(desk.patched(base))
        members["o.jsonl"] = change(members["o.jsonl"])
        manifest = json.loads(members[kits.MANIFEST])
        (entry,) = manifest["files"]
        entry |= kits.facts(members["o.jsonl"])
        (summary,) = manifest["collections"]
        summary["bytes"] = len(members["o.jsonl"])
        summary.pop("merkleRoot", None)
        data = kits.to_json(manifest)
        members[kits.MANIFEST] = data
        members[kits.SIGNATURE] = jws.sign(data, [key("site")])
        return desk.write(members, "forged.tar")

    @pytest.mark.parametrize(
        "change",
        [
            lambda data: data.replace(b'"osv"', b'"osw"', 1),
            lambda data: data.replace(b'"tenant": ', b'"tenant":  ', 1),
            lambda data: data.replace(b"}\n{", b"}\n {", 1),
            lambda data: data.replace(b',"rawLinkset":{', b', "rawLinkset":{', 1),
        ],
        ids=["a value", "a blank", "a blank between documents", "a blank before what was appended"],
    )
    def test_more_than_what_was_appended_is_found(self, change: Any, desk: Desk) -> None:
        outcome = desk.verify(self.forged(desk, change), options=("--deep",))
        assert outcome.code in {2, 10, 11}, outcome
        assert "\nvalid: " not in outcome.out

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b'{"_id":1}\n{"_id":2,"a":{"b":1,"b":2}}\n', "document 1: byte 30: a name is there twice in an object"),
            (b'{"_id":1}{"_id":2}\n', "something follows the object"),
            (b'{"_id":1}\n\n', "an empty line"),
            (b'\xef\xbb\xbf{"_id":1}\n', "is no JSON object"),
            (b'{"_id":1,"a":NaN}\n', "is no JSON here"),
            (b'{"_id":1,"a":"\\ud800"}\n', "lone surrogate"),
            (b'{"_id":1,"a":{"$oid":"x"}}\n', "is not a $oid as Extended JSON has it"),
            (b'{"_id":1', "ends inside the object"),
        ],
    )
    def test_what_is_not_strict_is_named_and_no_kit_is_made(self, data: bytes, words: str, desk: Desk) -> None:
        (desk.kits / "source").mkdir()
        (desk.kits / "source/o.jsonl").write_bytes(data)
        options = (
            "--bundle-id",
            "b",
            "--signing-key",
            desk.keys / "vendor",
            "--collection",
            f"o.jsonl=ndjson:{DECLARED}",
        )
        outcome = kit("create", desk.kits / "source", "-o", desk.kits / "x.tar", *options, "--workers", 1)
        outcome.refused(11, "o.jsonl: document", words)

    def test_a_bomb_of_depth_is_over_a_limit(self, desk: Desk) -> None:
        (desk.kits / "source").mkdir()
        (desk.kits / "source/o.jsonl").write_bytes(b'{"a":' + b"[" * 1_000_000)
        options = (
            "--bundle-id",
            "b",
            "--signing-key",
            desk.keys / "vendor",
            "--collection",
            f"o.jsonl=ndjson:{DECLARED}",
        )
        outcome = kit("create", desk.kits / "source", "-o", desk.kits / "x.tar", *options, "--workers", 1)
        outcome.refused(9, "document_depth")


class TestVerbs:
    def test_inspect_shows_formats_and_counts(self, desk: Desk, paths: dict[str, bytes]) -> None:
        found = kit("inspect", create(desk, paths), "--json").json
        shown = {one["path"]: (one["format"], one["documents"], one["bytes"]) for one in found["collections"]}
        assert shown == {path: ("json" if is_array(path) else "ndjson", 8, len(data)) for path, data in paths.items()}
        assert found["undeclared"] == []

    def test_what_nothing_declares_is_listed(self, desk: Desk) -> None:
        found = kit("inspect", desk.kit({"a.ndjson.gz": b"", "b.jsonl": b"", "c.json": b"[]"}))
        assert "not read as a collection: a.ndjson.gz" in found.out
        assert "not read as a collection: b.jsonl" in found.out

    def test_find_names_the_document(self, desk: Desk, paths: dict[str, bytes]) -> None:
        found = kit("find", create(desk, paths), "GO-2025-0003", "--json").json
        assert found["matches"]["total"] == len(paths)

    def test_extract_writes_the_very_texts(self, desk: Desk) -> None:
        base = create(desk, {"o.jsonl": lines()})
        options = (*desk.trust("vendor"), "--workers", 1)
        outcome = kit("extract", base, "-o", desk.kits / "x.json", "--format", "json", *options)
        assert outcome.code == 0, outcome
        assert (desk.kits / "x.json").read_bytes() == lines()
        refused = kit("extract", base, "-o", desk.kits / "y.bson", "--format", "bson", *options)
        refused.refused(64, "o.jsonl", "whose documents are not BSON")

    def test_extract_takes_away_what_a_patch_added(self, desk: Desk) -> None:
        patched = desk.patched(create(desk, {"o.jsonl": lines()}))
        options = (*desk.trust("vendor", "site"), "--workers", 1, "--projection", "canonical")
        outcome = kit("extract", patched, "-o", desk.kits / "x.json", "--format", "json", *options)
        assert outcome.code == 0, outcome
        assert (desk.kits / "x.json").read_bytes() == lines()

    def test_a_proof_of_one_document_is_checked(self, desk: Desk) -> None:
        base = create(desk, {"o.json": array()})
        proof, named = desk.kits / "proof.json", ("--collection", DECLARED, "--advisory", "GO-2025-0003")
        made = kit("prove", base, *named, "-o", proof, "--workers", 1)
        assert made.code == 0, made
        checked = kit("prove", "--check", proof, *desk.trust("vendor"))
        assert checked.code == 0, checked

    def test_diff_compares_what_documents_stand_for(self, desk: Desk) -> None:
        old = create(desk, {"o.jsonl": lines()}, name="old.tar")
        changed = [DOCUMENTS[0] | {"extra": 1}, *DOCUMENTS[1:]]
        new = create(desk, {"o.json": array(changed)}, name="new.tar")
        (found,) = kit("diff", old, new, "--json", "--workers", 1).json["collections"]
        assert [found[how]["total"] for how in ("added", "removed", "changed")] == [0, 0, 1]


class TestDelta:
    @pytest.mark.parametrize(("options", "due"), [((), "recipe"), (("--no-recipe",), "texts")])
    def test_a_site_gets_the_very_archive_by_a_recipe_and_by_texts(
        self, options: tuple[str, ...], due: str, desk: Desk, paths: dict[str, bytes]
    ) -> None:
        base = create(desk, paths)
        patched = desk.patched(base)
        built = self.built(desk, base, patched, *options)
        assert built["methods"][due]["members"] == len(paths)
        if due == "texts":  # four times seven documents got some 300 bytes each
            assert built["methods"][due]["payloadBytes"] < 1500
        assert self.applied(desk, base).read_bytes() == patched.read_bytes()

    def test_new_changed_moved_and_removed_documents_come_back_in_other_forms(self, desk: Desk) -> None:
        changed = [*DOCUMENTS[4:], DOCUMENTS[0] | {"extra": [1.5, None]}, DOCUMENTS[2], observation(9)]
        odd = b' {"_id" : 1 , "a": [ ] }\r\n' + lines(changed)[:-1]
        for name, before, after in (
            ("o.jsonl", lines(), odd),
            ("o.json", array(), array(changed).replace(b"\n]", b" ] ")),
            ("o.json", b"[]", array(changed)),
            ("o.jsonl.zst", lines(), lines(changed)),
        ):
            folder = f"{len(before)}-{name}"
            old = create(desk, {name: before}, name=f"old-{folder}.tar")
            new = create(desk, {name: after}, name=f"new-{folder}.tar.zst")
            self.built(desk, old, new)
            assert self.applied(desk, old).read_bytes() == new.read_bytes()

    def test_a_collection_that_becomes_json_is_sent_in_full(self, desk: Desk) -> None:
        old = create(desk, {kits.OBSERVATIONS: kits.collection(DOCUMENTS)}, name="old.tar")
        new = create(desk, {"o.jsonl": lines()}, name="new.tar")
        assert "texts" not in self.built(desk, old, new)["methods"]
        assert self.applied(desk, old).read_bytes() == new.read_bytes()

    def test_a_chain_is_squashed(self, desk: Desk) -> None:
        kits_of_chain = [
            create(desk, {"o.jsonl": lines(DOCUMENTS[:count])}, name=f"{count}.tar.zst") for count in (3, 5, 7)
        ]
        deltas = []
        for number, (old, new) in enumerate(pairwise(kits_of_chain)):
            self.built(desk, old, new)
            deltas.append((desk.kits / "delta").rename(desk.kits / f"delta-{number}"))
        (desk.kits / "delta.sha256").unlink()
        options = (*desk.trust("vendor"), "--signing-key", desk.keys / "vendor", "--workers", 1)
        squashed = kit("delta", "squash", kits_of_chain[0], *deltas, "-o", desk.kits / "delta", *options)
        assert squashed.code == 0, squashed
        assert self.applied(desk, kits_of_chain[0]).read_bytes() == kits_of_chain[-1].read_bytes()

    @pytest.mark.parametrize(("pattern", "code"), [("*.other", 4), ("*.advisory_observations", 0)])
    @pytest.mark.parametrize("options", [(), ("--no-recipe",)], ids=["recipe", "texts"])
    def test_who_may_only_change_other_collections_cannot_sign_one_that_remakes_this(
        self, options: tuple[str, ...], pattern: str, code: int, desk: Desk
    ) -> None:
        base = create(desk, {"o.jsonl": lines()})
        patched = desk.patched(base)
        trust = (*desk.trust("vendor", "site", "stranger"), "--signing-key", desk.keys / "stranger", "--workers", 1)
        built = kit("delta", "build", base, patched, "-o", desk.kits / "delta", *trust, *options)
        assert built.code == 0, built
        policy = desk.kits / "policy.json"
        keys = ("--key", desk.public("vendor"), "publisher", "--key", desk.public("site"), "patcher")
        assert kit("trust", "init", policy, *keys).code == 0
        limited = ("--role", "patcher", "--collection", pattern, "--at", AT)
        assert kit("trust", "add", policy, desk.public("stranger"), *limited).code == 0
        result = desk.kits / "made.tar.zst"
        outcome = kit("delta", "apply", base, desk.kits / "delta", "-o", result, "--trust", policy, "--at", AT)
        assert (outcome.code, result.exists()) == (code, not code), outcome

    def built(self, desk: Desk, base: Path, target: Path, *options: str) -> dict[str, Any]:
        for name in ("delta", "delta.sha256"):
            (desk.kits / name).unlink(missing_ok=True)
        trust = (*desk.trust("vendor", "site"), "--signing-key", desk.keys / "vendor", "--workers", 1)
        outcome = kit("delta", "build", base, target, "-o", desk.kits / "delta", "--json", *trust, *options)
        assert outcome.code == 0, outcome
        return dict(outcome.json)

    def applied(self, desk: Desk, base: Path) -> Path:
        result = desk.kits / f"applied-{base.name}"
        trust = desk.trust("vendor", "site")
        outcome = kit("delta", "apply", base, desk.kits / "delta", "-o", result, *trust, "--workers", 1)
        assert outcome.code == 0, outcome
        return result
