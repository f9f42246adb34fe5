/**
 * Completes package-lock.json with the optional packages of other platforms.
 *
 * A package mirror that lacks them makes `npm install` leave them out, and then `npm ci` refuses the
 * lockfile as out of date. Run after changing a dependency: `scripts/node scripts/setup/complete-lock.ts`.
 */
import { readFileSync, writeFileSync } from "node:fs";

type Entry = {
  version?: string;
  dev?: boolean;
  optional?: boolean;
  os?: string[];
  cpu?: string[];
  libc?: string[];
  optionalDependencies?: Record<string, string>;
};

const path = new URL("../../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(path, "utf8")) as { packages: Record<string, Entry> };

/** The platform a binary package is for, as its name says: `cli-linux-x64-musl`, `binding-darwin-arm64`. */
function platformOf(name: string): Pick<Entry, "os" | "cpu" | "libc"> {
  const words = name.split(/[-/]/);
  const os = words.find((word) =>
    /^(aix|android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32)$/.test(word),
  );
  const cpu = words.find((word) =>
    /^(arm|arm64|ia32|loong64|mips64el|ppc64|riscv64|s390x|x64|wasm32)$/.test(word),
  );
  const libc = words.some((word) => word.startsWith("musl")) ? "musl" : undefined;
  return {
    ...(cpu === undefined ? {} : { cpu: [cpu] }),
    ...(libc === undefined ? {} : { libc: [libc] }),
    ...(os === undefined ? {} : { os: [os] }),
  };
}

let added = 0;
for (const entry of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key] !== undefined || !/^\d+\.\d+\.\d+/.test(version)) continue;
    const platform = platformOf(name);
    if (platform.cpu === undefined && platform.os === undefined) continue;
    lock.packages[key] = {
      version,
      ...platform,
      ...(entry.dev === true ? { dev: true } : {}),
      optional: true,
    };
    added += 1;
  }
}
const { "": project, ...packages } = lock.packages;
lock.packages = Object.fromEntries([
  ["", project ?? {}],
  ...Object.entries(packages).sort(([a], [b]) => a.localeCompare(b, "en")),
]);
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
process.stdout.write(`package-lock.json: ${added} optional packages added\n`);
