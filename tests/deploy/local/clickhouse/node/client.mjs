// What @clickhouse/client sees of the server at argv[2], in the database argv[3]; JSON lines out.
import { createClient } from "@clickhouse/client";

const [url, database] = process.argv.slice(2);
const tell = (name, value) => console.log(JSON.stringify({ name, value }));

for (const compression of [false, true]) {
  const client = createClient({
    url,
    database,
    compression: { request: compression, response: compression },
  });
  const table = `js_${compression}`;

  tell("ping", (await client.ping()).success);
  await client.command({
    query: `CREATE TABLE ${table} (id UInt64, name String) ENGINE = MergeTree ORDER BY id`,
    clickhouse_settings: { wait_end_of_query: 1 },
  });
  const values = Array.from({ length: 20000 }, (_, id) => ({ id, name: `n${id}` }));
  const inserted = await client.insert({ table, values, format: "JSONEachRow" });
  tell("written_rows", inserted.summary?.written_rows);

  const json = await client.query({
    query: `SELECT count() AS n, max(id) AS last FROM ${table} WHERE id >= {from: UInt64}`,
    query_params: { from: 10 },
    format: "JSON",
  });
  tell("json", (await json.json()).data);

  const rows = await client.query({ query: `SELECT * FROM ${table}`, format: "JSONEachRow" });
  let streamed = 0;
  for await (const batch of rows.stream()) streamed += batch.length;
  tell("streamed", streamed);

  const csv = await client.exec({ query: "SELECT 1, 'x' FORMAT CSV" });
  let text = "";
  for await (const piece of csv.stream) text += piece;
  tell("exec", text);

  try {
    await client.query({ query: "SELECT * FROM nowhere", format: "JSON" });
  } catch (error) {
    tell("error", { code: error.code, type: error.type });
  }

  try {
    const late = await client.query({
      query: "SELECT number, throwIf(number = 3000000) FROM numbers(9000000)",
      format: "JSONEachRow",
      clickhouse_settings: { max_block_size: "65536", max_threads: 1 },
    });
    for await (const batch of late.stream()) void batch;
    tell("late error", null);
  } catch (error) {
    tell("late error", { code: error.code, type: error.type, message: String(error).slice(0, 200) });
  }

  const abort = new AbortController();
  const long = client.query({
    query: "SELECT sum(sipHash64(number)) FROM numbers(40000000000) /* aborted by js */",
    abort_signal: abort.signal,
  });
  setTimeout(() => abort.abort(), 300);
  try {
    await long;
    tell("aborted", false);
  } catch {
    tell("aborted", true);
  }
  await client.close();
}
