# Sourced by the other scripts, after environment.sh: sets "compiled" to the folder of the compiled package, or to
# nothing where there is none or a source has changed since.
sources_of() { (cd "$1" && find kit setup.py -name '*.py' -o -name '*.json' -o -name '*.sh' | LC_ALL=C sort | xargs cat | cksum); }
compiled=
if [ -f "$root/.venv/compiled/.made-from" ] && [ "$(cat "$root/.venv/compiled/.made-from")" = "$(sources_of "$root")" ]; then
    compiled=$root/.venv/compiled
fi
