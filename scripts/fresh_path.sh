#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Make FOLDER the PATH of a machine without what scripts/install_debian.sh adds to a C compiler and Python: links to
# every other program. With "compilers" the cross compilers are there, and picolibc is not.
# Usage: scripts/fresh_path.sh FOLDER [none|compilers]; then PATH=FOLDER make test, FOLDER being absolute
set -eu
folder=$1
kept=${2:-none}
added="cmake* g++* c++* *-linux-gnu-g++* qemu-* valgrind* callgrind_* cg_* ms_print vgdb* clang* cppcheck* espeak*"
cross="arm-none-eabi-* riscv64-unknown-elf-*"

rm -rf "$folder"
mkdir -p "$folder"
cd "$folder"
IFS=:
for place in $PATH; do # the first of a name is the one that counts
    [ -d "$place" ] && ln -s "$place"/* . 2>/dev/null || true
done
unset IFS
# the names are patterns
rm -f $added
if [ "$kept" = none ]; then
    rm -f $cross
    exit
fi

for gcc in *-none-eabi-gcc *-unknown-elf-gcc; do
    [ -x "$gcc" ] || continue
    real=$(readlink "$gcc")
    rm "$gcc"
    cat >"$gcc" <<END
#!/bin/sh
# As where picolibc is not installed.
for word; do
    case \$word in
    -print-file-name=picolibc.specs) echo picolibc.specs; exit ;;
    --specs=picolibc.specs)
        echo "$gcc: fatal error: cannot read spec file 'picolibc.specs': No such file or directory" >&2
        echo "compilation terminated." >&2
        exit 1 ;;
    esac
done
exec "$real" "\$@"
END
    chmod +x "$gcc"
done
