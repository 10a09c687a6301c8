"""Which transforms there are, by name: those that come with the package, and those that distributions add.

A distribution adds one through the entry point group ``kit.transforms``; an entry point loads an object with the name
``NAME`` and the function ``of_parameters``, such as a class that inherits from ``kit.transforms.protocol.Transform``.
The built-ins do not depend on their metadata, and are loaded only when they are asked for. A transform that cannot be
loaded, breaks the protocol or takes a name that is taken is an error when it is named, never a choice by load order.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol

from kit.errors import ContentError, KitError, UsageError
from kit.transforms.protocol import Transform
from kit.values import Sha256, strict_json

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from kit.values.fields import Members

GROUP: Final = "kit.transforms"
BUILT_IN: Final[Mapping[str, str]] = {
    "raw-linkset": "kit.transforms.raw_linkset.kind",
    "encrypt-fields": "kit.transforms.encrypt_fields.kind",
    "reshape-default": "kit.transforms.reshape.kinds:DEFAULT",
    "reshape-require": "kit.transforms.reshape.kinds:REQUIRE",
    "reshape-enum": "kit.transforms.reshape.kinds:ENUM",
    "reshape-copy": "kit.transforms.reshape.kinds:COPY",
    "reshape-remove": "kit.transforms.reshape.kinds:REMOVE",
    "reshape-project": "kit.transforms.reshape.kinds:PROJECT",
    "reshape-owner": "kit.transforms.reshape.kinds:OWNER",
}
"""Name → module whose ``KIND`` it is, or module and name of the value."""
_NAME: Final = re.compile("[a-z0-9]+(-[a-z0-9]+)*")
_HINT: Final = "uninstall or repair the package that adds it"
_METHODS: Final = ("parameters", "handles", "apply", "rewrite", "undo", "selecting", "alternatives", "settles", "cover")


class TransformKind(Protocol):
    """How a transform is named, in a migration file, a recipe or on the command line: what the registry finds.

    An entry point needs ``NAME`` and ``of_parameters`` only (:class:`kit.transforms.registry.AddedKind`).
    """

    @property
    def name(self) -> str:
        """The name of its transforms."""
        ...

    def of_parameters(self, parameters: Mapping[str, Any]) -> Transform:
        """Return the transform whose :meth:`Transform.parameters` are ``parameters``.

        Raises:
            KitError: They are not parameters of this transform. A LookupError, TypeError, ValueError or AttributeError
                means the same.
        """
        ...

    def read(self, entry: Members, random: Callable[[int], bytes], where: str) -> Transform:
        """Return the transform of an entry of a migration file, without selection.

        Args:
            entry: What is left of the entry: its ``parameters``, if it has any. Members that are not taken are refused.
            random: Where initialisation vectors come from, if random ones are asked for.
            where: The file, for messages.

        Raises:
            ContentError: The parameters are not those of the schema.
            UsageError: They name what does not come with the package.
        """
        ...

    def to_json(self, transform: Transform) -> dict[str, Any]:
        """Return the entry of a migration file; selection and stop rules are left to the migration."""
        ...

    def candidates(self) -> Iterable[Transform]:
        """Return what a step of an unknown migration may have been, for all tenants."""
        ...


@cache
def _added() -> Mapping[str, EntryPoint]:
    from importlib.metadata import entry_points  # noqa: PLC0415  half as long to load as all of this package

    # One distribution found twice on the path (installed and editable) declares the same thing twice.
    found = {(point.name, point.value): point for point in entry_points(group=GROUP)}
    named: dict[str, EntryPoint] = {}
    for (name, value), point in sorted(found.items()):
        if value.startswith(f"{__package__}."):
            continue
        if not _NAME.fullmatch(name):
            where = f"transform {name!r} ({value})"
            raise UsageError("its name is not of lower-case letters, digits and hyphens", where=where, hint=_HINT)
        if name in BUILT_IN or name in named:
            where = f"transform {name!r} ({value})"
            raise UsageError("its name is that of another transform", where=where, hint=_HINT)
        named[name] = point
    return named


def names() -> tuple[str, ...]:
    """Return the names of all transforms, those of the package first.

    Raises:
        UsageError: Two distributions add a transform of one name.
    """
    return (*BUILT_IN, *_added())


@cache
def find(name: str) -> TransformKind | None:
    """Return the kind of transform of that name; None where there is none.

    Raises:
        UsageError: It cannot be loaded, or breaks the protocol.
    """
    if name in BUILT_IN:
        module, _, value = BUILT_IN[name].partition(":")
        kind: TransformKind = getattr(importlib.import_module(module), value or "KIND")
        return kind
    point = _added().get(name)
    return AddedKind.of(point) if point is not None else None


def to_json(transform: Transform) -> dict[str, Any]:
    """Return the entry of a migration file for ``transform``, with selection and stop rules left to the migration.

    One that no file can name (a program brought it along) is described by the digest of its parameters, so that it too
    has a place in the digest of its migration; such an entry cannot be read back.
    """
    kind = find(transform.name)
    if kind is not None:
        return kind.to_json(transform)
    digest = Sha256.of(strict_json.canonical(dict(transform.parameters())))
    return {"name": transform.name, "version": transform.version, "parametersSha256": str(digest)}


def check_order(transforms: Sequence[Transform]) -> None:
    """Refuse an order, or a company, in which a transform could not read what it derives from.

    That is a transform after one that seals values, any at all next to one that copies into a new collection (the
    copies are of the documents as they were), and one next to the one that it follows in a later migration.

    Raises:
        UsageError: There is one.
    """
    projecting = next((one for one in transforms if one.projection is not None), None)
    if projecting is not None and len(transforms) > 1:
        raise UsageError(f"{projecting.name} copies documents as they are", hint="give it a migration of its own")
    names = {transform.name for transform in transforms}
    early = next((one for one in transforms if one.follows in names), None)
    if early is not None:
        raise UsageError(f"{early.name} follows {early.follows} in a later migration", hint="make two migrations")
    sealing: Transform | None = None
    for transform in transforms:
        if transform.keyed is not None:
            sealing = transform
        elif sealing is not None:
            raise UsageError(
                f"{transform.name} cannot run after {sealing.name}: it reads what is then encrypted",
                hint=f"--transform {transform.name} --transform {sealing.name}",
            )


class AddedKind:
    """A kind of transform from elsewhere, whose exceptions become errors that name it."""

    def __init__(self, inner: Any, name: str, where: str) -> None:
        self._inner, self.name, self._where = inner, name, where

    @classmethod
    def of(cls, point: EntryPoint) -> AddedKind:
        """Load what an entry point names.

        Raises:
            UsageError: It cannot be loaded, or breaks the protocol.
        """
        where = f"transform {point.name!r} ({point.value})"
        try:
            inner = point.load()
        except Exception as error:
            # Anything at all may happen while foreign code is imported.
            raise UsageError(f"it cannot be loaded: {error!r}", where=where, hint=_HINT) from error
        if getattr(inner, "NAME", None) != point.name:
            raise UsageError("its NAME is not that of its entry point", where=where, hint=_HINT)
        if not callable(getattr(inner, "of_parameters", None)):
            raise UsageError("it has no function of_parameters", where=where, hint=_HINT)
        return cls(inner, point.name, where)

    def of_parameters(self, parameters: Mapping[str, Any]) -> Transform:
        """See :class:`TransformKind`.

        Raises:
            ContentError: It failed, or returned no transform of its name.
        """
        try:
            made = self._inner.of_parameters(dict(parameters))
        except KitError:
            raise
        except Exception as error:
            raise ContentError(f"it refuses its parameters: {error!r}", where=self._where) from error
        if getattr(made, "name", None) != self.name:
            raise ContentError(f"it returned {type(made).__name__}, not a transform of its name", where=self._where)
        lacking = [name for name in _METHODS if not callable(getattr(made, name, None))]
        if lacking:
            raise ContentError(f"its transform has no method {lacking[0]}; inherit from Transform", where=self._where)
        transform: Transform = made
        return transform

    def read(self, entry: Members, random: Callable[[int], bytes], where: str) -> Transform:  # noqa: ARG002
        """See the protocol: the parameters of a file are those of :meth:`of_parameters`."""
        try:
            return self.of_parameters(entry.object("parameters").rest() if "parameters" in entry else {})
        except ContentError as error:
            raise error.inside(where) from error.__cause__

    def to_json(self, transform: Transform) -> dict[str, Any]:
        """See the protocol."""
        return {"name": self.name, "parameters": dict(transform.parameters())}

    def candidates(self) -> Iterable[Transform]:
        """See the protocol; none where it has no default."""
        try:
            return (self.of_parameters({}),)
        except KitError:
            return ()


def parameters_digest(transform: Transform) -> Sha256:
    """Digest a transform's parameters as the provenance names them."""
    return Sha256.of(strict_json.canonical(transform.parameters()))
