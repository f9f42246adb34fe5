/** Fills a space from the kept source crops: page by page, each page one transaction with its cursor. */
import { scheduler } from "node:timers/promises";
import type { IdentityId, SpaceId } from "../lib/brand.ts";
import type { Clock } from "../lib/clock.ts";
import { codeOf } from "../lib/fault.ts";
import type { Log } from "../lib/log.ts";
import { isUnit } from "../lib/vector.ts";
import type { SourceCrop } from "../observation/messages.ts";
import type { Pending, Reembedded } from "../store/reembedding.ts";
import type { Store } from "../store/store.ts";

export interface ReembedDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  /** Unit vectors of `spaceId`, in the order of the crops. @throws Fault `crop_unusable` for a crop that cannot be embedded */
  readonly embed: (
    crops: readonly SourceCrop[],
    signal: AbortSignal,
  ) => Promise<readonly Float32Array[]>;
  readonly spaceId: SpaceId;
  readonly dimension: number;
}

export interface Filled {
  readonly identities: number;
  readonly templates: number;
  readonly broken: readonly IdentityId[];
}

/** Identities per transaction: a disk's sync per page, and no more than this done twice after a crash. */
const PAGE = 8;
/** Identities looked at between two turns of the event loop. */
const LOOK_PAGE = 64;
/** Codes that say something of a crop, not of the process that was to embed it. */
const OF_THE_CROP = ["crop_unusable", "image_corrupt", "image_unsupported", "image_too_large"];

/**
 * All identities after `cursor`, in order of id. What is there already costs a look.
 *
 * @throws whatever `embed` throws that is not about a crop, and what the store throws; what was committed stays
 */
export async function reembedFrom(
  cursor: IdentityId | undefined,
  deps: ReembedDeps,
  onPage: (cursor: IdentityId) => void,
  signal: AbortSignal,
): Promise<Filled> {
  const { store, spaceId } = deps;
  const filled = new Tally();
  for (let after = cursor; ; ) {
    signal.throwIfAborted();
    const page = store.reembedding.page(spaceId, after, PAGE);
    const last = page.at(-1)?.identityId;
    if (last === undefined) return filled.value;
    const entries = await embedPage(page, deps, filled, signal);
    const at = deps.clock.epochMs();
    // A page without news costs no sync of the disk.
    if (entries.length > 0)
      filled.templates += store.addReembedded(spaceId, entries, last, at).length;
    filled.identities += page.length;
    await scheduler.yield();
    after = last;
    onPage(last);
  }
}

/** These identities, wherever they are in the order. @throws as {@link reembedFrom} */
export async function reembedThese(
  ids: readonly IdentityId[],
  deps: ReembedDeps,
  signal: AbortSignal,
): Promise<Filled> {
  const { store, spaceId } = deps;
  const filled = new Tally();
  for (const id of ids) {
    signal.throwIfAborted();
    const entries = await embedPage([store.reembedding.pending(spaceId, id)], deps, filled, signal);
    filled.identities += 1;
    if (entries.length === 0) continue;
    const at = deps.clock.epochMs();
    filled.templates += store.addReembedded(spaceId, entries, undefined, at).length;
  }
  return filled.value;
}

/** Who has a crop without a template in the space. */
export async function behindIn(
  spaceId: SpaceId,
  store: Store,
  signal: AbortSignal,
): Promise<readonly IdentityId[]> {
  const found: IdentityId[] = [];
  for (let after: IdentityId | undefined; ; ) {
    signal.throwIfAborted();
    const { ids, last } = store.reembedding.behind(spaceId, after, LOOK_PAGE);
    if (last === undefined) return found;
    found.push(...ids);
    after = last;
    await scheduler.yield();
  }
}

class Tally {
  identities = 0;
  templates = 0;
  readonly broken: IdentityId[] = [];

  get value(): Filled {
    const { identities, templates, broken } = this;
    return { identities, templates, broken };
  }
}

async function embedPage(
  page: readonly Pending[],
  deps: ReembedDeps,
  filled: Tally,
  signal: AbortSignal,
): Promise<readonly Reembedded[]> {
  const entries: Reembedded[] = [];
  const broken = (identityId: IdentityId, code: string): void => {
    filled.broken.push(identityId);
    deps.log.warn({ identityId, code }, "a kept crop cannot be embedded again: passed over");
  };
  for (const pending of page) {
    const { identityId } = pending;
    if (pending.kind === "broken") broken(identityId, pending.code);
    if (pending.kind !== "crops" || pending.crops.length === 0) continue;
    const embedded = await embedCrops(pending.crops, deps, signal);
    if (embedded.code !== undefined) broken(identityId, embedded.code);
    if (embedded.templates.length > 0) entries.push({ identityId, templates: embedded.templates });
  }
  return entries;
}

interface Embedded {
  readonly templates: Reembedded["templates"];
  /** Why a crop is left out. */
  readonly code: string | undefined;
}

type Crops = Extract<Pending, { readonly kind: "crops" }>["crops"];

/** At once; one by one when that fails for a crop, so that it costs only itself. */
async function embedCrops(crops: Crops, deps: ReembedDeps, signal: AbortSignal): Promise<Embedded> {
  const usable = crops.flatMap(({ templateId, crop }) => {
    const landmarks = landmarksOf(crop.landmarks);
    const png = new Uint8Array(crop.png);
    return landmarks === undefined ? [] : [{ templateId, crop: { png, landmarks } }];
  });
  const torn = usable.length < crops.length ? "crop_unusable" : undefined;
  if (usable.length === 0) return { templates: [], code: torn };
  try {
    const vectors = await deps.embed(
      usable.map(({ crop }) => crop),
      signal,
    );
    const templates = usable.flatMap(({ templateId: id }, index) => {
      const vector = vectors[index];
      return vector !== undefined && isUnit(vector, deps.dimension) ? [{ id, vector }] : [];
    });
    return { templates, code: templates.length < usable.length ? "not_finite" : torn };
  } catch (thrown) {
    if (!OF_THE_CROP.includes(codeOf(thrown))) throw thrown;
    if (crops.length === 1) return { templates: [], code: codeOf(thrown) };
    const each: Embedded[] = [];
    for (const crop of crops) each.push(await embedCrops([crop], deps, signal));
    return {
      templates: each.flatMap(({ templates }) => templates),
      code: each.find(({ code }) => code !== undefined)?.code,
    };
  }
}

function landmarksOf(
  points: Crops[number]["crop"]["landmarks"],
): SourceCrop["landmarks"] | undefined {
  const [a, b, c, d, e, ...more] = points;
  if (a === undefined || b === undefined || c === undefined || d === undefined || e === undefined)
    return undefined;
  return more.length === 0 ? [a, b, c, d, e] : undefined;
}
