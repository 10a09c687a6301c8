from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace as with_changes

import bson
import pyrage
import pytest

from kit.encryption import Profile
from kit.encryption.approval import RecoveryScope
from kit.encryption.providers import parse_recipients, seal_to_recipients
from kit.encryption.restoring import RestorePlan, restore
from kit.errors import EnvelopeError, KeyUnusableError, OutputError, UsageError
from kit.values import CollectionName, Sha256
from tests.encryption.site import MAP, NOTES, Site, note

ALL = RecoveryScope(manifest_sha256=Sha256("a" * 64), collections=(NOTES,))


def restoring(site: Site, scope: RecoveryScope = ALL) -> RestorePlan:
    return RestorePlan(field_map=MAP, profile=site.transform.profile, scope=scope, keys=site.keys)


@pytest.mark.parametrize("profile", list(Profile))
def test_restored_is_what_was_sealed_byte_for_byte(profile: Profile) -> None:
    site = Site(profile)
    documents = [note(1), note(2, "bob", body="ünï\0code"), note(3, body=None), note(4, "__builtin__")]
    sealed = site.encrypt(*documents)
    assert sealed[:2] != documents[:2]
    done = restore(restoring(site), site.collection, sealed)
    assert done.data == b"".join(documents[:3])  # the owner's whose documents stay plain are in no scope
    assert (done.counts.read, done.counts.in_scope, dict(done.counts.opened)) == (4, 3, {"body": 2, "meta.title": 3})


def test_any_type_comes_back_and_a_document_without_envelopes_is_as_it_is() -> None:
    site = Site()
    documents = [note(1, body={"a": [1, 2.5, bson.ObjectId()]}), note(2, body=None, meta=None)]
    sealed = site.encrypt(*documents)
    assert restore(restoring(site), site.collection, sealed).data == b"".join(documents)


def test_out_of_scope_nothing_is_opened() -> None:
    site = Site()
    ada, bob = site.encrypt(note(1), note(2, "bob"))
    moved = bson.encode(bson.decode(bob) | {"_id": 9})  # would not open
    done = restore(restoring(site, with_changes(ALL, owners=frozenset({"ada"}))), site.collection, [ada, moved])
    assert done.data == note(1)
    with pytest.raises(EnvelopeError, match=r'document 8 \(_id "9"\): field "body": does not open'):
        restore(restoring(site), site.collection, [ada, moved], 7)


def test_a_locked_key_and_an_unmapped_collection_are_said() -> None:
    site = Site()
    sealed = site.encrypt(note(1))
    keys = with_changes(site.keys, opening={})
    with pytest.raises(KeyUnusableError, match="is locked"):
        restore(with_changes(restoring(site), keys=keys), site.collection, sealed)
    with pytest.raises(UsageError, match=r"does not name app\.other"):
        restoring(site).mapped(CollectionName(database="app", collection="other"))


def test_a_seal_opens_to_the_chunks_joined_whatever_their_sizes() -> None:
    person, output = pyrage.x25519.Identity.generate(), io.BytesIO()
    chunks = [b"a" * 200_000, b"", b"b", b"c" * 65536]

    def write(data: bytes) -> None:
        output.write(data)

    seal_to_recipients(iter(chunks), [str(person.to_public())], write)
    assert pyrage.decrypt(output.getvalue(), [person]) == b"".join(chunks)


def _failing() -> Iterator[bytes]:
    yield b"x"
    raise EnvelopeError("not this one")


def test_a_seal_passes_on_why_its_reader_or_writer_failed() -> None:
    person = str(pyrage.x25519.Identity.generate().to_public())

    def full(_data: bytes) -> None:
        raise OutputError("no room")

    with pytest.raises(OutputError, match="no room"):
        seal_to_recipients([b"x"], [person], full)
    with pytest.raises(EnvelopeError, match="not this one"):
        seal_to_recipients(_failing(), [person], lambda _: None)


def test_a_seal_for_nobody_is_refused() -> None:
    with pytest.raises(KeyUnusableError, match="nobody could open"):
        parse_recipients([])
