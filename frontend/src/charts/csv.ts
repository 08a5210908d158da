/** Rows as CSV, as the API writes them: RFC 4180, text as it is. */

type Cell = string | number;

/** A header line, then a line for each row. */
export function csvOf(columns: readonly string[], rows: readonly (readonly Cell[])[]): Blob {
  const text = [columns, ...rows].map((row) => `${row.map(written).join(",")}\r\n`).join("");
  return new Blob([text], { type: "text/csv;charset=utf-8" });
}

function written(cell: Cell): string {
  const text = String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
