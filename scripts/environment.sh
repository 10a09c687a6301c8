# Sourced by the other scripts: makes .venv on first use and again whenever what it is made from changed.
# extras = what to install besides the tool: unset to run it, "dev" to work on it. (A variable: POSIX "." takes no arguments.)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
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

if ! is_ready; then
    # Another reader of BSON, from npm, that a test compares with.
    bson=bson@7.3.4
    if [ ! -x "$venv/bin/python" ]; then
        echo "first use: making $venv" >&2
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "kit needs Python 3.11 or later" >&2; exit 1; }
        "$python" -m venv "$venv"
    fi
    # As old as the look at the sources that follows: what changes meanwhile is newer.
    echo "cargo: $(command -v cargo || true)" > "$ready.new.$$"
    inputs=$({ cat "$root/pyproject.toml" "$root/constraints.txt" && echo "$bson"; } | cksum)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$inputs" ] && [ "$extras$(cat "$venv/.made-from-dev" 2>/dev/null)" != "$inputs" ]; then
        echo "installing${extras:+ with the $extras tools}" >&2
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --constraint "$root/constraints.txt" --editable "$root${extras:+[$extras]}" >&2
        if [ "$extras" = dev ] && command -v npm >/dev/null 2>&1; then
            mkdir -p "$venv/node"
            npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix "$venv/node" "$bson" >&2 ||
                echo "npm did not install $bson; the test that reads with it will be skipped" >&2
        fi
        printf '%s' "$inputs" > "$stamp"
    fi
    . "$root/scripts/core.sh"
    mv "$ready.new.$$" "$ready"
fi
