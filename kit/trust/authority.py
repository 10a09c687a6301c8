"""Did those sign who may? Rules A1 to A4 over key ids whose signatures were verified before."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kit.errors import KitError, UntrustedError
from kit.trust.policy import Policy
from kit.trust.roles import Role
from kit.trust.trusted_key import TrustedKey
from kit.values import CollectionName, MemberPath, collection_member


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What was signed, as far as a key's limits go.

    Attributes:
        what: For messages: ``generation 3``.
        role: The role its signers need.
        bundle_id: Of the kit, if its manifest says.
        members: What the signature vouches for: all of a first generation; of a later one, what the step changed.
        only_collections: Members that are no collections are beyond keys that are limited to collections, too. So
            for a patch; a publisher's kit always has other files.
    """

    what: str
    role: Role
    bundle_id: str | None
    members: tuple[MemberPath, ...] = ()
    only_collections: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """Who signed a subject and may; at least as many as the threshold."""

    subject: Subject
    keys: tuple[TrustedKey, ...]
    threshold: int

    def require(self, standing: Callable[[TrustedKey], KitError | None]) -> tuple[TrustedKey, ...]:
        """Give those still in good standing (rules F1, F2).

        Raises:
            KitError: They are fewer than the threshold: the first thing that is wrong with one of the others.
        """
        faults = {key.key_id: standing(key) for key in self.keys}
        good = tuple(key for key in self.keys if faults[key.key_id] is None)
        if len(good) < self.threshold:
            fault = next(fault for fault in faults.values() if fault is not None)
            raise fault.inside(self.subject.what)
        return good


def authorised(policy: Policy, subject: Subject, key_ids: Iterable[str]) -> Signing:
    """Count who signed and may.

    Args:
        policy: Whom to believe.
        subject: What was signed.
        key_ids: Keys whose signatures verify. One that is there twice counts once (A4): a threshold counts people.

    Raises:
        UntrustedError: Fewer than the threshold; says of each other signer why it does not count.
    """
    able: dict[str, TrustedKey] = {}
    others: list[str] = []
    for key_id in key_ids:
        key = policy.key(key_id)
        why = "the policy does not name it" if key is None else _limit(policy, key, subject)
        if key is not None and why is None:
            able[key_id] = key
        else:
            others.append(f"{key.label if key else key_id}: {why}")
    threshold = policy.threshold(subject.role)
    if len(able) < threshold:
        told = "; ".join(others) or "nobody else signed"
        raise UntrustedError(
            f"signed by {len(able)} of the {threshold} {subject.role} keys needed ({told})",
            where=subject.what,
            hint=f"if that signer is to be believed: kit trust add POLICY KEY --role {subject.role}",
        )
    return Signing(subject=subject, keys=tuple(able.values()), threshold=threshold)


def _limit(policy: Policy, key: TrustedKey, subject: Subject) -> str | None:
    if subject.role not in key.roles:  # A1
        return f"it has the role {', '.join(sorted(key.roles))}"
    if key.key.algorithm not in policy.algorithms:  # A3
        return f"{key.key.algorithm} is not allowed"
    if not key.may_sign_bundle(subject.bundle_id):  # A2
        return f"it may not sign bundle {subject.bundle_id!r}"
    beyond = next((path for path in subject.members if not _may_sign(key, path, subject)), None)
    return f"it may not sign {beyond}" if beyond is not None else None


def _may_sign(key: TrustedKey, path: MemberPath, subject: Subject) -> bool:
    member = collection_member(path)
    if member is None:
        return key.collections is None or not subject.only_collections
    name: CollectionName = member.name
    return key.may_sign_collection(name)
