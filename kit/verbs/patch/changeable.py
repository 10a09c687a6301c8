"""Whether a kit that was judged can be changed as asked, with nothing left out in silence."""

from __future__ import annotations

from collections.abc import Sequence

from kit.engine.reading import Survey
from kit.errors import UsageError
from kit.manifest import LinkKind, Manifest, Shape
from kit.transforms.protocol import Transform
from kit.values import CollectionFormat, MemberPath
from kit.verbs.verify.judged import JudgedKit
from kit.verbs.verify.kits import OpenKit


def check_changeable(judged: JudgedKit, transforms: Sequence[Transform]) -> None:
    """Check that the transforms can change a judged kit, and that the next manifest can state what they did.

    Raises:
        UsageError: They cannot; names the member, and what can be done.
    """
    _require_place(judged.kit, judged.manifest)
    _refuse_dumps(judged.survey)
    _require_texts(judged.survey, transforms)
    if judged.sidecars.archive is None:
        _refuse_linked(judged.survey, judged.manifest, transforms)


def _require_place(kit: OpenKit, manifest: Manifest) -> None:
    """Check that the new manifest has a place for what the migration declares.

    Raises:
        UsageError: It has not, so nobody could know how to read the collections.
    """
    declared = kit.reader.declared.declared
    if declared and manifest.shape is Shape.FOREIGN:
        raise UsageError(
            "is declared by the migration, and the manifest, which is of a foreign shape, cannot state it",
            where=str(min(declared)),
            hint="kit create --help",
        )


def _refuse_dumps(found: Survey) -> None:
    """Check that no documents stay unpatched because they are in a dump in one stream.

    Raises:
        UsageError: There is such a dump.
    """
    if found.dumps:
        raise UsageError(
            "is a dump of mongodump --archive, whose collections are not read where it is a member",
            where=str(min(found.dumps)),
            hint="its publisher can make a kit of the dump: kit create --help",
        )


def _require_texts(found: Survey, transforms: Sequence[Transform]) -> None:
    """Check that in collections of text, elements are only appended and values sealed.

    Raises:
        UsageError: A transform does something else in one.
    """
    texts = {path: one for path, one in found.collections.items() if one.format is not CollectionFormat.BSON}
    for path, collection in sorted(texts.items()):
        for transform in transforms:
            if not transform.handles(collection.name) or transform.appends is not None:
                continue
            if transform.keyed is None:
                what, hint = transform.name, "--transform raw-linkset and encrypt-fields can"
            elif not transform.keyed.profile.is_subdocument:
                what = f"{transform.name} --profile {transform.keyed.profile}"
                hint = "the profiles bound and compat can"
            else:
                continue
            raise UsageError(
                f"is a collection in the format {collection.format}, in which {what} cannot change documents",
                where=str(path),
                hint=f"{hint}: an element is added at the end, or a subdocument takes the place of a value",
            )


def _refuse_linked(found: Survey, manifest: Manifest, transforms: Sequence[Transform]) -> None:
    """Refuse to change a file of a folder that a listed hard link names: the link is a file there and would not change.

    Raises:
        UsageError: There is one.
    """
    for link in manifest.links or ():
        collection = found.collections.get(MemberPath(link.target)) if link.kind is LinkKind.HARD else None
        if collection is not None and any(transform.handles(collection.name) for transform in transforms):
            raise UsageError(
                f"is {link}, which the patch may change, and a file of its own in a folder",
                where=str(link.path),
                hint="patch the archive that the folder was unpacked from",
            )
