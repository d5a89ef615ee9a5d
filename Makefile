# Every target is complete in itself: it makes the environment if it is missing, then works.
.DEFAULT_GOAL := help
.PHONY: help demo model test lint format lock clean

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

# The stamp is newer than the lock and pyproject.toml once both are installed, so a second run installs nothing.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "face18 needs Python 3.11 to 3.13, and $(PYTHON) is another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@if command -v uv >/dev/null; then \
	  test -x $(BIN)/python || uv venv --quiet --python "$$(command -v $(PYTHON))" .venv; \
	  uv pip install --python $(BIN)/python --require-hashes -r requirements.lock && \
	  uv pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .; \
	else \
	  test -x $(BIN)/pip || $(PYTHON) -m venv .venv; \
	  $(BIN)/pip install --disable-pip-version-check --require-hashes -r requirements.lock && \
	  $(BIN)/pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .; \
	fi
	@touch $@

DEMO := outputs/demo
DEMO_RUN := --data data/sample --crops $(DEMO)/crops --only-fold 0 --overwrite

demo: $(INSTALLED)  ## draw sample portraits, crop, train three specialists, fuse, score: one to two minutes
	$(BIN)/python shared/sample_data.py --people 100 --eval-people 30 --out data/sample --seed 0
	$(BIN)/python shared/crop_faces.py --data data/sample --out $(DEMO)/crops --sheet $(DEMO)/crops.jpg
	$(BIN)/python -m pipelines.mask.train $(DEMO_RUN) --outputs $(DEMO)/mask
	$(BIN)/python -m pipelines.gender.train $(DEMO_RUN) --outputs $(DEMO)/gender
	$(BIN)/python -m pipelines.age.train $(DEMO_RUN) --outputs $(DEMO)/age
	$(BIN)/python combine.py --data data/sample --mask $(DEMO)/mask --gender $(DEMO)/gender --age $(DEMO)/age \
	  --truth data/sample/eval_solution.csv --figures $(DEMO)/figures --out $(DEMO)/submission.csv
	@echo "contact sheet of the crops: $(DEMO)/crops.jpg"
	@echo "These faces are drawn by a program. The scores show that everything runs and learns;"
	@echo "they prove nothing about photographs: for those, see docs/accuracy.md."
	@echo "The ready-made model was trained on photographs and has seen no drawing. Its predictions for six of them:"
	$(BIN)/face18 predict docs/images/persons.jpg --draw $(DEMO)/persons.jpg
	@echo "annotated: $(DEMO)/persons.jpg. Now try a photograph of your own: $(BIN)/face18 predict photo.jpg"

DATA ?= open
START ?= faceres
OUT ?= $(if $(filter faceres,$(START)),shared/models/ready.zip,outputs/ready_model/$(START).zip)
CHECK ?=
SCORES := outputs/ready_model

model: $(INSTALLED)  ## train the ready-made model: make model DATA=folder with people.csv and photographs/
	$(BIN)/python -m shared.ready_model --start $(START) --data $(DATA) --out $(OUT)
ifneq ($(CHECK),)
	$(BIN)/python benchmarks/ready_model.py --model $(OUT) --out $(SCORES)/$(START).json \
	  --utkface $(CHECK)/utkface --faces $(CHECK)/faces --worn $(CHECK)/real_worn --bare $(CHECK)/extra
	$(BIN)/python -m shared.ready_bundle --model $(OUT) --scores $(SCORES)/$(START).json \
	  --others $(filter-out $(SCORES)/$(START).json,$(wildcard $(SCORES)/*.json))
else
	@echo "The card of $(OUT) has no scores. CHECK=folder adds them: with utkface/, faces/, real_worn/ and extra/,"
	@echo "as docs/predict.md describes them. START=dlib and START=imagenet train from other networks, for comparison."
endif

test: $(INSTALLED)  ## the test suite
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(INSTALLED)  ## renew both locks: the newest versions that pyproject.toml allows, with hashes
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-header --no-annotate --emit-build-options --output-file requirements.lock --quiet
	$(BIN)/uv pip compile --group service --constraint requirements.lock --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate --output-file requirements-service.lock --quiet

clean:  ## remove what the targets above made, environment included
	rm -rf .venv .pytest_cache .ruff_cache .mypy_cache outputs/demo data/sample
