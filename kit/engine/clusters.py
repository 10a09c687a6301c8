"""Workers on other machines: the executor of a Dask cluster that the user runs (``--executor dask://HOST:PORT``).

The only code here that opens a connection, and only to the scheduler that the user named. Work and results are those of
local workers, so the bytes are too, provided that the same program runs there; every worker is asked for its versions
before any work. Lookups are files in the job folder, so every worker must see that folder under the same path. Data
keys are sent once to each worker, only where they cannot be read on the way, and forgotten at the end. Placing, retries
and their security (``tls://``) are Dask's.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from kit.engine.executors import HandedKeys, WorkExecutor, forget, next_number, receive
from kit.errors import StoppedError, UsageError
from kit.transforms.raw_linkset import registry
from kit.version import VERSION

if TYPE_CHECKING:
    from kit.encryption.keys import KeySource

T = TypeVar("T")

SCHEME = "dask://"
_DECIDES_BYTES = ("pymongo", "zstandard", "deflate", "cryptography")
"""Packages that must be of one version everywhere, since what they write ends up in kits."""
_TIMEOUT = "10s"
_INSTALL = "install offline-kit[dask] here and on the workers, with the same constraints.txt"


def versions() -> dict[str, str]:
    """Return the versions of what a worker's results depend on."""
    added = ", ".join(map(str, registry.load().added)) or "none"
    return {"kit": VERSION, "python": "{}.{}".format(*sys.version_info), "added extractors": added} | {
        name: importlib.metadata.version(name) for name in _DECIDES_BYTES
    }


class ClusterExecutor(WorkExecutor):
    """The workers of a cluster."""

    def __init__(self, client: Any) -> None:
        """Use the workers that ``client``, of Dask, is connected to."""
        self._client = client
        self._executor: Executor = client.get_executor(pure=False)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Submit ``fn`` to a worker."""
        return self._executor.submit(fn, *args, **kwargs)

    def hand_out(self, keys: KeySource) -> KeySource:
        """See :class:`WorkExecutor`; a worker that joins later does not get them, and raises an error."""
        number = next_number()
        self._client.run(receive, number, keys)
        return HandedKeys(number, keys)


@contextmanager
def cluster_executor(address: str, *, secrets: bool, goodbye: Callable[[], None]) -> Iterator[tuple[WorkExecutor, int]]:
    """Connect to the scheduler at ``address``, and yield its executor and the number of its workers.

    Args:
        address: ``dask://HOST:PORT``, or ``dask://`` and any address of Dask's (``dask://tls://HOST:PORT``).
        secrets: Whether keys are among what is sent; then the address must be ``dask://tls://…``.
        goodbye: Called in every worker when the work is over.

    Raises:
        UsageError: It is no such address, the package is missing, or a worker runs other software or several threads.
        StoppedError: The scheduler cannot be reached, or has no workers.
    """
    place = address.removeprefix(SCHEME)
    if place == address or not place:
        raise UsageError(f"{address!r} is no executor", hint=f"write {SCHEME}HOST:PORT")
    if secrets and not place.startswith("tls://"):
        raise UsageError(
            "data keys would be sent to workers in the clear",
            where=address,
            hint=f"use {SCHEME}tls://HOST:PORT, or encrypt with --workers on this machine",
        )
    try:
        from distributed import Client  # noqa: PLC0415  an extra, and slow to load
    except ImportError as error:
        raise UsageError(f"{SCHEME} needs the package distributed", hint=_INSTALL) from error
    try:
        client = Client(place if "://" in place else f"tcp://{place}", timeout=_TIMEOUT, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        raise StoppedError(
            f"cannot be reached: {error}", where=address, hint="is the scheduler running, and is this its address?"
        ) from error
    with client:
        count = _require_workers(client, address)
        try:
            yield ClusterExecutor(client), count
        finally:
            client.run(goodbye)
            if secrets:
                client.run(forget)


def _require_workers(client: Any, address: str) -> int:
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        raise StoppedError("the cluster has no workers", where=address, hint="start some: dask worker HOST:PORT")
    for name, worker in sorted(workers.items()):
        if worker["nthreads"] != 1:
            raise UsageError(
                f"the worker {name} has {worker['nthreads']} threads",
                where=address,
                hint="one process, one thread: dask worker --nthreads 1 --nworkers N HOST:PORT",
            )
    expected = versions()
    for name, actual in sorted(client.run(versions).items()):
        differs = [
            f"{part} {actual.get(part)} instead of {own}" for part, own in expected.items() if actual.get(part) != own
        ]
        if differs:
            raise UsageError(f"the worker {name} has {', '.join(differs)}", where=address, hint=_INSTALL)
    return len(workers)
