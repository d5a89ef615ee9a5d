"""Run a command and print what it took, as JSON: seconds, CPU seconds, the most memory of a process (bytes), status.

    python benchmarks/measured.py COMMAND...

CPU seconds are of the command and all that it started and waited for. Memory is of the largest single process among
them, for that is what the system tells of those that have ended: workers side by side hold more together.

A process of its own, and a small one: what a child is said to have held at most includes its parent at the fork.
"""

import json
import os
import subprocess
import sys
import time

if __name__ == "__main__":
    started = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    took = {
        "seconds": time.perf_counter() - started,
        "cpu": usage.ru_utime + usage.ru_stime,
        # Kilobytes, but on macOS bytes.
        "memory": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "status": os.waitstatus_to_exitcode(status),
    }
    print(json.dumps(took))
