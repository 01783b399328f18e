"""A quantized model as one HTML file that classifies URLs in a browser, without a network."""
