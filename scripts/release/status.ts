/** `status`: what is published, what is drafted, and what runs out when. */
import { type DraftState, draftStates } from "./drafts.ts";
import { type Listed, listedIn } from "./listing.ts";
import { readDrafts, readPublished } from "./published.ts";
import type { Means, Workspace } from "./workspace.ts";

const HOUR_MS = 3_600_000;

export interface RoleStatus {
  readonly role: string;
  readonly version: number;
  readonly expires: string;
  /** `soon` within a quarter of its life. */
  readonly state: "good" | "soon" | "expired";
  /** What to do about it. */
  readonly fix: string;
}

export interface Status {
  readonly repository: string;
  readonly roles: readonly RoleStatus[];
  readonly drafts: readonly DraftState[];
  readonly packs: readonly Listed[];
}

export async function statusOf(workspace: Workspace, means: Means): Promise<Status> {
  const published = await readPublished(workspace.repository);
  const drafts = await readDrafts(workspace);
  const { rootDays, targetsDays, snapshotDays, timestampHours } = workspace.settings.expiry;
  const now = means.now();
  const of = (
    role: string,
    { version, expires }: { readonly version: number; readonly expires: string },
    lifeHours: number,
    fix: string,
  ): RoleStatus => {
    const left = Date.parse(expires) - now;
    const state = left <= 0 ? "expired" : left < (lifeHours * HOUR_MS) / 4 ? "soon" : "good";
    return { role, version, expires, state, fix };
  };
  const again = "ostiary-release publish";
  return {
    repository: workspace.repository,
    roles:
      published === undefined
        ? []
        : [
            of(
              "root",
              published.root.signed,
              rootDays * 24,
              "ostiary-release sign --renew root, then publish",
            ),
            of(
              "targets",
              published.targets.signed,
              targetsDays * 24,
              "ostiary-release sign --renew targets, then publish",
            ),
            of("snapshot", published.snapshot, snapshotDays * 24, again),
            of("timestamp", published.timestamp, timestampHours, again),
          ],
    drafts: draftStates(workspace, published, drafts),
    packs: published === undefined ? [] : listedIn(published.targets),
  };
}
