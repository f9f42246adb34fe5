/** What a camera's URL points at, and how to keep it out of everything that people read. */

export type CameraSource =
  | { readonly kind: "rtsp"; readonly url: string; readonly host: string }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "device"; readonly path: string };

/** @param url as `CameraOptions.url` allows it */
export function sourceOf(url: string): CameraSource {
  if (url.startsWith("file:"))
    return { kind: "file", path: url.slice("file:".length).replace(/^\/\/(?=\/)/, "") };
  if (url.startsWith("/dev/")) return { kind: "device", path: url };
  return { kind: "rtsp", url, host: hostOf(url) };
}

/** True when waiting seconds between tries would only keep a door shut: nobody else's network is spared by it. */
export function isLocal(source: CameraSource): boolean {
  if (source.kind !== "rtsp") return true;
  const host = source.host.toLowerCase();
  if (/^(127\.|10\.|192\.168\.|169\.254\.|172\.(1[6-9]|2\d|3[01])\.)\d/.test(host)) return true;
  if (host === "::1" || /^(fe[89ab]|f[cd])[0-9a-f]*:/.test(host)) return true;
  return (
    host === "localhost" || host.endsWith(".local") || host.endsWith(".lan") || !/[.:]/.test(host)
  );
}

/** Shortest password or user that is blotted out by itself; a shorter one would blot out half of every line. */
const LITERAL_MIN = 3;

/**
 * @param url the camera's URL, as configured
 * @returns a function that removes the URL, its user, password and query from a line, and the same of
 *   any other URL in it
 */
export function redactor(url: string): (line: string) => string {
  const literals = secretsOf(url)
    .filter((secret) => secret.length >= LITERAL_MIN)
    .sort((a, b) => b.length - a.length);
  return (line) => {
    let clean = line;
    for (const literal of literals) clean = clean.replaceAll(literal, "***");
    // The password may hold "@" and "/": everything up to the last "@" of the word goes.
    return clean
      .replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s'"]*@/gi, "$1***@")
      .replace(/(:\/\/[^\s'"?]*)\?[^\s'"]*/g, "$1?***");
  };
}

function secretsOf(url: string): string[] {
  const userInfo = /^rtsps?:\/\/(.*)@/i.exec(url)?.[1];
  const query = /\?(.+)$/.exec(url)?.[1];
  const secrets = query === undefined ? [] : [query];
  if (userInfo !== undefined) {
    const colon = userInfo.indexOf(":");
    const parts = colon === -1 ? [userInfo] : [userInfo.slice(0, colon), userInfo.slice(colon + 1)];
    for (const part of parts) secrets.push(part, decoded(part));
    secrets.push(userInfo, url);
  }
  if (query !== undefined) secrets.push(url);
  return secrets;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function hostOf(url: string): string {
  const authority = url.replace(/^rtsps?:\/\//i, "").split(/[/?#]/)[0] ?? "";
  const host = authority.slice(authority.lastIndexOf("@") + 1);
  return host.startsWith("[") ? host.slice(1, host.indexOf("]")) : (host.split(":")[0] ?? "");
}
