"""Builds the streams of a segment: the scripts of its documents in a row, and the columns they share.

Law: :meth:`StreamBuilder.try_add` leaves nothing behind of a document that cannot be walked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from kit.delta.columns import RAW, Node, encode_headers, join_columns, root
from kit.delta.edits import edit
from kit.delta.shred import shred
from kit.delta.varint import unsigned
from kit.errors import BsonError

WHOLE, SHREDDED, EDITED = 0, 1, 2
"""The byte that begins a document's script."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """The streams of encoded documents, before they are packed."""

    head: bytes
    """The headers of the columns, length-prefixed."""
    script: bytes
    columns: bytes


def prefix_with_length(data: bytes) -> bytes:
    """Return ``data`` behind its length."""
    return unsigned(len(data)) + data


@dataclass(slots=True)
class StreamBuilder:
    """Scripts and columns under construction."""

    script: bytearray = field(default_factory=bytearray)
    node: Node = field(default_factory=root)

    @classmethod
    def of(cls, documents: Sequence[bytes]) -> Self:
        """Return a builder with these documents, without those that cannot be walked."""
        builder = cls()
        try:
            for document in documents:
                builder.add(document, None)
        except BsonError:
            builder = cls()  # once more, so that a document can be undone
            for document in documents:
                builder.try_add(document, None)
        return builder

    @property
    def head(self) -> bytes:
        """The headers of the columns, length-prefixed."""
        return prefix_with_length(encode_headers(self.node.table))

    @property
    def streams(self) -> Streams:
        """The streams as they stand; they are packed next."""
        return Streams(head=self.head, script=bytes(self.script), columns=join_columns(self.node.table))

    def add(self, document: bytes, old: bytes | None) -> None:
        """Add a document as edits of ``old``, or by itself.

        Raises:
            BsonError: It cannot be walked; everything added so far is void.
        """
        if old is not None:
            self.script.append(EDITED)
            edit(old, document, self.script, self.node)
        else:
            self.script.append(SHREDDED)
            shred(document, self.script, self.node)

    def add_whole(self, document: bytes) -> None:
        """Add a document as its bytes."""
        self.script.append(WHOLE)
        column = self.node.column(RAW)
        column += unsigned(len(document))
        column += document

    def try_add(self, document: bytes, old: bytes | None) -> bool:
        """Add as :meth:`add`, and return whether the document could be walked; otherwise nothing is added."""
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
