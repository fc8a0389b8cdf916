"""The short form of `python tests/kills.py 200`: some kills, and all must be as if nobody had touched the run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("kills.py")


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="only Linux has the handles of processes that this needs")
def test_a_run_that_is_killed_again_and_again_ends_as_if_nobody_had_touched_it():
    words = [sys.executable, SCRIPT, "4", "--short"]
    ended = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
    told = json.loads(ended.stdout)
    assert sum(told["kills"].values()) >= 4
    assert told["wrong"] == []
