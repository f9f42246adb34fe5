/** The script that is killed again and again: enrol and erase in every way, with what must be true after each step. */
import { pngBase64 } from "../../control/support/rig.ts";

export interface Step {
  readonly id: string;
  readonly seq: number;
  readonly name: string;
  readonly args: unknown;
}

/** What a store must hold after a step: templates and enabled by identity, and how many events were appended. */
export interface Expected {
  readonly identities: Readonly<
    Record<string, { readonly enabled: boolean; readonly templates: number }>
  >;
  readonly events: number;
}

type Holding = Expected["identities"][string];
type Effect = (before: Expected) => Expected;

const SHOTS = 3;
/** The person whose face the picture shows travels in its header; the fake vision reads it there. */
const picture = (person: number): string => pngBase64(640, 480, person);
const put = (id: string) => ({ name: "identity/put", args: { id, displayName: `Name of ${id}` } });

const changing =
  (id: string, change: (old: Holding) => Holding, events = 1): Effect =>
  (before) => ({
    identities: {
      ...before.identities,
      [id]: change(before.identities[id] ?? { enabled: true, templates: 0 }),
    },
    events: before.events + events,
  });
const without =
  (id: string): Effect =>
  (before) => {
    const { [id]: _gone, ...identities } = before.identities;
    return { identities, events: before.events + 1 };
  };
const enabled = (old: Holding): Holding => ({ ...old, enabled: true });
const disabled = (old: Holding): Holding => ({ ...old, enabled: false });
const more = (count: number) => (old: Holding) => ({ ...old, templates: old.templates + count });

const SCRIPT: readonly {
  readonly name: string;
  readonly args: unknown;
  readonly effect: Effect;
}[] = [
  { ...put("ada"), effect: changing("ada", enabled) },
  {
    name: "enrolment/add-image",
    args: { id: "ada", image: picture(1) },
    effect: changing("ada", more(1)),
  },
  {
    name: "enrolment/add-image",
    args: { id: "ada", image: picture(1) },
    effect: changing("ada", more(1)),
  },
  { ...put("bob"), effect: changing("bob", enabled) },
  {
    name: "enrolment/add-image",
    args: { id: "bob", image: picture(2) },
    effect: changing("bob", more(1)),
  },
  { name: "identity/disable", args: { id: "ada" }, effect: changing("ada", disabled) },
  { name: "identity/erase", args: { id: "bob" }, effect: without("bob") },
  { ...put("eve"), effect: changing("eve", enabled) },
  // Started and committed are two events; between them lies the guided part.
  {
    name: "enrolment/start",
    args: { id: "eve", cameraId: "front", shots: SHOTS },
    effect: changing("eve", more(SHOTS), 2),
  },
  { ...put("bob"), effect: changing("bob", enabled) },
  {
    name: "enrolment/add-image",
    args: { id: "bob", image: picture(2) },
    effect: changing("bob", more(1)),
  },
  { name: "identity/erase", args: { id: "eve" }, effect: without("eve") },
  { name: "identity/erase", args: { id: "ada" }, effect: without("ada") },
  { ...put("ada"), effect: changing("ada", enabled) },
];

/** The step that is committed twice: when it starts and when it ends. */
export const GUIDED = SCRIPT.findIndex((step) => step.name === "enrolment/start");

export const STEPS: readonly Step[] = SCRIPT.map(({ name, args }, index) => ({
  id: `step-${String(index).padStart(4, "0")}`,
  seq: index + 1,
  name,
  args,
}));

/** `EXPECTED[n]`: after the first n steps. */
export const EXPECTED: readonly Expected[] = statesOf({ identities: {}, events: 0 });

function statesOf(first: Expected): readonly Expected[] {
  const states = [first];
  let state = first;
  for (const { effect } of SCRIPT) {
    state = effect(state);
    states.push(state);
  }
  return states;
}
