"""What `make` calls beside the pipeline."""
