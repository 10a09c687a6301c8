"""An encryption is sent as its recipe: the site seals again with the same keys, and has the same bytes."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bson
import pytest

from kit.cli.commands import exit_code
from kit.delta.model import DeltaManifest
from kit.delta.recipe import MAX_NAMES
from kit.encryption import KeySet, PassphraseRecord, Profile, RandomIv, load, rewrap, shipped
from kit.errors import KeyUnusableError, KitError
from kit.reports.delta import inspected_lines
from kit.transforms.encrypt_fields import EncryptFields
from kit.transforms.raw_linkset import RawLinkset
from kit.values import Limits
from kit.verbs.delta.build import DeltaSquashRequest
from kit.verbs.delta.squash import squash_deltas
from kit.verbs.delta.verify import inspect_delta
from kit.verbs.patch.request import Keying
from kit.verbs.verify.verify import verify
from tests.delta.kits import AT, CREDENTIALS, HERE, KEY, PASSPHRASE, Pair, keyring, keys_in, patched, step, trusting
from tests.delta.test_attacks import archive, files_of, resigned
from tests.delta.test_recipe import besides_what_is_carried
from tests.kits import OBSERVATIONS, contents, unpacked

NOTES = "dump/notelett/notes.bson"
TEXT = "Rückfrage an Frau Müller"
NOTELETT = EncryptFields(field_map=shipped("notelett"), profile=Profile.BOUND)
CONCELIER = EncryptFields(field_map=shipped("concelier"), profile=Profile.BOUND)


def notes(count: int = 40, owners: int = 3, *, alone: bool = False) -> Callable[[dict[str, bytes]], None]:
    """Add a collection of notes, or leave nothing but it."""

    def change(files: dict[str, bytes]) -> None:
        if alone:
            files.clear()
        files[NOTES] = b"".join(
            bson.encode({"_id": n, "workspaceId": f"w{n % 2}", "userId": f"u{n % owners}", "body": f"{TEXT} {n}"})
            for n in range(count)
        )

    return change


def sealed(folder: Path, transform: EncryptFields = NOTELETT, **how: Any) -> tuple[Pair, Keying]:
    """Write a kit, and what an encryption makes of it."""
    keying = keyring(folder)
    change = how.pop("change", notes())
    return patched(
        folder, how.pop("name", "kit.tar.zst"), change, *how.pop("before", ()), transform, keying=keying
    ), keying


def keys_of(keying: Keying) -> KeySet:
    assert keying.keyring is not None
    return keys_in(keying.keyring)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pair, KeySet]:
    two, keying = sealed(tmp_path_factory.mktemp("sealed"))
    two.build(keys=keys_of(keying))
    return two, keys_of(keying)


@pytest.mark.parametrize("profile", Profile)
def test_an_encryption_is_its_recipe_and_comes_back_byte_for_byte(profile: Profile, tmp_path: Path) -> None:
    two, keying = sealed(tmp_path, replace(NOTELETT, profile=profile))
    assert keying.keyring is not None
    before = keying.keyring.read_bytes()
    report = two.build(keys=keys_of(keying))
    assert {str(entry.path) for entry in report.manifest.members if entry.method == "recipe"} == {NOTES}
    done = two.apply(output=tmp_path / "out", keys=keys_of(keying), environment=replace(HERE, workers=2))
    assert done.same_archive
    assert (tmp_path / "out").read_bytes() == two.target.read_bytes()
    assert verify(tmp_path / "out", trusting(KEY), HERE).failure is None
    assert keying.keyring.read_bytes() == before, "nothing is sealed that was not sealed and counted before"


def test_the_recipe_holds_neither_plaintext_nor_anything_of_a_key(built: tuple[Pair, KeySet]) -> None:
    two, keys = built
    manifest = inspect_delta(two.delta).manifest
    assert {"full", "copy", "recipe"} == {entry.method.value for entry in manifest.members}
    # Members of method "full" are the generation's own: manifest, signature, history.
    carried = [entry.path.text for entry in manifest.members if entry.method == "full"]
    assert all(path.startswith("manifest/") for path in carried)
    data = unpacked(two.delta.read_bytes())
    inside = b"".join(contents(two.target.read_bytes())[path] for path in carried)
    for key in keys.opening.values():
        forms = (key.secret, key.secret.hex().encode(), base64.b64encode(key.secret), key.commitment.encode())
        assert not any(form in data or form in inside for form in forms)
    assert TEXT.encode() not in data + inside


def test_a_backfill_and_an_encryption_in_one_step_are_one_recipe(tmp_path: Path) -> None:
    two, keying = sealed(tmp_path, CONCELIER, before=(RawLinkset(),))
    report = two.build(keys=keys_of(keying))
    assert report.manifest.recipe is not None
    assert [one.name for one in report.manifest.recipe.steps] == ["raw-linkset", "encrypt-fields"]
    assert two.apply(keys=keys_of(keying)).same_archive


def test_an_encryption_of_some_tenants_is_a_recipe(tmp_path: Path) -> None:
    two, keying = sealed(tmp_path, replace(CONCELIER, partitions=frozenset({"acme"})))
    report = two.build(keys=keys_of(keying))
    assert report.manifest.recipe is not None
    assert report.manifest.recipe.steps[0].parameters["tenants"] == ["acme"]
    assert two.apply(keys=keys_of(keying)).same_archive


def test_a_field_map_of_ones_own_is_named_by_whoever_builds_and_goes_with_the_recipe(tmp_path: Path) -> None:
    whole = shipped("notelett")
    ours = tuple(one for one in whole.collections if one.collection == "notes")
    own = replace(NOTELETT, field_map=replace(whole, collections=ours, product="own"))
    two, keying = sealed(tmp_path, own)
    assert "--field-map" in (two.build(tmp_path / "without", keys=keys_of(keying)).no_recipe or "")
    report = two.build(keys=keys_of(keying), transforms=(own,))
    assert report.manifest.recipe is not None
    assert report.manifest.recipe.steps[0].parameters["fieldMap"]["product"] == "own"
    assert two.apply(keys=keys_of(keying)).same_archive


@pytest.mark.parametrize(
    ("transform", "given", "word"),
    [
        (replace(NOTELETT, iv=RandomIv(os.urandom)), keys_of, "random"),
        (NOTELETT, lambda _: None, "--keyring"),
    ],
    ids=["random vectors", "no keyring"],
)
def test_an_encryption_that_cannot_be_proven_to_come_out_again_is_sent_by_its_documents(
    transform: EncryptFields, given: Callable[[Keying], KeySet | None], word: str, tmp_path: Path
) -> None:
    two, keying = sealed(tmp_path, transform)
    report = two.build(keys=given(keying))
    assert report.manifest.recipe is None
    assert word in (report.no_recipe or "")
    assert "recipe" not in report.methods
    assert two.apply().same_archive, "and needs no keyring"


def test_a_copy_of_the_keyring_under_another_master_key_is_as_good(tmp_path: Path) -> None:
    two, keying = sealed(tmp_path)
    assert keying.keyring is not None
    two.build(keys=keys_of(keying))
    file = load(keying.keyring)
    record = PassphraseRecord.make(PASSPHRASE, random=os.urandom, cost=1 << 10)
    rewrapped = rewrap(file.replaced(file.keyring.with_mek(record, now=AT)), CREDENTIALS)
    assert {dek.wrapped.mek_version for dek in rewrapped.keyring.deks.values()} == {2}
    assert two.apply(keys=keys_of(keying)).same_archive


def without(keys: KeySet) -> KeySet:
    """Lose one data key."""
    lost = keys.names[0]
    return replace(
        keys,
        scopes={name: scope for name, scope in keys.scopes.items() if name != lost},
        opening={name: key for name, key in keys.opening.items() if name != lost},
        sealing={scope: name for scope, name in keys.sealing.items() if name != lost},
    )


def locked(keys: KeySet) -> KeySet:
    """Leave one data key unopened."""
    return replace(keys, opening={name: key for name, key in keys.opening.items() if name != keys.names[0]})


def renamed(keys: KeySet) -> KeySet:
    """Have another key under the name of one."""
    name = keys.names[0]
    other = replace(keys.opening[name], secret=bytes(32))
    return replace(keys, opening={**keys.opening, name: other})


def retired(keys: KeySet) -> KeySet:
    """Seal with a new key from now on."""
    scope, name = next(iter(keys.sealing.items()))
    other = replace(keys.opening[name], dek_id="dek-new")
    return replace(
        keys,
        scopes={**keys.scopes, "dek-new": scope},
        opening={**keys.opening, "dek-new": other},
        sealing={**keys.sealing, scope: "dek-new"},
    )


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (lambda _: None, "no keyring is given"),
        (without, "does not have the data key dek-"),
        (locked, "is locked"),
        (renamed, "not the 3 of the recipe"),
        (retired, "which is not active here"),
        (lambda keys: replace(keys, opening={}), "is locked"),
    ],
    ids=["no keyring", "a key lost", "a key locked", "another key of that name", "another key active", "all locked"],
)
def test_a_site_without_the_keys_is_refused_and_nothing_is_written(
    alter: Callable[[KeySet], KeySet | None], words: str, built: tuple[Pair, KeySet]
) -> None:
    two, keys = built
    before = snapshot(two.folder)
    with pytest.raises(KeyUnusableError) as caught:
        two.apply(keys=alter(keys))
    assert exit_code(caught.value) == 13
    assert words in str(caught.value)
    assert snapshot(two.folder) == before


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def step_with(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        one = document["recipe"]["transforms"][0]
        one["parameters"].update(changes)
        printed = json.dumps(one["parameters"], sort_keys=True, indent=2, ensure_ascii=False) + "\n"
        one["parametersSha256"] = hashlib.sha256(printed.encode()).hexdigest()

    return change


def keys_with(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["recipe"]["keys"].update(changes)


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (12, lambda document: document["recipe"]["transforms"][0].update(version="2")),
        (12, step_with(iv="random")),
        (12, step_with(profile="loose")),
        (12, step_with(fieldMap={})),
        (12, step_with(onError="count")),
        (13, keys_with(sha256="0" * 64)),
        (13, keys_with(dekIds=["dek-a", "dek-b", "dek-c"])),
        (9, keys_with(count=2)),
        (9, keys_with(dekIds=["b", "a", "c"])),
        (9, keys_with(count=MAX_NAMES + 1)),
        (9, lambda document: document["recipe"].pop("keys")),
        (2, step_with(profile="compat")),
    ],
    ids=[
        "another version",
        "random vectors",
        "a profile that nobody has",
        "no field map",
        "another way with errors",
        "another digest of keys",
        "other keys",
        "fewer keys than names",
        "names out of order",
        "more keys than names",
        "no keys",
        "the other profile",
    ],
)
def test_a_recipe_that_would_seal_otherwise_is_refused_and_nothing_is_written(
    code: int, change: Callable[[dict[str, Any]], None], built: tuple[Pair, KeySet], tmp_path: Path
) -> None:
    two, keys = built
    before = snapshot(two.folder)
    path = tmp_path / "altered"
    path.write_bytes(archive(resigned(files_of(two.delta.read_bytes()), change, sizes=False)))
    with pytest.raises(KitError) as caught:
        two.apply(delta=path, keys=keys)
    assert exit_code(caught.value) == code, caught.value
    assert snapshot(two.folder) == before


def test_of_many_keys_there_is_a_digest_and_the_base_tells_which_they_are(tmp_path: Path) -> None:
    two, keying = sealed(tmp_path, change=notes(MAX_NAMES * 3, owners=MAX_NAMES + 1))
    keys = keys_of(keying)
    recipe = two.build(keys=keys).manifest.recipe
    assert recipe is not None
    assert recipe.keys is not None
    assert (recipe.keys.count, recipe.keys.names) == (MAX_NAMES + 1, None)
    before = snapshot(tmp_path)
    for lacking, word in (
        (without(keys), "has no data key for"),
        (renamed(keys), f"not the {MAX_NAMES + 1} of"),
        (locked(keys), "locked"),
    ):
        with pytest.raises(KeyUnusableError, match=word):
            two.apply(keys=lacking)
        assert snapshot(tmp_path) == before
    assert two.apply(keys=keys).same_archive


def test_an_encryption_is_at_most_4_kib_whatever_the_documents_and_the_owners(tmp_path: Path) -> None:
    sizes, sent = [], []
    for owners in (1, MAX_NAMES, MAX_NAMES * 8):
        folder = tmp_path / str(owners)
        folder.mkdir()
        two, keying = sealed(folder, change=notes(owners * 4, owners, alone=True))
        sizes.append(besides_what_is_carried(two.build(keys=keys_of(keying))))
        sent.append(besides_what_is_carried(two.build(folder / "documents")))
    assert max(sizes) <= 4096, "also with as many names of keys as there ever are"
    assert abs(sizes[2] - sizes[0]) < 64
    assert sent[2] > 5 * sizes[2], "where the ciphertext itself is sent"


def test_what_a_site_must_have_is_told_by_inspection(built: tuple[Pair, KeySet]) -> None:
    two, keys = built
    lines = "\n".join(inspected_lines(inspect_delta(two.delta)))
    assert "computed at the site: encrypt-fields version 1" in lines
    assert "needs a keyring with the 3 data keys that it seals with" in lines
    assert all(name in lines for name in keys.names)


def test_a_manifest_with_such_a_recipe_reads_back(built: tuple[Pair, KeySet]) -> None:
    manifest = inspect_delta(built[0].delta).manifest
    assert DeltaManifest.parse(manifest.to_bytes(), limits=Limits()) == manifest


def test_a_delta_back_over_an_encryption_is_said_to_hold_what_was_sealed(
    built: tuple[Pair, KeySet], tmp_path: Path
) -> None:
    two, keys = built
    report = two.build(tmp_path / "back", reverse=True, keys=keys)
    assert report.discloses
    assert report.manifest.recipe is None
    two.apply(base=two.target, delta=tmp_path / "back", output=tmp_path / "plain.tar.zst")
    assert contents((tmp_path / "plain.tar.zst").read_bytes()) == contents(two.base.read_bytes())


@pytest.mark.slow
def test_a_chain_of_recipes_squashed_is_the_direct_recipe_byte_for_byte(tmp_path: Path) -> None:
    first = patched(tmp_path, "kit.tar.zst", notes())
    keying = keyring(tmp_path)
    last = tmp_path / "last.tar.zst"
    step(first.target, last, CONCELIER, keying=keying)
    second = Pair(folder=tmp_path, base=first.target, target=last)
    direct = Pair(folder=tmp_path, base=first.base, target=last)
    keys = keys_of(keying)
    first.build(tmp_path / "one")
    second.build(tmp_path / "two", keys=keys)
    built = direct.build(tmp_path / "direct", keys=keys)
    squash = DeltaSquashRequest(
        base=first.base,
        deltas=(tmp_path / "one", tmp_path / "two"),
        output=tmp_path / "squashed",
        key=KEY,
        expectation=trusting(KEY),
        created_at=AT,
        keys=keys,
        environment=HERE,
    )
    report = squash_deltas(squash)
    assert report.manifest == built.manifest
    assert [one.name for one in report.manifest.recipe.steps] == ["raw-linkset", "encrypt-fields"]  # type: ignore[union-attr]
    assert (tmp_path / "squashed").read_bytes() == (tmp_path / "direct").read_bytes()
    direct.apply(delta=tmp_path / "squashed", output=tmp_path / "again.tar.zst", keys=keys)
    assert (tmp_path / "again.tar.zst").read_bytes() == last.read_bytes()
    with pytest.raises(KeyUnusableError):
        squash_deltas(replace(squash, output=tmp_path / "never", keys=None))
    assert not list(tmp_path.glob("never*"))
    assert OBSERVATIONS in {str(entry.path) for entry in report.manifest.members if entry.method == "recipe"}
