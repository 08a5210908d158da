"""A process that is asked to end ends well, however often and however late it is asked again."""

import asyncio
import sys

PROGRAM = """
import asyncio, atexit
from streams.stop_signals import stop_signals

async def run():
    with stop_signals() as stop:
        print("runs", flush=True)
        await stop.wait()

asyncio.run(run())
print("ends", flush=True)
# The interpreter takes a while to end; here until somebody has asked again.
input()
"""


async def test_who_asks_again_while_it_ends_does_not_make_it_look_killed() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"runs\n"
        process.terminate()
        assert await process.stdout.readline() == b"ends\n"
        process.terminate()
        process.stdin.write(b"\n")
        assert await process.wait() == 0
