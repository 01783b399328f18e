"""One module per stage of dvc.yaml: its params and a `main` that loads, calls and writes."""
