/** What a process did to files below a directory, read from strace's log: the record that power losses are made of. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

/** Paths are absolute; `fd` is the process's own. */
export type DiskOp =
  | {
      readonly kind: "open";
      readonly fd: number;
      readonly path: string;
      readonly creates: boolean;
      readonly truncates: boolean;
    }
  | { readonly kind: "close"; readonly fd: number }
  /** `at` is absent where the descriptor's own position counts. */
  | {
      readonly kind: "write";
      readonly fd: number;
      readonly bytes: Buffer;
      readonly at: number | undefined;
    }
  | { readonly kind: "truncate"; readonly fd: number; readonly size: number }
  | { readonly kind: "sync"; readonly fd: number }
  | { readonly kind: "rename" | "link"; readonly from: string; readonly to: string }
  | { readonly kind: "symlink"; readonly target: string; readonly path: string }
  | { readonly kind: "unlink" | "rmdir" | "mkdir"; readonly path: string };

/** Everything that changes a file or a name. What is listed and not understood below is refused. */
const CALLS = [
  "openat",
  "close",
  "write",
  "pwrite64",
  "writev",
  "pwritev",
  "ftruncate",
  "truncate",
  "rename",
  "renameat",
  "renameat2",
  "link",
  "linkat",
  "symlink",
  "symlinkat",
  "unlink",
  "unlinkat",
  "rmdir",
  "mkdir",
  "mkdirat",
  "fsync",
  "fdatasync",
  "copy_file_range",
  "sendfile",
  "lseek",
];

/** Before the program and its arguments. */
export function recording(log: string): readonly string[] {
  return ["strace", "-f", "-qq", "-xx", "-s", "1000000", "-o", log, "-e", `trace=${CALLS.join()}`];
}

/** In the order in which the calls returned; those that failed and those about files elsewhere are left out. */
export function readLog(log: string, root: string): readonly DiskOp[] {
  const ops: DiskOp[] = [];
  const open = new Set<number>();
  for (const { name, args, result } of callsOf(readFileSync(log, "latin1"))) {
    const op = result < 0 ? undefined : opOf(name, args, result);
    if (op === undefined) continue;
    if ("path" in op ? !isBelow(op.path, root) : "from" in op && !isBelow(op.from, root)) continue;
    if ("fd" in op) {
      if (op.kind === "open") open.add(op.fd);
      else if (!open.has(op.fd)) continue;
      if (op.kind === "close") open.delete(op.fd);
    }
    ops.push(op);
  }
  return ops;
}

interface Call {
  readonly name: string;
  readonly args: readonly string[];
  readonly result: number;
}

/** Calls that another thread's call cut in two are put together where they returned. */
function* callsOf(text: string): Generator<Call> {
  const begun = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, thread = "", rest = ""] = /^(\d+)\s+(.*)$/.exec(line) ?? [];
    if (rest.endsWith("<unfinished ...>")) {
      begun.set(thread, rest.slice(0, -"<unfinished ...>".length));
      continue;
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest);
    const whole = resumed === null ? rest : `${begun.get(thread) ?? ""}${resumed[1] ?? ""}`;
    const call = /^(\w+)\((.*)\)\s+=\s+(-?\d+)/.exec(whole);
    if (call === null) continue;
    yield { name: call[1] ?? "", args: (call[2] ?? "").split(/,\s*/), result: Number(call[3]) };
  }
}

/** @throws for a call that would change a file in a way that is not understood here */
function opOf(name: string, args: readonly string[], result: number): DiskOp | undefined {
  const number = (at: number): number => Number.parseInt(args[at] ?? "", 10);
  const path = (at: number): string => resolve(bytesOf(args[at]).toString("utf8"));
  const fd = number(0);
  switch (name) {
    case "openat": {
      const flags = args[2] ?? "";
      const creates = flags.includes("O_CREAT");
      return {
        kind: "open",
        fd: result,
        path: path(1),
        creates,
        truncates: flags.includes("O_TRUNC"),
      };
    }
    case "close":
      return { kind: "close", fd };
    case "write":
      return { kind: "write", fd, bytes: bytesOf(args[1]).subarray(0, result), at: undefined };
    case "pwrite64":
      return { kind: "write", fd, bytes: bytesOf(args[1]).subarray(0, result), at: number(3) };
    case "ftruncate":
      return { kind: "truncate", fd, size: number(1) };
    case "fsync":
    case "fdatasync":
      return { kind: "sync", fd };
    case "rename":
    case "link":
      return { kind: name, from: path(0), to: path(1) };
    case "symlink":
      return { kind: "symlink", target: bytesOf(args[0]).toString("utf8"), path: path(1) };
    case "unlink":
    case "rmdir":
    case "mkdir":
      return { kind: name, path: path(0) };
    // Of the compile cache and of pipes; descriptors of ours are checked by their sizes in the end.
    case "writev":
    case "pwritev":
    case "lseek":
      return undefined;
    default:
      throw new Error(`the record holds ${name}(${args.join()}), which nobody here understands`);
  }
}

/** A string of `strace -xx`: every byte as \xHH. */
function bytesOf(text: string | undefined): Buffer {
  return Buffer.from((text ?? "").replaceAll(/"|\\x/g, ""), "hex");
}

function isBelow(path: string, root: string): boolean {
  return path === root || path.startsWith(`${root}/`);
}
