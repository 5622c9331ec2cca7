# make run    set up if needed, then train, score and record the default config
# make test   set up if needed, then the whole test suite
# make check  set up if needed, then ruff and mypy
VENV   ?= .venv
PYTHON ?= python3
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: run test check setup clean

run: $(READY)
	$(BIN)/sere-run configs/sere_default.yaml $(ARGS)

# hundreds of tests start a process of their own: none compiles what another one has, whatever the environment says
test: $(READY)
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not counts" $(ARGS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy

setup: $(READY)

# Torch comes first and alone: on a machine without an NVIDIA GPU it is the CPU build (200 MB instead of gigabytes).
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@if command -v nvidia-smi >/dev/null 2>&1; then \
		$(BIN)/python -m pip install --quiet --constraint constraints.txt torch; \
	else \
		$(BIN)/python -m pip install --quiet --no-deps --retries 1 --timeout 30 --constraint constraints.txt --index-url https://download.pytorch.org/whl/cpu torch \
		|| $(BIN)/python -m pip install --quiet --constraint constraints.txt torch; \
	fi
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache
