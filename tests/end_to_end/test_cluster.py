"""The work done by a Dask cluster: two processes that share nothing with the command but a folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.engine.clusters import cluster_executor
from kit.engine.lookup import close_lookups
from kit.errors import StoppedError, UsageError
from tests.commands import ROOT, Outcome, kit

FIXTURES = ROOT / "fixtures"

# The cluster is not ours: neither what it warns of nor when it closes its sockets.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    shutil.copy(FIXTURES / "kits/harbor.tar.zst", tmp_path)
    shutil.copy(FIXTURES / "keys/site-TEST-ONLY.pem", tmp_path / "site.pem")
    (tmp_path / "site.pem").chmod(0o600)
    return tmp_path


@pytest.fixture(scope="module")
def distributed() -> Any:
    """Return the library, which is imported only where a test of this page runs."""
    return pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def scheduler(distributed: Any) -> Iterator[str]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", host="127.0.0.1"
    ) as cluster:
        yield f"dask://{cluster.scheduler_address}"


def patch(site: Path, output: str, *options: str) -> Outcome:
    keys = ("--trusted-key", FIXTURES / "keys/publisher-TEST-ONLY.pub.pem", "--signing-key", site / "site.pem")
    time = ("--created-at", "2099-04-02T03:04:05Z")
    return kit("patch", site / "harbor.tar.zst", "--output", site / output, *keys, *time, *options)


def test_a_cluster_gives_the_bytes_that_one_process_gives(site: Path, scheduler: str) -> None:
    # The snapshots it looks up are a file in the job folder, which the workers read.
    assert patch(site, "here.tar.zst", "--workers", "1").code == 0
    there = patch(site, "there.tar.zst", "--executor", scheduler)
    assert (there.code, there.err) == (0, "")
    for suffix in ("", ".sha256", ".sig"):
        here, far = (site / f"{name}.tar.zst{suffix}" for name in ("here", "there"))
        assert here.read_bytes().replace(b"here", b"") == far.read_bytes().replace(b"there", b"")


def test_an_error_of_a_document_arrives_as_it_is(site: Path, scheduler: str) -> None:
    outcome = patch(site, "stopped.tar.zst", "--executor", scheduler, "--on-divergence", "stop")
    assert (outcome.code, "document" in outcome.err) == (12, True)
    assert not (site / "stopped.tar.zst").exists()


def test_keys_are_not_sent_in_the_clear(scheduler: str) -> None:
    with (
        pytest.raises(UsageError, match="in the clear"),
        cluster_executor(scheduler, secrets=True, goodbye=close_lookups),
    ):
        pass


def test_a_worker_with_several_threads_is_refused(distributed: Any) -> None:
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=2,
            dashboard_address="127.0.0.1:0",
            processes=False,
            protocol="tcp",
            host="127.0.0.1",
        ) as cluster,
        pytest.raises(UsageError, match="2 threads"),
        cluster_executor(f"dask://{cluster.scheduler_address}", secrets=False, goodbye=close_lookups),
    ):
        pass


def test_a_cluster_without_workers_is_refused(distributed: Any) -> None:
    with (
        distributed.LocalCluster(
            n_workers=0, dashboard_address="127.0.0.1:0", processes=False, protocol="tcp", host="127.0.0.1"
        ) as cluster,
        pytest.raises(StoppedError, match="no workers"),
        cluster_executor(f"dask://{cluster.scheduler_address}", secrets=False, goodbye=close_lookups),
    ):
        pass


@pytest.mark.parametrize(
    ("address", "code"),
    [("dask://", 64), ("spark://127.0.0.1:1", 64), ("dask://nonsense://x", 12)],
    ids=["no address", "another scheme", "another protocol"],
)
def test_an_executor_that_is_none_is_an_error_and_nothing_is_written(site: Path, address: str, code: int) -> None:
    outcome = patch(site, "out.tar.zst", "--executor", address)
    assert outcome.code == code
    assert "Traceback" not in outcome.err
    assert not list(site.glob("out*"))
