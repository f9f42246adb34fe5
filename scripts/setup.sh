#!/usr/bin/env bash
# Makes a checkout ready to run: OS packages, Node 24 and npm packages, native addons, Python.
# Idempotent: what is in place is left alone, and a run with nothing to do takes well under a second.
#
#   scripts/setup.sh             everything that `npm test` and the training package need
#   scripts/setup.sh --demo      without PyTorch (several GB), which the demo does not need
#   scripts/setup.sh --runtime   only what the installed daemon needs (no Python, no test tools)
#
# Where it is neither root nor allowed to use sudo without a password, it says which OS packages are
# missing and stops. Output of the commands goes to .setup/setup.log.
set -euo pipefail
root="$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
mode=full
case "${1:-}" in
  "") ;;
  --demo) mode=demo ;;
  --runtime) mode=runtime ;;
  *) echo "usage: scripts/setup.sh [--demo | --runtime]" >&2; exit 2 ;;
esac

# Debian and Ubuntu names; the OpenCV ones bring only the modules that scripts/setup/native.sh uses.
runtime_packages=(
  build-essential pkg-config python3 ffmpeg
  libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev libopencv-calib3d-dev
)
full_packages=(
  "${runtime_packages[@]}" python3-venv cmake strace mosquitto mosquitto-clients
  python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good
  gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly
)
packages=("${full_packages[@]}")
[[ $mode == runtime ]] && packages=("${runtime_packages[@]}")

case "$(uname -m)" in
  x86_64) arch=x64 ;;
  aarch64 | arm64) arch=arm64 ;;
  *) echo "set-up: Ostiary runs on x86-64 and 64-bit ARM, not on $(uname -m)" >&2; exit 1 ;;
esac
node24="$root/node_modules/node-linux-$arch/bin/node"
addons=(node_modules/hnswlib-node/build/Release/addon.node
  node_modules/opencv4nodejs/build/Release/opencv4nodejs.node)

# --- what is already there ---------------------------------------------------------------------
hash_of() { cat "$@" | sha256sum | cut -c1-16; }
missing_packages() {
  # JetPack and self-built systems have OpenCV without Debian's package names.
  local name
  dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null |
    awk '$2 == "installed" { print $1 }' | sort -u >"$state/installed"
  for name in "${packages[@]}"; do
    grep -qx "$name" "$state/installed" && continue
    [[ $name == libopencv-* && -n "${OSTIARY_OPENCV_INCLUDE:-}" ]] && continue
    [[ $name == libopencv-* && -f /usr/local/include/opencv4/opencv2/core/version.hpp ]] && continue
    echo "$name"
  done
}
opencv_version() {
  cat "${OSTIARY_OPENCV_INCLUDE:-/usr/include/opencv4}/opencv2/core/version.hpp" \
    /usr/local/include/opencv4/opencv2/core/version.hpp 2>/dev/null | sha256sum | cut -c1-16
}
npm_key() { echo "$(hash_of package-lock.json .npmrc) $arch"; }
native_key() {
  echo "$(hash_of package-lock.json scripts/setup/native.sh scripts/setup/opencv-binding.gyp scripts/setup/inner-product.h) $arch $(opencv_version)"
}
python_key() { echo "$(hash_of scripts/requirements.txt) $root"; }
training_key() {
  echo "$(hash_of scripts/requirements.txt scripts/training/requirements.lock scripts/training/pyproject.toml) $root"
}
stamped() { [[ -f "$1" && "$(<"$1")" == "$2" ]]; }
npm_ready() {
  [[ -x $node24 ]] || return 1
  stamped node_modules/.ostiary-npm "$(npm_key) full" && return 0
  [[ $mode == runtime ]] && stamped node_modules/.ostiary-npm "$(npm_key) runtime"
}
native_ready() {
  [[ -f ${addons[0]} && -f ${addons[1]} ]] && stamped node_modules/.ostiary-native "$(native_key)"
}
python_ready() {
  [[ $mode == runtime ]] || { [[ -x .venv/bin/python ]] && stamped .venv/.ostiary "$(python_key)"; }
}

training_ready() {
  [[ $mode != full ]] || { python_ready && stamped .venv/.ostiary-training "$(training_key)"; }
}

state="$root/.setup"
mkdir -p "$state"
log="$state/setup.log"
# One set-up at a time: a second one waits and then finds everything in place.
exec 9>"$state/lock"
if ! flock -n 9; then
  echo "set-up: another one is running here, waiting for it"
  flock 9
fi

missing="$(missing_packages | tr '\n' ' ')"
if [[ -z $missing ]] && npm_ready && native_ready && python_ready && training_ready; then
  exit 0
fi

# --- progress -----------------------------------------------------------------------------------
started=$SECONDS
: >"$log"
step=0
steps=0
[[ -n $missing ]] && steps=$((steps + 1))
npm_ready || steps=$((steps + 1))
{ native_ready && npm_ready; } || steps=$((steps + 1))
python_ready || steps=$((steps + 1))
training_ready || steps=$((steps + 1))
echo "Ostiary set-up: $steps step(s), output in ${log#"$root/"}"

declare -A job_name job_start job_log job_pid
begin() { # begin KEY TITLE COMMAND… : runs a step in the background with a log of its own
  local key=$1 title=$2
  shift 2
  step=$((step + 1))
  job_name[$key]="[$step/$steps] $title"
  job_start[$key]=$SECONDS
  job_log[$key]="$state/$key.log"
  echo "${job_name[$key]} …"
  rm -f "$state/$key.rc"
  # Without `set -e` a failing line in the middle of a step would pass unnoticed.
  (set -e; "$@" </dev/null >"${job_log[$key]}" 2>&1 9>&-; echo 0 >"$state/$key.rc") &
  job_pid[$key]=$!
}
finish() { # finish KEY : waits for a step; on failure shows the end of its log and stops
  local key=$1 waited=0 rc
  while kill -0 "${job_pid[$key]}" 2>/dev/null; do
    sleep 0.2
    waited=$((waited + 1))
    if ((waited % 50 == 0)); then
      echo "${job_name[$key]} … $((SECONDS - job_start[$key])) s"
    fi
  done
  rc="$(cat "$state/$key.rc" 2>/dev/null || echo 1)"
  cat "${job_log[$key]}" >>"$log"
  if [[ $rc != 0 ]]; then
    echo "${job_name[$key]}: FAILED after $((SECONDS - job_start[$key])) s; the end of its output:" >&2
    tail -n 30 "${job_log[$key]}" | sed 's/^/    /' >&2
    exit 1
  fi
  echo "${job_name[$key]}: done in $((SECONDS - job_start[$key])) s"
}
stop_jobs() {
  local key
  for key in "${!job_pid[@]}"; do
    pkill -TERM -P "${job_pid[$key]}" 2>/dev/null || true
  done
}
trap 'stop_jobs' EXIT
trap 'exit 130' INT TERM

# --- the steps ------------------------------------------------------------------------------------
install_os_packages() {
  local as_root=()
  [[ $EUID == 0 ]] || as_root=(sudo -n)
  # Lists may be absent (containers) or old (mirror files gone), so they are fetched first.
  "${as_root[@]}" apt-get update -qq
  # shellcheck disable=SC2086
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-unsafe-io $missing
}
install_npm_packages() {
  local omit=()
  [[ $mode == runtime ]] && omit=(--omit=dev)
  npm ci --ignore-scripts --no-audit --no-fund "${omit[@]}"
  [[ -x $node24 ]] || { echo "node-linux-$arch was not installed (npm config omit=optional?)"; return 1; }
  "$node24" --version
  echo "$(npm_key) $mode" >node_modules/.ostiary-npm
}
build_native() {
  bash scripts/setup/native.sh
  native_key >node_modules/.ostiary-native
}
find_python() {
  local candidate
  for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "no Python >= 3.11 with venv was found: install python3.11-venv" >&2
  return 1
}
install_python() {
  local python
  python="$(find_python)" || return 1
  if [[ ! -x .venv/bin/python ]]; then rm -rf .venv; "$python" -m venv .venv; fi
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r scripts/requirements.txt
  python_key >.venv/.ostiary
}
install_training() {
  .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    -r scripts/requirements.txt -r scripts/training/requirements.lock
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    -e scripts/training
  training_key >.venv/.ostiary-training
}

if [[ -n $missing ]]; then
  if ! command -v apt-get >/dev/null; then
    echo "set-up: install what corresponds to these Debian packages: $missing" >&2
    exit 1
  fi
  if [[ $EUID != 0 ]] && ! sudo -n true 2>/dev/null; then
    echo "set-up: these OS packages are missing; run this and try again:" >&2
    echo "  sudo apt-get update && sudo apt-get install --no-install-recommends $missing" >&2
    exit 1
  fi
fi
if ! command -v npm >/dev/null; then
  echo "set-up: npm is missing: install Node.js >= 20 with npm" >&2
  exit 1
fi

# OS packages and npm packages do not need each other, nor do addons and Python.
os_running='' npm_running='' native_running='' python_running=''
if [[ -n $missing ]]; then
  begin os "OS packages: $(wc -w <<<"$missing") missing" install_os_packages
  os_running=1
fi
if ! npm_ready; then
  begin npm "Node 24 and npm packages" install_npm_packages
  npm_running=1
fi
[[ -z $npm_running ]] || finish npm
[[ -z $os_running ]] || finish os
if ! native_ready; then
  begin native "native addons (OpenCV, HNSW)" build_native
  native_running=1
fi
if ! python_ready; then
  begin python "Python packages" install_python
  python_running=1
fi
[[ -z $python_running ]] || finish python
if ! training_ready; then
  begin training "PyTorch and the training package (several GB)" install_training
  finish training
fi
[[ -z $native_running ]] || finish native
echo "Ostiary set-up: ready after $((SECONDS - started)) s"
