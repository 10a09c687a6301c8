"""The data keys of a recipe: which ones an encryption seals with, and whether a site has just these.

A synthetic envelope is a function of value, place and data key. So the recipe fixes the keys, by a digest over what
names and commits to each of them; whoever has others is told before anything is made. Nothing here makes a key or
counts its uses: what is sealed again is, byte for byte, what was sealed and counted when the target was made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from kit.delta.recipe import MAX_NAMES, RecipeKeys
from kit.encryption import KeySource, Needs, Scope
from kit.encryption.data_keys import DataKey
from kit.errors import KeyUnusableError
from kit.values import Sha256

_HINT = "bring the keyring that the target was encrypted with, or a copy of it, and name it with --keyring"
_SHOWN = 3


def keys_of(needs: Mapping[int, Needs], keys: KeySource) -> RecipeKeys:
    """Tell which data keys seal what a reading of the base found.

    Raises:
        KeyUnusableError: An owner has none, or it is locked; names the first owners.
        KitError: A document of the base cannot be judged.
    """
    failure = next((one.failure for one in needs.values() if one.failure is not None), None)
    if failure is not None:
        raise failure
    known = keys.key_set()
    scopes = sorted({scope for one in needs.values() for scope in one.values})
    missing = [scope for scope in scopes if scope not in known.sealing]
    if missing:
        raise KeyUnusableError(f"the keyring has no data key for {_listed(missing)}", hint=_HINT)
    return _described(known.sealing_key(scope) for scope in scopes)


def check_names(due: RecipeKeys, keys: KeySource | None) -> None:
    """See, without a kit, that a keyring can have the keys of a recipe.

    Raises:
        KeyUnusableError: There is none; or keys that the recipe names are missing, locked, or others of that name.
    """
    if keys is None:
        raise KeyUnusableError(
            f"the delta is a recipe that seals with {due.count:,} data keys, and no keyring is given", hint=_HINT
        )
    if due.names is None:
        return
    known = keys.key_set()
    missing = [name for name in due.names if name not in known.scopes]
    if missing:
        raise KeyUnusableError(f"the keyring does not have the data key {_listed(missing)}", hint=_HINT)
    check_same(due, _described(known.opening_key(name) for name in due.names))


def check_same(due: RecipeKeys, met: RecipeKeys) -> None:
    """Refuse other keys than those of the recipe.

    Raises:
        KeyUnusableError: They are others.
    """
    if due != met:
        names = sorted(set(due.names or ()) - set(met.names or ()))
        told = f"; it seals with {_listed(names)}, which is not active here" if names else ""
        raise KeyUnusableError(
            f"the keyring would seal with {met.count:,} data keys that are not the {due.count:,} of the recipe{told}",
            hint=_HINT,
        )


def _described(keys: Iterable[DataKey]) -> RecipeKeys:
    digest, names = hashlib.sha256(), []
    # The commitment fixes the key, its name and what it is for; the master key's version stands in every envelope.
    for key in sorted(keys, key=lambda one: one.dek_id):
        digest.update(f"{key.dek_id} {key.mek_version} {key.commitment}\n".encode())
        names.append(key.dek_id)
    return RecipeKeys(
        count=len(names),
        sha256=Sha256(digest.hexdigest()),
        names=tuple(names) if len(names) <= MAX_NAMES else None,
    )


def _listed(names: Sequence[Scope] | Sequence[str]) -> str:
    shown = ", ".join(map(str, names[:_SHOWN]))
    return f"{shown}, and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else shown
