/** Credits: how many are few, and how they and their prices are written. */

export type Standing = "plenty" | "low" | "none";

/** `low`: fewer than 10 % of the limit remain; `none`: nothing does, or there is no limit to use. */
export function standingOf({ remaining, limit }: { remaining: number; limit: number }): Standing {
  if (remaining <= 0) return "none";
  return remaining * 10 < limit ? "low" : "plenty";
}

/** A change of an account: +3, −1, 0. */
export function signedCredits(credits: number, language: string): string {
  return new Intl.NumberFormat(language, { signDisplay: "exceptZero" }).format(credits);
}

/** Hundredths of a currency as whole units, exactly: "2" is "0.02", "0.5" is "0.005". */
export function wholeUnits(hundredths: string): string {
  const [whole = "", fraction = ""] = hundredths.split(".");
  const digits = whole.padStart(3, "0");
  return `${digits.slice(0, -2)}.${digits.slice(-2)}${fraction}`;
}
