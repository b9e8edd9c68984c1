# Sourced by demo.sh and test.sh: makes .venv in the project's folder and installs the given extra.
# usage: source scripts/setup.sh EXTRA

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ! .venv/bin/python -m pip --version > /dev/null 2>&1; then
    echo "Making a virtual environment in .venv"
    python=${PYTHON:-$(command -v python3.11 || command -v python3)}
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11" >&2
        exit 2
    }
    "$python" -m venv --clear .venv || {
        echo "Python's venv module is needed (on Debian: apt-get install python3-venv)" >&2
        exit 2
    }
fi
# The mark says which extra was installed from which set-up, so that a second call is quick.
mark=".venv/.installed-$1"
wanted=$(cat setup.cfg constraints.txt | sha256sum)
if [ "$(cat "$mark" 2>/dev/null)" != "$wanted" ]; then
    echo "Installing the pinned packages (about 2 GB, a few minutes)"
    .venv/bin/python -m pip install -qq --disable-pip-version-check \
        -c constraints.txt 'torch==2.13.0'
    .venv/bin/python -m pip install -qq --disable-pip-version-check \
        -c constraints.txt -e ".[$1]"
    echo "$wanted" > "$mark"
fi
export PATH="$PWD/.venv/bin:$PATH"
