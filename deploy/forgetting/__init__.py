"""Erases a user from ClickHouse, the media store and Kafka's compacted topics, and proves it."""
