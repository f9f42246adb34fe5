/** A picture of a person that comes with the tools. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** The public-domain portrait that set-up installs with scikit-image. */
export function portraitFile(): string | undefined {
  const lib = ".venv/lib";
  const versions = existsSync(lib) ? readdirSync(lib) : [];
  return versions
    .map((version) => join(lib, version, "site-packages/skimage/data/astronaut.png"))
    .find((path) => existsSync(path));
}

export const noPortrait =
  portraitFile() === undefined ? "NO PORTRAIT: run scripts/setup.sh" : false;
