"""The embedded ClickHouse: chDB's engine behind ClickHouse's HTTP protocol, on loopback."""
