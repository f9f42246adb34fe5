# `scripts/install.sh --check`, which sources this: one line per thing, what is wrong and how to fix it.

problems=0
good() { printf 'ok    %-16s %s\n' "$1" "$2"; }
warn() { printf 'warn  %-16s %s\n' "$1" "$2"; }
bad() { # bad WHAT PROBLEM FIX
  printf 'FAIL  %-16s %s\n      %-16s fix: %s\n' "$1" "$2" "" "$3"
  problems=$((problems + 1))
}

check_box() {
  local base="$root"
  if [[ -d "$opt/current/" ]]; then base="$(cd -P "$opt/current" && pwd)"; fi
  check_programs
  check_node "$base"
  check_addons "$base"
  check_key
  check_daemon_config "$base"
  check_unit
  check_clock
  check_disk
  if ((problems > 0)); then
    echo "$problems problem(s)"
    exit 1
  fi
  echo "nothing is wrong"
}

check_programs() {
  local program missing=()
  for program in ffmpeg systemd-notify; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  if ((${#missing[@]} == 0)); then good "OS packages" "ffmpeg, systemd-notify"; else
    bad "OS packages" "missing: ${missing[*]}" "sudo scripts/setup.sh --runtime"
  fi
}

check_node() {
  local version
  version="$("$1/scripts/node" --version 2>/dev/null || true)"
  if [[ $version == v24.* ]]; then good "Node" "$version"; else
    bad "Node" "${version:-not installed}, wanted v24" "scripts/setup.sh"
  fi
}

check_addons() {
  local name message
  # Each in a process of its own: a broken addon may take its process along.
  for name in onnxruntime-node hnswlib-node opencv node:sqlite; do
    if message="$(cd "$1" && scripts/node --disable-warning=ExperimentalWarning -e '
      const { createRequire } = require("node:module");
      const { dirname, join } = require("node:path");
      const name = process.argv[1];
      const load = createRequire(join(process.cwd(), "package.json"));
      if (name !== "opencv") load(name);
      else load(join(dirname(load.resolve("opencv4nodejs")), "../../build/Release/opencv4nodejs.node"));' \
      "$name" 2>&1)"; then
      good "addon" "$name loads"
    else
      bad "addon" "$name does not load: $(grep -m 1 -E 'Error' <<<"$message" || echo "it crashed")" "scripts/setup.sh"
    fi
  done
}

check_key() {
  local file="$etc/device.key" owner=0
  live || owner="$EUID"
  if [[ -e "$etc/device.key.cred" ]]; then
    good "device key" "sealed (device.key.cred)"
  elif [[ ! -e $file ]]; then
    bad "device key" "/etc/ostiary/device.key is missing" "restore your copy; on a new box: sudo scripts/install.sh"
  elif [[ "$(stat -c '%a %u' "$file")" != "600 $owner" ]]; then
    bad "device key" "its mode is $(stat -c '%a, owner %U' "$file"): others may read it" "sudo chown root:root $file && sudo chmod 600 $file"
  else
    good "device key" "only root reads it"
  fi
}

# Configuration, pack, store, decoders and broker are the daemon's own business: it looks itself.
check_daemon_config() {
  local lines line state what text fix
  if [[ ! -e "$etc/ostiary.yaml" ]]; then
    bad "configuration" "/etc/ostiary/ostiary.yaml is missing" "sudo scripts/install.sh"
    return 0
  fi
  lines="$("$1/scripts/ostiary" check --reach --lines --config "$etc/ostiary.yaml" 2>&1)" || true
  while IFS=$'\t' read -r state what text fix; do
    case "$state" in
      ok) good "$what" "$text" ;;
      warn) warn "$what" "$text" ;;
      fail) bad "$what" "$text" "$fix" ;;
      *) bad "check" "$state" "see journalctl -u ostiary" ;;
    esac
  done <<<"$lines"
}

check_unit() {
  if [[ ! -e "$units/ostiary.service" ]]; then
    bad "unit" "it is not installed" "sudo scripts/install.sh"
    return 0
  fi
  if [[ ! -e "$units/multi-user.target.wants/ostiary.service" ]]; then
    bad "unit" "it is not enabled: the door stays shut after a reboot" "sudo systemctl enable ostiary"
  fi
  if ! systemd_runs; then
    warn "unit" "installed; systemd does not run here"
  elif systemctl --quiet is-active ostiary; then
    good "unit" "running: $(systemctl show -P StatusText ostiary)"
  else
    bad "unit" "it does not run ($(systemctl show -P SubState,Result ostiary | tr '\n' ' '))" "sudo systemctl start ostiary; journalctl -u ostiary -n 50"
  fi
}

check_clock() {
  local synced
  synced="$(timedatectl show -P NTPSynchronized 2>/dev/null || true)"
  case "$synced" in
    yes) good "clock" "synchronised" ;;
    no) bad "clock" "not synchronised: schedules and expiry cannot be trusted" "sudo timedatectl set-ntp true" ;;
    *) warn "clock" "cannot tell whether it is synchronised (no timedatectl)" ;;
  esac
}

check_disk() {
  local where="$var" free_mb
  while [[ ! -d $where ]]; do where="$(dirname "$where")"; done
  free_mb="$(df --output=avail -BM "$where" | tail -n 1 | tr -dc 0-9)"
  if ((free_mb >= 512)); then good "disk" "$free_mb MB free for /var/lib/ostiary"; else
    bad "disk" "only $free_mb MB free for /var/lib/ostiary, wanted 512" "free some space, or move it to a larger disk"
  fi
}
