/** Secrets that systemd hands over as files: `LoadCredential=` and `LoadCredentialEncrypted=`. */
import { open } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { codeOf, Fault } from "../lib/fault.ts";

const CREDENTIAL_MAX_BYTES = 64 * 1024;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/**
 * @param directory `$CREDENTIALS_DIRECTORY`; undefined when the daemon was not started by systemd
 * @returns the credential's bytes, or undefined when systemd passed none of that name
 * @throws Fault `credential_unreadable`, `credential_too_large`
 */
export async function readCredential(
  directory: string | undefined,
  name: string,
): Promise<Uint8Array | undefined> {
  if (!NAME.test(name))
    throw new Fault(
      "credential_unreadable",
      `"${name}" is no credential name: use A-Z a-z 0-9 . _ -`,
    );
  if (directory === undefined || directory === "" || !isAbsolute(directory)) return undefined;
  return readSecretFile(join(directory, name));
}

/** The bytes of a secret's file, or undefined when there is none. @throws as {@link readCredential} */
export async function readSecretFile(path: string): Promise<Uint8Array | undefined> {
  try {
    await using file = await open(path, "r");
    const buffer = Buffer.alloc(CREDENTIAL_MAX_BYTES + 1);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    if (bytesRead > CREDENTIAL_MAX_BYTES) {
      throw new Fault(
        "credential_too_large",
        `${path} holds more than ${CREDENTIAL_MAX_BYTES} bytes: it is not a credential of ours`,
      );
    }
    return new Uint8Array(buffer.subarray(0, bytesRead));
  } catch (thrown) {
    if (thrown instanceof Fault) throw thrown;
    if (codeOf(thrown) === "ENOENT") return undefined;
    throw new Fault(
      "credential_unreadable",
      `cannot read ${path} (${codeOf(thrown)}): give the service user read access`,
      { cause: thrown },
    );
  }
}
