"""Kafka and ClickHouse on one machine, without Docker: what `weir up` starts."""
