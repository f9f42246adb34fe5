/** The log as its users see it: fields first, message last. Never pixels, embeddings, names, keys or credentials. */

export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface Log {
  /** Someone must act. */
  readonly error: (fields: LogFields, message: string) => void;
  /** Degraded; will retry. */
  readonly warn: (fields: LogFields, message: string) => void;
  /** A change of state. */
  readonly info: (fields: LogFields, message: string) => void;
  readonly debug: (fields: LogFields, message: string) => void;
  readonly child: (fields: LogFields) => Log;
}
