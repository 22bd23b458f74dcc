# SPDX-License-Identifier: Apache-2.0
# make setup        .venv with the package, and the virtual board at build/tracekws-board
# make setup-train  adds torch and what training needs
# make setup-lab    adds torch and what the lab needs
# make demo         sets up, then shows the whole product on the virtual board
# make board        the virtual board alone
# make firmware     firmware for microcontrollers into build/firmware; BOARD=NAME for one board
# make test         everything, in its own environment: sanitized builds, lint, tests
# make lint         formats, types, static analysis, generated files
# make bench        benchmarks/results.json and benchmarks/README.md
# make cost         instructions on the boards' processors: benchmarks/cost.json, README.md, cards
# make sizes        memory of the firmware on every board: benchmarks/sizes.json and README.md
# make cuts         the power cut at every flash operation: benchmarks/reliability.json
# make fuzz         libFuzzer, MINUTES=30: benchmarks/reliability.json and README.md
# make equality     the same bits on every machine, for hours: benchmarks/equality.json
# make line         a fault at every place of a session over the line: benchmarks/reliability.json; CASE=NAME for one
# make clean        removes what was built (.venv stays)

CC ?= cc
MINUTES ?= 10
PYTHON := .venv/bin/python
WARNINGS := -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wvla -Wundef -Werror
INCLUDES := -Ifirmware/core/include -Ifirmware/app -Ifirmware/boards
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g

CORE_C := $(wildcard firmware/core/src/*.c)
CORE_H := $(wildcard firmware/core/include/tracekws/*) $(wildcard firmware/core/src/*.h)
BOARD_C := $(CORE_C) $(wildcard firmware/app/*.c) $(wildcard firmware/boards/virtual/*.c)
BOARD_H := $(CORE_H) $(wildcard firmware/app/*.h firmware/app/*.def firmware/boards/virtual/*.h)
PACKAGE := pyproject.toml setup.py host/core_build.py $(CORE_C) $(CORE_H) \
	$(addprefix firmware/app/,protocol.h frame.h requests.def)
OUR_C := $(CORE_C) $(filter-out %/tables.h,$(filter %.h,$(CORE_H))) \
	$(wildcard firmware/app/*.[ch] firmware/examples/*.c firmware/boards/*/*.[ch]) \
	$(wildcard tests/core/*.c tests/boards/*.c tests/cuts/*.[ch] tests/fuzz/*.[ch] benchmarks/*.c)
OUR_PYTHON := firmware host tests scripts benchmarks setup.py

.PHONY: setup setup-train setup-lab setup-test demo board firmware test lint bench cost sizes cuts equality fuzz line clean

setup: .venv/.installed-base board

setup-train: .venv/.installed-train board

setup-lab: .venv/.installed-lab board

setup-test: .venv/.installed-test board

.venv/.installed-base: $(PACKAGE) scripts/make_venv.sh
	scripts/make_venv.sh
	@touch $@

.venv/.installed-train: $(PACKAGE) scripts/make_venv.sh
	scripts/make_venv.sh train
	@touch $@ .venv/.installed-base

.venv/.installed-lab: $(PACKAGE) scripts/make_venv.sh
	scripts/make_venv.sh lab
	@touch $@ .venv/.installed-base

.venv/.installed-test: $(PACKAGE) scripts/make_venv.sh
	scripts/make_venv.sh train,lab,events,dev
	@touch $@ .venv/.installed-base .venv/.installed-train .venv/.installed-lab

demo: setup
	.venv/bin/tracekws demo --picture build/demo.png

board: build/tracekws-board

build/tracekws-board: $(BOARD_C) $(BOARD_H)
	@mkdir -p $(@D)
	$(CC) -std=c11 -O2 $(WARNINGS) $(INCLUDES) $(BOARD_C) -o $@

FIRMWARE_BOARDS := $(patsubst firmware/boards/%/board.mk,%,$(wildcard firmware/boards/*/board.mk))

firmware: $(addprefix firmware-,$(or $(BOARD),$(FIRMWARE_BOARDS)))

firmware-%:
	$(MAKE) -s -f firmware/firmware.mk BOARD=$*

build/sanitized/tracekws-board: $(BOARD_C) $(BOARD_H)
	@mkdir -p $(@D)
	$(CC) -std=c11 -O1 $(SANITIZE) $(WARNINGS) $(INCLUDES) $(BOARD_C) -o $@

# The core for Python with sanitizers, in a package directory of its own: PYTHONPATH selects it.
build/sanitized/.core: $(PACKAGE) $(wildcard host/tracekws/*.py host/tracekws/*/*.py) \
		.venv/.installed-test build/tracekws-board
	TRACEKWS_SANITIZE=1 $(PYTHON) setup.py -q build --build-base build/sanitized/objects \
		--build-lib build/sanitized/python
	@touch $@

# Python itself is not sanitized: the runtime is preloaded, and its small allocations go to malloc,
# so that overruns of buffers made in Python are seen too.
test: setup-test lint build/sanitized/.core build/sanitized/tracekws-board
	LD_PRELOAD=$$($(CC) -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 \
		PYTHONMALLOC=malloc PYTHONPATH=build/sanitized/python HYPOTHESIS_PROFILE=few \
		$(PYTHON) -m pytest -q --capture=sys -n auto tests/core \
		-m "not toolchain and not thorough"
	TRACEKWS_BOARD=$(CURDIR)/build/sanitized/tracekws-board $(PYTHON) -m pytest -n auto \
		--notices $(NOT_LINTED)

# What was left out for want of a tool; `make test` ends with it.
NOT_LINTED := build/not_linted

lint: .venv/.installed-test
	.venv/bin/ruff check $(OUR_PYTHON)
	.venv/bin/ruff format --check $(OUR_PYTHON)
	.venv/bin/mypy
	.venv/bin/mypy benchmarks/*.py
	$(PYTHON) scripts/make_tables.py --check
	.venv/bin/clang-format --dry-run -Werror $(OUR_C)
	.venv/bin/clang-tidy --quiet $(filter %.c,$(BOARD_C)) -- -std=c11 $(INCLUDES) \
		-isystem $$($(CC) -print-file-name=include)
	@mkdir -p build && rm -f $(NOT_LINTED)
	@for board in $(FIRMWARE_BOARDS); do \
		make="$(MAKE) -s -f firmware/firmware.mk BOARD=$$board CLANG_TIDY=.venv/bin/clang-tidy"; \
		if why=$$($$make -n 2>&1 >/dev/null); then $$make tidy || exit 1; \
		else case "$$why" in \
			*" is not installed"*) echo "not linted: $$board: $${why#*'*** '}" | tee -a $(NOT_LINTED);; \
			*) echo "$$why"; exit 1;; \
		esac; fi; \
	done
	@if command -v cppcheck >/dev/null; then \
		cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
			--inline-suppr --suppress=missingIncludeSystem \
			'--suppress=comparePointers:firmware/boards/*' \
			$(INCLUDES) -Ifirmware/boards/bare firmware; \
	else echo "not linted: cppcheck is not installed" | tee -a $(NOT_LINTED); fi

cost: setup
	.venv/bin/tracekws bench cost models/small.tkws --card
	.venv/bin/tracekws bench cost models/base.tkws --card --json > build/cost.json
	mv build/cost.json benchmarks/cost.json
	$(PYTHON) benchmarks/run.py --page

sizes: setup-test
	$(PYTHON) benchmarks/sizes.py
	$(PYTHON) benchmarks/run.py --page

bench: setup
	$(PYTHON) benchmarks/run.py

cuts: setup-test
	$(PYTHON) benchmarks/cuts.py

fuzz: setup
	$(PYTHON) benchmarks/fuzzing.py --minutes $(MINUTES)
	$(PYTHON) benchmarks/run.py --page

equality: setup-test
	$(PYTHON) benchmarks/equality.py

line: setup-test
	PYTHONPATH=tests $(PYTHON) benchmarks/line.py $(CASE)

clean:
	rm -rf build host/*.egg-info host/tracekws/*.so .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f .venv/.installed-*
