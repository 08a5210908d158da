"""The sink: from Kafka to ClickHouse, each event once, whatever is killed on the way.

A batch's end is written down before the batch is inserted, and the insert carries the batch's
name as its token. Whoever comes after a crash repeats the same batch under the same name, and
ClickHouse drops what it already has. See docs/architecture.md.
"""
