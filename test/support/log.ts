/** A log that remembers. */
import type { Log, LogFields } from "../../src/lib/log.ts";

export interface LogEntry {
  readonly level: "error" | "warn" | "info" | "debug";
  readonly fields: LogFields;
  readonly message: string;
}

export class RecordingLog implements Log {
  readonly entries: LogEntry[];
  readonly #fields: LogFields;

  constructor(entries: LogEntry[] = [], fields: LogFields = {}) {
    this.entries = entries;
    this.#fields = fields;
  }

  readonly error = (fields: LogFields, message: string): void =>
    this.#write("error", fields, message);
  readonly warn = (fields: LogFields, message: string): void =>
    this.#write("warn", fields, message);
  readonly info = (fields: LogFields, message: string): void =>
    this.#write("info", fields, message);
  readonly debug = (fields: LogFields, message: string): void =>
    this.#write("debug", fields, message);
  readonly child = (fields: LogFields): Log =>
    new RecordingLog(this.entries, { ...this.#fields, ...fields });

  #write(level: LogEntry["level"], fields: LogFields, message: string): void {
    this.entries.push({ level, fields: { ...this.#fields, ...fields }, message });
  }
}
