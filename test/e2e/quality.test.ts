/** Faces that must not open a door: blurred, tiny, dark, turned away, cut off. Each is denied with its reason; the same person, well seen, is granted. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { withoutModels } from "../support/models.ts";
import {
  LEFT,
  MIDDLE,
  stillOf,
  THREE_PEOPLE,
  TURNING_HEAD,
  type VisitOptions,
  visitClip,
} from "../support/people.ts";
import { BASE, GROUP, type Site, said, startSite } from "../support/site.ts";
import { monotonicNow } from "../support/tap.ts";

const skip = withoutModels();
if (skip !== false) console.error(skip);

/** The last picture of the recording, where everybody stands close, held for a while. */
const STANDING: VisitOptions = { fromSeconds: 3, slower: 1, holdSeconds: 2.5 };

interface Bad {
  readonly name: string;
  readonly recording?: string;
  readonly how: VisitOptions;
  readonly reason: string;
}

const BAD: readonly Bad[] = [
  { name: "blurred", how: { filter: "gblur=sigma=9" }, reason: "blurred" },
  {
    name: "tiny",
    how: { filter: "scale=256:144:flags=area,pad=1280:720:512:288:0x70757a" },
    reason: "too_small",
  },
  {
    name: "dark",
    how: { filter: "lutyuv=y=16+(val-16)*0.28:u=128+(val-128)*0.4:v=128+(val-128)*0.4" },
    reason: "dark",
  },
  { name: "bright", how: { filter: "eq=brightness=0.55" }, reason: "bright" },
  { name: "cut off by the picture's edge", how: { filter: "crop=604:340:0:0" }, reason: "clipped" },
  {
    name: "turned away",
    recording: TURNING_HEAD,
    how: { fromSeconds: 0, untilSeconds: 0.45, slower: 1.5 },
    reason: "turned",
  },
];

describe("bad faces", { skip, concurrency: 1 }, () => {
  let site: Site;

  before(async () => {
    site = await startSite();
    for (const [id, part] of [
      ["bald-man", MIDDLE],
      ["left-woman", LEFT],
    ] as const) {
      await site.done("identity/put", { id, displayName: id, groups: [GROUP] });
      await site.done("enrolment/add-image", {
        id,
        image: (await stillOf(THREE_PEOPLE, 3, part)).toString("base64"),
      });
    }
  });
  after(() => site?.[Symbol.asyncDispose]());

  test("well seen, both enrolled people are granted", async () => {
    const grants = (all: ReturnType<Site["since"]>) =>
      all
        .filter(({ outcome }) => outcome === "grant")
        .map(({ identity }) => identity)
        .sort();
    const decisions = await site.visit(
      "front",
      await visitClip(THREE_PEOPLE, STANDING),
      (all) => grants(all).length >= 2,
    );
    assert.deepEqual(grants(decisions), ["bald-man", "left-woman"], said(decisions));
  });

  for (const { name, recording = THREE_PEOPLE, how, reason } of BAD) {
    test(`${name}: denied as unusable, and told why`, async () => {
      const from = monotonicNow();
      const decisions = await site.visit(
        "front",
        await visitClip(recording, { ...STANDING, ...how }),
        (all) => all.length > 0,
      );
      assert(
        decisions.every(({ outcome }) => outcome === "deny"),
        said(decisions),
      );
      const told = payloads(from);
      assert(
        told.some(({ reason: why, quality }) => why === "unusable" && quality?.includes(reason)),
        JSON.stringify(told),
      );
    });
  }

  /** What the device says of its decisions on the live feed; the door reads only what it acts on. */
  function payloads(
    from: number,
  ): readonly { readonly reason: string; readonly quality?: readonly string[] }[] {
    return site.tap
      .on(`${BASE}decision`, from)
      .map(({ text }) => JSON.parse(JSON.parse(text).payload));
  }
});
