"""`python -m deploy.local.kafka`: fetch and prepare Kafka, then become it.

Reads WEIR_KAFKA_PORT and WEIR_DATA_DIR; says what it does to NOTIFY_SOCKET.
"""

import os
import signal
import sys

from deploy.local.kafka import JarError, LocalKafka
from deploy.local.kafka.broker import KafkaFailedError
from deploy.local.settings import LocalSettings
from schemas.settings import read_settings_or_exit
from streams.readiness import notify


def main() -> None:
    # Ctrl-C in a download leaves nothing half done. Java takes signals over once it runs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    settings = read_settings_or_exit(LocalSettings)
    kafka = LocalKafka(settings.folder / "kafka", settings.kafka_port)
    try:
        kafka.prepare(lambda status: notify(f"STATUS={status}"))
    except (JarError, KafkaFailedError) as error:
        sys.exit(str(error))
    notify("STATUS=starting")
    command = kafka.command()
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606, without a shell on purpose


if __name__ == "__main__":
    main()
