"""Every JSON document that the program reads, in every structure: what is refused is refused with an error of ours.

A member taken out, a list where a name is expected, null, true for 1, numbers that no type holds, keys twice, nesting
without end: each ends in the document being read or in a ``KitError``, never in the exit code of a defect.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bson
import pytest

from conformance.build.kits import STATEMENT, files, patched, sha256, to_json
from conformance.build.signing import signature_part
from hardening import fuzz_proofs
from hardening.fuzz_targets import delta_manifest, policies
from kit.cli.options import parse_document
from kit.delta.model import DeltaManifest
from kit.delta.recipe import Recipe
from kit.encryption import FieldMap
from kit.encryption.approval import PAYLOAD_TYPE, Approval
from kit.encryption.audit_log import Chain
from kit.encryption.envelope_tally import EnvelopeTally
from kit.encryption.key_records import Adapter, read_records, shipped as shipped_adapter
from kit.encryption.keyring import Keyring
from kit.errors import ContentError, KitError
from kit.importing.metadata import parse_metadata
from kit.manifest import Manifest, parse_record, parse_statement
from kit.migrations import BUILT_IN, Migration, parse_migration
from kit.reports.release_record import read_record
from kit.signing import dsse, jws
from kit.signing.key_forms import as_spki
from kit.transforms.raw_linkset import RawLinkset, parse_cache_map
from kit.trust import Policy
from kit.trust.state import State
from kit.values import Limits, Sha256, Timestamp, strict_json
from kit.verbs.delta.recipes import check_recipe, step_of
from kit.verbs.patch.patch import PatchRequest
from kit.verbs.prove.proof import Proof
from kit.verbs.receipt import parse_receipt
from kit.verbs.verify.receipt import COVERAGE_COUNTS, Page, Receipt, Step
from tests.attacks import mutants
from tests.commands import ROOT
from tests.encryption.site import MAP, empty_keyring
from tests.end_to_end.test_reshape import DEFAULT, EVERY as RESHAPES
from tests.kits import foreign_manifest_of

Reader = Callable[[bytes], Any]
MANIFEST = fuzz_proofs.MANIFEST
PARTS = [signature_part(MANIFEST, name) for name in ("publisher", "site")]
PATCHED = patched()


def _migration(name: str) -> bytes:
    return (ROOT / "kit/migrations" / f"{name}.json").read_bytes()


def _keyring() -> bytes:
    whole = json.loads(empty_keyring().to_json())
    dek = {"dekId": "dek-1", "product": "p", "context": "c", "owner": "o", "madeUnder": 1, "mekVersion": 1}
    dek |= {"wrapped": "AAAA" * 16, "commitment": "0" * 64, "state": "active", "uses": 7}
    dek |= {"createdAt": "2026-01-02T03:04:05Z", "imported": True, "beside": {"mekVersion": 1, "wrapped": "AAAA" * 16}}
    return json.dumps(whole | {"deks": [dek]}).encode()


def _adapter() -> bytes:
    whole = json.loads((ROOT / "kit/encryption/adapters/dek-store.json").read_bytes())
    whole["members"]["wrapped"] = ["key", "wrapped.bytes"]
    return json.dumps(whole | {"constants": {"kind.of": "dek"}}).encode()


def _key_record() -> bytes:
    names = {"id": "dek-1", "productId": "p", "context": "c", "userId": "o", "mekVersion": 3, "status": "active"}
    return json.dumps(names | {"wrappedDek": "AAAA" * 16}).encode()


def _jwk() -> bytes:
    numbers = base64.urlsafe_b64encode(bytes(range(32))).rstrip(b"=").decode()
    return json.dumps({"kty": "OKP", "crv": "Ed25519", "x": numbers, "use": "sig", "key_ops": ["verify"]}).encode()


def _cache_map() -> bytes:
    fields = {"payload": "raw", "tenant": ["tenant", "meta.tenant"], "upstreamId": "id"}
    return json.dumps({"schemaVersion": "1", "collection": "dto", "fields": fields}).encode()


def _lined(data: bytes) -> Chain:
    return Chain().check_next(data, where="log")


def _recipe(data: bytes) -> object:
    # In a delta, whose manifest says what parameters have which digest: whoever writes one makes them fit.
    value = strict_json.parse(data, limits=Limits(), where="k")
    if isinstance(value, dict):
        for step in value["transforms"] if isinstance(value.get("transforms"), list) else ():
            if isinstance(step, dict) and isinstance(step.get("parameters"), dict):
                step["parametersSha256"] = sha256(to_json_or_nothing(step["parameters"]))
    return check_recipe(Recipe.parse(value))


def to_json_or_nothing(value: dict[str, Any]) -> bytes:
    try:
        return to_json(value)
    except ValueError:
        return b""


REQUEST = PatchRequest(kit=Path("k.tar"), transforms=(RawLinkset(),), trusted=None, created_at=Timestamp(0))
JOB = Migration.of((RawLinkset(),))
RECORD = {
    "schemaVersion": "1",
    "kit": "k.tar",
    "migration": {"id": JOB.id, "sha256": JOB.sha256.hex},
    "attempts": [{"command": "plan", "exitCode": 0}],
    "dryRun": {"result": {}},
}
RECIPE = {"transforms": [step_of(RawLinkset()).to_json()]}
RECEIPT = Receipt(
    subjects={"kit.tar": Sha256.of(b"k"), "offline-manifest.json": Sha256.of(b"m")},
    verifier="auditor",
    tool=("offline-kit", "1"),
    at=Timestamp(1_767_323_045),
    bundle="small",
    policy=Sha256.of(b"p"),
    inputs={"offline-manifest.json.jws": Sha256.of(b"s")},
    passed=True,
    levels=("OFFLINE_KIT_CONTAINER", "OFFLINE_KIT_SIGNED"),
    obligations=((1, "container reads strictly", "checked", ""), (2, "one manifest", "not applicable", "why")),
    steps=(Step(generation=4, ground="documents", differences=("a file",), omitted=0),),
    appended=(3, 4),
    tenants=("acme",),
    coverage=dict.fromkeys(COVERAGE_COUNTS, 2),
    page=Page(name="kit.html", sha256=Sha256.of(b"h")),
)
"""With every part that a receipt can have."""
_SUBJECT = {"name": "offline-manifest.json", "digest": {"sha256": "0" * 64}}
COMPARISON = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [_SUBJECT],
    "predicateType": "urn:offline-kit:comparison:v1",
    "predicate": {
        "verifier": {"id": "urn:offline-kit:verifier:auditor", "version": {"offline-kit": "1"}},
        "timeCompared": "2026-01-02T03:04:05Z",
        "resourceUri": "urn:offline-kit:bundle:small",
        "policy": {"uri": "urn:offline-kit:trust-policy", "digest": _SUBJECT["digest"]},
        "source": "dump",
        "result": "DIFFERENT",
        "allowedFields": ["_importedAt"],
        "orderIsFree": True,
        "collections": [
            {"db": "a", "collection": "b"}
            | dict.fromkeys(("equal", "allowed", "reordered", "changed", "missing", "extra"), 2)
        ],
    },
}
METADATA = json.dumps(
    {
        "collectionName": "c",
        "indexes": [
            {
                "v": 2,
                "name": "u",
                "unique": True,
                "sparse": True,
                "key": {"a.b": 1, "c": {"$numberInt": "-1"}},
                "partialFilterExpression": {"a": {"$exists": True}, "$and": [{"b": {"$type": ["int"]}}, {"c": 1}]},
            }
        ],
        "options": {
            "validationAction": "error",
            "validationLevel": "moderate",
            "validator": {
                "$and": [
                    {
                        "$jsonSchema": {
                            "bsonType": "object",
                            "required": ["a"],
                            "properties": {
                                "a": {"type": "string", "minLength": 1, "pattern": "^a+$", "enum": ["a", "aa"]},
                                "b": {"bsonType": ["int", "long"], "minimum": 1, "exclusiveMinimum": True},
                                "c": {"items": [{"multipleOf": 2}], "additionalItems": False, "uniqueItems": True},
                            },
                            "patternProperties": {"^x": {"not": {"minItems": 1}}},
                            "dependencies": {"a": ["b"], "b": {"oneOf": [{"maxProperties": 2}]}},
                        }
                    }
                ]
            },
        },
    }
).encode()
RESHAPED = {
    "schemaVersion": "1",
    "transforms": [{"name": "reshape-copy", "version": "1", "parameters": {"from": "a"}}],
    "members": [{"name": "a/b.bson", "ways": [[1, 2], [3, 4]]}],
    "moves": [
        {
            "transform": "reshape-project",
            "source": {"name": "a/b.bson", "documents": 1, "sha256": "0" * 64},
            "target": {"name": "a/c.bson", "documents": 1, "sha256": "1" * 64},
            "statement": {"validation": "x"},
        }
    ],
    "samples": [{"owner": "o", "workspace": "w", "product": "p", "documents": ["1"]}],
    "omittedGroups": 0,
}
CHECKLIST = {
    "checklist": ["sampled", "keys"],
    "rollback": {
        "decision": "leave",
        "previousImage": "a:1",
        "containers": ["notes"],
        "restorePoint": "today",
        "validationQueries": ["SELECT 1"],
        "featureFlags": ["a", "b"],
    },
}
READERS: dict[str, tuple[Reader, bytes]] = {
    **{
        f"policy, state or approval {number}": (reader, data)
        for number, (reader, data) in enumerate(
            zip(
                (
                    *[lambda data: Policy.parse(data, where="k")] * 2,
                    lambda data: State.parse(data, where="k"),
                    Approval.parse,
                ),
                policies(),
                strict=True,
            )
        )
    },
    "manifest": (lambda data: Manifest.parse(data, limits=Limits(), where="k"), MANIFEST),
    "patched manifest": (
        lambda data: Manifest.parse(data, limits=Limits(), where="k"),
        PATCHED["manifest/offline-manifest.json"],
    ),
    "foreign manifest": (
        lambda data: Manifest.parse(data, limits=Limits(), where="k"),
        json.dumps(foreign_manifest_of(files())).encode(),
    ),
    "statement": (parse_statement, dsse.payload_of(PATCHED[STATEMENT])),
    "reshape record": (lambda data: parse_record(data, where="k"), json.dumps(RESHAPED).encode()),
    **{
        f"migration {name}": (lambda data: parse_migration(data, random=bytes), json.dumps(RESHAPES[name]).encode())
        for name in RESHAPES
    },
    "migration with a checklist": (
        lambda data: parse_migration(data, random=bytes),
        json.dumps(DEFAULT | CHECKLIST).encode(),
    ),
    "receipt": (lambda data: parse_receipt(data, where="k"), RECEIPT.to_bytes()),
    "comparison receipt": (lambda data: parse_receipt(data, where="k"), json.dumps(COMPARISON).encode()),
    "signature": (jws.claims, json.dumps({"signatures": PARTS}, separators=(",", ":")).encode()),
    "envelope": (dsse.claims, PATCHED[STATEMENT]),
    "proof": (lambda data: Proof.parse(data, where="k"), fuzz_proofs.whole_proof(fuzz_proofs.seeds()[5])),
    "delta": (lambda data: DeltaManifest.parse(data, limits=Limits()), json.dumps(delta_manifest()).encode()),
    "recipe": (_recipe, json.dumps(RECIPE).encode()),
    "field map": (FieldMap.parse, json.dumps(MAP.to_json()).encode()),
    "keyring": (Keyring.parse, _keyring()),
    "key adapter": (lambda data: Adapter.parse(data, where="k"), _adapter()),
    "records of keys": (lambda data: read_records(data, shipped_adapter("dek-store"), where="k"), _key_record()),
    "cache map": (lambda data: parse_cache_map(data, where="k"), _cache_map()),
    **{name: (lambda data: parse_migration(data, random=bytes), _migration(name)) for name in BUILT_IN},
    "release record": (lambda data: read_record(data, REQUEST, JOB, where="k"), json.dumps(RECORD).encode()),
    "audit record": (_lined, Chain().line({"incident": "7", "counts": {"read": 1}})),
    "metadata of a collection": (lambda data: parse_metadata(data, limits=Limits(), where="k"), METADATA),
    "JWK": (lambda data: as_spki(data, where="k"), _jwk()),
    "name of a document": (
        lambda data: parse_document(data.decode("utf-8", "surrogateescape")),
        b'{"$numberInt": "7"}',
    ),
}


def mutants_of(data: bytes) -> Iterator[tuple[str, bytes]]:
    whole = json.loads(data)
    for name, made in (*mutants.retyped(whole), *mutants.rearranged(whole)):
        yield name, json.dumps(made).encode()
    yield from mutants.respelled(data)


@pytest.mark.parametrize("kind", READERS)
def test_every_mutant_of_a_document_is_read_or_refused(kind: str) -> None:
    read, data = READERS[kind]
    read(data)
    refused = 0
    for name, mutant in mutants_of(data):
        try:
            read(mutant)
        except KitError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
    assert refused > 10


def test_an_approval_in_an_envelope_of_another_type_is_none() -> None:
    with pytest.raises(KitError):
        dsse.payload_of(PATCHED[STATEMENT], payload_type=PAYLOAD_TYPE)
    with pytest.raises(ContentError):
        Approval.parse(dsse.payload_of(PATCHED[STATEMENT]))


@pytest.mark.parametrize("name", ["[", "[" * 100_000, f"[{'1' * 5000}]", "[1]", "[null]", '{"a":1}', "[[]]", "[NaN]"])
def test_a_field_that_a_manifest_declares_and_no_document_can_have_is_counted_as_nothing(name: str) -> None:
    """The attack: a field called as a list of a number with 5,000 digits, which Python's own reader refuses its way."""
    counts: Counter[str] = Counter()
    EnvelopeTally([name]).count(bson.encode({"1": {}, "a": {"b": 1}}), counts)
    assert not counts


READ_ABOVE = {
    *(
        "output/journal.py",
        "output/unfinished.py",
        "archive/recognise.py",
        "cli/recover.py",
        "cli/options.py",
        "delta/model.py",
        "encryption/audit_log.py",
        "encryption/key_records.py",
    ),
    *("encryption/envelope_tally.py", "values/fields.py", "manifest/model.py", "manifest/provenance.py"),
    *("manifest/reshape_record.py", "transforms/reshape/metadata.py", "verbs/extract/dump.py"),
    *(
        "verbs/receipt.py",
        "verbs/prove/proof.py",
        "reports/release_record.py",
        "signing/dsse.py",
        "signing/jws.py",
        "signing/key_forms.py",
    ),
    *("importing/metadata.py", "transforms/raw_linkset/shape.py", "trust/policy.py", "trust/state.py"),
}
"""Modules that read JSON from outside, each through a typed reader; the journal's is attacked with the job folder."""
READ_OWN = {
    *("verbs/extract/documents.py", "reports/documents.py", "reports/inspect.py", "verbs/diff/finding.py"),
    *("values/strict_json.py", "verbs/online/records.py"),
    "values/strict_json.py",
    "transforms/reshape/values.py",
}
"""Modules that read what this process has printed."""


def test_no_module_reads_json_that_is_not_attacked_here() -> None:
    """A new reader of JSON belongs into the table above."""
    reading = re.compile(
        r"\bjson\.loads\(|\bstrict_json\.parse\(|\bparse_json\(|from kit\.values\.strict_json import .*\bparse\b"
    )
    found = {
        str(path.relative_to(ROOT / "kit"))
        for path in (ROOT / "kit").rglob("*.py")
        if reading.search(re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL))
    }
    assert {name for name in found if not name.startswith("verbs/selftest/")} == READ_ABOVE | READ_OWN


def test_a_receipt_is_read_as_it_was_written() -> None:
    assert parse_receipt(RECEIPT.to_bytes(), where="k") == RECEIPT
    refused = replace(RECEIPT, passed=False, levels=(), bundle=None, steps=(), appended=None, tenants=None, page=None)
    assert parse_receipt(refused.to_bytes(), where="k") == refused
