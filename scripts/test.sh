#!/usr/bin/env bash
# Sets everything up, then runs the linter, the type checker and all tests.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" dev

echo "ruff"
ruff check .
ruff format --check .
echo "mypy"
mypy data student teachers kd scripts
echo "pytest"
pytest "$@"
echo "All checks passed."
