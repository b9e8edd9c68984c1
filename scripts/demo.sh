#!/usr/bin/env bash
# Sets everything up, then trains five teachers and a student on the embedded samples.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh" demo,export

echo "Running the main job: kd run configs/demo.yaml"
kd run configs/demo.yaml
echo
echo "A prediction of the student for a reply to «I lost my job today and I feel like a failure.»:"
kd predict runs/demo \
    --text "I'm so sorry, that must feel awful after all those years. What did your boss say to you?" \
    --context "I lost my job today and I feel like a failure."
echo
echo "Done. The student is in runs/demo/student, every score in runs/demo/metrics.json."
