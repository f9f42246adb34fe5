/** JSON of which nobody has vouched yet: a schema judges what comes out. */

/** @returns undefined when `text` is no JSON; no JSON text has that value */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
