#!/bin/sh
# Install the locked environment into a folder: sh install.sh .venv
#
# torch is the one package that needs care. On an ordinary machine plain torch==2.13.0 is the CUDA build, so the CPU
# build is asked for by name: first wherever pip is configured to look, then in PyTorch's own index, on its own.
set -eu
venv=$1
python=${PYTHON:-python3}
torch="torch==2.13.0+cpu"

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "mr_assets needs Python 3.11 or newer; $python is $("$python" --version 2>&1)." >&2
    echo "Install one and say which: make run PYTHON=python3.12" >&2
    exit 1
fi
if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
    echo "The locked environment is for Linux on x86-64; this is $(uname -s) on $(uname -m)." >&2
    exit 1
fi

[ -x "$venv/bin/pip" ] || "$python" -m venv "$venv"
pip="$venv/bin/pip --disable-pip-version-check"
echo "Installing the locked environment into $venv (about 4 GB, a few minutes)."
# pip unpacks on one core: two of it have every other package each, and none waits for another's
every_other() { grep -v '^#' requirements.lock | awk "NR % 2 == $1"; }
every_other 0 | $pip install --quiet --no-deps -r /dev/stdin &
other=$!
every_other 1 | $pip install --quiet --no-deps -r /dev/stdin
$pip install --quiet --no-deps "$torch" 2>/dev/null ||
    $pip install --quiet --no-deps "$torch" --index-url https://download.pytorch.org/whl/cpu
wait $other
$pip install --quiet --no-deps --no-build-isolation -e .
echo "Installed."
