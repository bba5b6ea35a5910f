# `make demo` and `make test` need Python 3.11 or newer, pip and make; everything else goes to .venv.
PYTHON ?= python3
# Further arguments of pip for torch, to choose the build for CPUs or CUDA; see README.
TORCH_ARGS ?=

# Packages are installed uncompiled; without this variable the first import compiles what is used,
# with it every job would do so anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
DOWNLOAD := .venv-download
BIN := $(VENV)/bin
TORCH := $(shell sed -n 's/^ *"\(torch==[0-9.]*\)",/\1/p' pyproject.toml)
SMK_FILES := workflow/Snakefile $(wildcard workflow/rules/*.smk)

SLURM_BIN := .venv-slurm/bin
SLURM := $(shell sed -n '/^slurm = \[/,/^\]/s/^ *"\(.*\)",/\1/p' pyproject.toml)

OPEN_CLIP_BIN := .venv-open-clip/bin
OPEN_CLIP := $(shell sed -n '/^open_clip = \[/,/^\]/s/^ *"\(.*\)",/\1/p' pyproject.toml)

KUBERNETES := $(shell sed -n '/^kubernetes = \[/,/^\]/s/^ *"\(.*\)",/"\1"/p' pyproject.toml)

DVC := .venv-dvc

# One line after Ctrl-C also in the seconds that Snakemake takes to start, before it reads the workflow.
ON_CTRL_C = cp tools/starting/isoenergy_start.* "$$($(1)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

# Comes with builds of torch for CUDA; beside one for CPUs, whose kernels it then interprets, of PyPI.
TRITON_BIN := .venv-triton/bin
TRITON := triton==3.9.0

.PHONY: help demo quick figure bench env lint format lock docs clean slurm-env download-env dvc-env \
	test test-quick test-kill test-open-clip test-triton test-download test-conda test-slurm test-dvc test-kubernetes

help:  ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

demo: env  ## Run everything on rendered scenes and print the headline numbers; TARGETS="table_01 ..." for less
	@$(BIN)/snakemake $(TARGETS) --configfile config/demo.yaml
	@$(if $(TARGETS),,$(BIN)/python scripts/report/print_headlines.py --results results/demo)

quick: env  ## Run CLIP ViT-B/32 on COCO val2017, and print the headline numbers; no GPU needed
	@$(BIN)/snakemake preflight --configfile config/quick.yaml
	@$(BIN)/snakemake --configfile config/quick.yaml
	@$(BIN)/python scripts/report/print_headlines.py --results results/quick

test: env  ## Check format and style, run every test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check $(SMK_FILES)
	$(BIN)/python -m pytest

test-quick: env  ## Run `make quick` offline, on few pictures and an untrained CLIP; FULL=1 for as many as COCO has
	ISOENERGY_TEST_QUICK=$(if $(FULL),full,1) $(BIN)/python -m pytest $(if $(FULL),--capture=no) tests/workflow/test_quick.py

test-kill: env  ## Kill and interrupt runs thirty times at random moments, and compare every file with a whole run's
	ISOENERGY_TEST_KILL=1 $(BIN)/python -m pytest --capture=no tests/workflow/test_kill.py

test-open-clip: .venv-open-clip/.ready  ## Test the encoders of open_clip, in an environment of their own
	$(OPEN_CLIP_BIN)/python -m pytest tests/embed/test_open_clip.py

test-triton: .venv-triton/.ready  ## Test the kernels for CUDA with Triton's interpreter, in an environment of their own
	$(TRITON_BIN)/python -m pytest tests/train/test_fused.py

env: $(VENV)/.ready  ## Create the environment in .venv

# torch comes apart from the lock: its build, and so its hash, differs between CPU and GPU machines. All
# that it needs but CUDA is locked already, and nothing locked can pull a second torch.
$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, " + sys.executable + " is " + sys.version.split()[0] + "; run make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@test ! -L $(VENV) || { echo "error: $(VENV) is a link, and what it leads to would be cleared; remove the link" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-conflicts $(TORCH_ARGS) '$(TORCH)'
	@$(call ON_CTRL_C,$(BIN))
	@touch $@

# torchvision has to come from the same index as torch.
.venv-open-clip/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear .venv-open-clip
	$(OPEN_CLIP_BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps -r requirements.lock
	$(OPEN_CLIP_BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-conflicts $(TORCH_ARGS) '$(TORCH)' $(filter torchvision%,$(OPEN_CLIP))
	$(OPEN_CLIP_BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-conflicts $(OPEN_CLIP)
	@touch $@

.venv-triton/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear .venv-triton
	$(TRITON_BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps -r requirements.lock
	$(TRITON_BIN)/python -m pip install --quiet --disable-pip-version-check --no-warn-conflicts $(TORCH_ARGS) '$(TORCH)'
	$(TRITON_BIN)/python -c 'import triton' 2>/dev/null || $(TRITON_BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps '$(TRITON)'
	@touch $@

download-env: $(DOWNLOAD)/.ready  ## Create the environment that pictures are fetched with, in .venv-download

$(DOWNLOAD)/.ready: envs/download.yaml
	$(PYTHON) -m venv --clear $(DOWNLOAD)
	$(DOWNLOAD)/bin/python -m pip install --quiet --disable-pip-version-check $(shell sed -n 's/^      - //p' envs/download.yaml)
	@touch $@

slurm-env: .venv-slurm/.ready  ## Create the environment that jobs are sent to SLURM from, in .venv-slurm

# Of its own it has Snakemake's executor alone; everything else is that of .venv.
.venv-slurm/.ready: $(VENV)/.ready pyproject.toml
	$(BIN)/python -m venv --clear .venv-slurm
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$$($(SLURM_BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/isoenergy.pth"
	$(SLURM_BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps $(SLURM)
	@sed '1s|.*|#!$(CURDIR)/$(SLURM_BIN)/python|' $(BIN)/snakemake > $(SLURM_BIN)/snakemake
	@chmod +x $(SLURM_BIN)/snakemake
	@$(call ON_CTRL_C,$(SLURM_BIN))
	@touch $@

test-slurm: env slurm-env  ## Run config/ci.yaml through a SLURM of one node, with jobs that fail and a run that is killed
	@tests/slurm/install.sh
	ISOENERGY_TEST_SLURM=1 $(SLURM_BIN)/python -m pytest tests/slurm --capture=no

test-download: env download-env  ## Fetch from a hostile server on the loopback, with img2dataset
	$(BIN)/python -m pytest tests/data/test_fetch.py tests/workflow/test_download.py

test-conda: env  ## Run config/ci.yaml with --use-conda, in a conda client and channel made from PyPI
	$(BIN)/python tools/conda/run.py --torch-args="$(TORCH_ARGS)" $(BIN)/python -m pytest tests/workflow/test_conda.py

# `dvc` is linked into the core environment: its stages call `snakemake`. The command is DVC's own with
# tools/run_dvc.py before it.
dvc-env: env $(DVC)/.ready  ## Create the environment of DVC in .venv-dvc, and the command dvc in .venv

$(DVC)/.ready: requirements-dvc.lock $(VENV)/.ready
	$(PYTHON) -m venv --clear $(DVC)
	$(DVC)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps -r requirements-dvc.lock
	@printf '%s\n' '#!/bin/sh' 'here=$$(dirname "$$(readlink -f "$$0")")' 'exec "$$here/python" "$$here/../../tools/run_dvc.py" "$$@"' > $(DVC)/bin/dvc
	ln -sf ../../$(DVC)/bin/dvc $(BIN)/dvc
	$(DVC)/bin/python tools/plots_page.py > $(DVC)/plots.html
	$(DVC)/bin/dvc config --local plots.html_template ../$(DVC)/plots.html
	@touch $@

figure: dvc-env  ## Draw one figure of a shared run, N=07; see docs/dvc.md
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/shared.py pull figure_$(if $(filter 1 2 3 4 5 6 7 8 9,$(N)),0)$(N)

test-dvc: dvc-env  ## Run the ci configuration by DVC, share it and draw from it, with S3 on the loopback
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest tests/workflow/test_dvc.py tests/dvc

test-kubernetes: .venv-kubernetes/.ready  ## Run the ci configuration with the profile kubernetes, S3 on the loopback and folders for pods
	.venv-kubernetes/bin/python -m pytest tests/workflow/test_profiles.py tests/workflow/test_storage.py

.venv-kubernetes/.ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear .venv-kubernetes
	.venv-kubernetes/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes --no-deps -r requirements.lock
	.venv-kubernetes/bin/python -m pip install --quiet --disable-pip-version-check --no-warn-conflicts $(TORCH_ARGS) '$(TORCH)'
	.venv-kubernetes/bin/python -m pip install --quiet --disable-pip-version-check --no-warn-conflicts $(KUBERNETES)
	@$(call ON_CTRL_C,.venv-kubernetes/bin)
	@touch $@

lint: env  ## Check format and style, and what Snakemake thinks of the workflow
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check $(SMK_FILES)
	$(BIN)/snakemake --lint --configfile config/demo.yaml

format: env  ## Format Python and Snakemake files
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt $(SMK_FILES)

lock: env  ## Resolve pyproject.toml into requirements.lock and requirements-dvc.lock
	$(BIN)/python tools/lock.py

docs: env  ## Write the generated parts of README.md, config/README.md and docs/cluster.md
	$(BIN)/python tools/docs.py

bench: env  ## Time what is large, each of benchmarks/*.py, with nothing else running; most of an hour
	@$(BIN)/python benchmarks/run.py

clean:  ## Remove the environments and caches; results stay
	rm -rf $(VENV) .venv-* .snakemake .pytest_cache .ruff_cache .hypothesis
