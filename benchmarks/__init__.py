"""What this project claims about its speed, measured by one command: `python -m benchmarks`."""
