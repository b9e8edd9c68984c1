#!/usr/bin/env bash
# Sets everything up, then runs the linter, the type checker and all tests.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" dev

# The tests in a browser need the page's scripts, and the packages that they are built of.
page=kd/page/vendor/sources.sha256
if ! command -v npm > /dev/null; then
    echo "No npm (on Debian: apt-get install npm): tests of the built browser page are left out"
elif [ ! -f "$page" ] || [ ! -d node_modules ] || [ -n "$(find kd/page/assets package.json \
        package-lock.json scripts/build_page.sh -newer "$page")" ]; then
    echo "Building the browser page"
    bash scripts/build_page.sh > /dev/null || echo "The browser page can't be built here" >&2
fi
echo "ruff"
ruff check .
ruff format --check .
echo "mypy"
mypy data student teachers kd scripts
echo "pytest"
# A file's tests stay in one process. The processes share the cores: one thread each.
OMP_NUM_THREADS=1 pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder "$@"
echo "All checks passed."
