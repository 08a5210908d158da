/** What went wrong with a question to the API, as RFC 9457 tells it. */

export interface FieldProblem {
  field: string;
  detail: string;
}

export class Problem extends Error {
  override readonly name = "Problem";

  /** `status`: of the answer; 0 when there was none. `members`: all that the answer said. */
  constructor(
    readonly status: number,
    readonly detail: string,
    readonly members: Readonly<Record<string, unknown>> = {},
    readonly retryAfter: number | null = null,
  ) {
    super(detail);
  }

  /** Names what happened for the program, such as `quota_exceeded`; null when it has no name. */
  get code(): string | null {
    return typeof this.members.code === "string" ? this.members.code : null;
  }

  get errors(): readonly FieldProblem[] {
    return Array.isArray(this.members.errors) ? (this.members.errors as FieldProblem[]) : [];
  }

  /** Whether the same question may be answered in a moment. */
  get mayPass(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** The problem that an answer tells of. `said`: its document, whatever it is. */
export function problemOf(response: Response, said: unknown): Problem {
  const retryAfter = Number(response.headers.get("retry-after"));
  const told = isRecord(said) ? said : {};
  const detail = typeof told.detail === "string" ? told.detail : `HTTP ${response.status}`;
  return new Problem(response.status, detail, told, retryAfter > 0 ? retryAfter : null);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
