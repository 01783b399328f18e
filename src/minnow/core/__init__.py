"""What every step needs: params, files, tables, the Hub, seeds and devices."""
