/** The house rules as tests: one per rule, each names its offenders. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { dirname, join, posix, relative } from "node:path";
import { test } from "node:test";

const ROOT = dirname(import.meta.dirname);

/**
 * From the inside out: a file imports from its own entry and from those above it, never from below.
 * Entries of one row are neighbours and do not know each other.
 */
const LAYERS: readonly (readonly string[])[] = [
  ["lib"],
  ["frame"],
  ["face"],
  ["track"],
  ["embedding"],
  ["observation"],
  ["gallery"],
  ["match"],
  ["decision"],
  ["enrolment"],
  ["release"],
  ["see.ts", "decide.ts"],
  ["camera", "vision", "store", "mqtt", "update", "system", "telemetry"],
  ["config"],
  ["control"],
  ["web"],
  ["app.ts", "vision/main.ts", "update/tuf/main.ts"],
  ["cli"],
  ["main.ts"],
];

/** Folders without input, output, clock, randomness or logger. */
const PURE = new Set([
  "lib",
  "frame",
  "face",
  "track",
  "embedding",
  "observation",
  "gallery",
  "match",
  "decision",
  "enrolment",
  "release",
]);

/** Pure files that may wait: what stands between a producer and a slower consumer. */
const MAY_WAIT = new Set(["lib/latest.ts", "lib/lane.ts"]);

/** Folders that own the clock or measure with it. */
const CLOCKS = new Set(["system", "vision"]);

/** The only way out of src: the demo is a script that the command line can start. */
const LEAVES_SRC = new Set(["cli/demo.ts → ../scripts/demo/main.ts"]);

/** Reading the clock; `Date.parse` and `Date.UTC` only calculate. */
const NOW =
  /(?<![.\w$])(?:Date\s*\.\s*now\b|(?<!new\s+)Date\s*\(|new\s+Date\s*(?:\(\s*\)|;))|\bMath\s*\.\s*random\b/;

/** What reaches outside a computation, as it looks when used. */
const EFFECTS: readonly (readonly [RegExp, string])[] = [
  [NOW, "the clock or chance"],
  [/(?<![.\w$])(?:setTimeout|setInterval|setImmediate|queueMicrotask)\s*\(/, "a timer"],
  [
    /(?<![.\w$])(?:performance|process|console|globalThis|crypto)\s*[.[]/,
    "a global of the machine",
  ],
  [/(?<![.\w$])fetch\s*\(/, "fetch"],
];

const SOURCE_LINES_MAX = 400;

/** Hosts of package registries, spelled so that this file does not name them. */
const REGISTRY_HOSTS: readonly string[] = [
  ["registry", "npmjs", "org"],
  ["www", "npmjs", "com"],
  ["registry", "yarnpkg", "com"],
  ["npm", "pkg", "github", "com"],
  ["npm", "jsr", "io"],
  ["pypi", "org"],
  ["pythonhosted", "org"],
  ["download", "pytorch", "org"],
  ["conda", "anaconda", "org"],
  ["crates", "io"],
  ["proxy", "golang", "org"],
  ["rubygems", "org"],
  ["repo", "maven", "apache", "org"],
  ["api", "nuget", "org"],
  ["docker", "io"],
  ["ghcr", "io"],
  ["quay", "io"],
].map((words) => words.join("."));

const PICTURES = /\.(?:jpe?g|png|gif|bmp|webp|tiff?|pgm|ppm|avi|mp4|mkv|mov|webm|h264|nut|y4m)$/i;
const WEIGHTS = /\.(?:onnx|ort|pt|pth|ckpt|safetensors|engine|plan|tflite|pb|bin|npy|npz|pkl|h5)$/i;
/** Packs, and what our own training runs continue from. */
const OWN_WEIGHTS = ["models/", "scripts/training/checkpoints/"];
/** Drawn by a script of ours. */
const DRAWN = ["scripts/training/tests/golden/crops.png"];
const ARCHIVES = /\.(?:tar|t?gz|bz2|xz|zip|zst|7z|node|so|o|a|whl|tgz)$/i;

type Source = {
  /** Path under `src/`, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /** The text without comments and without the contents of strings. */
  readonly code: string;
};

const sources: readonly Source[] = typeScriptUnder(join(ROOT, "src")).map((path) => {
  const text = readFileSync(join(ROOT, "src", path), "utf8");
  return { path, text, code: codeOf(text) };
});

const tracked: readonly string[] = execFileSync(
  "git",
  ["ls-files", "-z", "--cached", "--others", "--exclude-standard"],
  { cwd: ROOT, encoding: "utf8", maxBuffer: 1 << 26 },
)
  .split("\0")
  .filter((path) => path !== "" && existsSync(join(ROOT, path)));

test("imports in src go one way", () => {
  const offenders: string[] = [];
  for (const source of sources) {
    const from = layerOf(source.path);
    if (from === undefined) {
      offenders.push(`${source.path}: belongs to no layer`);
      continue;
    }
    for (const specifier of importsOf(source.text)) {
      if (!specifier.startsWith(".")) continue;
      const target = posix.join(posix.dirname(source.path), specifier);
      if (LEAVES_SRC.has(`${source.path} → ${target}`)) continue;
      const to = target.startsWith("..") ? undefined : layerOf(target);
      if (to === undefined) {
        offenders.push(`${source.path} → ${specifier}: outside src`);
      } else if (to.rank > from.rank || (to.rank === from.rank && to.name !== from.name)) {
        offenders.push(`${source.path} → ${target}: ${from.name} may not know ${to.name}`);
      }
    }
  }
  none(offenders, "imports against the layers");
});

test("pure folders import nothing but each other and zod", () => {
  const offenders = pureSources().flatMap((source) =>
    importsOf(source.text)
      .filter((specifier) => !specifier.startsWith(".") && specifier !== "zod")
      .map((specifier) => `${source.path} → ${specifier}`),
  );
  none(offenders, "impure imports");
});

test("pure folders have no clock, chance, timers or machine", () => {
  const offenders = pureSources().flatMap((source) =>
    EFFECTS.filter(([pattern]) => pattern.test(source.code)).map(
      ([pattern, name]) => `${source.path}:${lineOf(source.code, pattern)}: ${name}`,
    ),
  );
  none(offenders, "effects in pure folders");
});

test("only system and vision read the clock, and nothing draws lots with Math.random", () => {
  const offenders = sources
    .filter((source) => !CLOCKS.has(source.path.split("/")[0] ?? "") && NOW.test(source.code))
    .map((source) => `${source.path}:${lineOf(source.code, NOW)}`);
  none(offenders, "clock or chance outside src/system");
});

test("pure folders do not wait", () => {
  const waits = /(?<![.\w$])(?:async|await)\b(?!\s*[:?,=])/;
  const offenders = pureSources()
    .filter((source) => !MAY_WAIT.has(source.path) && waits.test(source.code))
    .map((source) => `${source.path}:${lineOf(source.code, waits)}`);
  none(offenders, "async functions in pure folders");
});

test("every pure file that does something has its mirror in test", () => {
  const offenders = pureSources()
    .filter((source) => !isDeclarative(source.text))
    .map((source) => join("test", source.path.replace(/\.ts$/, ".test.ts")))
    .filter((path) => !existsSync(join(ROOT, path)));
  none(offenders, "missing tests");
});

test(`no source file is longer than ${SOURCE_LINES_MAX} lines`, () => {
  const offenders = sources
    .map((source) => ({ path: source.path, lines: source.text.split("\n").length - 1 }))
    .filter(({ lines }) => lines > SOURCE_LINES_MAX)
    .map(({ path, lines }) => `${path}: ${lines} lines`);
  none(offenders, "long files");
});

test("no file names the host of a package registry", () => {
  const hosts = [...REGISTRY_HOSTS, ...configuredRegistries()];
  const offenders = tracked.flatMap((path) => {
    const text = readFileSync(join(ROOT, path), "latin1").toLowerCase();
    return hosts.filter((host) => text.includes(host)).map((host) => `${path}: ${hidden(host)}`);
  });
  none(offenders, "registry hosts");
});

test("no pictures, clips or archives are committed, and weights only where ours are", () => {
  const offenders = tracked.filter(
    (path) =>
      (PICTURES.test(path) && !DRAWN.includes(path)) ||
      ARCHIVES.test(path) ||
      (WEIGHTS.test(path) && !OWN_WEIGHTS.some((folder) => path.startsWith(folder))),
  );
  none(offenders, "binary files");
});

test("every top folder explains itself in a README", () => {
  const folders = new Set(
    tracked.filter((path) => path.includes("/")).map((path) => path.split("/")[0]),
  );
  const offenders = [...folders]
    .filter((folder) => folder !== undefined && !folder.startsWith("."))
    .filter((folder) => !existsSync(join(ROOT, String(folder), "README.md")))
    .map((folder) => `${folder}/README.md`);
  none(offenders, "missing READMEs");
});

test("the lockfile holds every optional package, so that npm ci works from any mirror", () => {
  const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as {
    packages: Record<string, { optionalDependencies?: Record<string, string> }>;
  };
  const offenders = Object.values(lock.packages)
    .flatMap((entry) => Object.entries(entry.optionalDependencies ?? {}))
    .filter(
      ([name, range]) => /^\d/.test(range) && lock.packages[`node_modules/${name}`] === undefined,
    )
    .map(([name]) => name);
  none(offenders, "missing from package-lock.json (run scripts/setup/complete-lock.ts)");
});

function none(offenders: readonly string[], what: string): void {
  assert.equal(offenders.length, 0, `${what}:\n  ${offenders.join("\n  ")}`);
}

function typeScriptUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
    .sort();
}

function pureSources(): Source[] {
  return sources.filter((source) => PURE.has(source.path.split("/")[0] ?? ""));
}

/** The entry of LAYERS a file under `src/` belongs to; the longest name wins. */
function layerOf(path: string): { rank: number; name: string } | undefined {
  const named = LAYERS.flatMap((names, rank) => names.map((name) => ({ rank, name })));
  return (
    named.find(({ name }) => name === path) ?? named.find(({ name }) => path.startsWith(`${name}/`))
  );
}

function importsOf(text: string): string[] {
  const pattern =
    /(?:^|[;\n])\s*(?:import|export)\b[^;"']*?\bfrom\s*["']([^"']+)["']|\bimport\s*\(?\s*["']([^"']+)["']/g;
  return [...withoutComments(text).matchAll(pattern)].map((match) => match[1] ?? match[2] ?? "");
}

function withoutComments(text: string): string {
  return text.replace(/"(?:\\.|[^"\\\n])*"|\/\*[\s\S]*?\*\/|(?<!:)\/\/[^\n]*/g, (part) =>
    part.startsWith('"') ? part : blank(part),
  );
}

function codeOf(text: string): string {
  return withoutComments(text).replace(
    /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`/g,
    (part) => `""${blank(part).slice(2)}`,
  );
}

/** Spaces of the same length and lines, so that positions stay true. */
function blank(part: string): string {
  return part.replace(/[^\n]/g, " ");
}

function lineOf(code: string, pattern: RegExp): number {
  return code.slice(0, code.search(pattern)).split("\n").length;
}

/** Whether a file holds only types, constants and schemas: no function and no class. */
function isDeclarative(text: string): boolean {
  return !/\bfunction\b|=>|\bclass\b/.test(codeOf(stripTypeScriptTypes(text)));
}

/** The registry npm or pip is set to use here, in case somebody pasted its name. */
function configuredRegistries(): string[] {
  return [process.env["npm_config_registry"], process.env["PIP_INDEX_URL"]]
    .filter((url) => url !== undefined && URL.canParse(url))
    .map((url) => new URL(String(url)).hostname)
    .filter((host) => host.includes(".") && !/^[\d.]+$/.test(host));
}

/** A host for a message, not usable as one. */
function hidden(host: string): string {
  return host.replaceAll(".", "·");
}
