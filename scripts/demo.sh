#!/usr/bin/env bash
# The demo on a fresh clone: set-up, then `ostiary demo`. Arguments go to it, e.g. `-- --camera rtsp://…`.
set -euo pipefail
root="$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
bash "$root/scripts/setup.sh" --demo
exec "$root/scripts/ostiary" demo "$@"
