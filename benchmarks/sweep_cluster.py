"""Hold a sweep on a Dask cluster to its bar: 2,000 points that each search a layout, two workers, one killed in the middle.

    python benchmarks/sweep_cluster.py [N_POINTS]

The rows must be the bytes of one process, and the wall time at most 0.65 of its wall time. The killed worker is a process under a nanny,
as `dask worker` starts them: it is started again, and what it had is computed again. Run it on a machine with two free cores; on a busy
one both runs share what is left. Exits 1 where the bar is missed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PLAN = """
[model]
preset = "llama-3-8b"
[training]
tokens = "1T"
seq_len = 8192
batch_size_tokens = 4194304
[hardware]
device = "h100-sxm"
n_devices = 64
layout = "auto"
[site]
usd_per_device_hour = 2.0
"""
N_POINTS, MOST_SHARE, N_WORKERS = 2_000, 0.65, 2
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
ENVIRONMENT = os.environ | THREADS | {"MALLOC_TRIM_THRESHOLD_": str(2**27)}  # as docs/sweep.md says; Dask gives its workers 64 KiB


def sweep(plan: Path, out: Path, n_points: int, *more: str) -> subprocess.Popen[bytes]:
    """The sweep as a process of its own."""
    grid = ("--over", "n_devices=32,64,128,256", "--over", f"tokens=1e11:1e13:log:{n_points // 4}")
    return subprocess.Popen([sys.executable, "-m", "scaleplan", "sweep", str(plan), *grid, "-o", str(out), *more], env=ENVIRONMENT)


def ended(child: subprocess.Popen[bytes], since: float) -> float:
    """Wall seconds of a sweep that was started then."""
    if child.wait() != 0:
        sys.exit(f"the sweep ended with {child.returncode}")
    return time.perf_counter() - since


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A local scheduler and its workers, each a process with one thread under a nanny."""
    found = folder / "scheduler.json"
    common = [sys.executable, "-m"]
    scheduler = subprocess.Popen(
        [*common, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(found)],
        env=ENVIRONMENT, **QUIET,
    )  # fmt: skip
    while not found.exists() or not found.read_text():
        time.sleep(0.05)
    address = str(json.loads(found.read_text())["address"])
    options = ["--nworkers", "1", "--nthreads", "1", "--no-dashboard", "--local-directory", str(folder)]
    nannies = [
        subprocess.Popen([*common, "distributed.cli.dask_worker", address, *options], env=ENVIRONMENT, **QUIET) for _ in range(N_WORKERS)
    ]
    try:
        from distributed import Client

        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(N_WORKERS)
        yield address
    finally:
        for process in nannies:
            process.terminate()
        for process in nannies:
            process.wait()
        scheduler.kill()
        scheduler.wait()


def kill_one(address: str) -> int:
    """Kill the process of one worker; its nanny lives."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        process = next(iter(client.run(os.getpid).values()))
    os.kill(process, 9)
    return int(process)


def with_a_kill(folder: Path, plan: Path, n_points: int) -> tuple[float, Path]:
    """Wall seconds on the cluster, one worker killed when half of the rows are written."""
    out = folder / "cluster.csv"
    with cluster(folder) as address:
        since = time.perf_counter()
        child = sweep(plan, out, n_points, "--engine", "dask", "--scheduler", address)
        while child.poll() is None and (not out.exists() or out.read_bytes().count(b"\n") < n_points // 2):
            time.sleep(0.1)
        if child.poll() is None:
            print(f"killed worker process {kill_one(address)} after {time.perf_counter() - since:.0f} s")
        return ended(child, since), out


def main() -> int:
    """The figures beside the bar; how many are missed."""
    n_points = int(sys.argv[1]) if len(sys.argv) > 1 else N_POINTS
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        plan, alone = folder / "plan.toml", folder / "alone.csv"
        plan.write_text(PLAN, encoding="utf-8")
        since = time.perf_counter()
        one = ended(sweep(plan, alone, n_points), since)
        two, out = with_a_kill(folder, plan, n_points)
        same = out.read_bytes() == alone.read_bytes()
        rows = alone.read_bytes().count(b"\n") - 1
    print(f"{rows:,} rows: one process {one:.0f} s, {N_WORKERS} workers {two:.0f} s: {two / one:.2f} (at most {MOST_SHARE})")
    print("the same bytes" if same else "OTHER BYTES")
    return int(not (same and rows == n_points and two <= MOST_SHARE * one))


if __name__ == "__main__":
    sys.exit(main())
