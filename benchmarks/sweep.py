"""Hold the sweep to its bars: a million points of a plan in 20 s of one core and 300 MiB, and parts that join to the whole.

    python benchmarks/sweep.py

Exits 1 where a bar is missed. The time is that of the processor, user and system, so that other work on the machine does not count.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PLAN = """
[model]
preset = "gpt3-175b"
[training]
tokens = "300B"
seq_len = 2048
batch_size_tokens = 3145728
[hardware]
device = "a100-sxm-80gb"
n_devices = 1024
[site]
grid_intensity = "385g/kWh"
pue = 1.1
usd_per_device_hour = 2.0
"""
GRID = ("--over", "tokens=1e11:1e13:log:1000", "--over", "n_devices=8:8000:lin:1000")
MOST_S, MOST_MIB = 20.0, 300.0
N_PARTS = 3


def swept(folder: Path, name: str, *more: str) -> tuple[float, float, Path]:
    """Seconds of one core, peak MiB, and the file."""
    path = folder / name
    child = subprocess.Popen([sys.executable, "-m", "scaleplan", "sweep", str(folder / "plan.toml"), *GRID, "-o", str(path), *more])
    _, status, used = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"the sweep ended with {os.waitstatus_to_exitcode(status)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, path


def main() -> int:
    """The figures beside the bars; how many are missed."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
        seconds, mib, whole = swept(folder, "whole.csv")
        digest = hashlib.sha256(whole.read_bytes()).hexdigest()
        rows = whole.read_bytes().count(b"\n") - 1
        whole.unlink()
        joined = hashlib.sha256()
        for part in range(1, N_PARTS + 1):
            _, _, path = swept(folder, "part.csv", "--part", f"{part}/{N_PARTS}")
            joined.update(path.read_bytes())
    same = joined.hexdigest() == digest
    print(f"{rows:,} rows in {seconds:.1f} s of one core (at most {MOST_S:.0f}), {mib:.0f} MiB (at most {MOST_MIB:.0f})")
    print(f"{N_PARTS} parts joined: {'the same bytes' if same else 'OTHER BYTES'}")
    return int(not (rows == 10**6 and seconds <= MOST_S and mib <= MOST_MIB and same))


if __name__ == "__main__":
    sys.exit(main())
