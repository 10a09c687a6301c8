# Sourced by the other scripts, which set root: makes .venv on first use and again whenever what it is made from changed.
# extras = what to install besides the tool: unset to run it, "dev" to work on it. (A variable: POSIX "." takes no arguments.)
set -eu
extras=${extras:-}
python=${PYTHON:-python3}
venv=$root/.venv
stamp=$venv/.made-from-${extras:-run}
ready=$venv/.ready-${extras:-run}

# Whether nothing has changed since the last start: no file it is made from, and neither cargo's coming nor its going.
# That is one find; to read all of it takes longer than kit --version does. An environment for development serves to run
# the tool as well.
is_ready() {
    [ -f "$venv/.core-made-from" ] || return 1  # removed to have the core built again
    for one in "$ready" "$venv/.ready-dev"; do
        [ -f "$one" ] && [ -x "$venv/bin/python" ] && IFS= read -r known < "$one" || continue
        [ "$known" = "cargo: $(command -v cargo)" ] || continue
        changed=$(cd "$root" && find pyproject.toml constraints.txt scripts/environment.sh scripts/core.sh core \
            -name target -prune -o -cnewer "$one" -print 2>&1) || continue
        [ -n "$changed" ] || return 0
    done
    return 1
}

has_pip() { [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; }

# Run a command whose output only matters where it fails: then its end is shown.
quietly() {
    "$@" >>"$log" 2>&1 && return 0
    tail -n 5 "$log" >&2
    echo "that failed; all of its output is in $log" >&2
    return 1
}

make_venv() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "kit needs Python 3.11 or later" >&2; exit 1; }
    "$python" -m venv "$venv" >>"$log" 2>&1 || true
    # What an interrupted run left may have half a pip that counts as installed.
    has_pip || { rm -rf "$venv/bin" "$venv/lib" "$venv/lib64" "$venv/include" "$venv/pyvenv.cfg"; quietly "$python" -m venv "$venv"; }
}

# One run at a time: a lock on the open descriptor 9, which the system gives up with the last process that has it.
take_lock() {
    mkdir -p "$venv"
    exec 9>>"$venv/.lock"
    locker=$python
    command -v "$locker" >/dev/null 2>&1 || locker=$venv/bin/python
    "$locker" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 9>&9 2>/dev/null && return 0
    echo "another run is installing into $venv; waiting for it" >&2
    "$locker" -c 'import fcntl, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); fcntl.flock(9, fcntl.LOCK_EX)' 9>&9
}

if ! is_ready; then
    trap 'echo "interrupted; the next run continues" >&2; exit 130' INT TERM
    take_lock
fi
if ! is_ready; then
    log=$venv/install.log
    # From npm: another reader of BSON, that a test compares with, and the shell that applies exported changes.
    packages="bson@7.3.4 mongosh@2.12.0"
    rm -f "$ready".new.*  # of runs that were interrupted
    # As old as the look at the sources that follows: what changes meanwhile is newer.
    echo "cargo: $(command -v cargo || true)" > "$ready.new.$$"
    inputs=$({ cat "$root/pyproject.toml" "$root/constraints.txt" && echo "$packages"; } | cksum)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$inputs" ] && [ "$extras$(cat "$venv/.made-from-dev" 2>/dev/null)" != "$inputs" ]; then
        : > "$log"
        echo "installing kit${extras:+ with the $extras tools} into $venv, once; that takes about a minute" >&2
        has_pip || make_venv
        quietly "$venv/bin/python" -m pip install --disable-pip-version-check --no-input \
            --constraint "$root/constraints.txt" --editable "$root${extras:+[$extras]}"
        if [ "$extras" = dev ] && command -v npm >/dev/null 2>&1; then
            mkdir -p "$venv/node"
            npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$venv/node" $packages >>"$log" 2>&1 ||
                echo "npm did not install $packages; the tests that use them will be skipped" >&2
        fi
        printf '%s' "$inputs" > "$stamp"
    fi
    . "$root/scripts/core.sh"
    mv "$ready.new.$$" "$ready"
fi
exec 9>&-
trap - INT TERM
