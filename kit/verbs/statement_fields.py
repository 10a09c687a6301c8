"""Parts that the statements of receipts have in common: schemas/receipt.md, schemas/comparison-receipt.md.

Each is read strictly: what is not in the schema is an error with its place.
"""

from __future__ import annotations

from kit.values import Sha256
from kit.values.fields import Fields


def require(fields: Fields, name: str, due: str) -> None:
    """Check that a member is exactly this text.

    Raises:
        ContentError: It is not.
    """
    if fields.text(name) != due:
        raise fields.refusal(f"{name}: {due} is expected")


def behind(fields: Fields, name: str, prefix: str) -> str:
    """Return what is behind the prefix of a text.

    Raises:
        ContentError: It has another.
    """
    text = fields.text(name)
    if not text.startswith(prefix):
        raise fields.refusal(f"{name}: {prefix}… is expected")
    return text.removeprefix(prefix)


def texts(fields: Fields, name: str) -> list[str]:
    """Return a list of texts.

    Raises:
        ContentError: It is none.
    """
    items = fields.items(name)
    if not all(isinstance(item, str) for item in items):
        raise fields.refusal(f"{name}: a list of texts is expected")
    return items


def objects(fields: Fields, name: str, *, least: int = 1) -> list[Fields]:
    """Return the fields of each object of a list.

    Raises:
        ContentError: It has fewer than ``least``, or another value.
    """
    items = fields.items(name)
    if len(items) < least:
        raise fields.refusal(f"{name}: is empty")
    return [Fields.of(item, f"{fields.place}.{name}[{number}]") for number, item in enumerate(items)]


def digest_of(fields: Fields) -> Sha256:
    """Return the digest of something.

    Raises:
        ContentError: There is none, or one of another kind.
    """
    digest = fields.object("digest")
    digest.exactly(("sha256",))
    return digest.digest("sha256")


def resources(fields: Fields, name: str, key: str) -> list[tuple[str, Sha256]]:
    """Return what a list names, each with its digest.

    Raises:
        ContentError: One is there twice, or subjects are missing.
    """
    found = []
    for item in objects(fields, name, least=1 if name == "subject" else 0):
        item.exactly((key, "digest"))
        found.append((item.text(key), digest_of(item)))
    if len(dict(found)) != len(found):
        raise fields.refusal(f"{name}: one {key} is there twice")
    return found


def tool(version: Fields) -> tuple[str, str]:
    """Return name and version of the one program.

    Raises:
        ContentError: There are several, or none.
    """
    if len(version.members) != 1:
        raise version.refusal("one program is expected")
    (name,) = version.members
    return name, version.text(name)


def policy(fields: Fields) -> Sha256:
    """Return the digest of a policy.

    Raises:
        ContentError: There is none.
    """
    fields.exactly(("uri", "digest"))
    fields.text("uri")
    return digest_of(fields)
