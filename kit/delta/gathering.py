"""Documents being taken apart, one after another: their scripts in a row, and the columns they share.

Law: what is added and then found not to be walkable leaves nothing behind, if it was added carefully.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from kit.delta.columns import RAW, Node, headers, joined, root
from kit.delta.edits import edit
from kit.delta.shred import shred
from kit.delta.varint import unsigned
from kit.errors import BsonError

WHOLE, SHREDDED, EDITED = 0, 1, 2
"""The byte that begins a document's script."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Documents taken apart, as they are packed."""

    head: bytes
    """The headers of the columns, behind their size."""
    script: bytes
    columns: bytes


def headed(columns: bytes) -> bytes:
    """Return the headers of columns behind their size."""
    return unsigned(len(columns)) + columns


@dataclass(slots=True)
class Gathered:
    """Scripts and columns."""

    script: bytearray = field(default_factory=bytearray)
    node: Node = field(default_factory=root)

    @classmethod
    def of(cls, documents: Sequence[bytes]) -> Self:
        """Take whole documents apart; those that cannot be walked give nothing."""
        gathered = cls()
        try:
            for document in documents:
                gathered.add(document, None)
        except BsonError:
            gathered = cls()  # once more, with the means to undo a document
            for document in documents:
                gathered.add_carefully(document, None)
        return gathered

    @property
    def head(self) -> bytes:
        """The headers of the columns, behind their size."""
        return headed(headers(self.node.table))

    @property
    def streams(self) -> Streams:
        """What is packed of it."""
        return Streams(head=self.head, script=bytes(self.script), columns=joined(self.node.table))

    def add(self, document: bytes, old: bytes | None) -> None:
        """Say a document by edits of the old one, or by itself.

        Raises:
            BsonError: It cannot be walked; everything gathered is void.
        """
        if old is not None:
            self.script.append(EDITED)
            edit(old, document, self.script, self.node)
        else:
            self.script.append(SHREDDED)
            shred(document, self.script, self.node)

    def add_whole(self, document: bytes) -> None:
        """Say a document by its bytes."""
        self.script.append(WHOLE)
        column = self.node.column(RAW)
        column += unsigned(len(document))
        column += document

    def add_carefully(self, document: bytes, old: bytes | None) -> bool:
        """Do as :meth:`add`; nothing, and False, where the document cannot be walked."""
        place = len(self.script)
        marks = {key: len(column) for key, column in self.node.table.items()}
        try:
            self.add(document, old)
        except BsonError:
            for key, column in self.node.table.items():
                del column[marks.get(key, 0) :]
            del self.script[place:]
            return False
        return True
