/** Answers of the API as files, and how any file is saved. */

import { open } from "./client";

export async function answeredCsv(address: string): Promise<Blob> {
  const response = await open(address, { headers: { Accept: "text/csv" } });
  return response.blob();
}

export function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
