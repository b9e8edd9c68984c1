#!/usr/bin/env bash
# Fetches the pinned npm packages and puts what the browser page needs of them in kd/page/vendor.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v npm > /dev/null || {
    echo "npm is needed (on Debian: apt-get install npm)" >&2
    exit 2
}
npm ci --ignore-scripts --loglevel=error > /dev/null

made=$(mktemp -d kd/page/.vendor.XXXXXX)
trap 'rm -rf "$made"' EXIT
# Plain scripts, not modules: a browser loads no module from a disk.
for script in worker page; do
    node_modules/.bin/esbuild "kd/page/assets/$script.js" --bundle --minify --format=iife \
        --define:import.meta.url=location.href --target=es2022 --log-level=warning \
        --outfile="$made/$script.js"
done
# kd demo asks for a new build when the sources have changed since.
(LC_ALL=C; cat kd/page/assets/*.js) | sha256sum | cut -d " " -f 1 > "$made/sources.sha256"
gzip -9 -n -c node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm > "$made/ort.wasm.gz"
{
    echo "onnxruntime-web (MIT)"
    echo
    cat kd/page/assets/license-onnxruntime.txt
    echo
    echo "@huggingface/tokenizers (Apache-2.0)"
    echo
    cat node_modules/@huggingface/tokenizers/LICENSE
} > "$made/licenses.txt"
chmod 755 "$made"
rm -rf kd/page/vendor
mv "$made" kd/page/vendor
trap - EXIT
echo "kd/page/vendor is ready: kd demo MODEL"
