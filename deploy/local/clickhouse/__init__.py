"""The embedded ClickHouse: chDB's engine behind ClickHouse's HTTP protocol, on loopback.

Start it with `python -m deploy.local.clickhouse`; `settings` lists what it reads from the
environment. Where it differs from a server:

- It listens on 127.0.0.1 only and everybody is the user `default`: user, password and roles are
  accepted and not looked at. Requests that a browser sends for another site are refused.
- `session_id` is accepted; each request is a session of its own, so that temporary tables and
  `SET` end with their request.
- `X-ClickHouse-Query-Id` (and `query_id=`) stands in `Settings['log_comment']` of
  `system.processes`, where the column `query_id` is the engine's own.
- When all connections are busy and the queue is full, or a request waits too long: HTTP 503 with
  code 202.
- A SELECT whose client leaves is cancelled. A write whose body is complete is finished; one
  whose body is not is not begun.
- `compress=1` and `decompress=1` (ClickHouse's own block compression), SYSTEM SHUTDOWN and SYSTEM
  KILL are refused with code 48, INTO OUTFILE with 358, FROM INFILE with 78. There is no Kafka
  table engine and no replication.
- A URL may have 64 KB; longer parameters come in a form, longer statements in the body.
- Results in formats that cannot be written block by block (JSON, Pretty, …) are taken in whole,
  within the memory limit; the others are streamed. So are Parquet, Arrow, ORC and Avro where the
  statement itself says FORMAT.
"""
