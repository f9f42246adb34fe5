# The steps of scripts/install.sh, which sources this. Each leaves alone what is already in place.

need_root() {
  if live && [[ $EUID != 0 ]]; then fail "this needs root: sudo scripts/install.sh"; fi
}

make_user() {
  live || return 0
  if getent passwd ostiary >/dev/null && getent group ostiary-admin >/dev/null; then return 0; fi
  say "creating the system user ostiary and the group ostiary-admin"
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers "$root/systemd/sysusers.conf"
    return 0
  fi
  getent group ostiary-admin >/dev/null || groupadd --system ostiary-admin
  getent passwd ostiary >/dev/null ||
    useradd --system --user-group --home-dir /var/lib/ostiary --no-create-home --shell /usr/sbin/nologin ostiary
  usermod --append --groups ostiary-admin ostiary
}

# What a version consists of, relative to the checkout: our files, then the packages that run needs.
our_files() {
  local path
  for path in package.json package-lock.json LICENSE README.md src scripts systemd config models; do
    if [[ -e "$root/$path" ]]; then echo "$path"; fi
  done
}
runtime_packages_of_lock() {
  "$root/scripts/node" -e '
    const { existsSync, readFileSync } = require("node:fs");
    const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"));
    for (const [path, entry] of Object.entries(packages))
      if (path !== "" && !entry.dev && existsSync(path)) console.log(path);' |
    # A nested package travels with the one around it.
    grep -v '/node_modules/.*/node_modules/'
}
version_id() {
  local content
  content="$(our_files | while read -r path; do find "$path" -type f -not -path '*/__pycache__/*' -not -path 'scripts/training/var/*'; done |
    LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum | cut -c1-12)"
  echo "$(sed -n 's/^ *"version": "\(.*\)",$/\1/p' package.json | head -n 1)-$content"
}

install_version() {
  cd "$root"
  [[ -x node_modules ]] || fail "node_modules is missing: run scripts/setup.sh first"
  local id target partial
  id="$(version_id)"
  target="$opt/versions/$id"
  if [[ ! -d $target ]]; then
    say "copying version $id"
    partial="$opt/versions/.partial"
    rm -rf "$partial"
    mkdir -p "$partial"
    chmod 755 "$opt" "$opt/versions" "$partial"
    { our_files; runtime_packages_of_lock; } >"$opt/versions/.list"
    # Excludes go first: tar applies them to what follows. Left behind: what trainings made, compilers' leavings,
    # other systems' binaries.
    tar -cf - --owner=0 --group=0 --exclude='__pycache__' --exclude='scripts/training/var' \
      --exclude='obj.target' --exclude='*.o' --exclude='*.o.d' \
      --exclude='*.map' --exclude='onnxruntime-node/bin/*/win32' --exclude='onnxruntime-node/bin/*/darwin' \
      --exclude='node-linux-*/include' --exclude='node-linux-*/share' --files-from "$opt/versions/.list" |
      tar -xf - -C "$partial" --no-same-permissions
    rm -f "$opt/versions/.list"
    # The rename is the moment from which the version exists.
    sync -f "$partial"
    mv -T "$partial" "$target"
  fi
  if [[ "$(readlink "$opt/current" 2>/dev/null || true)" != "versions/$id" ]]; then
    ln -sfn "versions/$id" "$opt/.current"
    mv -T "$opt/.current" "$opt/current"
    say "current version is $id"
  fi
  mkdir -p "$stage/usr/bin"
  ln -sfn /opt/ostiary/current/scripts/ostiary "$stage/usr/bin/ostiary"
  prune_versions "$id"
}

# Keeps the current version and the newest other one, to go back to.
prune_versions() {
  local path kept=0
  for path in $(ls -1dt "$opt"/versions/*/ 2>/dev/null); do
    path="${path%/}"
    [[ "$(basename "$path")" == "$1" ]] && continue
    kept=$((kept + 1))
    if ((kept > 1)); then rm -rf "$path"; fi
  done
}

own() { # own OWNER:GROUP PATH… : only on the live system, where the user exists
  live || return 0
  chown "$@"
}

install_config() {
  mkdir -p "$etc" "$var"
  chmod 755 "$etc"
  chmod 700 "$var"
  own ostiary:ostiary "$var"
  if [[ ! -e "$etc/ostiary.yaml" ]]; then
    install -m 640 "$root/config/ostiary.example.yaml" "$etc/ostiary.yaml"
    own root:ostiary "$etc/ostiary.yaml"
    say "wrote /etc/ostiary/ostiary.yaml from the example: edit it"
  fi
}

# 32 random bytes. Whoever has them reads the store: only root does, and systemd hands them to the daemon.
install_device_key() {
  if [[ -e "$etc/device.key" || -e "$etc/device.key.cred" ]]; then return 0; fi
  (umask 077 && head -c 32 /dev/urandom >"$etc/.device.key")
  sync -f "$etc/.device.key"
  mv -T "$etc/.device.key" "$etc/device.key"
  say "made /etc/ostiary/device.key (root only): keep a copy in a safe, without it the store cannot be read"
}

# Before anything is installed: a wrong file must not become what the device trusts.
check_trust() {
  ((${#trust[@]} > 0)) || return 0
  local root_file="${trust[0]}" director_file="${trust[1]}"
  [[ -r $root_file ]] || fail "--trust: cannot read $root_file"
  [[ -r $director_file ]] || fail "--trust: cannot read $director_file"
  grep -Eq '"_type"[[:space:]]*:[[:space:]]*"root"' "$root_file" ||
    fail "--trust: $root_file is no TUF root: take metadata/1.root.json of the release repository"
  grep -Eq '^[A-Za-z0-9+/]{43}=' "$director_file" ||
    fail "--trust: $director_file holds no public key: 44 characters of base64 on a line"
  if grep -q 'PRIVATE KEY' "$director_file"; then fail "--trust: $director_file holds a private key: keep it at home"; fi
}

# What model updates are believed by: only root may change it, the daemon may read it.
install_trust() {
  ((${#trust[@]} > 0)) || return 0
  local name index=0
  mkdir -p "$etc/trust"
  chmod 755 "$etc/trust"
  for name in root.json director.pub; do
    install -m 644 "${trust[index]}" "$etc/trust/.$name"
    sync -f "$etc/trust/.$name"
    mv -T "$etc/trust/.$name" "$etc/trust/$name"
    index=$((index + 1))
  done
  say "trusts $etc/trust/root.json and director.pub; updates begin with an update section in /etc/ostiary/ostiary.yaml"
}

install_units() {
  mkdir -p "$units" "$stage/usr/lib/sysusers.d" "$stage/usr/lib/tmpfiles.d"
  install -m 644 "$root/systemd/ostiary.service" "$units/ostiary.service"
  install -m 644 "$root/systemd/sysusers.conf" "$stage/usr/lib/sysusers.d/ostiary.conf"
  install -m 644 "$root/systemd/tmpfiles.conf" "$stage/usr/lib/tmpfiles.d/ostiary.conf"
  write_device_dropin
  # Enabling is this link; systemctl would do the same.
  mkdir -p "$units/multi-user.target.wants"
  ln -sfn ../ostiary.service "$units/multi-user.target.wants/ostiary.service"
  if systemd_runs; then systemctl daemon-reload; fi
}

# DeviceAllow= knows no globs and wants nodes that exist: on Jetson, NVIDIA's own list says which.
write_device_dropin() {
  local csv="$stage/etc/nvidia-container-runtime/host-files-for-container.d/devices.csv"
  local dropin="$units/ostiary.service.d/10-devices.conf"
  if [[ ! -r $csv ]]; then
    rm -f "$dropin"
    return 0
  fi
  mkdir -p "$(dirname "$dropin")"
  {
    echo "# Written by scripts/install.sh from $csv"
    echo "[Service]"
    sed -n 's/^dev, *\(\/dev\/[A-Za-z0-9_./:-]*\).*$/\1/p' "$csv" | LC_ALL=C sort -u | while read -r node; do
      if [[ -e "$stage$node" ]]; then echo "DeviceAllow=$node rw"; fi
    done
  } >"$dropin.new"
  mv -T "$dropin.new" "$dropin"
}

start_or_say_why_not() {
  if ! systemd_runs; then
    say "done; the unit is enabled, systemd does not run here"
    return 0
  fi
  if cmp -s "$root/config/ostiary.example.yaml" "$etc/ostiary.yaml"; then
    say "done; not started: /etc/ostiary/ostiary.yaml is still the example. Edit it, then: systemctl start ostiary"
  elif ! /usr/bin/ostiary config print --config "$etc/ostiary.yaml" >/dev/null; then
    say "done; not started: the configuration is not valid (see above). Then: systemctl start ostiary"
  elif systemctl restart ostiary; then
    say "done; the service runs"
  else
    fail "the service did not start: journalctl -u ostiary -n 50"
  fi
}

uninstall() {
  if systemd_runs; then systemctl disable --now ostiary 2>/dev/null || true; fi
  rm -f "$units/multi-user.target.wants/ostiary.service" "$units/ostiary.service" "$stage/usr/bin/ostiary" \
    "$stage/usr/lib/sysusers.d/ostiary.conf" "$stage/usr/lib/tmpfiles.d/ostiary.conf" \
    "$units/ostiary.service.d/10-devices.conf"
  rmdir "$units/ostiary.service.d" 2>/dev/null || true
  rm -rf "$opt"
  if systemd_runs; then systemctl daemon-reload; fi
  if [[ $purge == false ]]; then
    say "removed; /etc/ostiary and /var/lib/ostiary stay (--purge removes them)"
    return 0
  fi
  rm -rf "$etc" "$var" "$stage/var/cache/ostiary"
  if live; then
    userdel ostiary 2>/dev/null || true
    groupdel ostiary-admin 2>/dev/null || true
  fi
  say "removed with configuration, key and store"
}
