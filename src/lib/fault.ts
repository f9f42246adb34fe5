/** Base of every thrown fault. Expected outcomes are return values, not faults. */

export type Retry = "now" | "later" | "never";

export interface FaultOptions {
  readonly retry?: Retry;
  readonly cause?: unknown;
}

/**
 * Something that should not have happened. `code` is stable and machine-readable (snake_case); the
 * message names the thing, the cause and the fix, and holds no secret.
 */
export class Fault extends Error {
  override readonly name: string = "Fault";
  readonly code: string;
  readonly retry: Retry;

  constructor(code: string, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retry = options.retry ?? "never";
  }
}

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The stable code of anything that was thrown: a Fault's or Node's (`ENOENT`), else `internal`. */
export function codeOf(thrown: unknown): string {
  if (typeof thrown === "object" && thrown !== null && "code" in thrown) {
    return typeof thrown.code === "string" ? thrown.code : "internal";
  }
  return "internal";
}
