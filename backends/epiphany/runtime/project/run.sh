#!/bin/sh
# Runs the program on the chip: ./run.sh inputs.bin outputs.bin [options of host.elf]
set -e
if [ $# -lt 2 ]; then
  echo "usage: $0 inputs.bin outputs.bin [--verbose] [--timeout S]" >&2
  exit 2
fi
inputs="$1"
outputs="$2"
shift 2
here="$(cd "$(dirname "$0")" && pwd)"
home="${EPIPHANY_HOME:-/opt/adapteva/esdk}"
LD_LIBRARY_PATH="$home/tools/host/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
EPIPHANY_HDF="${EPIPHANY_HDF:-$home/bsps/current/platform.hdf}"
export LD_LIBRARY_PATH EPIPHANY_HDF
exec "$here/build/host.elf" --program "$here/build/device.elf" "$@" \
  "$here/weights.bin" "$inputs" "$outputs"
