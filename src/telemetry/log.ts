/** The log: one JSON object a line on stdout, with the priority prefix of sd-daemon(3) under journald. */
import pino from "pino";
import type { Log, LogFields } from "../lib/log.ts";
import { scrubField, scrubText } from "./scrub.ts";

export type LogLevel = "error" | "warn" | "info" | "debug";

export interface LogOptions {
  readonly level: LogLevel;
  /** Lines go to journald (`$JOURNAL_STREAM` is set): begin each with `<N>`, so that `journalctl -p` works. */
  readonly journald: boolean;
  /** Where lines go; stdout when absent. Must not throw. */
  readonly write?: (line: string) => void;
}

export interface LogHandle {
  readonly log: Log;
  readonly setLevel: (level: LogLevel) => void;
  /** Writes what is buffered; for the way out. */
  readonly flush: () => void;
}

/** Bytes that may wait for a reader of stdout; beyond, lines are dropped rather than the daemon stopped. */
const BUFFER_MAX_BYTES = 1024 * 1024;
const PRIORITY: Readonly<Record<number, string>> = { 50: "<3>", 40: "<4>", 30: "<6>", 20: "<7>" };

export function createLog(options: LogOptions): LogHandle {
  const stdout =
    options.write === undefined
      ? pino.destination({ fd: 1, sync: false, maxLength: BUFFER_MAX_BYTES })
      : undefined;
  const write = options.write ?? ((line: string): void => void stdout?.write(line));
  const destination = {
    lastLevel: 30,
    write(line: string): void {
      write(options.journald ? `${PRIORITY[this.lastLevel] ?? "<6>"}${line}` : line);
    },
    // Pino then sets `lastLevel` before each write.
    [Symbol.for("pino.metadata")]: true,
  };
  const root = pino(
    {
      level: options.level,
      base: null,
      messageKey: "message",
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
  return {
    log: wrap(root, {}),
    setLevel: (level) => {
      root.level = level;
    },
    flush: () => {
      try {
        stdout?.flushSync();
      } catch {
        // Stdout is gone or was never opened: there is nobody left to tell.
      }
    },
  };
}

/** Fields are scrubbed here, once, so no caller can forget. Children share the root, so a new level reaches them. */
function wrap(root: pino.Logger, bound: LogFields): Log {
  const write = (level: LogLevel) => (fields: LogFields, message: string) => {
    if (root.isLevelEnabled(level)) root[level](scrub({ ...bound, ...fields }), scrubText(message));
  };
  return {
    error: write("error"),
    warn: write("warn"),
    info: write("info"),
    debug: write("debug"),
    child: (fields) => wrap(root, { ...bound, ...fields }),
  };
}

function scrub(fields: LogFields): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [key, scrubField(key, value)]),
  );
}
