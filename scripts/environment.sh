# Sourced by the other scripts: makes .venv on first use and again whenever what it is made from changed.
# $1 = extras to install: "" to run the tool, "dev" to work on it.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
extras=${1:-}
python=${PYTHON:-python3}
venv=$root/.venv
stamp=$venv/.made-from-${extras:-run}
inputs=$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)
if [ ! -x "$venv/bin/python" ]; then
    echo "first use: making $venv" >&2
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "kit needs Python 3.11 or later" >&2; exit 1; }
    "$python" -m venv "$venv"
fi
if [ "$(cat "$stamp" 2>/dev/null)" != "$inputs" ]; then
    echo "installing${extras:+ with the $extras tools}" >&2
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint "$root/constraints.txt" --editable "$root${extras:+[$extras]}" >&2
    printf '%s' "$inputs" > "$stamp"
fi
