"""Reader and schema of each JSON format judge every mutant of a document alike, or the table below says why not.

A schema says what one value is; not what two have to do with each other. What a reader refuses beyond its schema is
therefore listed, by the reader's own message; what a schema refuses and a reader takes is one case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from fixtures.build.make_fixtures import ROOT
from kit.errors import KitError
from kit.migrations import BUILT_IN
from tests.attacks import mutants
from tests.attacks.test_json_readers import READERS
from tests.end_to_end.test_reshape import EVERY as RESHAPES

SCHEMAS = ROOT / "schemas"
FORMATS = {
    "policy, state or approval 0": "trust-policy",
    "policy, state or approval 1": "trust-policy",
    "policy, state or approval 2": "trust-state",
    "policy, state or approval 3": "recovery-approval",
    "manifest": "offline-manifest",
    "patched manifest": "offline-manifest",
    "statement": "patch-provenance",
    "proof": "merkle-proof",
    "delta": "kit-delta",
    "receipt": "receipt",
    "comparison receipt": "comparison-receipt",
    "field map": "field-map",
    "keyring": "keyring",
    "key adapter": "key-adapter",
    "cache map": "cache-map",
    "reshape record": "reshape-record",
    "migration with a checklist": "migration",
    **dict.fromkeys((f"migration {name}" for name in RESHAPES), "migration"),
    **dict.fromkeys(BUILT_IN, "migration"),
}
NOT_COMPARED = {
    "audit-log": "each line has the digest of the one before it, so a reader refuses every mutant",
    "release-record": "only the parts that decide whether it is of the same job are read; the rest is for people",
    "raw-linkset": "its documents are BSON; tests/transforms/raw_linkset/test_raw_linkset_schema.py",
    "recovery": "written, and read by no command",
    "progress": "as recovery",
    "online-changes": "written; its reader is a program for mongosh, tests/database/test_online.py",
    "configuration": "it is TOML; tests/cli/test_configuration.py",
}
"""Formats without a reader of the whole; so are those of reports, which are printed only."""

ANY = "*"
REFUSED_BEYOND_THE_SCHEMA = [
    # (format, message of the reader, why the schema cannot say it)
    (ANY, r"beyond 64 bits", "a law of the JSON that is read, of any place, those included that nobody looks at"),
    (ANY, r"(there|listed|is) twice|sorted(, each once| list)|again, after|at most once", "one item and another"),
    (ANY, r"names the same file as", "two names are one file where case does not count"),
    (ANY, r"member name .* (contains|has an empty|starts|ends|is )", "names of members: schemas/archive.md"),
    ("trust-policy", r"keyId: this key is", "the id is computed from the key"),
    ("trust-policy", r"publicKey: ", "what is in a PEM block"),
    ("trust-policy", r"people are needed, but only", "a threshold and the keys that could reach it"),
    ("trust-state", r"generation is below the publisher's", "two generations"),
    ("offline-manifest", r"is not among the files", "a collection and the files"),
    ("offline-manifest", r"lineage|in lineage", "a generation and those before it"),
    (
        "patch-provenance",
        r"does not follow|is not among|is no material|is expected among|predicate\.",
        "two parts of it",
    ),
    ("patch-provenance", r"lengths of alternating runs", "every run but the first has a length"),
    ("merkle-proof", r"out of order", "one item and the next"),
    ("merkle-proof", r"(manifest|signature).*base64", "base64 has one spelling of each value"),
    ("receipt", r"contradict each other", "the verdict and its levels"),
    ("comparison-receipt", r"contradict each other", "the result and the numbers"),
    ("field-map", r"overlaps", "two fields"),
    ("keyring", r"there is no such master key|are not numbered", "a data key and the master keys"),
    ("key-adapter", r"names one place twice", "one path and another"),
    ("migration", r"cacheMap|fieldMap", "a format of its own inside, with its own schema"),
    ("migration", r"/name: is '[a-z0-9-]+', not one of raw-linkset", "which packages with transforms are installed"),
    (
        "migration",
        r"canonical Extended JSON|which a migration preserves|is not changed in place",
        "what is in a value or path",
    ),
    (
        "migration",
        r"no name of an element|or around it|names no other collection|fields must name",
        "what is in a path or name",
    ),
    (
        "migration",
        r"does not lead from a value|maps neither|too many to be undone|which it also leads from",
        "a table and its other parts",
    ),
    ("migration", r"the kind .* does not describe", "a kind and the transforms"),
    ("migration", r"cannot select by productId", "a selection and the transform"),
    (
        "migration",
        r"the field map does not name|changes advisory_observations of every",
        "a selection and the transform",
    ),
    ("migration", r"is not COLLECTION or DB.COLLECTION", "a name and its parts"),
    ("migration", r"maps a value twice", "two values of a mapping"),
    ("migration", r"the selection is productId .* but the field map limits", "a selection and the field map"),
]


@cache
def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text()))


def mutants_of(data: bytes) -> Iterator[tuple[str, Any]]:
    whole = json.loads(data)
    yield "as it is", whole
    yield from mutants.retyped(whole)
    yield from mutants.rearranged(whole)


def is_explained(schema: str, message: str) -> bool:
    return any(of in {ANY, schema} and re.search(why, message) for of, why, _ in REFUSED_BEYOND_THE_SCHEMA)


def compare(kind: str, step: int) -> list[str]:
    """Return the mutants of which reader and schema differ, and the table does not say why."""
    read, data = READERS[kind]
    schema = FORMATS[kind]
    wrong = []
    for number, (name, mutant) in enumerate(mutants_of(data)):
        if number % step:
            continue
        refusal = None
        try:
            read(json.dumps(mutant).encode())
        except KitError as error:
            refusal = str(error)
        is_valid = validator(schema).is_valid(mutant)
        if is_valid and refusal is not None and not is_explained(schema, refusal):
            wrong.append(f"only the reader refuses {name}: {refusal}"[:300])
        # Without a version a manifest is no document of this format, but somebody else's.
        if not is_valid and refusal is None and (schema, name) != ("offline-manifest", "() lacks schemaVersion"):
            wrong.append(f"only the schema refuses {name}")
    return wrong


@pytest.mark.parametrize("kind", FORMATS)
def test_some_mutants_are_judged_alike(kind: str) -> None:
    assert compare(kind, 13) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_every_mutant_is_judged_alike(kind: str) -> None:
    assert compare(kind, 1) == []


@pytest.mark.parametrize(
    ("place", "value"), [(("generation",), 3.0), (("files", 0, "kind"), None), (("files", 0, "size"), 0.0)]
)
def test_a_whole_number_and_a_kind_of_somebody_else_are_read(place: mutants.Place, value: object) -> None:
    read, data = READERS["manifest"]
    changed = mutants.replaced(json.loads(data), place, value)
    assert validator("offline-manifest").is_valid(changed)
    manifest = read(json.dumps(changed).encode())
    assert (manifest.generation, type(manifest.generation + 1)) == (3, int)


def test_a_name_twice_is_refused_before_any_schema_could_see_one() -> None:
    for kind in FORMATS:
        read, data = READERS[kind]
        name, value = next(iter(json.loads(data).items()))
        doubled = b"{" + json.dumps({name: value}).encode()[1:-1] + b", " + data.strip()[1:]
        with pytest.raises(KitError, match="is there twice"):
            read(doubled)


def test_every_format_is_compared_or_said_not_to_be() -> None:
    names = {path.name.removesuffix(".schema.json") for path in SCHEMAS.glob("*.schema.json")}
    assert names == {*FORMATS.values(), *NOT_COMPARED} | {name for name in names if name.endswith("-report")}
