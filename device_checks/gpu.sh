#!/usr/bin/env bash
# All checks that need a GPU, in 8 minutes: bash device_checks/gpu.sh        (or DEVICE=cpu bash device_checks/gpu.sh: in miniature)
# Nothing is installed and nothing is fetched. PYTHON names the Python that has torch; a summary is written to $OUT/checks.json where OUT is set.
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 MPLBACKEND=Agg
exec "${PYTHON:-python3}" device_checks/checks.py --device "${DEVICE:-cuda}" --seconds "${SECONDS_IN_ALL:-470}" "$@"
