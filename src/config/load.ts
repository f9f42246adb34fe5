/** The file → what is in force, or one fault that lists everything that is wrong with it. */
import { open } from "node:fs/promises";
import { dirname, isAbsolute, resolve } from "node:path";
import { parseDocument } from "yaml";
import { CameraOptions } from "../camera/options.ts";
import { codeOf, Fault } from "../lib/fault.ts";
import { readCredential, readSecretFile } from "../system/credentials.ts";
import { inputSchema } from "./json-schema.ts";
import { pathText, problemLines } from "./problems.ts";
import { type Config, crossProblems, FileConfig } from "./schema.ts";

const FILE_MAX_BYTES = 1024 * 1024;
const CREDENTIAL = "credential:";

export interface LoadOptions {
  /** `$CREDENTIALS_DIRECTORY`, for `credential:NAME`. */
  readonly credentialsDirectory?: string | undefined;
}

/** A configuration that cannot be used. `problems` has one line for each. */
export class ConfigInvalid extends Fault {
  override readonly name = "ConfigInvalid";
  readonly problems: readonly string[];

  constructor(file: string, problems: readonly string[]) {
    super(
      "config_invalid",
      `${file} is not valid:\n${problems.map((line) => `  ${line}`).join("\n")}`,
    );
    this.problems = problems;
  }
}

/** @throws ConfigInvalid, Fault `config_unreadable` */
export async function loadConfig(file: string, options: LoadOptions = {}): Promise<Config> {
  const text = await readText(file);
  const parsed = parseConfig(text, file);
  const cameras = await withUrls(parsed.cameras, file, options);
  const at = (path: string): string => absolute(path, file);
  const { paths, mqtt, update } = parsed;
  return {
    ...parsed,
    cameras,
    mqtt: {
      ...mqtt,
      ...(mqtt.passwordFile === undefined ? {} : { passwordFile: at(mqtt.passwordFile) }),
      ...(mqtt.caFile === undefined ? {} : { caFile: at(mqtt.caFile) }),
      ...(mqtt.certFile === undefined ? {} : { certFile: at(mqtt.certFile) }),
      ...(mqtt.keyFile === undefined ? {} : { keyFile: at(mqtt.keyFile) }),
    },
    ...(update === undefined ? {} : { update: updateAt(update, at) }),
    paths: {
      state: at(paths.state),
      runtime: at(paths.runtime),
      ...(paths.pack === undefined ? {} : { pack: at(paths.pack) }),
      deviceKey: at(paths.deviceKey),
    },
  };
}

function updateAt(
  update: NonNullable<FileConfig["update"]>,
  at: (path: string) => string,
): NonNullable<FileConfig["update"]> {
  const { repository, trust } = update;
  const { caFile, authorizationFile } = repository;
  return {
    ...update,
    repository: {
      ...repository,
      ...(caFile === undefined ? {} : { caFile: at(caFile) }),
      ...(authorizationFile === undefined ? {} : { authorizationFile: at(authorizationFile) }),
    },
    trust: { root: at(trust.root), director: at(trust.director) },
  };
}

/** YAML text → the file's content with defaults; credential files are not read. @throws ConfigInvalid */
export function parseConfig(text: string, file: string): FileConfig {
  const document = parseDocument(text, {
    uniqueKeys: true,
    stringKeys: true,
    prettyErrors: false,
    logLevel: "silent",
  });
  if (document.errors.length > 0) {
    const lineOf = (at: number): number => text.slice(0, at).split("\n").length;
    throw new ConfigInvalid(
      file,
      document.errors
        .slice(0, 10)
        .map(
          (error) =>
            `line ${lineOf(error.pos[0])}: ${error.code.toLowerCase().replaceAll("_", " ")}`,
        ),
    );
  }
  const raw = fromYaml(() => document.toJS({ maxAliasCount: 20 }), file);
  const result = FileConfig.safeParse(raw ?? {});
  if (!result.success)
    throw new ConfigInvalid(file, [
      ...new Set(problemLines(result.error.issues, inputSchema(FileConfig))),
    ]);
  const crossed = crossProblems(result.data).map(
    ({ path, message }) => `${pathText(path)}: ${message}`,
  );
  if (crossed.length > 0) throw new ConfigInvalid(file, crossed);
  return result.data;
}

function fromYaml(read: () => unknown, file: string): unknown {
  try {
    return read();
  } catch {
    throw new ConfigInvalid(file, ["uses too many aliases; write the values out"]);
  }
}

async function readText(file: string): Promise<string> {
  try {
    await using handle = await open(file, "r");
    const buffer = Buffer.alloc(FILE_MAX_BYTES + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
      length += bytesRead;
      if (bytesRead === 0 || length === buffer.length) break;
    }
    if (length > FILE_MAX_BYTES)
      throw new ConfigInvalid(file, [
        `is larger than ${FILE_MAX_BYTES} bytes; is it the right file?`,
      ]);
    return buffer.toString("utf8", 0, length);
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    const code = codeOf(thrown);
    const fix =
      code === "ENOENT"
        ? "start from config/ostiary.example.yaml, or name another file with --config"
        : "give the service user read access";
    throw new Fault(
      "config_unreadable",
      `cannot read the configuration ${file} (${code}): ${fix}`,
      { cause: thrown },
    );
  }
}

async function withUrls(
  cameras: FileConfig["cameras"],
  file: string,
  options: LoadOptions,
): Promise<readonly CameraOptions[]> {
  const problems: string[] = [];
  const resolved: CameraOptions[] = [];
  for (const [index, { urlFile, ...camera }] of cameras.entries()) {
    const where = pathText(["cameras", index, "urlFile"]);
    if (urlFile === undefined) {
      if (camera.url !== undefined) resolved.push({ ...camera, url: cameraUrl(camera.url, file) });
      continue;
    }
    const secret = await readReference(absolute(urlFile, file), options);
    const url = secret === undefined ? undefined : Buffer.from(secret).toString("utf8").trim();
    if (url === undefined)
      problems.push(
        `${where}: there is no such file or credential; write the camera's URL there on one line`,
      );
    else if (!CameraOptions.shape.url.safeParse(url).success)
      problems.push(
        `${where}: the file holds no URL of a camera; write rtsp://… there on one line`,
      );
    else resolved.push({ ...camera, url: cameraUrl(url, file) });
  }
  if (problems.length > 0) throw new ConfigInvalid(file, problems);
  return resolved;
}

/** The bytes of a file, or of a systemd credential written as `credential:NAME`; undefined when absent. */
export async function readReference(
  reference: string,
  options: LoadOptions,
): Promise<Uint8Array | undefined> {
  if (reference.startsWith(CREDENTIAL))
    return readCredential(options.credentialsDirectory, reference.slice(CREDENTIAL.length));
  return readSecretFile(reference);
}

function absolute(path: string, file: string): string {
  return path.startsWith(CREDENTIAL) || isAbsolute(path) ? path : resolve(dirname(file), path);
}

function cameraUrl(url: string, file: string): string {
  return url.startsWith("file:") && !url.startsWith("file:/")
    ? `file:${absolute(url.slice("file:".length), file)}`
    : url;
}
