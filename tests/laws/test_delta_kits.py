"""Laws of whole kits: apply(base, delta(base, x)) = x, there and back, and over a chain, whatever the documents are."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import bson
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from kit.encryption import Profile, shipped
from kit.transforms.encrypt_fields import EncryptFields
from kit.transforms.raw_linkset import RawLinkset
from kit.verbs.delta.build import DeltaSquashRequest
from kit.verbs.delta.squash import squash_deltas
from tests.delta.kits import AT, HERE, KEY, Pair, keyring, keys_in, step, trusting
from tests.documents.strategies import VALUES, Typed, document, string
from tests.kits import OBSERVATIONS, contents, observation, signed, write_kit
from tests.laws.test_delta_codecs import two_collections

NOTES = "dump/notelett/notes.bson"
SEALING = EncryptFields(field_map=shipped("notelett"), profile=Profile.BOUND)
ON_DISK = settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FEW = settings(ON_DISK, max_examples=3)


def given_kit(path: Path, generation: int, **files: Sequence[bytes]) -> Path:
    return write_kit(path, signed({name: b"".join(data) for name, data in files.items()}, KEY, generation=generation))


@ON_DISK
@given(two_collections())
def test_a_delta_leads_there_and_the_one_back_leads_back(two: tuple[list[bytes], list[bytes]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pair = Pair(
            folder=folder,
            base=given_kit(folder / "base.tar.zst", 1, **{OBSERVATIONS: two[0], "docs/a": [b"a"]}),
            target=given_kit(folder / "target.tar.zst", 2, **{OBSERVATIONS: two[1], "docs/b": [b"b"]}),
        )
        pair.build()
        pair.build(folder / "back", reverse=True)
        pair.apply(output=folder / "there.tar.zst")
        pair.apply(base=folder / "there.tar.zst", delta=folder / "back", output=folder / "again.tar.zst")
        for made, due in (("there.tar.zst", pair.target), ("again.tar.zst", pair.base)):
            assert list(contents((folder / made).read_bytes()).items()) == list(contents(due.read_bytes()).items())


def with_more(number: int, value: Typed) -> bytes:
    """Give an observation with an ``_id`` and one more element of any type."""
    whole = bson.encode(observation(number, _id=...))
    added = document([("_id", value), ("any", value)])
    return (len(whole) + len(added) - 5).to_bytes(4, "little") + added[4:-1] + whole[4:]


def note(number: int, owner: str, body: Typed) -> bytes:
    names = [("workspaceId", (2, string("w"))), ("userId", (2, string(owner)))]
    return document([("_id", (16, number.to_bytes(4, "little"))), *names, ("body", body), ("title", body)])


def repeated(documents: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[bytes]]:
    """Some documents, any of them more than once, in any order."""
    return st.lists(documents, min_size=1, max_size=4).flatmap(lambda some: st.permutations([*some, *some[:2]]))


@pytest.mark.slow
@FEW
@given(
    repeated(st.builds(with_more, st.integers(min_value=0, max_value=9), VALUES)),
    repeated(st.builds(note, st.integers(min_value=0, max_value=9), st.sampled_from(["ada", "bob"]), VALUES)),
)
@example([bson.encode(observation(1))], [note(1, "ada", (10, b""))])
def test_of_a_kit_that_transforms_made_recipes_lead_there_and_over_the_chain_and_documents_back(
    observations: list[bytes], notes: list[bytes]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kits = [folder / f"kit-{number}.tar.zst" for number in range(3)]
        given_kit(kits[0], 0, **{OBSERVATIONS: observations, NOTES: notes})
        keying = keyring(folder)
        assert keying.keyring is not None
        step(kits[0], kits[1], RawLinkset())
        step(kits[1], kits[2], SEALING, keying=keying)
        keys = keys_in(keying.keyring)
        if kits[2].read_bytes() == kits[1].read_bytes():
            return  # there was nothing to seal
        first, second, over = (Pair(folder=folder, base=kits[a], target=kits[b]) for a, b in ((0, 1), (1, 2), (0, 2)))
        for pair, delta in ((first, "one"), (second, "two"), (over, "direct")):
            assert pair.build(folder / delta, keys=keys).no_recipe is None
            pair.apply(delta=folder / delta, output=folder / f"by-{delta}.tar.zst", keys=keys)
            assert (folder / f"by-{delta}.tar.zst").read_bytes() == pair.target.read_bytes()
        squash_deltas(
            DeltaSquashRequest(
                base=kits[0],
                deltas=(folder / "one", folder / "two"),
                output=folder / "squashed",
                key=KEY,
                expectation=trusting(KEY),
                created_at=AT,
                keys=keys,
                environment=HERE,
            )
        )
        assert (folder / "squashed").read_bytes() == (folder / "direct").read_bytes()
        assert over.build(folder / "back", reverse=True).discloses
        over.apply(base=kits[2], delta=folder / "back", output=folder / "again.tar.zst")
        assert contents((folder / "again.tar.zst").read_bytes()) == contents(kits[0].read_bytes())
