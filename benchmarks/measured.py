"""Run a command and print its cost as JSON: seconds, CPU seconds, peak memory of a process (bytes), status.

    python benchmarks/measured.py COMMAND...

CPU seconds include all processes that the command waited for. Memory is that of the largest of them, as the system
reports it; several workers together use more. This is a small process of its own, because the peak memory of a child
includes that of its parent at the fork.
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
        # Kilobytes; bytes on macOS.
        "memory": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "status": os.waitstatus_to_exitcode(status),
    }
    print(json.dumps(took))
