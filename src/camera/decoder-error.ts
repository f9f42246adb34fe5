/** What a decoder's last words mean. */

export type DecoderErrorCode =
  | "unauthorised"
  | "not_found"
  | "refused"
  | "unreachable"
  | "unresolved"
  | "timeout"
  | "no_video"
  | "bad_stream"
  | "decoder_missing"
  | "no_hardware"
  | "stream_ended"
  | "decoder_failed";

/** In order of precedence within one line. Sources: messages of libavformat 59, libavcodec 59 and GStreamer 1.22. */
const MEANINGS: readonly (readonly [RegExp, DecoderErrorCode])[] = [
  [
    /\b40[13]\b.*(unauthori[sz]ed|forbidden|authori[sz]ation|denied)|Unauthorized|Not authorized/i,
    "unauthorised",
  ],
  [/\b404\b|Not Found|No such file or directory|No such device/i, "not_found"],
  [/Connection refused/i, "refused"],
  [
    /(No route to host|Network is unreachable|Host is unreachable|Connection reset)/i,
    "unreachable",
  ],
  [
    /(Name or service not known|Temporary failure in name resolution|Failed to resolve hostname|Error resolving)/i,
    "unresolved",
  ],
  [/timed out|timeout/i, "timeout"],
  [/(matches no streams|does not contain any stream|no video)/i, "no_video"],
  [
    /(Decoder .* not found|Unknown decoder|Unknown encoder|no element|No such filter|missing plugin)/i,
    "decoder_missing",
  ],
  [
    /(Failed to initialise VAAPI|No VA display|Device creation failed|hwaccel.*failed|Cannot open.*nvhost|nvmap)/i,
    "no_hardware",
  ],
  [/(Invalid data found|Could not find codec parameters|moov atom not found)/i, "bad_stream"],
];

/**
 * @param lines the decoder's diagnostics, redacted, oldest first
 * @param exitCode null when a signal ended it
 */
export function decoderErrorOf(
  lines: readonly string[],
  exitCode: number | null,
): DecoderErrorCode {
  if (exitCode === 0) return "stream_ended";
  for (const line of lines.toReversed()) {
    const meaning = MEANINGS.find(([pattern]) => pattern.test(line));
    if (meaning !== undefined) return meaning[1];
  }
  return "decoder_failed";
}

const FIXES: Readonly<Record<DecoderErrorCode, string>> = {
  unauthorised: "the camera refuses the user or password: correct them in the camera's url",
  not_found: "the camera answers, but not at this path: correct the path in the camera's url",
  refused: "nothing listens on that port: check address, port and that RTSP is on",
  unreachable: "the camera's address cannot be reached: check cable, power and network",
  unresolved: "the camera's host name has no address: check the name or use an address",
  timeout: "the camera stopped answering: check its network",
  no_video: "the stream holds no video: choose another stream of the camera",
  bad_stream: "the stream cannot be read: choose H.264 or H.265 in the camera's settings",
  decoder_missing: "the decoder program or codec is not installed: run scripts/setup.sh",
  no_hardware: "the preset's hardware does not work here: choose preset: software",
  stream_ended: "the stream ended",
  decoder_failed: "the decoder ended by itself: see the lines before",
};

/** Cause and fix, for people. */
export function fixOf(code: DecoderErrorCode): string {
  return FIXES[code];
}
