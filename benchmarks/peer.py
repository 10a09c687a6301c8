"""What one would write instead: a script over tarfile and pymongo that adds rawLinkset and compresses again.

    python benchmarks/peer.py KIT.tar.zst OUT.tar.zst

It does less than ``kit patch``: no signature is verified or made, nothing is digested, read back or resumed; and
decoding a document to encode it again changes what BSON can say and a dict cannot. Other tools do no part of this job
without a database (mongorestore, a script in the database, mongodump).
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path
from typing import Any, BinaryIO

import bson
import zstandard


def raw_linkset(document: dict[str, Any]) -> dict[str, Any]:
    """Derive the projection of a CVE record, values verbatim, each with its pointer."""
    record = document["content"]["raw"]
    containers = [("/containers/cna", record["containers"]["cna"])]
    containers += [(f"/containers/adp/{n}", adp) for n, adp in enumerate(record["containers"].get("adp", ()))]
    aliases, pointers = [record["cveMetadata"]["cveId"]], ["/cveMetadata/cveId"]
    cpes: list[str] = []
    references: list[dict[str, Any]] = []
    for at, container in containers:
        for n, affected in enumerate(container.get("affected", ())):
            for m, cpe in enumerate(affected.get("cpes", ())):
                cpes.append(cpe)
                pointers.append(f"{at}/affected/{n}/cpes/{m}")
        for n, applicability in enumerate(container.get("cpeApplicability", ())):
            for m, node in enumerate(applicability.get("nodes", ())):
                for k, match in enumerate(node.get("cpeMatch", ())):
                    cpes.append(match["criteria"])
                    pointers.append(f"{at}/cpeApplicability/{n}/nodes/{m}/cpeMatch/{k}/criteria")
    for at, container in containers:
        for n, reference in enumerate(container.get("references", ())):
            made = {"type": (reference.get("tags") or ["reference"])[0], "url": reference["url"]}
            if "shortName" in container.get("providerMetadata", {}):
                made["source"] = container["providerMetadata"]["shortName"]
            references.append(made)
            pointers.append(f"{at}/references/{n}")
    return {
        "aliases": aliases,
        "purls": [],
        "cpes": cpes,
        "references": references,
        "reconciled_from": pointers,
        "notes": {},
    }


def migrate(kit: Path, out: Path) -> None:
    """Read every member, migrate the observations, write everything."""
    with kit.open("rb") as source, out.open("wb") as target:
        reader: Any = zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True)
        writer: Any = zstandard.ZstdCompressor(level=3, threads=2).stream_writer(target)
        with tarfile.open(fileobj=reader, mode="r|") as old, tarfile.open(fileobj=writer, mode="w|") as new:
            for member in old:
                body: Any = old.extractfile(member)
                if not member.name.endswith("advisory_observations.bson"):
                    new.addfile(member, body)
                    continue
                # A tar header needs the size, so the new member goes through a file.
                beside = out.with_suffix(".member")
                with beside.open("w+b") as made:
                    _add(body, made)
                    member.size = made.tell()
                    made.seek(0)
                    new.addfile(member, made)
                beside.unlink()
        writer.close()


def _add(body: Any, made: BinaryIO) -> None:
    for document in bson.decode_file_iter(io.BufferedReader(body, 1 << 20)):
        if "rawLinkset" not in document:
            document["rawLinkset"] = raw_linkset(document)
        made.write(bson.encode(document))


if __name__ == "__main__":
    migrate(Path(sys.argv[1]), Path(sys.argv[2]))
