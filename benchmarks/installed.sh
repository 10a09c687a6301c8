# Sourced after environment.sh: installs the wheels of package and core into an environment of its own, as a user would,
# and sets "installed" to it. Without a core that could be built, the reference is what is measured, and the table says so.
installed=$venv/installed
installed_of() { (cd "$root" && cat constraints.txt "$venv/.core-made-from" && find kit -name '*.py' -o -name '*.json' -o -name '*.sh' | LC_ALL=C sort | xargs cat) | cksum; }
if [ "$(cat "$installed/.made-from" 2>/dev/null)" != "$(installed_of)" ]; then
    echo "installing what is measured" >&2
    rm -rf "$installed"
    "$venv/bin/python" -m venv "$installed"
    wheels=$(mktemp -d)
    "$venv/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$wheels" "$root"
    if "$venv/bin/python" -c 'import kit_core' 2>/dev/null; then
        CARGO_TARGET_DIR="$venv/core-build" "$venv/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps \
            --wheel-dir "$wheels" "$root/core/kit-core-python"
    fi
    "$installed/bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$root/constraints.txt" \
        "$wheels"/*.whl
    rm -rf "$wheels"
    installed_of > "$installed/.made-from"
fi
