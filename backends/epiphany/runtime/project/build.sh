#!/bin/sh
# Builds both programs for the chip: build/device.elf and build/host.elf (see README.md).
#   E_GCC          compiler of the cores: e-gcc (eSDK, default) or epiphany-elf-gcc
#   CROSS_COMPILE  prefix of the host's compiler when this is not the host
#   EPIPHANY_HOME  the eSDK, /opt/adapteva/esdk when unset
set -e
cd "$(dirname "$0")"
exec make all "$@"
