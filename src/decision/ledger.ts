/** Where decisions become history. `store/` implements it. */

import type { Identity } from "../gallery/identity.ts";
import type { IdentityId } from "../lib/brand.ts";
import type { Decision } from "./decision.ts";

export interface DecisionLedger {
  /**
   * Looks the identity up, lets `decide` speak, and appends the decision to the reliable feed, all in one
   * durable transaction: an identity erased or disabled before it cannot be granted after it.
   */
  readonly recordDecision: (
    identityId: IdentityId | undefined,
    decide: (identity: Identity | undefined) => Decision,
  ) => { readonly decision: Decision; readonly seq: number };
}
