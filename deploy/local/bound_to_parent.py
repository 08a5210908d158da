"""Run a command that dies with the process that started it.

`python -I -S bound_to_parent.py PARENT_PID COMMAND…` asks the kernel for SIGKILL at the
parent's end and becomes the command. It is a program of its own, and imports nothing of ours,
because code between fork and exec of a process with threads may deadlock.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    parent, *command = arguments
    # Other kernels have no such call: there a killed parent leaves the command running.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The parent may have ended before the call: then nobody would send the signal.
        if os.getppid() != int(parent):
            sys.exit(f"the process {parent} that started {command[0]} has ended")
    os.execvp(command[0], command)  # noqa: S606, without a shell on purpose


if __name__ == "__main__":
    main(sys.argv[1:])
