#!/usr/bin/env bash
# Installs Ostiary from this checkout as a systemd service. Idempotent.
#
#   sudo scripts/install.sh               install or upgrade, enable the unit
#        … --trust ROOT DIRECTOR          and trust that TUF root and director's public key for model updates
#   sudo scripts/install.sh --check       say what is wrong on this box, line by line, with the fix
#   sudo scripts/install.sh --uninstall   remove it; configuration, key and store stay
#        … --uninstall --purge            remove those as well
#   … --root DIR                          stage below DIR: no user, no systemctl, no set-up
set -euo pipefail
root="$(cd -P "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)"
stage=""
action=install
purge=false
trust=()
usage() { sed -n '4,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
while (($# > 0)); do
  case "$1" in
    --check) action=check ;;
    --uninstall) action=uninstall ;;
    --purge) purge=true ;;
    --trust) [[ -n ${3:-} ]] || usage; trust=("$(realpath -m "$2")" "$(realpath -m "$3")"); shift 2 ;;
    --root) [[ -n ${2:-} ]] || usage; mkdir -p "$2"; stage="$(cd -P "$2" && pwd)"; shift ;;
    *) usage ;;
  esac
  shift
done
[[ $purge == false || $action == uninstall ]] || usage
((${#trust[@]} == 0)) || [[ $action == install ]] || usage

opt="$stage/opt/ostiary"
etc="$stage/etc/ostiary"
var="$stage/var/lib/ostiary"
units="$stage/etc/systemd/system"
say() { echo "install: $*"; }
fail() { echo "install: $*" >&2; exit 1; }
live() { [[ -z $stage ]]; }
systemd_runs() { live && [[ -d /run/systemd/system ]]; }

# shellcheck source=install/steps.sh
source "$root/scripts/install/steps.sh"

case "$action" in
  check)
    # shellcheck source=install/check.sh
    source "$root/scripts/install/check.sh"
    check_box
    ;;
  uninstall)
    need_root
    uninstall
    ;;
  install)
    need_root
    check_trust
    if live; then bash "$root/scripts/setup.sh" --runtime; fi
    make_user
    install_version
    install_config
    install_device_key
    install_trust
    install_units
    start_or_say_why_not
    ;;
esac
