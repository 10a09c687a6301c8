# Sourced by the other scripts: makes .venv on first use and again whenever what it is made from changed.
# extras = what to install besides the tool: unset to run it, "dev" to work on it. (A variable: POSIX "." takes no arguments.)
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
extras=${extras:-}
python=${PYTHON:-python3}
venv=$root/.venv
stamp=$venv/.made-from-${extras:-run}
inputs=$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)
if [ ! -x "$venv/bin/python" ]; then
    echo "first use: making $venv" >&2
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "kit needs Python 3.11 or later" >&2; exit 1; }
    "$python" -m venv "$venv"
fi
# An environment for development serves to run the tool as well.
if [ "$(cat "$stamp" 2>/dev/null)" != "$inputs" ] && [ "$extras$(cat "$venv/.made-from-dev" 2>/dev/null)" != "$inputs" ]; then
    echo "installing${extras:+ with the $extras tools}" >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint "$root/constraints.txt" --editable "$root${extras:+[$extras]}" >&2
    printf '%s' "$inputs" > "$stamp"
fi
