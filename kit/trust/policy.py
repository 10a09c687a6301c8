"""A trust policy: who may sign what. Schema: schemas/trust-policy.md.

Laws: ``Policy.parse(p.to_bytes(), where) == p``; an unknown field is refused, since it may be a restriction; a policy
that nobody, or anybody, could satisfy is refused when it is read, not when it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from kit.errors import ContentError, ManifestError, UntrustedError
from kit.signing import Algorithm, PublicKey
from kit.trust.trusted_key import Role, TrustedKey, count_people, parse_word, read_distinct
from kit.values import Limits, Sha256, Timestamp
from kit.values.fields import ManifestFields
from kit.values.strict_json import canonical, parse as parse_json

SCHEMA_VERSION = "1"
_REQUIRED = ("schemaVersion", "version", "keys", "thresholds", "algorithms")
_OPTIONAL = ("expiresAt", "minimumGenerations", "stalenessWindowHours")
# A policy is small whatever the kits; these bounds are not the user's to raise.
_LIMITS = Limits(json_bytes=1024 * 1024, json_depth=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules of one site.

    Attributes:
        version: From 1; each successor has the next number.
        keys: In the order given; ids are distinct.
        thresholds: How many keys must sign, by role; 1 by default.
        algorithms: The algorithms whose signatures count.
        expires_at: The time after which nothing is valid under it; None for never.
        minimum_generations: By bundle id, the lowest publisher's generation that is accepted.
        staleness_window_hours: Replaces the window that kits state; None to use theirs.
    """

    version: int
    keys: tuple[TrustedKey, ...]
    thresholds: Mapping[Role, int] = field(default_factory=dict)
    algorithms: frozenset[Algorithm] = frozenset(Algorithm)
    expires_at: Timestamp | None = None
    minimum_generations: Mapping[str, int] = field(default_factory=dict)
    staleness_window_hours: int | None = None

    @classmethod
    def of_keys(cls, keys: Iterable[PublicKey]) -> Self:
        """Return the policy of ``--trusted-key``: these keys in every role a kit needs, any of them, at any time."""
        roles = frozenset(Role) - {Role.ROOT, Role.RECIPIENT}
        return cls(version=1, keys=tuple(TrustedKey(key=key, roles=roles) for key in keys))

    @classmethod
    def parse(cls, data: bytes, *, where: str) -> Self:
        """Return the policy of exact bytes.

        Raises:
            ContentError: Not strict JSON, not exactly of this format, or a policy that makes no sense (P1, P2).
            LimitError: Larger than any policy.
        """
        try:
            policy = cls._read(ManifestFields.of(parse_json(data, limits=_LIMITS, where=where), "policy"))
            policy.check()
        except ManifestError as error:
            raise ContentError(error.what, where=where) from error
        except ContentError as error:
            raise (error if error.where.startswith(where) else error.inside(where)) from error.__cause__
        return policy

    @classmethod
    def _read(cls, fields: ManifestFields) -> Self:
        fields.exactly(_REQUIRED, _OPTIONAL)
        if fields.text("schemaVersion") != SCHEMA_VERSION:
            raise ContentError(f"policy.schemaVersion: this program reads {SCHEMA_VERSION!r}")
        thresholds = fields.object("thresholds")
        floors = fields.object("minimumGenerations") if "minimumGenerations" in fields.members else None
        window = "stalenessWindowHours"
        return cls(
            version=fields.integer("version"),
            keys=tuple(TrustedKey.parse(value, f"policy.keys[{n}]") for n, value in enumerate(fields.items("keys"))),
            thresholds={
                parse_word(Role, role, thresholds.place): thresholds.integer(role) for role in thresholds.members
            },
            algorithms=frozenset(
                parse_word(Algorithm, name, "policy.algorithms") for name in read_distinct(fields, "algorithms")
            ),
            expires_at=fields.timestamp("expiresAt") if "expiresAt" in fields.members else None,
            minimum_generations={name: floors.integer(name) for name in floors.members} if floors else {},
            staleness_window_hours=fields.integer(window) if window in fields.members else None,
        )

    def to_bytes(self) -> bytes:
        """Return the bytes that are signed and digested."""
        document: dict[str, Any] = {
            "schemaVersion": SCHEMA_VERSION,
            "version": self.version,
            "keys": [key.to_json() for key in self.keys],
            "thresholds": {role.value: count for role, count in self.thresholds.items()},
            "algorithms": sorted(self.algorithms),
        }
        if self.expires_at is not None:
            document["expiresAt"] = str(self.expires_at)
        if self.minimum_generations:
            document["minimumGenerations"] = dict(self.minimum_generations)
        if self.staleness_window_hours is not None:
            document["stalenessWindowHours"] = self.staleness_window_hours
        return canonical(document)

    @property
    def sha256(self) -> Sha256:
        """The digest of :meth:`to_bytes`, which is that of the file if this program wrote it."""
        return Sha256.of(self.to_bytes())

    @property
    def is_sealed(self) -> bool:
        """Whether it has root keys, so that it must be signed and can only be replaced by rotation (P3, P4)."""
        return any(Role.ROOT in key.roles for key in self.keys)

    def threshold(self, role: Role) -> int:
        """Return the number of keys that must sign in a role."""
        return self.thresholds.get(role, 1)

    def with_key(self, added: TrustedKey) -> Self:
        """Return the next version, in which ``added`` is new or replaces the key of its id."""
        others = tuple(key for key in self.keys if key.key_id != added.key_id)
        return replace(self, version=self.version + 1, keys=(*others, added))

    def check(self) -> None:
        """Check that the policy makes sense.

        Raises:
            ContentError: Version 0; a key twice; a threshold of 0, which anybody reaches (P1); a threshold above the
                number of people with a key of a role, revoked ones not counted (P2); a root key with a second role.
                A recipient's key with a second role, of another kind than RSA, or limited to what it may sign.
            UntrustedError: There are no keys: under an empty policy nothing can be valid (P1).
        """
        if not self.keys:
            raise UntrustedError(
                "the policy names no keys, so nothing can be valid", hint="kit trust add POLICY KEY --role publisher"
            )
        if self.version < 1:
            raise ContentError("policy.version: versions start at 1")
        ids = [key.key_id for key in self.keys]
        if len(set(ids)) != len(ids):
            raise ContentError("policy.keys: a key is there twice")
        for role, count in self.thresholds.items():
            able = count_people(key for key in self.keys if role in key.roles and key.revocation is None)
            if count < 1:
                raise ContentError(f"policy.thresholds.{role}: 0 would let anybody sign")
            if count > able:
                raise ContentError(
                    f"policy.thresholds.{role}: {count} people are needed, but only {able} can sign",
                    hint=f"add a key of another name: kit trust add POLICY KEY --role {role}",
                )
        for key in self.keys:
            if Role.RECIPIENT in key.roles:
                _check_recipient(key)
            if Role.ROOT in key.roles and len(key.roles) > 1:
                raise ContentError(f"policy: root key {key.label} has other roles too; a root key signs policies only")


def _check_recipient(key: TrustedKey) -> None:
    if len(key.roles) > 1:
        raise ContentError(f"policy: recipient key {key.label} has other roles too; a recipient's key signs nothing")
    if key.key.algorithm is not Algorithm.PS256:
        raise ContentError(f"policy: recipient key {key.label} is not an RSA key, and nothing is wrapped for others")
    if key.bundle_ids is not None or key.collections is not None:
        raise ContentError(f"policy: recipient key {key.label} signs nothing, so it has no bundles or collections")
