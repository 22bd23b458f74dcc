#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install what the complete tests use on Debian or Ubuntu; does nothing where it is there already.
set -eu

packages="gcc libc6-dev make git python3 python3-venv python3-dev valgrind clang-14 libclang-rt-14-dev
llvm-14 gcc-arm-none-eabi libnewlib-arm-none-eabi picolibc-arm-none-eabi gcc-riscv64-unknown-elf
picolibc-riscv64-unknown-elf qemu-system-arm qemu-system-misc cppcheck espeak-ng libportaudio2 g++ cmake"

command -v apt-get >/dev/null || { echo "no apt-get here: install these by hand: $packages"; exit 0; }
missing=
for package in $packages; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "ok installed" ||
        missing="$missing $package"
done
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "not root: install by hand:$missing"; exit 0; }
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
for package in $missing; do # one by one: a release that lacks one still gets the others
    apt-get -q -y install --no-install-recommends "$package" </dev/null ||
        echo "could not install $package: what needs it will be skipped"
done
