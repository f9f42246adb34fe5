/** Where and when figures were taken. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { loadOpenCv } from "../../src/vision/opencv.ts";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly node: string;
  readonly onnxruntime: string;
  readonly opencv: string;
  readonly ffmpeg: string;
  readonly mosquitto: string;
}

/** Other work than ours took part of the machine, so figures are worse than they should be. */
export const BUSY_LOAD = 1.2;

const require = createRequire(import.meta.url);
const ROOT = join(import.meta.dirname, "../..");

export function machineFacts(): Machine {
  const { major, minor, revision } = loadOpenCv(1).version;
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    onnxruntime: versionOfPackage("onnxruntime-node"),
    opencv: `${major}.${minor}.${revision}`,
    ffmpeg: firstMatch("ffmpeg", ["-version"], /version (\S+)/),
    mosquitto: firstMatch("mosquitto", ["-h"], /version (\S+)/),
  };
}

export const loadNow = (): number => loadavg()[0] ?? Number.NaN;

/** Of the checkout, with `+` when files differ from it. */
export function commitNow(): string {
  const git = (...args: readonly string[]): string =>
    execFileSync("git", args, { cwd: ROOT, encoding: "utf8" }).trim();
  const changed = git("status", "--porcelain", "--untracked-files=no") !== "";
  return `${git("rev-parse", "--short", "HEAD")}${changed ? "+" : ""}`;
}

export function versionOfPackage(name: string): string {
  // Not every package exports its package.json, but every one of ours lies in our node_modules.
  const file = join(dirname(require.resolve("typescript/package.json")), "..", name);
  const parsed: unknown = JSON.parse(readFileSync(join(file, "package.json"), "utf8"));
  return typeof parsed === "object" && parsed !== null && "version" in parsed
    ? String(parsed.version)
    : "unknown";
}

function firstMatch(program: string, args: readonly string[], pattern: RegExp): string {
  try {
    return pattern.exec(execFileSync(program, args, { encoding: "utf8" }))?.[1] ?? "unknown";
  } catch (fault) {
    // `mosquitto -h` leaves with 3 and says what it is all the same.
    const said = (fault as { readonly stdout?: string }).stdout ?? "";
    return pattern.exec(said)?.[1] ?? "missing";
  }
}
