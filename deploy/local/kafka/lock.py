"""`python -m deploy.local.kafka.lock`: write the jars' lock anew."""

import sys

from deploy.local.kafka.jars import LOCK, JarError, write_lock


def main() -> int:
    try:
        count = write_lock(print)
    except JarError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{LOCK.name} names {count} jars")
    return 0


if __name__ == "__main__":
    sys.exit(main())
