"""A small process in place of a part: writes down when it starts and stops.

`python stand_in_part.py NAME TRACE [WORD…]`; the words say how it behaves.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn


def _notify(state: str) -> None:
    address = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)


def _refuse(name: str, *problems: str) -> NoReturn:
    print(f"weir {name} cannot start:", *problems, sep="\n  ", flush=True)
    sys.exit(78)


def _run(*, crashes: bool) -> NoReturn:
    if crashes:
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        time.sleep(60)


def main(name: str, trace: str, *words: str) -> None:
    def write(line: str) -> None:
        with Path(trace).open("a") as file:
            file.write(f"{line}\n")

    def stop(*_: object) -> None:
        _notify("STOPPING=1")
        write(f"stop {name}")
        sys.exit(0)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if "deaf" in words else stop)
    write(f"start {name} {os.getpid()}")
    if "with-child" in words:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        write(f"child {name} {child.pid}")
    print(f"{name} says where it is", flush=True)
    starts = Path(trace).read_text().count(f"start {name} ")
    if "refuses-later" in words and 2 <= starts <= 7:
        _refuse(name, "its server is away")
    if "long" in words:
        time.sleep(3)
    if "step" in words:
        # Whoever says that it is ready is none: what follows would begin.
        sys.exit(3 if "fails" in words else 0)
    if "busy" in words:
        _notify("STATUS=downloading 1 of 2")
    elif "mute" not in words:
        _notify("READY=1")
    if "fails" in words:
        print(f"{name} has a reason to fail", flush=True)
        sys.exit(3)
    if "refuses" in words:
        _refuse(name, "its server is away", "its password is wrong")
    if ("starts-once-more" in words and starts == 1) or "starts-for-ever" in words:
        sys.exit(75)
    _run(crashes="crashes" in words)


if __name__ == "__main__":
    main(*sys.argv[1:])
