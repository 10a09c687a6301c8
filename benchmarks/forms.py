"""Compares what a patch derives from one set of documents in every form in which people have it.

Each kit given is unpacked. Its documents are written as a folder of BSON, as mongodump --archive writes them, as JSON
lines compressed by zstd, and as one JSON array. A kit is made of each and patched. Prints a table: documents, those
that changed, and whether every form gave the same.

    benchmarks/forms.py KIT.tar.zst …
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
import zstandard
from bson.json_util import JSONMode, JSONOptions, dumps

ROOT = Path(__file__).resolve().parents[1]
_RELAXED = JSONOptions(json_mode=JSONMode.RELAXED)
FORMS = ("bson", "archive", "jsonl.zst", "json")
"""The archive is written from the kit of the form before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What the forms of one kit gave."""

    name: str
    documents: int
    changed: int
    digests: dict[str, str]
    """By form, a digest over every derived ``rawLinkset`` with its ``_id``, in order."""

    @property
    def is_same(self) -> bool:
        """Whether every form gave the same."""
        return len(set(self.digests.values())) == 1


def compare(archive: Path, folder: Path) -> Compared:
    """Patch the documents of a kit in every form."""
    kit("extract", archive, "--insecure-unverified-base", "-o", folder / "base", "--format", "bson")
    sources = {
        str(path.relative_to(folder / "base")): bson.decode_all(path.read_bytes())
        for path in sorted((folder / "base").rglob("*.bson"))
    }
    kit("keys", "generate", folder / "key.pem")
    digests, changed, documents = {}, 0, 0
    for form in FORMS:
        found = list(_patched(sources, form, folder / form.replace(".", "-"), folder / "key.pem"))
        documents, changed = len(found), sum(one is not None for _, one in found)
        text = json.dumps([[str(name), one] for name, one in found], ensure_ascii=False)
        digests[form] = hashlib.sha256(text.encode()).hexdigest()
    return Compared(name=archive.name, documents=documents, changed=changed, digests=digests)


def _patched(sources: dict[str, list[dict[str, Any]]], form: str, folder: Path, key: Path) -> Iterator[tuple[Any, Any]]:
    source, public = folder / "source", key.with_suffix(".pub.pem")
    words: list[object] = []
    if form == "archive":
        folder.mkdir()
        kit("extract", folder.with_name("bson") / "kit.tar", "--trusted-key", public, "-o", source, "--archive")
        sources = {}
    for name, documents in sources.items():
        path = f"{name.removesuffix('.bson')}.{form}"
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_bytes(_written(documents, form))
        database, collection = Path(name).parts[-2:]
        if form != "bson":
            how = "json" if form == "json" else "ndjson"
            words += ["--collection", f"{path}={how}:{database}.{collection.removesuffix('.bson')}"]
    kit("create", source, "-o", folder / "kit.tar", "--bundle-id", "forms", "--signing-key", key, *words)
    kit("patch", folder / "kit.tar", "-o", folder / "new.tar", "--trusted-key", public, "--signing-key", key)
    kit("verify", folder / "new.tar", "--trusted-key", public, "--deep")
    kit("extract", folder / "new.tar", "--trusted-key", public, "-o", folder / "out", *_format(form))
    for made in sorted((folder / "out").rglob("advisory_observations.*")):
        if made.suffix in {".bson", ".json"} and ".metadata" not in made.name:
            for document in _read(made):
                yield document.get("_id"), document.get("rawLinkset")


def _format(form: str) -> tuple[str, str]:
    return "--format", "bson" if form in {"bson", "archive"} else "json"


def _read(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    return bson.decode_all(data) if path.suffix == ".bson" else [json.loads(line) for line in data.split(b"\n") if line]


def _written(documents: list[dict[str, Any]], form: str) -> bytes:
    if form == "bson":
        return b"".join(map(bson.encode, documents))
    texts = [dumps(one, ensure_ascii=False, json_options=_RELAXED) for one in documents]
    if form == "json":
        return ("[\n" + ",\n".join(texts) + "\n]\n").encode()
    return zstandard.ZstdCompressor().compress("".join(f"{text}\n" for text in texts).encode())


def kit(*words: object) -> str:
    """Run a command, which must succeed."""
    command = [sys.executable, "-m", "kit", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[2:])}: {done.stderr}")
    return done.stdout


def main(paths: list[str]) -> None:
    """Print the table."""
    print(f"{'kit':24}{'documents':>10}{'derived':>9}  {'  '.join(FORMS)}")
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            found = compare(Path(path), Path(folder))
        shown = "  ".join(found.digests[form][: max(8, len(form))] for form in FORMS)
        print(
            f"{found.name:24}{found.documents:10,}{found.changed:9,}  {shown}  {'equal' if found.is_same else 'DIFFER'}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
