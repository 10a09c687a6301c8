# Sourced by environment.sh: builds and installs the core (core/) on first use and again whenever its sources change. The
# tool does the same without it, only slower, so nothing that goes wrong here is an error.
core_of() {
    (cd "$root/core" && find . -name target -prune -o -type f -print | LC_ALL=C sort | xargs cat | cksum)
    command -v cargo || true
}
core_stamp=$venv/.core-made-from
core_log=$venv/core-build.log
core_state=$(core_of)
if [ "$(cat "$core_stamp" 2>/dev/null)" != "$core_state" ]; then
    core_outcome="no cargo here to build the core with"
    if command -v cargo >/dev/null 2>&1; then
        echo "building the core, which takes a minute or two, once" >&2
        if CARGO_TARGET_DIR="$venv/core-build" "$venv/bin/python" -m pip install --disable-pip-version-check --no-deps \
            --force-reinstall "$root/core/kit-core-python" >"$core_log" 2>&1; then
            core_outcome=
        else
            core_outcome="the core could not be built (see $core_log; to try again: rm $core_stamp)"
        fi
    fi
    if [ -n "$core_outcome" ]; then
        echo "$core_outcome; the slower reference is used" >&2
        # One of other sources is no longer the core of this package.
        if "$venv/bin/python" -c 'import kit_core' 2>/dev/null; then
            "$venv/bin/python" -m pip uninstall --quiet --disable-pip-version-check --yes offline-kit-core >/dev/null 2>&1 || true
        fi
    fi
    printf '%s' "$core_state" > "$core_stamp"
fi
