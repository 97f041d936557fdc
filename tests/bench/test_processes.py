import os
import subprocess
import sys
from pathlib import Path

from bench.processes import Server

CHILD_SECONDS = 0.3
TICK_SECONDS = 2 / os.sysconf("SC_CLK_TCK")
CHILD = f"import time\nwhile time.process_time() < {CHILD_SECONDS}: pass"
PARENT = """
import subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1]])
print("ended", flush=True)
input()
"""


def test_work_of_a_child_that_ended_is_counted(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-S", "-c", PARENT, CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()

        spent = Server("parent", process, tmp_path / "log").cpu_seconds()

        process.communicate(b"\n")
    assert spent > CHILD_SECONDS - TICK_SECONDS  # the system counts whole ticks
