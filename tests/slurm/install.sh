#!/bin/sh
# Install SLURM and munge from Debian, where they are missing.
set -eu
if [ "$(id -u)" != 0 ]; then
    echo "make test-slurm starts a SLURM of its own and makes device files for it: run it as root" >&2
    exit 1
fi
missing=
for program in munged slurmctld slurmd sbatch; do
    command -v "$program" > /dev/null || missing="$missing $program"
done
[ -n "$missing" ] || exit 0
packages="slurm-wlm slurm-wlm-basic-plugins munge"
if ! command -v apt-get > /dev/null; then
    echo "make test-slurm needs$missing; install SLURM and munge by hand, for this is no Debian (no apt-get)" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing $packages"
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $packages > /dev/null 2>&1 && exit 0
# Perhaps for want of lists of packages.
apt-get update -qq
apt-get install -qq -y --no-install-recommends $packages > /dev/null
