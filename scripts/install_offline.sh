#!/bin/sh
# Installs kit into a new folder, from the files beside this script alone: no network, no compiler, no administrator.
#
#   sh install.sh FOLDER [PYTHON]     PYTHON is python3 unless it is given
#
# Every file is compared with SHA256SUMS first, every wheel once more by pip. Needs a shell and the Python that
# README.txt names, with its module venv; pip comes along. Afterwards FOLDER/bin/kit is the program.
set -eu
case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
folder=${1:?sh install.sh FOLDER [PYTHON]}
python=${2:-python3}
fail() { echo "install.sh: error: $1" >&2; exit "$2"; }

command -v "$python" >/dev/null 2>&1 || fail "there is no $python; name one: sh install.sh FOLDER PYTHON" 1
[ ! -e "$folder" ] || fail "$folder is there already; choose a new folder" 74

"$python" -I - "$here" <<'CHECK' || exit $?
import hashlib, pathlib, sys

here = pathlib.Path(sys.argv[1])
def fail(what, code):
    print(f"install.sh: error: {what}", file=sys.stderr)
    sys.exit(code)

listed = {}
for line in (here / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
    digest, _, name = line.partition("  ")
    listed[name] = digest
there = {str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()} - {"SHA256SUMS"}
for name in sorted(listed.keys() | there):
    if name not in there:
        fail(f"{name}: listed in SHA256SUMS, but absent", 2)
    if name not in listed:
        fail(f"{name}: not listed in SHA256SUMS", 2)
    if hashlib.sha256((here / name).read_bytes()).hexdigest() != listed[name]:
        fail(f"{name}: digest differs from SHA256SUMS", 2)
wanted = (here / "python-version").read_text(encoding="utf-8").strip()
met = f"{sys.version_info.major}.{sys.version_info.minor}"
if met != wanted:
    fail(f"this Python is {met}, the wheels are for {wanted}", 1)
CHECK

"$python" -I -m venv --without-pip "$folder" || fail "a virtual environment cannot be made; is the module venv installed?" 74
for pip in "$here"/wheels/pip-*.whl; do
    "$folder/bin/python" -I -c 'import sys; sys.path.insert(0, sys.argv.pop(1)); from pip._internal.cli.main import main; sys.exit(main())' \
        "$pip" --isolated --no-cache-dir --disable-pip-version-check --quiet install --no-index --require-hashes \
        --only-binary :all: --find-links "$here/wheels" --requirement "$here/requirements.txt" ||
        { rm -rf "$folder"; fail "pip refused; $folder is removed" 74; }
done
"$folder/bin/kit" --version
echo "installed: $folder/bin/kit"
