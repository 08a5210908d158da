/** Rows and columns; scrolls within itself where the page is narrow. */

import { clsx } from "clsx";
import type { ReactNode } from "react";
import { ScrollRegion } from "./ScrollRegion";

export interface Column<Row> {
  title: string;
  cell: (row: Row) => ReactNode;
  /** Numbers stand at the end of their cells. */
  number?: boolean;
}

interface Props<Row> {
  caption: string;
  columns: readonly Column<Row>[];
  rows: readonly Row[];
  rowKey: (row: Row, index: number) => string;
}

export function DataTable<Row>({ caption, columns, rows, rowKey }: Props<Row>) {
  return (
    <ScrollRegion label={caption} className="max-h-96 overflow-auto rounded-lg border border-line">
      <table className="w-full border-collapse text-sm">
        <caption className="sr-only">{caption}</caption>
        <thead className="sticky top-0 bg-sunken">
          <tr>
            {columns.map((column) => (
              <th
                key={column.title}
                scope="col"
                className={clsx("px-3 py-2 font-medium", column.number ? "text-end" : "text-start")}
              >
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={rowKey(row, index)} className="border-line border-t">
              {columns.map((column) => (
                <td
                  key={column.title}
                  className={clsx(
                    "px-3 py-2",
                    column.number ? "whitespace-nowrap text-end tabular-nums" : "break-words",
                  )}
                >
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </ScrollRegion>
  );
}
