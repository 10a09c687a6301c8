"""The state of a site: what it has accepted so far, which reveals a rollback. Schema: schemas/trust-state.md.

Values only; :mod:`kit.verbs.trust` reads and replaces the file. Laws: ``State.parse(s.to_bytes(), where) == s``;
``with_accepted`` never lowers what was accepted; overrides are only ever added.

Rules R1 to R3: no kit or policy is older than what was accepted before.

The anchor of a verdict: policy, state, time and override.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from kit.errors import ContentError, ManifestError, RollbackError, UntrustedError
from kit.signing import PublicKey
from kit.trust.policy import Policy
from kit.values import Limits, Sha256, Timestamp
from kit.values.fields import ManifestFields
from kit.values.strict_json import canonical, parse as parse_json

SCHEMA_VERSION = "1"
_LIMITS = Limits(json_bytes=16 * 1024 * 1024, json_depth=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The newest kit accepted of one bundle.

    Two kits are compared by the publisher's generation first: a site's patch of generation 7 has number 8, and so has
    the publisher's next one, which must not be taken for a rollback (docs/design/trust-policy.md).
    """

    published: int
    """The generation that the publisher signed, the first of the chain."""
    generation: int
    """The kit's own generation."""
    manifest: Sha256
    earlier: frozenset[Sha256] = frozenset()
    """Manifests of its history that were accepted before it and still count: see schemas/trust-state.md."""

    @property
    def rank(self) -> tuple[int, int]:
        """The order of kits: publisher's generation, then own generation."""
        return self.published, self.generation

    def __str__(self) -> str:
        if self.published == self.generation:
            return f"generation {self.generation}"
        return f"generation {self.generation} made of the publisher's {self.published}"

    @classmethod
    def parse(cls, fields: ManifestFields) -> Self:
        """Return the accepted kit of a parsed object.

        Raises:
            ContentError: It is not exactly of this format, or the generation is below the publisher's.
        """
        fields.exactly(("published", "generation", "manifestSha256"), ("earlier",))
        accepted = cls(
            published=fields.integer("published"),
            generation=fields.integer("generation"),
            manifest=fields.digest("manifestSha256"),
            earlier=_earlier(fields),
        )
        if accepted.generation < accepted.published:
            raise ContentError(f"{fields.place}: generation is below the publisher's")
        return accepted

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        printed = {"published": self.published, "generation": self.generation, "manifestSha256": str(self.manifest)}
        return printed | ({"earlier": sorted(map(str, self.earlier))} if self.earlier else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideRecord:
    """The record that a user accepted a kit which obligation 4 refused."""

    at: Timestamp
    bundle_id: str
    manifest: Sha256
    refusal: str
    reason: str

    @classmethod
    def parse(cls, value: object, place: str) -> Self:
        """Return the record of a parsed value.

        Raises:
            ContentError: It is not exactly of this format.
        """
        fields = ManifestFields.of(value, place)
        fields.exactly(("at", "bundleId", "manifestSha256", "refusal", "reason"))
        return cls(
            at=fields.timestamp("at"),
            bundle_id=fields.text("bundleId"),
            manifest=fields.digest("manifestSha256"),
            refusal=fields.text("refusal"),
            reason=fields.text("reason"),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the value for ``strict_json.canonical``."""
        return {
            "at": str(self.at),
            "bundleId": self.bundle_id,
            "manifestSha256": str(self.manifest),
            "refusal": self.refusal,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What was accepted under one policy file.

    Attributes:
        policy_version: The version of the policy in force.
        policy_sha256: The digest of its exact bytes, which reveals changes by other means than ``kit trust``.
        bundles: The newest kit accepted, by bundle id.
        overrides: Oldest first.
    """

    policy_version: int
    policy_sha256: Sha256
    bundles: Mapping[str, Accepted] = field(default_factory=dict)
    overrides: tuple[OverrideRecord, ...] = ()

    @classmethod
    def parse(cls, data: bytes, *, where: str) -> Self:
        """Return the state of a file's bytes.

        Raises:
            ContentError: Not strict JSON, or not exactly of this format: an unreadable state must not count as empty.
            LimitError: Larger than any state.
        """
        try:
            fields = ManifestFields.of(parse_json(data, limits=_LIMITS, where=where), "state")
            fields.exactly(("schemaVersion", "policy", "bundles", "overrides"))
            if fields.text("schemaVersion") != SCHEMA_VERSION:
                raise ContentError(f"state.schemaVersion: this program reads {SCHEMA_VERSION!r}", where=where)
            policy, bundles = fields.object("policy"), fields.object("bundles")
            policy.exactly(("version", "sha256"))
            return cls(
                policy_version=policy.integer("version"),
                policy_sha256=policy.digest("sha256"),
                bundles={name: Accepted.parse(bundles.object(name)) for name in bundles.members},
                overrides=tuple(
                    OverrideRecord.parse(value, f"state.overrides[{n}]")
                    for n, value in enumerate(fields.items("overrides"))
                ),
            )
        except ManifestError as error:
            raise ContentError(error.what, where=where) from error

    def to_bytes(self) -> bytes:
        """Return the bytes of the file."""
        return canonical(
            {
                "schemaVersion": SCHEMA_VERSION,
                "policy": {"version": self.policy_version, "sha256": str(self.policy_sha256)},
                "bundles": {name: accepted.to_json() for name, accepted in self.bundles.items()},
                "overrides": [record.to_json() for record in self.overrides],
            }
        )

    def has_accepted(self, bundle_id: str, manifest: Sha256) -> bool:
        """Return whether exactly this manifest is the newest accepted of its bundle, or an earlier one that counts."""
        known = self.bundles.get(bundle_id)
        return known is not None and (manifest == known.manifest or manifest in known.earlier)

    def with_accepted(self, bundle_id: str, kit: Accepted) -> Self:
        """Return the state with a kit accepted, if it is newer than the newest of its bundle."""
        known = self.bundles.get(bundle_id)
        if known is not None and kit.rank <= known.rank:
            return self
        return replace(self, bundles={**self.bundles, bundle_id: kit})

    def with_override(self, record: OverrideRecord) -> Self:
        """Return the state with an override recorded; the newest kit stays, so the next use needs another override."""
        return replace(self, overrides=(*self.overrides, record))

    def with_policy(self, version: int, sha256: Sha256) -> Self:
        """Return the state under the successor of its policy."""
        return replace(self, policy_version=version, policy_sha256=sha256)


def _earlier(fields: ManifestFields) -> frozenset[Sha256]:
    if "earlier" not in fields.members:
        return frozenset()
    texts = fields.items("earlier")
    digests = frozenset(
        ManifestFields.of({"digest": text}, f"{fields.place}.earlier[{number}]").digest("digest")
        for number, text in enumerate(texts)
    )
    if not digests or [str(digest) for digest in sorted(digests, key=str)] != texts:
        raise ContentError(f"{fields.place}.earlier: digests are expected, sorted, each once, one at least")
    return digests


_FORCE_OLDER = "get the newest kit; to use this one anyway, on record: --force --reason TEXT"


class BelowFloorError(RollbackError):
    """A kit is below the minimum of the policy; only another policy, not an override, can accept it."""


def check_kit_rollback(policy: Policy, state: State | None, bundle_id: str | None, kit: Accepted) -> str:
    """Return what a kit was compared with, after checking it against the policy's minimum and the state.

    Raises:
        BelowFloorError: The publisher's generation is below the minimum (R1). The kit's own is not compared, since a
            patch of an old kit raises it and makes no data newer.
        RollbackError: Older than what was accepted (R2), or as old and with another manifest (R3).
    """
    if bundle_id is None:
        return "the manifest names no bundle, so nothing accepted before was compared"
    floor = policy.minimum_generations.get(bundle_id)
    if floor is not None and kit.published < floor:  # R1
        raise BelowFloorError(
            f"publisher's generation {kit.published} of {bundle_id!r} is below {floor}, the policy's minimum",
            hint="get a newer kit; --force does not lift this",
        )
    known = state.bundles.get(bundle_id) if state is not None else None
    if known is None:
        compared = "so nothing accepted before was compared" if floor is None else f"not below the minimum {floor}"
        return f"first kit of {bundle_id!r}, {compared}"
    if kit.rank < known.rank:  # R2
        raise RollbackError(f"{kit} of {bundle_id!r}, but {known} was accepted before", hint=_FORCE_OLDER)
    if kit.rank == known.rank and kit.manifest != known.manifest:  # R3
        raise RollbackError(
            f"{kit} of {bundle_id!r} has manifest {kit.manifest}, but was accepted before with {known.manifest}",
            hint=_FORCE_OLDER,
        )
    return "accepted before" if kit.rank == known.rank else f"newer than {known}"


def has_memory(policy: Policy, state: State | None, bundle_id: str | None) -> bool:
    """Return whether :func:`check_kit` has a minimum or an accepted kit to compare a kit of this bundle with."""
    if bundle_id is None:
        return False
    return bundle_id in policy.minimum_generations or (state is not None and bundle_id in state.bundles)


def check_policy_rollback(version: int, sha256: Sha256, state: State | None) -> None:
    """Check that a policy's exact bytes are those in force.

    Raises:
        RollbackError: It is an older version.
        UntrustedError: It was changed by other means than ``kit trust``.
    """
    if state is None or sha256 == state.policy_sha256:
        return
    if version < state.policy_version:
        raise RollbackError(f"policy version {version}, but {state.policy_version} is in force")
    raise UntrustedError(
        f"the policy was changed: digest {sha256}, but {state.policy_sha256} was put in force",
        hint="change policies with kit trust add or kit trust rotate",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """The user's decision that obligation 4 does not refuse, with its reason; recorded in the state."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What one verdict trusts.

    Attributes:
        policy: Who may sign what.
        policy_sha256: Digest of the policy's exact bytes.
        state: What was accepted before; None on first use, and for keys without a policy.
        at: The time of the verdict; None for keys without a policy, which are valid at any time.
        override: The user's override; None without one.
    """

    policy: Policy
    policy_sha256: Sha256
    state: State | None = None
    at: Timestamp | None = None
    override: Override | None = None

    def has_accepted(self, bundle_id: str | None, manifest: Sha256) -> bool:
        """Return whether exactly this manifest of the bundle was accepted before, according to the state."""
        return self.state is not None and bundle_id is not None and self.state.has_accepted(bundle_id, manifest)

    @classmethod
    def of_keys(cls, trusted: Mapping[str, PublicKey]) -> Self:
        """Return the anchor of ``--trusted-key``: no roles, no time, no state."""
        policy = Policy.of_keys(trusted.values())
        return cls(policy=policy, policy_sha256=policy.sha256)
