import os
import sys

# onnxruntime sends statistics on every loaded network to its maker, unless this is set before it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

if sys.argv[:1] == ["-m"]:
    # Python is about to start one of our commands (python -m shared.predict), and has loaded nothing else so far.
    from shared.interrupts import end_at_once_while_loading

    end_at_once_while_loading()
