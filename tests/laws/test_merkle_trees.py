"""The tree hash of RFC 6962: published vectors, and the definition itself as the oracle."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from kit.errors import DigestError
from kit.values.digest import EMPTY_ROOT, leaf_hash, node_hash, path_of, root_along, root_of

# The leaves and roots by which Certificate Transparency logs test themselves.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SIZES = st.integers(1, 70)


def leaves_of(size: int) -> list[bytes]:
    return [leaf_hash(bytes([number])) for number in range(size)]


def by_definition(data: Sequence[bytes]) -> bytes:
    """Follow RFC 6962 2.1 word by word."""
    if not data:
        return hashlib.sha256().digest()
    if len(data) == 1:
        return hashlib.sha256(b"\x00" + data[0]).digest()
    split = 1
    while split * 2 < len(data):
        split *= 2
    return hashlib.sha256(b"\x01" + by_definition(data[:split]) + by_definition(data[split:])).digest()


@pytest.mark.parametrize("size", range(9))
def test_the_published_roots(size: int) -> None:
    assert root_of([leaf_hash(data) for data in LEAVES[:size]]).hex() == ROOTS[size]


@given(st.lists(st.binary(max_size=3), max_size=70))
def test_the_root_is_the_one_of_the_definition(data: list[bytes]) -> None:
    assert root_of([leaf_hash(one) for one in data]) == by_definition(data)


@given(st.integers(0, 70), st.integers(0, 5))
def test_roots_of_blocks_of_a_power_of_two_are_as_good_as_leaves(size: int, power: int) -> None:
    leaves = leaves_of(size)
    blocks = [leaves[at : at + 2**power] for at in range(0, size, 2**power)]
    assert root_of([root_of(block) for block in blocks]) == root_of(leaves)


@given(SIZES, st.data())
def test_every_leaf_leads_to_the_root_and_only_from_its_own_place(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    path = path_of(index, leaves)
    assert root_along(leaves[index], index, size, path) == root_of(leaves)
    other = data.draw(st.integers(0, size - 1).filter(lambda at: at != index)) if size > 1 else -1
    with suppress(DigestError):  # the path may have another length there
        assert root_along(leaves[index], other, size, path) != root_of(leaves)


@given(SIZES, st.data())
def test_a_path_that_is_changed_in_any_hash_leads_elsewhere(size: int, data: st.DataObject) -> None:
    leaves = leaves_of(size)
    index = data.draw(st.integers(0, size - 1))
    path = [leaves[index], *path_of(index, leaves)]
    at, bit = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 255))
    path[at] = (int.from_bytes(path[at], "big") ^ (1 << bit)).to_bytes(32, "big")
    assert root_along(path[0], index, size, path[1:]) != root_of(leaves)


@pytest.mark.parametrize(
    ("index", "size", "hashes", "why"),
    [
        (0, 0, 0, "leaf 0 is not in a tree of 0 leaves"),
        (3, 3, 1, "leaf 3 is not in a tree of 3 leaves"),
        (-1, 3, 1, "leaf -1 is not in a tree of 3 leaves"),
        (0, 3, 1, "too short"),
        (2, 3, 2, "too long"),
        (0, 1, 1, "too long"),
    ],
)
def test_a_place_that_the_tree_does_not_have_is_refused(index: int, size: int, hashes: int, why: str) -> None:
    with pytest.raises(DigestError, match=why):
        root_along(b"l" * 32, index, size, [b"h" * 32] * hashes)


def test_a_node_cannot_be_passed_off_as_a_leaf() -> None:
    left, right = leaves_of(2)
    assert leaf_hash(left + right) != node_hash(left, right) == root_of([left, right])


def test_the_empty_tree_has_the_digest_of_nothing() -> None:
    assert root_of([]) == EMPTY_ROOT == hashlib.sha256(b"").digest()
