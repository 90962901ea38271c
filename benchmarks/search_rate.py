"""How fast the search prices layouts: GPT-3 175B on 512 A100s, the whole space, on one core.

    python benchmarks/search_rate.py

Bars: 1,000,000 candidates, 500,000 legal ones a second of the core with time and memory together, 4 s and 1 GiB in all (wall clock, import
included); exits 1 when one is missed.
"""

from __future__ import annotations

import os
import resource
import sys
import time

START = time.perf_counter()
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def main() -> None:
    import numpy as np  # noqa: F401  so that its import is not counted as search

    from scaleplan.chain.layout_search import Asked, search_layouts
    from scaleplan.model.bill import bill_of
    from scaleplan.model_files import read_model

    asked = Asked(bill_of(read_model("gpt3-175b").arch), "a100-sxm-80gb", 512, 2048, 1536, "megatron22")
    begun = time.process_time()
    found, _ = search_layouts(asked)
    took, wall = time.process_time() - begun, time.perf_counter() - START
    by_rule = sum(n for reason, n in found.rejected.items() if not reason.startswith("memory"))
    priced = found.n_considered - by_rule
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{found.n_considered:,} candidates, {priced:,} legal, {found.n_fitting:,} fit")
    print(f"search {took:.2f} s of one core, whole {wall:.2f} s, {mib:.0f} MiB")
    print(f"{found.n_considered / took:,.0f} candidates, {priced / took:,.0f} legal layouts a second, time and memory together")
    held = found.n_considered >= 1e6 and priced / took >= 5e5 and wall <= 4 and mib <= 1024
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
