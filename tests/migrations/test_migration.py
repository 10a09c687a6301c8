"""Migrations as values and files: one digest for one meaning, nothing misspelt, nothing weaker than it says."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from jsonschema import Draft202012Validator

from fixtures.build.make_fixtures import ROOT
from kit.encryption import Profile, RandomIv, SyntheticIv, shipped
from kit.encryption.envelope import SUBDOCUMENTS
from kit.errors import ContentError, UsageError
from kit.migrations import (
    BUILT_IN,
    Decision,
    Kind,
    Migration,
    Rollback,
    StopRules,
    Validation,
    built_in,
    parse_migration,
)
from kit.transforms.encrypt_fields import EncryptFields
from kit.transforms.protocol import Transform
from kit.transforms.raw_linkset import RawLinkset, parse_cache_map
from tests.tiers import examples

SCHEMA = Draft202012Validator(json.loads((ROOT / "schemas" / "migration.schema.json").read_text()))
RAW = RawLinkset()
SEAL = EncryptFields(field_map=shipped("notelett"), profile=Profile.BOUND)
CACHE = parse_cache_map(b'{"schemaVersion": "1", "collection": "cached", "fields": {"vendor": ["a.b", "c"]}}', where="")


def parsed(value: object) -> Migration:
    return parse_migration(json.dumps(value).encode(), random=bytes)


def file_of(name: str, **changes: Any) -> dict[str, Any]:
    text = (importlib.resources.files("kit.migrations") / f"{name}.json").read_text()
    return {key: value for key, value in {**json.loads(text), **changes}.items() if value is not ...}


def raw(**changes: Any) -> dict[str, Any]:
    return file_of("20251031_raw_linkset", **changes)


def seal(**changes: Any) -> dict[str, Any]:
    return file_of("20251031_notelett_encryption", **changes)


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_comes_with_kit_is_of_the_schema_and_called_by_its_id(name: str) -> None:
    SCHEMA.validate(file_of(name))
    assert built_in(name, random=bytes).id == name


PLANNED = [EncryptFields(field_map=shipped("notelett-2"), profile=profile) for profile in SUBDOCUMENTS]


@pytest.mark.parametrize(
    ("name", "transform", "validation"),
    [
        ("20251031_raw_linkset", RAW, ()),
        ("20251031_notelett_encryption", SEAL, ()),
        *((f"20251031_notelett_encryption_{one.profile}", one, (Validation.FIELDS,)) for one in PLANNED),
    ],
)
def test_the_flags_are_the_migration_that_comes_with_kit(
    name: str, transform: Transform, validation: tuple[Validation, ...]
) -> None:
    made = Migration.of((transform,), validation=frozenset(validation))
    assert made == built_in(name, random=bytes)
    assert made.sha256 == built_in(name, random=bytes).sha256


def test_a_migration_that_does_not_come_with_kit_is_refused_with_those_that_do() -> None:
    with pytest.raises(UsageError, match="20240101_x") as caught:
        built_in("20240101_x", random=bytes)
    assert all(name in caught.value.hint for name in BUILT_IN)


names = st.text('abcÅ \n"', min_size=1, max_size=5)
counts = st.none() | st.integers(0, 9)
rollbacks = st.builds(Rollback, decision=st.sampled_from(Decision), note=st.text(max_size=5).filter(str.isprintable))
CHAINS: list[tuple[Transform, ...]] = [
    (RAW,),
    (RAW.with_cache(CACHE),),
    (SEAL,),
    (RAW, replace(SEAL, profile=Profile.COMPAT, iv=RandomIv(bytes))),
    (EncryptFields(field_map=shipped("concelier"), profile=Profile.BOUND),),
]


@st.composite
def migrations(draw: st.DrawFn) -> Migration:
    chosen = draw(st.sampled_from(CHAINS))
    sealing = any(isinstance(transform, EncryptFields) for transform in chosen)
    only_sealing = all(isinstance(transform, EncryptFields) for transform in chosen)
    words = [
        Validation.DEEP,
        *([Validation.FIELDS] if sealing else []),
        *([] if only_sealing else [Validation.COVERAGE]),
    ]
    kinds = [Kind.ENCRYPTED_FIELD] if sealing else [Kind.ADDITIVE_OPTIONAL, Kind.ADDITIVE_REQUIRED]
    return Migration.made(
        id=f"{draw(st.integers(10**7, 10**8 - 1))}_x_1",
        kind=draw(st.sampled_from(kinds)),
        description=draw(names),
        transforms=chosen,
        tenants=draw(st.none() | st.frozensets(names, min_size=1, max_size=3)),
        product_id=draw(st.none() | names) if only_sealing else None,
        batch_size=draw(st.integers(1, 10**6)),
        stop_rules=draw(
            st.builds(
                StopRules,
                stop_on_divergence=st.booleans(),
                most_divergent=counts,
                most_unresolvable=counts,
                partition_key_fraction=st.sampled_from([0, 0.001, 0.5, 1]),
                partition_key_least=st.integers(0, 20),
            )
        ),
        validation=frozenset(draw(st.lists(st.sampled_from(words)))),
        rollback=draw(rollbacks),
    )


@settings(max_examples=examples(60))
@given(migrations())
def test_what_is_printed_reads_back_is_of_the_schema_and_has_one_digest(migration: Migration) -> None:
    again = parse_migration(migration.to_bytes(), random=bytes)
    assert again == migration
    assert again.sha256 == migration.sha256
    SCHEMA.validate(json.loads(migration.to_bytes()))


@settings(max_examples=examples(60))
@given(migrations(), migrations())
def test_migrations_that_differ_have_digests_that_differ(one: Migration, other: Migration) -> None:
    assert (one == other) == (one.sha256 == other.sha256)


def test_defaults_said_and_left_away_are_one_migration() -> None:
    short = raw(selection=..., batchSize=..., stopRules=..., validation=..., transforms=[{"name": "raw-linkset"}])
    assert parsed(short).sha256 == parsed(raw()).sha256
    whole = seal(transforms=[{"name": "encrypt-fields", "parameters": {"fieldMap": shipped("notelett").to_json()}}])
    assert parsed(whole).sha256 == parsed(seal()).sha256


BAD: list[tuple[Mapping[str, Any], str]] = [
    (raw(schemaVersion="2"), "is version '2'"),
    (raw(id="raw"), "yyyymmdd_name"),
    (raw(id="20251031_Raw"), "yyyymmdd_name"),
    (raw(kind="additive"), "is 'additive', not one of additive-optional"),
    (raw(kind=...), "has no 'kind'"),
    (raw(transforms=[]), "at least one transform"),
    (raw(transforms=[{"name": "Rename It"}]), "is 'Rename It', not one of raw-linkset"),
    (raw(transforms=[{"name": "encrypt-fields"}]), "needs parameters"),
    (raw(transforms=[{"name": "raw-linkset", "parameters": {"limit": 1}}]), "'limit'"),
    (raw(transforms=[{"name": "raw-linkset", "version": 1}]), "'version'"),
    (
        seal(transforms=[{"name": "encrypt-fields", "parameters": {"fieldMap": "other"}}]),
        "is 'other', not one of those that come",
    ),
    (seal(transforms=[{"name": "encrypt-fields", "parameters": {"fieldMap": {}}}]), "schemaVersion"),
    (
        seal(transforms=[{"name": "encrypt-fields", "parameters": {"fieldMap": "notelett", "profile": "weak"}}]),
        "is 'weak', not one of compat",
    ),
    (seal(transforms=[{"name": "encrypt-fields", "parameters": {"fieldMap": "notelett", "iv": "zero"}}]), "'zero'"),
    (raw(selection={"tenants": []}), "would select nothing"),
    (raw(selection={"tenants": "acme"}), "is not a list"),
    (raw(selection={"tenant": ["acme"]}), "'tenant'"),
    (raw(selection={"productId": ""}), "is empty"),
    (raw(batchSize=0), "at least one document"),
    (raw(batchSize="1"), "is not an integer"),
    (raw(stopRules={"onDivergence": "halt"}), "neither warn nor stop"),
    (raw(stopRules={"mostUnresolveable": 1}), "'mostUnresolveable'"),
    (raw(stopRules={"mostUnresolvable": -1}), "negative"),
    (raw(stopRules={"mostDivergent": True}), "is not an integer"),
    (raw(stopRules={"withoutPartitionKey": {"fraction": 2}}), "a number from 0 to 1"),
    (raw(stopRules={"withoutPartitionKey": {"fraction": True}}), "a number from 0 to 1"),
    (raw(validation=["deeper"]), "is 'deeper', not one of integrity"),
    (raw(rollback=...), "has no 'rollback'"),
    (raw(rollback={"decision": "hope"}), "is 'hope', not one of leave"),
    (raw(rollback={"decision": "leave", "notes": ""}), "'notes'"),
    (raw(extra=1), "'extra'"),
]


@pytest.mark.parametrize(("value", "complaint"), BAD, ids=[complaint for _, complaint in BAD])
def test_a_file_that_is_not_of_the_schema_is_refused(value: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(ContentError, match=complaint):
        parsed(value)
    # Only what is in a field map is of another schema.
    assert not SCHEMA.is_valid(value) or "fieldMap" in str(value)


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        pytest.param(raw(transforms=[{"name": "raw-linkset"}] * 2), "each at most once", id="a transform twice"),
        pytest.param(raw(kind="encrypted-field"), "does not describe raw-linkset", id="a kind of another transform"),
        pytest.param(seal(kind="additive-optional"), "does not describe encrypt-fields", id="a kind that says less"),
        pytest.param(raw(kind="rename"), "does not describe raw-linkset", id="a kind that none of its transforms does"),
        pytest.param(
            raw(transforms=[{"name": "rename"}]),
            "is 'rename', not one of raw-linkset",
            id="a transform that is not there",
        ),
        pytest.param(raw(selection={"productId": "p"}), "observations|have none", id="a product of observations"),
        pytest.param(
            raw(validation=["fields"]), "needs the transform encrypt-fields", id="a validation of another transform"
        ),
        pytest.param(seal(validation=["coverage"]), "needs the transform raw-linkset", id="coverage of what has none"),
        pytest.param(
            seal(transforms=[*seal()["transforms"], *raw()["transforms"]]), "cannot run after", id="the wrong order"
        ),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(value: Mapping[str, Any], complaint: str) -> None:
    SCHEMA.validate(value)
    with pytest.raises(ContentError, match=complaint):
        parsed(value)


@pytest.mark.parametrize("name", ["20251031_notelett_encryption_compat", "20251031_notelett_encryption_bound"])
def test_a_selection_of_another_product_than_the_map_is_a_conflict(name: str) -> None:
    value = file_of(name, selection={"productId": "other"})
    SCHEMA.validate(value)
    with pytest.raises(
        UsageError, match="'other', but the field map limits note_agent_actions to 'notelett'"
    ) as caught:
        parsed(value)
    assert caught.value.where == "migration"
    same = parsed(file_of(name, selection={"productId": "notelett"}))
    assert same.transforms == parsed(file_of(name)).transforms


def test_what_ships_keeps_its_bytes() -> None:
    # Their digests are in provenances.
    root = importlib.resources.files("kit")
    migration = hashlib.sha256((root / "migrations" / "20251031_notelett_encryption.json").read_bytes()).hexdigest()
    field_map = hashlib.sha256((root / "encryption" / "maps" / "notelett.json").read_bytes()).hexdigest()
    assert migration == "c172034ea918f73d7c37d3d34e508bf00f2993e2f62d15b87ac0708078dd9637"
    assert field_map == "4363f3a5708a8d5ff9514caea72ad7d553df0046375aa7e4a700113326a48dda"
    assert str(parsed(seal()).sha256) == "be4841ee09e8b86c00a15404d60779f01a121df56cdebc3fd3d2d6e7bee0ba4f"


@pytest.mark.parametrize(
    ("profile", "opens"), [("compat", "which the platform's own reader opens"), ("bound", "cannot")]
)
def test_the_migrations_of_notelett_keep_the_rules_of_its_plan(profile: str, opens: str) -> None:
    found = parsed(file_of(f"20251031_notelett_encryption_{profile}"))
    (transform,) = found.transforms
    assert isinstance(transform, EncryptFields)
    assert (str(transform.profile), opens in found.description) == (profile, True)
    assert found.validation == {"integrity", "fields"}
    assert transform.field_map == shipped("notelett-2")
    assert {entry.product_id for entry in transform.field_map.collections} == {"notelett"}
    assert found.warnings == ()


def test_the_old_one_and_every_map_like_it_warn() -> None:
    containers = "note_agent_actions, note_prompts, note_artifacts, palace_memories, notes"
    first, *others = parsed(seal()).warnings
    assert "20251031_notelett_encryption_compat, or 20251031_notelett_encryption_bound" in first
    assert [line.partition(":")[0] for line in others] == [
        f"documents of every productId are encrypted in {containers}",
        f"the field map declares not all that is queried in {containers}",
        "the shipped field map notelett-2 keeps these rules",
    ]
    assert Migration.of((SEAL,)).warnings == (first, *others)
    named = parsed(seal(id="20260505_ours"))
    assert named.warnings == tuple(others)
    limited = parsed(seal(selection={"productId": "notelett"}))
    assert not [line for line in limited.warnings if "every productId" in line]
    assert Migration.of((EncryptFields(field_map=shipped("concelier"), profile=Profile.BOUND),)).warnings == ()
    assert parsed(raw()).warnings == ()


def test_a_field_of_a_kind_that_may_change_what_users_read_needs_a_note() -> None:
    assert not parsed(raw()).needs_note
    assert parsed(raw(kind="additive-required")).needs_note
    assert parsed(seal()).needs_note
    assert parsed(seal()).with_note("kept").rollback.note == "kept"
    assert parsed(seal()).with_note(None) == parsed(seal())


def test_a_product_limits_every_collection_of_the_map() -> None:
    (transform,) = parsed(seal(selection={"productId": "p"})).transforms
    assert isinstance(transform, EncryptFields)
    assert {entry.product_id for entry in transform.field_map.collections} == {"p"}
    assert isinstance(transform.iv, SyntheticIv)


def test_a_rehearsal_narrows_the_selection_and_never_widens_it() -> None:
    whole = parsed(raw(selection={"tenants": ["a", "b"]}, stopRules={"onDivergence": "stop"}))
    narrowed = whole.narrowed(frozenset({"a"}))
    assert narrowed.transforms == (RawLinkset(tenants=frozenset({"a"}), stop_on_divergence=True),)
    assert narrowed.sha256 != whole.sha256
    assert whole.narrowed(None) is whole
    with pytest.raises(UsageError, match="does not select the tenant 'c'"):
        whole.narrowed(frozenset({"a", "c"}))


def test_transforms_of_one_migration_select_the_same() -> None:
    with pytest.raises(UsageError, match="select the same tenants"):
        Migration.of((RawLinkset(tenants=frozenset({"a"})), SEAL))


ODD = st.recursive(st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=3), st.lists)


@settings(max_examples=examples(40))
@given(value=ODD, data=st.data())
def test_a_member_of_an_odd_type_is_a_refusal_and_no_other_error(value: object, data: st.DataObject) -> None:
    document = raw()
    document[data.draw(st.sampled_from(sorted(document)))] = value
    with suppress(ContentError):
        parsed(document)
