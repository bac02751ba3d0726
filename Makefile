# make quick: while you work. make test: before a patch. All of it on a bare machine: .ci/run
.PHONY: test quick lint docs bench demo wheel
lint:
	ruff check .
	mypy
quick: lint
	python -m pytest -m "not slow"
test: lint
	python -m pytest
docs:
	python -m sphinx -W --keep-going docs build/site
bench:
	python benchmarks/loop.py
	python benchmarks/images.py
demo:
	minifast demo
wheel:
	python -m build
	twine check --strict dist/*
