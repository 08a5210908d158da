"""Apache Kafka on one machine: its jars, one KRaft broker, and when it is ready."""

from deploy.local.kafka.broker import LocalKafka
from deploy.local.kafka.jars import JarError

__all__ = ["JarError", "LocalKafka"]
