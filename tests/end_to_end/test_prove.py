"""Proofs about single documents: made, checked by three programs, and attacked in every field."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bson
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from jsonschema import Draft202012Validator

from conformance import check_proof
from kit.engine.leaves import BLOCK
from kit.errors import KitError
from kit.signing import Algorithm, jws
from kit.verbs.prove.proof import Proof
from kit.verbs.prove.prove import check
from kit.verbs.verify.judgement import Expectation
from tests import kits
from tests.commands import ROOT, Outcome, kit
from tests.end_to_end.desk import Desk, key
from tests.end_to_end.test_trust import LATER, Office
from tests.kits import OBSERVATIONS, observation
from tests.tiers import examples

OTHER_PART = "dump/part/concelier/advisory_observations.bson"
OID = "65a000000000000000000001"

NODE = """
const fs = require("fs"), crypto = require("crypto");
const [, , proofFile, keyFile] = process.argv;
const proof = JSON.parse(fs.readFileSync(proofFile)), bytes = (t) => Buffer.from(t, "base64");
const sha = (...parts) => crypto.createHash("sha256").update(Buffer.concat(parts)).digest();
const manifest = bytes(proof.manifest), [protectedHeader, signature] = bytes(proof.signature).toString().split("..");
const signed = crypto.verify("sha256", Buffer.concat([Buffer.from(protectedHeader + "."), manifest]),
    {key: fs.readFileSync(keyFile), dsaEncoding: "ieee-p1363"}, Buffer.from(signature, "base64url"));
const entries = Object.fromEntries(JSON.parse(manifest).collections.map((c) => [c.path, c]));
// RFC 6962 2.1, recursively: the split is the largest power of two below the size.
function root(hash, index, size, path) {
    if (size === 1) return path.length ? null : hash;
    let half = 1;
    while (half * 2 < size) half *= 2;
    const beside = Buffer.from(path[path.length - 1] || "", "hex"), rest = path.slice(0, -1);
    return index < half ? sha(Buffer.from([1]), root(hash, index, half, rest), beside)
        : sha(Buffer.from([1]), beside, root(hash, index - half, size - half, rest));
}
const good = proof.members.every((m) => m.leaves.every((l) => root(
    sha(Buffer.from([0]), Buffer.from(l.key, "hex"), Buffer.from(l.documentSha256, "hex")),
    l.index, entries[m.path].documents, l.path).toString("hex") === entries[m.path].merkleRoot));
process.exit(signed && good ? 0 : 1);
"""


def many() -> dict[str, bytes]:
    ids: list[Any] = ["b", "d", "d", 7, bson.Int64(8), bson.ObjectId(OID), "é", "f"]
    documents = [observation(n) | {"_id": one} for n, one in enumerate(ids)]
    part = [observation(n, "globex") | {"_id": one} for n, one in enumerate(("c", "f"))]
    return kits.content(*documents) | {OTHER_PART: kits.collection(part), "dump/concelier/nothing.bson": b""}


class Prover:
    def __init__(self, desk: Desk, name: str = "site") -> None:
        self.desk, self.name, self.made = desk, name, 0
        self.path = desk.patched(desk.kit(many()), "--merkle", "--allow-unimportable", by=name)  # an _id is there twice

    def prove(self, identity: str, *options: object, code: int = 0, absent: object = False) -> Path:
        outcome = self.attempt(identity, *options, *(["--absent"] if absent else []))
        assert outcome.code == code, outcome
        return self.proof

    def attempt(self, identity: str, *options: object) -> Outcome:
        self.made += 1
        self.proof = self.desk.kits / f"{self.made}.proof"
        return kit("prove", self.path, "--id", identity, "--output", self.proof, "--workers", 1, *options)

    def check(self, proof: Path, *options: object, by: str = "") -> Outcome:
        return kit("prove", "--check", proof, "--trusted-key", self.desk.public(by or self.name), *options)


@pytest.fixture(scope="module")
def prover(tmp_path_factory: pytest.TempPathFactory) -> Prover:
    return Prover(Desk(tmp_path_factory.mktemp("desk")))


def script(proof: Path, public: Path, *document: Path, absent: object = False) -> int:
    """Run the stand-alone check in this process."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = check_proof.main([*(["--absent"] if absent else []), str(proof), str(public), *map(str, document)])
    assert out.getvalue().startswith("NOT PROVEN: " if code else "proven: ")
    return code


def documents(path: Path, member: str = OBSERVATIONS) -> Iterator[bytes]:
    yield from kits.documents_of(kits.read(path)[member])


def file_of(folder: Path, document: bytes) -> Path:
    path = folder / f"{kits.sha256(document)[:8]}.bson"
    path.write_bytes(document)
    return path


@pytest.mark.parametrize(
    ("identity", "present", "leaves"),
    [
        ("b", True, [1]),
        ("d", True, [2]),
        ("f", True, [1, 1]),
        ("é", True, [1]),
        (f'{{"$oid": "{OID}"}}', True, [1]),
        ('{"$numberInt": "7"}', True, [1]),
        ('{"$numberLong": "8"}', True, [1]),
        ("c", True, [1]),
        ("a", False, [1, 1]),
        ("cc", False, [2, 2]),
        ("dd", False, [2, 2]),
        ("zz", False, [2, 1]),
        ('{"$numberLong": "9"}', False, [1, 1]),
        ('{"$numberInt": "9"}', False, [2, 1]),
    ],
)
def test_what_is_there_and_what_is_not(prover: Prover, identity: str, present: object, leaves: list[int]) -> None:
    proof = prover.prove(identity, absent=not present)
    outcome = prover.check(proof, "--json", *([] if present else ["--absent"]))
    assert outcome.code == 0, outcome
    assert outcome.json["present"] == present
    assert (outcome.json["statement"] is None) == present
    assert ("statement" not in json.loads(proof.read_text())) == present
    assert sorted(len(one["leaves"]) for one in outcome.json["members"]) == sorted(leaves)
    assert outcome.json["signers"] == [key("site").public.key_id]
    for name, value in (("merkle-proof", json.loads(proof.read_text())), ("proof-report", outcome.json)):
        Draft202012Validator(json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text())).validate(value)
    if "$number" not in identity:
        assert script(proof, prover.desk.public("site"), absent=not present) == 0
    if shutil.which("node"):
        place = prover.desk.kits / "check.js"
        place.write_text(NODE)
        command = ["node", str(place), str(proof), str(prover.desk.public("site"))]
        assert subprocess.run(command, check=False).returncode == 0


def test_the_document_itself_and_no_other(prover: Prover) -> None:
    proof, public = prover.prove("d"), prover.desk.public("site")
    for document in documents(prover.path):
        place = file_of(prover.desk.kits, document)
        same = bson.decode(document)["_id"] == "d"
        outcome = prover.check(proof, "--document", place)
        assert outcome.code == (0 if same else 11)
        assert ("the document matches" in outcome.out) == same
        assert script(proof, public, place) == (0 if same else 1)
    changed = bson.encode(bson.decode(next(documents(prover.path))) | {"_id": "d"})
    outcome = prover.check(proof, "--document", file_of(prover.desk.kits, changed))
    assert (outcome.code, "which the proof is not about" in outcome.err) == (2, True)
    absent = prover.prove("a", absent=True)
    assert prover.check(absent, "--absent", "--document", file_of(prover.desk.kits, changed)).code == 64


def test_text_that_is_there_as_another_type_is_not_called_absent(prover: Prover) -> None:
    for text, kind in ((OID, "$oid"), ("7", "$numberInt"), ("8", "$numberLong")):
        assert prover.attempt(text, "--absent").code == 64
        outcome = prover.attempt(text)
        assert outcome.code == 64
        assert f'--id \'{{"{kind}": "{text}"}}\'' in outcome.err
        assert not prover.proof.exists()
    assert prover.check(prover.prove("9", absent=True), "--absent").code == 0


def test_what_is_not_there_is_an_error_with_near_matches_unless_absence_is_asked_for(prover: Prover) -> None:
    name = kits.identifier(3)  # of the document whose _id is the number 7
    for text, near in (
        (name, "7 (same upstream id)"),
        (name.lower(), "7 (same upstream id)"),
        (f"initech:osv:{name}:2", "7 (same upstream id)"),
        ("cve-2025-0007", "f (as an alias)"),
    ):
        outcome = prover.attempt(text)
        outcome.refused(1, f'has the _id "{text}"', f"did you mean {near}?")
        assert not prover.proof.exists()
    outcome = prover.attempt("nothing-of-this-name")
    outcome.refused(1, "kit find KIT", "--absent")
    assert "did you mean" not in outcome.err


def test_an_advisory_is_proven_by_its_name_if_one_document_is_about_it(prover: Prover) -> None:
    def attempt(name: str, *options: object) -> Outcome:
        prover.made += 1
        prover.proof = prover.desk.kits / f"{prover.made}.proof"
        return kit("prove", prover.path, "--advisory", name, "--output", prover.proof, "--workers", 1, *options)

    for name, identity in ((kits.identifier(7), "f"), ("cve-2025-0003", {"$numberInt": "7"})):
        assert attempt(name).code == 0
        assert json.loads(prover.proof.read_text())["claim"]["id"] == identity
        assert prover.check(prover.proof).code == 0
    # Of two tenants: the _id "b" and "c".
    attempt(kits.identifier(0)).refused(64, "2 documents are about", "b, c", "--id", "--tenant")
    for tenant, identity in (("acme", "b"), ("globex", "c")):
        assert attempt(kits.identifier(0), "--tenant", tenant).code == 0
        assert json.loads(prover.proof.read_text())["claim"]["id"] == identity
    attempt("GO-1999-1").refused(1, "is about 'GO-1999-1'", "kit find KIT")
    attempt(f"acme:osv:{kits.identifier(7)}:1").refused(1, "did you mean f (same upstream id)?")
    attempt(kits.identifier(7), "--absent").refused(64, "the absence of an advisory cannot be proven")
    attempt(kits.identifier(7), "--id", "f").refused(64)
    attempt(" ").refused(64)


def test_a_proof_of_absence_states_what_it_is_about_and_is_accepted_only_where_absence_is_asked_for(
    prover: Prover,
) -> None:
    name, public = kits.identifier(3), prover.desk.public("site")
    made = prover.attempt(name, "--absent", "--json")
    assert (made.code, made.json["present"], made.json["near"][0]["by"]) == (0, False, ["upstreamId", "alias"])
    assert made.json["near"][0]["id"] == {"$numberInt": "7"}
    assert "about the _id, not about an advisory" in made.err
    assert "in the kit is 7 (same upstream id)" in made.err
    absent = prover.proof
    assert "about the _id only" in json.loads(absent.read_text())["statement"]
    prover.check(absent).refused(11, "proves that no document has the _id", "--absent")
    accepted = prover.check(absent, "--absent")
    assert (accepted.code, "about the _id, not about an advisory" in accepted.out) == (0, True)
    assert [script(absent, public), script(absent, public, absent=True)] == [1, 0]
    present = prover.prove("b")
    prover.check(present, "--absent").refused(11, "is in the kit")
    assert script(present, public, absent=True) == 1
    prover.attempt("b", "--absent").refused(11, "its absence cannot be proven")
    assert not prover.proof.exists()


def test_an_absence_without_its_statement_or_with_another_is_no_proof(prover: Prover) -> None:
    whole = json.loads(prover.prove("a", absent=True).read_text())
    present = json.loads(prover.prove("b").read_text())
    wrong = [{name: value for name, value in whole.items() if name != "statement"}]
    wrong += [whole | {"statement": other} for other in ("The advisory is not in the kit.", "", None)]
    wrong += [present | {"statement": other} for other in (whole["statement"], None)]
    schema = Draft202012Validator(json.loads((ROOT / "schemas" / "merkle-proof.schema.json").read_text()))
    assert schema.is_valid(whole)
    for one in wrong:
        place = prover.desk.kits / "statement.proof"
        place.write_text(json.dumps(one))
        assert not schema.is_valid(one)
        assert prover.check(place, "--absent").code == prover.check(place).code == 11
        assert script(place, prover.desk.public("site"), absent=True) == 1


def test_a_tenant_narrows_the_members_looked_at(prover: Prover) -> None:
    proof = prover.prove("c", "--tenant", "acme", absent=True)
    outcome = prover.check(proof, "--json", "--absent")
    assert (outcome.json["present"], [one["path"] for one in outcome.json["members"]]) == (False, [OBSERVATIONS])
    assert prover.check(prover.prove("c", "--tenant", "globex"), "--json").json["present"]
    assert script(proof, prover.desk.public("site"), absent=True) == 0
    prover.prove("c", "--tenant", "initech", code=11)
    prover.prove("c", "--tenant", "", code=64)


def test_other_collections_and_an_empty_one(prover: Prover) -> None:
    proof = prover.prove("x", "--collection", "concelier.nothing", absent=True)
    assert prover.check(proof, "--json", "--absent").json["members"][0]["leaves"] == []
    assert script(proof, prover.desk.public("site"), absent=True) == 0
    prover.prove("x", "--collection", "concelier.unheard_of", code=11)
    prover.prove("x", "--collection", "nodot", code=64)


@pytest.mark.slow
def test_trees_of_more_than_a_block_of_leaves(desk: Desk) -> None:
    ids = [f"id-{n:06}" for n in range(0, 4 * BLOCK + 10, 2)]
    many = kits.collection({"_id": one} for one in reversed(ids))
    prover = Prover.__new__(Prover)
    prover.desk, prover.name, prover.made = desk, "site", 0
    prover.path = desk.patched(desk.kit(kits.content() | {"dump/concelier/many.bson": many}), "--merkle")
    edge = 2 * BLOCK  # the first id of the second block
    for identity, indices in (
        (ids[0], [0]),
        (ids[-1], [len(ids) - 1]),
        (f"id-{edge:06}", [BLOCK]),
        (f"id-{edge - 1:06}", [BLOCK - 1, BLOCK]),
        (f"id-{2 * edge + 1:06}", [2 * BLOCK, 2 * BLOCK + 1]),
        ("z", [len(ids) - 1]),
    ):
        absent = identity not in ids
        proof = prover.prove(identity, "--collection", "concelier.many", absent=absent)
        outcome = prover.check(proof, "--json", *(["--absent"] if absent else []))
        assert [leaf["index"] for leaf in outcome.json["members"][0]["leaves"]] == indices
        assert script(proof, desk.public("site"), absent=absent) == 0


def test_who_may_have_signed_is_for_whoever_checks(prover: Prover) -> None:
    proof = prover.prove("b")
    assert prover.check(proof, by="vendor").code == 4
    assert script(proof, prover.desk.public("vendor")) == 1
    office = Office(prover.desk)
    office.init()
    judged = ("prove", "--check", proof, "--trust", office.policy, "--at", LATER)
    assert kit(*judged).code == 0
    office.add("site", "--role", "patcher", "--revoke", "compromised")
    outcome = kit(*judged)
    assert (outcome.code, "was revoked" in outcome.err) == (4, True)
    assert kit("prove", "--check", proof).code == 64


def test_a_publisher_who_patched_and_a_patcher_who_published_prove_nothing(desk: Desk) -> None:
    office = Office(desk)
    office.init(vendor="publisher", site="publisher")
    proof = Prover(desk).prove("b")
    outcome = kit("prove", "--check", proof, "--trust", office.policy, "--at", LATER)
    assert (outcome.code, "it has the role publisher" in outcome.err) == (4, True)


@pytest.mark.parametrize("algorithm", [Algorithm.ED25519, Algorithm.ES256, Algorithm.PS256])
def test_every_kind_of_key_and_several(desk: Desk, algorithm: Algorithm) -> None:
    name = f"signer-{algorithm.value}"
    desk.add_key(name, algorithm)
    prover = Prover(desk, name)
    proof = prover.prove("b")
    assert prover.check(proof).code == 0
    assert script(proof, desk.public(name)) == 0
    assert script(proof, desk.public("stranger")) == 1
    both = desk.patched(
        desk.kit(many(), name="second.tar"),
        *("--merkle", "--allow-unimportable", "--signing-key", desk.keys / name),
        name="both.tar",
    )
    prover.path = both
    proof = prover.prove("b")
    assert [prover.check(proof, by=one).code for one in (name, "site", "vendor")] == [0, 0, 4]
    assert [script(proof, desk.public(one)) for one in (name, "site", "vendor")] == [0, 0, 1]


def test_kits_that_can_prove_nothing(desk: Desk) -> None:
    prover = Prover(desk)
    outcome = prover.attempt("b", "--collection", "concelier.advisory_raw")
    assert outcome.code == 11
    prover.path = desk.patched(name="rootless.tar.zst")
    outcome = prover.attempt("b")
    assert (outcome.code, "no Merkle root" in outcome.err, "--merkle" in outcome.err) == (11, True, True)
    prover.path = desk.kit(signer=None, name="unsigned.tar")
    assert prover.attempt("b").code == 3
    prover.path = desk.kit(name="vendor.tar")
    assert prover.attempt("b").code == 11  # the manifest names no collection, so it has no root


def test_a_root_that_is_not_of_these_documents_proves_nothing(desk: Desk) -> None:
    prover = Prover(desk)
    members = kits.read(prover.path)
    members[OBSERVATIONS] = kits.collection([observation(1)])
    prover.path = kits.write_kit(desk.kits / "other.tar", members)
    outcome = prover.attempt("b")
    assert (outcome.code, "the manifest states 8" in outcome.err) == (2, True)
    assert not prover.proof.exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--id", "b"),
        ("--check", "proof", "--id", "b"),
        ("--check", "proof", "--output", "out"),
        ("--id", "b", "--output", "out", "--document", "x"),
        ("--id", "b", "--output", "out", "--trust", "x"),
    ],
)
def test_half_a_command_says_what_it_needs(prover: Prover, words: tuple[str, ...]) -> None:
    outcome = kit("prove", prover.path, *words)
    assert outcome.code == 64


def test_a_proof_replaces_nothing(prover: Prover) -> None:
    proof = prover.prove("b")
    outcome = kit("prove", prover.path, "--id", "c", "--output", proof)
    assert outcome.code == 74


# --- attacks ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proofs(prover: Prover, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], Expectation, Path, Path]:
    made = [prover.prove(one, absent=len(one) > 1).read_bytes() for one in ("b", "f", "cc", "zz")]
    public = key("site").public
    folder = tmp_path_factory.mktemp("proofs")
    return made, Expectation(trusted={public.key_id: public}), prover.desk.public("site"), folder


IDS: dict[str, set[object]] = {
    OBSERVATIONS: {"b", "d", "é", "f", ("$numberInt", "7"), ("$numberLong", "8"), ("$oid", OID)},
    OTHER_PART: {"c", "f"},
}
TENANTS = {OBSERVATIONS: {"acme"}, OTHER_PART: {"globex"}}


def is_true(claim: dict[str, Any]) -> bool:
    """Tell whether a claim is true of the kit that the proofs were made of."""
    if claim["collection"] != "concelier.advisory_observations":
        return False
    tenant = claim.get("tenant")
    looked_at = [path for path, tenants in TENANTS.items() if tenant is None or tenant in tenants]
    name = claim["id"] if isinstance(claim["id"], str) else next(iter(claim["id"].items()))
    return bool(looked_at) and claim["present"] == any(name in IDS[path] for path in looked_at)


def accepted(data: bytes, expectation: Expectation) -> bool:
    """Tell whether a proof checks; if it does, its claim must be true."""
    try:
        proof = Proof.parse(data, where="proof")
        check(proof, expectation, absent=not proof.claim.present)
    except KitError:
        return False
    assert is_true(json.loads(proof.to_bytes())["claim"])
    return True


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from places(inner, (*at, name))


def replaced(value: Any, draw: Any) -> Any:
    """Give another value in the place of this one."""
    match value:
        case bool():
            return not value
        case int():
            return draw(st.integers(-2, 12))
        case str() if value:
            at = draw(st.integers(0, len(value) - 1))
            other = draw(st.sampled_from("0123456789abcdefAZ+/= "))
            return draw(st.sampled_from([value[:at] + other + value[at + 1 :], value[:at] + value[at + 1 :], ""]))
        case list() if value:
            at = draw(st.integers(0, len(value) - 1))
            return draw(st.sampled_from([value[:at] + value[at + 1 :], [*value, value[at]], value[::-1], []]))
        case dict() if value:
            name = draw(st.sampled_from(sorted(value)))
            left = {one: inner for one, inner in value.items() if one != name}
            return draw(st.sampled_from([left, left | {"more": 1}, value | {"tenant": "globex"}]))
    return draw(st.sampled_from([None, 0, "", "b"]))


Made = tuple[list[bytes], Expectation, Path, Path]


def test_the_proofs_themselves_are_accepted(proofs: Made) -> None:
    made, expectation, _, _ = proofs
    assert all(accepted(one, expectation) for one in made)


FIRM = frozenset(
    {"statement", "index", "key", "documentSha256", "manifest", "signature", "schemaVersion", "collection"}
)


def change(whole: Any, data: st.DataObject) -> bool:
    """Change one value somewhere inside; tell whether it is one that has no other good value."""
    at = data.draw(st.sampled_from(list(places(whole))))
    inner = whole
    for name in at[:-1]:
        inner = inner[name]
    before, inner[at[-1]] = inner[at[-1]], replaced(inner[at[-1]], data.draw)
    return before != inner[at[-1]] and at[-1] in FIRM


@settings(max_examples=examples(400), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_whatever_is_changed_no_false_claim_is_accepted(proofs: Made, data: st.DataObject) -> None:
    made, expectation, public, folder = proofs
    whole = json.loads(data.draw(st.sampled_from(made)))
    firm = change(whole, data)
    found = accepted(json.dumps(whole).encode(), expectation)
    # Another _id in the same gap, or a list that shows less than it did, may be just as true; a firm one is not.
    assert not (found and firm)
    if data.draw(st.booleans()):
        change(whole, data)
        accepted(json.dumps(whole).encode(), expectation)
    if data.draw(st.integers(0, 15)) == 0 and shutil.which("openssl"):
        place = folder / "changed.proof"
        place.write_bytes(json.dumps(whole).encode())
        codes = {script(place, public), script(place, public, absent=True)}
        assert codes == {1} or is_true(whole["claim"])


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_no_byte_of_a_proof_can_be_changed_but_to_claim_that_another_neighbour_is_absent(
    proofs: Made, data: st.DataObject
) -> None:
    made, expectation, _, _ = proofs
    proof = bytearray(data.draw(st.sampled_from(made)))
    at = data.draw(st.integers(0, len(proof) - 1))
    before, proof[at] = bytes(proof), data.draw(st.integers(0, 255))
    if accepted(bytes(proof), expectation):  # and then it is true
        now, then = json.loads(proof), json.loads(before)
        assert now["claim"].pop("id") == then["claim"].pop("id") or not now["claim"]["present"]
        assert now == then


def test_bytes_moved_from_the_digest_to_the_key_of_a_leaf(proofs: Made) -> None:
    """Key and digest stand side by side in the leaf: a shorter digest must not make another key of the same bytes."""
    made, expectation, public, folder = proofs
    shown = json.loads(made[0])
    below = json.loads(made[2])  # of "cc", absent: its neighbours lend the path below "b"
    leaf = shown["members"][0]["leaves"][0]
    for count in (1, 2, 31):
        moved = leaf | {
            "key": leaf["key"] + leaf["documentSha256"][: 2 * count],
            "documentSha256": leaf["documentSha256"][2 * count :],
        }
        for padding in ("", " " * 2 * count):
            attack = shown | {"claim": shown["claim"] | {"present": False}, "statement": below["statement"]}
            attack["members"] = [
                {"path": OBSERVATIONS, "leaves": [moved | {"documentSha256": moved["documentSha256"] + padding}]}
            ]
            attack["members"] += [one for one in below["members"] if one["path"] != OBSERVATIONS]
            place = folder / "moved.proof"
            place.write_bytes(json.dumps(attack).encode())
            assert not accepted(place.read_bytes(), expectation)
            assert script(place, public, absent=True) == 1


def test_a_signature_for_another_purpose_is_none(prover: Prover) -> None:
    whole = json.loads(prover.prove("b").read_text())
    manifest = base64.b64decode(whole["manifest"])
    other = jws.sign(manifest, [key("site")], typ="application/vnd.offline-kit.trust-policy+jws")
    whole["signature"] = base64.b64encode(other).decode()
    place = prover.desk.kits / "purpose.proof"
    place.write_text(json.dumps(whole))
    assert prover.check(place).code == 5
    assert script(place, prover.desk.public("site")) == 1


def test_a_member_left_away_does_not_make_an_absence(prover: Prover) -> None:
    whole = json.loads(prover.prove("c", "--tenant", "acme", absent=True).read_text())
    del whole["claim"]["tenant"]  # true of the one member, false of the collection
    place = prover.desk.kits / "narrow.proof"
    place.write_text(json.dumps(whole))
    outcome = prover.check(place, "--absent")
    assert (outcome.code, f"does not show {OTHER_PART}" in outcome.err) == (11, True)
    assert script(place, prover.desk.public("site")) == 1
