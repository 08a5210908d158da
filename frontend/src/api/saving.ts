/** Saves an answer of the API as a file. */

import { open } from "./client";

export async function saveCsv(address: string, name: string): Promise<void> {
  const response = await open(address, { headers: { Accept: "text/csv" } });
  save(await response.blob(), `${name}.csv`);
}

export function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
