/** A release workspace with cheap keys, and packs whose models are noise: everything about a release but the models. */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type InitOptions, initialise } from "../../scripts/release/init.ts";
import type { Listed } from "../../scripts/release/listing.ts";
import { addPack } from "../../scripts/release/packs.ts";
import { type Publication, publishMetadata } from "../../scripts/release/publication.ts";
import { rotateKey } from "../../scripts/release/rotate.ts";
import { signDrafts } from "../../scripts/release/sign.ts";
import { type Means, Workspace } from "../../scripts/release/workspace.ts";
import { Pack } from "../../src/embedding/pack.ts";
import { epochMs } from "../../src/lib/brand.ts";
import type { Hardware } from "../../src/release/repository.ts";
import type { WantedPack } from "../../src/update/tuf/source.ts";

/** Derivation of file keys that costs nothing. */
export const CHEAP = { N: 2, r: 1, p: 1 };
export const PASSPHRASE = "correct horse battery";
const never = new AbortController().signal;

export interface NoisePackOptions {
  readonly id: string;
  readonly releaseCounter?: number;
  readonly spaceId?: string;
  /** Of the embedder's file. */
  readonly bytes?: number;
  readonly calibrated?: boolean;
}

/** A directory that parses as a pack; its models are random bytes. @returns its path */
export async function makeNoisePack(parent: string, options: NoisePackOptions): Promise<string> {
  const {
    id,
    releaseCounter = 1,
    spaceId = "noise.1",
    bytes = 20_000,
    calibrated = true,
  } = options;
  const directory = join(parent, `${id}-${releaseCounter}`);
  await mkdir(directory, { recursive: true });
  const files = [];
  for (const [name, content] of [
    ["detector.onnx", Buffer.alloc(10_000, 7)],
    ["embedder.onnx", randomBytes(bytes)],
  ] as const) {
    await writeFile(join(directory, name), content);
    const sha256 = createHash("sha256").update(content).digest("hex");
    files.push({ name, sha256, bytes: content.length });
  }
  const preprocessing = {
    widthPx: 112,
    heightPx: 112,
    channelOrder: "rgb",
    mean: [127.5, 127.5, 127.5],
    std: [127.5, 127.5, 127.5],
  };
  const pack = {
    schema: 1,
    id,
    releaseCounter,
    files,
    detector: { file: "detector.onnx", layout: "yunet", input: "input", preprocessing },
    embedder: {
      file: "embedder.onnx",
      input: "input",
      output: "output",
      preprocessing,
      align: "arcface-112",
      dimension: 16,
      spaceId,
    },
    ...(calibrated
      ? {
          calibration: {
            set: "noise",
            pairs: 1_000_000,
            points: [
              { cosine: 0.4, fmr: 1e-4 },
              { cosine: 0.5, fmr: 1e-5 },
            ],
          },
        }
      : {}),
    golden: {
      vectors: [{ cropPng: "", embedding: Array.from({ length: 16 }, () => 0.25) }],
      cosineMin: { cpu: 0.99, cuda: 0.99, tensorrt: 0.99 },
    },
    provenance: { source: "noise", licence: "none" },
  };
  Pack.parse(pack);
  await writeFile(join(directory, "pack.json"), JSON.stringify(pack));
  return directory;
}

export class TestRepository {
  /** Opened again by whoever changes its settings. */
  workspace: Workspace;
  readonly means: Means;
  readonly #scratch: string;

  private constructor(workspace: Workspace, means: Means, scratch: string) {
    this.workspace = workspace;
    this.means = means;
    this.#scratch = scratch;
  }

  /** An empty published repository below `scratch`. `now` can be set later, for what is published then. */
  static async make(
    scratch: string,
    options: Partial<InitOptions> & {
      readonly now?: () => number;
      readonly publish?: boolean;
    } = {},
  ): Promise<TestRepository> {
    const { now = Date.now, publish = true, ...init } = options;
    const means: Means = {
      now: () => epochMs(now()),
      passphrases: () => Promise.resolve(PASSPHRASE),
      keyFiles: new Map(),
    };
    const workspace = await initialise(
      {
        directory: join(scratch, "releases"),
        singleKey: false,
        keysDirectory: undefined,
        external: new Map(),
        cost: CHEAP,
        ...init,
      },
      means,
    );
    const made = new TestRepository(workspace, means, scratch);
    if (publish) await made.publish();
    return made;
  }

  /** `file:` URL of the repository. */
  get url(): string {
    return `${pathToFileURL(this.workspace.repository).href}/`;
  }

  /** The root that a device is given at set-up. */
  get pinnedRoot(): string {
    return join(this.workspace.repository, "metadata", "1.root.json");
  }

  async add(
    options: NoisePackOptions & { readonly hardware?: readonly Hardware[] },
  ): Promise<Listed & { readonly wanted: WantedPack; readonly directory: string }> {
    const directory = await makeNoisePack(join(this.#scratch, "packs"), options);
    const hardware = options.hardware ?? ["x64", "arm64"];
    const listed = await addPack(this.workspace, directory, hardware, async () => {}, this.means);
    const { packId: id, releaseCounter } = listed.custom;
    return { ...listed, directory, wanted: { id, sha256: listed.sha256, releaseCounter } };
  }

  /** Drafts a key's replacement. */
  async rotate(name: string, replacement: string): Promise<void> {
    const rotation = {
      name,
      replacement,
      external: undefined,
      keysDirectory: undefined,
      cost: CHEAP,
    };
    await rotateKey(this.workspace, rotation, this.means);
    this.workspace = await Workspace.open(this.workspace.directory);
  }

  /** Signs whatever is drafted, and publishes. */
  async publish(): Promise<Publication> {
    await signDrafts(this.workspace, [], this.means).catch((thrown: { code?: string }) => {
      if (thrown.code !== "nothing_to_sign") throw thrown;
    });
    return publishMetadata(this.workspace, this.means, never);
  }

  async release(
    options: NoisePackOptions & { readonly hardware?: readonly Hardware[] },
  ): Promise<Listed & { readonly wanted: WantedPack; readonly directory: string }> {
    const listed = await this.add(options);
    await this.publish();
    return listed;
  }
}
